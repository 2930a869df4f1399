//! Names of resources: plain ones, `xdstp://` ones and the collections they form.
//!
//! PURE. Source: the xDS transport protocol's naming (xRFC TP1). Two `xdstp://` names are the same when they differ only
//! in the order of their context parameters; `xdstp://authority/type/path/*` stands for all resources directly below
//! the path, with the same context.

use std::borrow::Cow;

const SCHEME: &str = "xdstp://";

/// Whether a name is of the `xdstp` form. The plain wildcard `*` does not stand for such names.
pub fn is_xdstp(name: &str) -> bool {
    name.starts_with(SCHEME)
}

/// The one spelling of a name: context parameters sorted, without the client's directives (`#entry`, `#alt=…`).
pub fn canonical(name: &str) -> Cow<'_, str> {
    if !is_xdstp(name) {
        return Cow::Borrowed(name);
    }
    let bare = name.split_once('#').map_or(name, |(bare, _)| bare);
    match bare.split_once('?') {
        None => Cow::Borrowed(bare),
        Some((path, "")) => Cow::Borrowed(path),
        Some((path, context)) => {
            let mut parameters: Vec<&str> = context.split('&').collect();
            match parameters.is_sorted() {
                true => Cow::Borrowed(bare),
                false => {
                    parameters.sort_unstable();
                    Cow::Owned(format!("{path}?{}", parameters.join("&")))
                }
            }
        }
    }
}

/// A collection: every resource directly below a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Glob<'a> {
    /// What its members' names begin with, up to and with the last slash.
    pub prefix: &'a str,
    context: &'a str,
}

impl<'a> Glob<'a> {
    /// From a canonical name; `None` when it names one resource.
    pub fn parse(name: &'a str) -> Option<Self> {
        let (path, context) = name.split_once('?').unwrap_or((name, ""));
        let prefix = path.strip_suffix('*').filter(|prefix| is_xdstp(path) && prefix.ends_with('/'))?;
        Some(Self { prefix, context })
    }

    /// Whether a resource of this canonical name belongs to it.
    pub fn matches(&self, name: &str) -> bool {
        let (path, context) = name.split_once('?').unwrap_or((name, ""));
        let id = path.strip_prefix(self.prefix);
        id.is_some_and(|id| !id.is_empty() && !id.contains('/') && id != "*") && context == self.context
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_has_one_spelling() {
        for (given, expected) in [
            ("plain?b=1&a=2", "plain?b=1&a=2"),
            ("xdstp://auth/t/id", "xdstp://auth/t/id"),
            ("xdstp://auth/t/id?b=1&a=2", "xdstp://auth/t/id?a=2&b=1"),
            ("xdstp://auth/t/id?a=2&b=1", "xdstp://auth/t/id?a=2&b=1"),
            ("xdstp://auth/t/id?", "xdstp://auth/t/id"),
            ("xdstp://auth/t/id?a=1#entry=x", "xdstp://auth/t/id?a=1"),
        ] {
            assert_eq!(canonical(given), expected);
        }
    }

    #[test]
    fn a_collection_has_the_resources_directly_below_it() {
        let glob = Glob::parse("xdstp://auth/t/shop/*?env=prod").expect("a collection");
        assert!(glob.matches("xdstp://auth/t/shop/v1?env=prod"));
        for other in [
            "xdstp://auth/t/shop/v1",
            "xdstp://auth/t/shop/v1?env=test",
            "xdstp://auth/t/shop/deep/v1?env=prod",
            "xdstp://auth/t/shop/?env=prod",
            "xdstp://auth/t/other/v1?env=prod",
            "shop/v1",
        ] {
            assert!(!glob.matches(other), "{other}");
        }
        for single in ["*", "a/*", "xdstp://auth/t/shop/v1", "xdstp://auth/t/v*"] {
            assert_eq!(Glob::parse(single), None, "{single}");
        }
    }
}
