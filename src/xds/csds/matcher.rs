//! Which proxies a request for their status is about.
//!
//! PURE. A matcher that cannot be followed to the letter is refused: an answer about other proxies than were meant is
//! worse than none. Source: `envoy/type/matcher/v3/{node,string,struct,value}.proto`.

use envoy_types::pb::envoy::r#type::matcher::v3 as proto;
use proto::string_matcher::MatchPattern;
use regex::{Regex, RegexBuilder};

use crate::xds::Node;

/// Bytes that a compiled expression may take.
const REGEX_SIZE: usize = 256 << 10;

/// Why a matcher is not followed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MatcherError {
    /// This server does not know it.
    #[error("node_matchers: {0} is not supported")]
    Unsupported(&'static str),
    /// It is none.
    #[error("node_matchers: {0}")]
    Invalid(String),
}

/// The proxies that a request is about.
#[derive(Debug)]
pub struct NodeMatchers(Vec<NodeMatcher>);

#[derive(Debug)]
struct NodeMatcher {
    id: Option<Text>,
    /// Keys of the node's metadata, and what their texts must be.
    metadata: Vec<(String, Text)>,
}

#[derive(Debug)]
struct Text {
    pattern: Pattern,
    ignore_case: bool,
}

#[derive(Debug)]
enum Pattern {
    Exact(String),
    Prefix(String),
    Suffix(String),
    Contains(String),
    Regex(Regex),
}

impl NodeMatchers {
    /// Of a request. Of several matchers one has to fit; none at all is every proxy.
    ///
    /// # Errors
    /// When one of them is malformed or not supported.
    pub fn read(matchers: &[proto::NodeMatcher]) -> Result<Self, MatcherError> {
        Ok(Self(matchers.iter().map(NodeMatcher::read).collect::<Result<_, _>>()?))
    }

    /// Whether a proxy is meant.
    pub fn matches(&self, node: &Node) -> bool {
        self.0.is_empty() || self.0.iter().any(|matcher| matcher.matches(node))
    }
}

impl NodeMatcher {
    fn read(matcher: &proto::NodeMatcher) -> Result<Self, MatcherError> {
        let id = matcher.node_id.as_ref().map(Text::read).transpose()?;
        let metadata = matcher.node_metadatas.iter().map(field).collect::<Result<_, _>>()?;
        Ok(Self { id, metadata })
    }

    fn matches(&self, node: &Node) -> bool {
        let field = |(key, text): &(String, Text)| node.metadata.get(key).is_some_and(|value| text.matches(value));
        self.id.as_ref().is_none_or(|id| id.matches(&node.id)) && self.metadata.iter().all(field)
    }
}

/// Of a node's metadata only the texts at the top are kept.
fn field(matcher: &proto::StructMatcher) -> Result<(String, Text), MatcherError> {
    use proto::struct_matcher::path_segment::Segment;
    let [segment] = matcher.path.as_slice() else {
        return Err(MatcherError::Unsupported("a path of node_metadatas that has not exactly one key"));
    };
    let Some(Segment::Key(key)) = &segment.segment else {
        return Err(MatcherError::Invalid("a path of node_metadatas has an empty segment".into()));
    };
    match matcher.value.as_ref().and_then(|value| value.match_pattern.as_ref()) {
        Some(proto::value_matcher::MatchPattern::StringMatch(text)) => Ok((key.clone(), Text::read(text)?)),
        Some(_) => Err(MatcherError::Unsupported("a value of node_metadatas other than string_match")),
        None => Err(MatcherError::Invalid(format!("node_metadatas says no value for {key}"))),
    }
}

impl Text {
    fn read(matcher: &proto::StringMatcher) -> Result<Self, MatcherError> {
        let ignore_case = matcher.ignore_case;
        // Both sides in lower case, once.
        let plain = |text: &String| if ignore_case { text.to_lowercase() } else { text.clone() };
        let pattern = match &matcher.match_pattern {
            Some(MatchPattern::Exact(text)) => Pattern::Exact(plain(text)),
            Some(MatchPattern::Prefix(text)) => Pattern::Prefix(plain(text)),
            Some(MatchPattern::Suffix(text)) => Pattern::Suffix(plain(text)),
            Some(MatchPattern::Contains(text)) => Pattern::Contains(plain(text)),
            Some(MatchPattern::SafeRegex(matcher)) => {
                // The whole text has to fit; case is the expression's own business.
                let whole = RegexBuilder::new(&format!("^(?:{})$", matcher.regex)).size_limit(REGEX_SIZE).build();
                let regex = whole.map_err(|error| MatcherError::Invalid(error.to_string()))?;
                return Ok(Self { pattern: Pattern::Regex(regex), ignore_case: false });
            }
            Some(MatchPattern::Custom(_)) => return Err(MatcherError::Unsupported("a custom string matcher")),
            None => return Err(MatcherError::Invalid("a string matcher has no pattern".into())),
        };
        Ok(Self { pattern, ignore_case })
    }

