//! Rules about strings and bytes. PURE.

use envoy_types::pb::validate::{BytesRules, KnownRegex, StringRules, bytes_rules, string_rules::WellKnown};
use regex::bytes::Regex;

use super::{Fault, form, one_of};

/// What a text must be, in characters and in bytes. Bytes are a text whose characters are bytes.
#[derive(Debug, Default)]
pub(super) struct Text {
    only: Option<Vec<u8>>,
    characters: Length,
    bytes: Length,
    /// The whole of it.
    pattern: Option<(Regex, String)>,
    prefix: Option<Vec<u8>>,
    suffix: Option<Vec<u8>>,
    contains: Option<Vec<u8>>,
    lacks: Option<Vec<u8>>,
    among: Vec<Vec<u8>>,
    except: Vec<Vec<u8>>,
    form: Option<(form::Form, &'static str)>,
    /// Whether an empty text counts as none and is not looked at.
    ignore_empty: bool,
}

#[derive(Debug, Default)]
struct Length {
    least: Option<u64>,
    most: Option<u64>,
}

impl Length {
    fn new(exact: Option<u64>, least: Option<u64>, most: Option<u64>) -> Self {
        Self { least: exact.or(least), most: exact.or(most) }
    }

    /// Counting characters takes a walk: only where somebody asks.
    fn fault(&self, length: impl Fn() -> usize, unit: &str) -> Option<Fault> {
        if self.least.is_none() && self.most.is_none() {
            return None;
        }
        let length = length() as u64;
        let rule = match (self.least, self.most) {
            (Some(least), most) if length < least => match most {
                Some(most) if most == least => format!("must have {least} {unit}"),
                _ if least == 1 => "must not be empty".to_owned(),
                _ => format!("must have at least {least} {unit}"),
            },
            (least, Some(most)) if length > most => {
                let how = if least == Some(most) { "" } else { "at most " };
                format!("must have {how}{most} {unit}")
            }
            _ => return None,
        };
        Some(Fault { rule, got: if length == 0 { "nothing".to_owned() } else { length.to_string() } })
    }
}

impl Text {
    /// The rules of a string.
    ///
    /// # Errors
    /// When its pattern is no regular expression.
    pub(super) fn of_string(rules: &StringRules) -> Result<Self, regex::Error> {
        let bytes = |text: &Option<String>| text.as_ref().map(|text| text.clone().into_bytes());
        let all = |texts: &[String]| texts.iter().map(|text| text.clone().into_bytes()).collect();
        Ok(Self {
            only: bytes(&rules.r#const),
            characters: Length::new(rules.len, rules.min_len, rules.max_len),
            bytes: Length::new(rules.len_bytes, rules.min_bytes, rules.max_bytes),
            pattern: pattern(rules.pattern.as_deref())?,
            prefix: bytes(&rules.prefix),
            suffix: bytes(&rules.suffix),
            contains: bytes(&rules.contains),
            lacks: bytes(&rules.not_contains),
            among: all(&rules.r#in),
            except: all(&rules.not_in),
            form: rules.well_known.and_then(|form| well_known(form, rules.strict())),
            ignore_empty: rules.ignore_empty(),
        })
    }

    /// The rules of bytes.
    ///
    /// # Errors
    /// When the pattern is no regular expression.
    pub(super) fn of_bytes(rules: &BytesRules) -> Result<Self, regex::Error> {
        Ok(Self {
            only: rules.r#const.clone(),
            bytes: Length::new(rules.len, rules.min_len, rules.max_len),
            pattern: pattern(rules.pattern.as_deref())?,
            prefix: rules.prefix.clone(),
            suffix: rules.suffix.clone(),
            contains: rules.contains.clone(),
            among: rules.r#in.clone(),
            except: rules.not_in.clone(),
            form: rules.well_known.and_then(|form| match form {
                bytes_rules::WellKnown::Ip(on) => {
                    on.then_some((form::Form::Bytes(&[4, 16]), "the 4 or 16 bytes of an IP address"))
                }
                bytes_rules::WellKnown::Ipv4(on) => {
                    on.then_some((form::Form::Bytes(&[4]), "the 4 bytes of an IPv4 address"))
                }
                bytes_rules::WellKnown::Ipv6(on) => {
                    on.then_some((form::Form::Bytes(&[16]), "the 16 bytes of an IPv6 address"))
                }
            }),
            ignore_empty: rules.ignore_empty(),
            ..Self::default()
        })
    }

    /// What a string or bytes break, if they break anything.
    pub(super) fn fault(&self, value: &[u8]) -> Option<Fault> {
        if self.ignore_empty && value.is_empty() {
            return None;
        }
        let has = |part: &[u8]| part.is_empty() || value.windows(part.len()).any(|window| window == part);
        let missing = |part: &Option<Vec<u8>>, holds: &dyn Fn(&[u8]) -> bool| {
            part.as_ref().filter(|part| !holds(part)).map(|part| shown(part))
        };
        let characters = || String::from_utf8_lossy(value).chars().count();
        let words = |what: &str, part: String| Fault { rule: format!("must {what} {part}"), got: shown(value) };
        missing(&self.only, &|only| value == only)
            .map(|only| words("be", only))
            .or_else(|| self.characters.fault(characters, "characters"))
            .or_else(|| self.bytes.fault(|| value.len(), "bytes"))
            .or_else(|| missing(&self.prefix, &|part| value.starts_with(part)).map(|part| words("begin with", part)))
            .or_else(|| missing(&self.suffix, &|part| value.ends_with(part)).map(|part| words("end with", part)))
            .or_else(|| missing(&self.contains, &|part| has(part)).map(|part| words("contain", part)))
            .or_else(|| missing(&self.lacks, &|part| !has(part)).map(|part| words("not contain", part)))
            .or_else(|| {
                let (pattern, source) = self.pattern.as_ref()?;
                (!pattern.is_match(value)).then(|| words("match", source.clone()))
            })
            .or_else(|| {
                let allowed = self.among.is_empty() || self.among.iter().any(|text| text == value);
                (!allowed).then(|| words("be", one_of(&self.among.iter().map(|t| shown(t)).collect::<Vec<_>>())))
            })
            .or_else(|| self.except.iter().find(|text| *text == value).map(|text| words("not be", shown(text))))
            .or_else(|| {
                let (form, name) = self.form.as_ref()?;
                (!form.fits(value)).then(|| words("be", (*name).to_owned()))
            })
    }
}

/// As Envoy's own check compares it: the whole text, not a part of it.
fn pattern(source: Option<&str>) -> Result<Option<(Regex, String)>, regex::Error> {
    let Some(source) = source else { return Ok(None) };
    Ok(Some((Regex::new(&format!(r"\A(?:{source})\z"))?, source.to_owned())))
}

fn well_known(rule: WellKnown, strict: bool) -> Option<(form::Form, &'static str)> {
    use form::Form;
    let (on, form, name) = match rule {
        WellKnown::Email(on) => (on, Form::Text(form::email), "an e-mail address"),
        WellKnown::Hostname(on) => (on, Form::Text(form::hostname), "a host name"),
        WellKnown::Ip(on) => (on, Form::Text(form::ip), "an IP address"),
        WellKnown::Ipv4(on) => (on, Form::Text(form::ipv4), "an IPv4 address"),
        WellKnown::Ipv6(on) => (on, Form::Text(form::ipv6), "an IPv6 address"),
        WellKnown::Uri(on) => (on, Form::Text(form::uri), "an absolute URI"),
        WellKnown::UriRef(on) => (on, Form::Text(form::uri_reference), "a URI"),
        WellKnown::Address(on) => (on, Form::Text(form::address), "a host name or an IP address"),
        WellKnown::Uuid(on) => (on, Form::Text(form::uuid), "a UUID"),
        WellKnown::WellKnownRegex(which) => match (KnownRegex::try_from(which), strict) {
            (Ok(KnownRegex::HttpHeaderName), true) => (true, Form::Text(form::header_name), "a header's name"),
            (Ok(KnownRegex::HttpHeaderValue), true) => (true, Form::Text(form::header_value), "a header's value"),
            (Ok(KnownRegex::HttpHeaderName | KnownRegex::HttpHeaderValue), false) => {
                (true, Form::Text(form::header_text), "without line breaks and NUL")
            }
            (Ok(KnownRegex::Unknown) | Err(_), _) => return None,
        },
    };
    on.then_some((form, name))
}

/// Text as people see it, short and on one line.
pub(super) fn shown(value: &[u8]) -> String {
    const LONGEST: usize = 80;
    let text = String::from_utf8_lossy(value);
    let short: String = text.chars().take(LONGEST).collect();
    let more = if short.len() < text.len() { "…" } else { "" };
    format!("{short:?}{more}")
}