    fn matches(&self, text: &str) -> bool {
        let lower = self.ignore_case.then(|| text.to_lowercase());
        let text = lower.as_deref().unwrap_or(text);
        match &self.pattern {
            Pattern::Exact(pattern) => text == pattern,
            Pattern::Prefix(pattern) => text.starts_with(pattern),
            Pattern::Suffix(pattern) => text.ends_with(pattern),
            Pattern::Contains(pattern) => text.contains(pattern),
            Pattern::Regex(regex) => regex.is_match(text),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proto::struct_matcher::{PathSegment, path_segment::Segment};
    use proto::value_matcher::MatchPattern as ValuePattern;
    use proto::{NodeMatcher as Matcher, RegexMatcher, StringMatcher, StructMatcher, ValueMatcher};

    fn text(pattern: MatchPattern) -> StringMatcher {
        StringMatcher { ignore_case: false, match_pattern: Some(pattern) }
    }

    fn by_id(text: StringMatcher) -> Matcher {
        Matcher { node_id: Some(text), node_metadatas: Vec::new() }
    }

    fn regex(regex: &str) -> MatchPattern {
        MatchPattern::SafeRegex(RegexMatcher { regex: regex.into(), ..RegexMatcher::default() })
    }

    fn by_metadata(path: &[&str], value: Option<ValuePattern>) -> Matcher {
        let segment = |key: &&str| PathSegment { segment: Some(Segment::Key((*key).into())) };
        let value = Some(ValueMatcher { match_pattern: value });
        let field = StructMatcher { path: path.iter().map(segment).collect(), value };
        Matcher { node_id: None, node_metadatas: vec![field] }
    }

    fn exact(word: &str) -> MatchPattern {
        MatchPattern::Exact(word.into())
    }

    /// Which of three proxies are meant.
    fn meant(matchers: &[Matcher]) -> Result<Vec<&'static str>, MatcherError> {
        let matchers = NodeMatchers::read(matchers)?;
        let all = [("edge-1", "blue"), ("edge-2", "green"), ("mesh-1", "blue")];
        let is_meant = |(id, stage): &(&str, &str)| {
            let metadata = [("stage".to_owned(), (*stage).to_owned())].into();
            matchers.matches(&Node { id: (*id).into(), metadata, ..Node::default() })
        };
        Ok(all.into_iter().filter(is_meant).map(|(id, _)| id).collect())
    }

    #[test]
    fn xds_36_proxies_are_chosen_by_id_and_metadata() {
        let loud = StringMatcher { ignore_case: true, ..text(MatchPattern::Prefix("EDGE".into())) };
        let blue = by_metadata(&["stage"], Some(ValuePattern::StringMatch(text(exact("blue")))));
        let both = Matcher { node_id: Some(text(MatchPattern::Prefix("edge".into()))), ..blue.clone() };
        let rows: [(Vec<Matcher>, &[&str]); 11] = [
            (vec![], &["edge-1", "edge-2", "mesh-1"]),
            (vec![by_id(text(exact("edge-1")))], &["edge-1"]),
            (vec![by_id(text(exact("EDGE-1")))], &[]),
            (vec![by_id(text(MatchPattern::Suffix("-1".into())))], &["edge-1", "mesh-1"]),
            (vec![by_id(text(MatchPattern::Contains("ge-".into())))], &["edge-1", "edge-2"]),
            (vec![by_id(text(regex("edge-[0-9]")))], &["edge-1", "edge-2"]),
            (vec![by_id(text(regex("edge|mesh")))], &[]),
            (vec![by_id(loud)], &["edge-1", "edge-2"]),
            (vec![blue], &["edge-1", "mesh-1"]),
            (vec![both], &["edge-1"]),
            (vec![by_id(text(exact("edge-2"))), by_id(text(exact("mesh-1")))], &["edge-2", "mesh-1"]),
        ];
        for (matchers, expected) in rows {
            assert_eq!(meant(&matchers).expect("supported"), expected, "{matchers:?}");
        }
    }

    #[test]
    fn xds_36_a_matcher_that_cannot_be_followed_is_refused() {
        let any = |pattern| by_metadata(&["stage"], Some(pattern));
        for (matcher, word) in [
            (by_id(text(MatchPattern::Custom(Default::default()))), "custom string matcher is not supported"),
            (by_id(text(regex("("))), "regex parse error"),
            (by_id(text(regex(&"a{1000}".repeat(1000)))), "size limit"),
            (by_id(StringMatcher::default()), "no pattern"),
            (any(ValuePattern::BoolMatch(true)), "string_match is not supported"),
            (by_metadata(&["a", "b"], Some(ValuePattern::BoolMatch(true))), "one key is not supported"),
            (by_metadata(&["stage"], None), "no value for stage"),
        ] {
            let error = meant(std::slice::from_ref(&matcher)).expect_err("not supported").to_string();
            assert!(error.contains(word), "{error}");
        }
    }
}
