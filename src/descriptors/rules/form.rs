//! The forms that a text may have to have: addresses, names, URIs. PURE.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::LazyLock;

use regex::bytes::Regex;

/// How a text is told to be of a form.
#[derive(Debug)]
pub(super) enum Form {
    /// By a function.
    Text(fn(&str) -> bool),
    /// By how many bytes there are.
    Bytes(&'static [usize]),
}

impl Form {
    pub(super) fn fits(&self, value: &[u8]) -> bool {
        match self {
            Form::Text(fits) => std::str::from_utf8(value).is_ok_and(fits),
            Form::Bytes(lengths) => lengths.contains(&value.len()),
        }
    }
}

fn compiled(source: &str) -> Regex {
    Regex::new(source).expect("a fixed expression, which a test compiles")
}

/// A name of RFC 1034; a final dot is allowed.
pub(super) fn hostname(text: &str) -> bool {
    let name = text.strip_suffix('.').unwrap_or(text);
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
    };
    text.len() <= 253 && name.split('.').all(label)
}

/// The address alone, without a display name.
pub(super) fn email(text: &str) -> bool {
    let Some((local, domain)) = text.rsplit_once('@') else { return false };
    let atom = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+/=?^_`{|}~-".contains(&b);
    text.len() <= 254
        && local.len() <= 64
        && local.split('.').all(|part| !part.is_empty() && part.bytes().all(atom))
        && hostname(domain)
}

pub(super) fn ip(text: &str) -> bool {
    text.parse::<IpAddr>().is_ok()
}

pub(super) fn ipv4(text: &str) -> bool {
    text.parse::<Ipv4Addr>().is_ok()
}

pub(super) fn ipv6(text: &str) -> bool {
    text.parse::<Ipv6Addr>().is_ok()
}

pub(super) fn address(text: &str) -> bool {
    hostname(text) || ip(text)
}

/// With a scheme, by the characters of RFC 3986.
pub(super) fn uri(text: &str) -> bool {
    static URI: LazyLock<Regex> = LazyLock::new(|| {
        compiled(r"\A[A-Za-z][A-Za-z0-9+.\-]*:(?:[A-Za-z0-9\-._~:/?#\[\]@!$&'()*+,;=]|%[0-9A-Fa-f]{2})*\z")
    });
    URI.is_match(text.as_bytes())
}

/// With or without a scheme, by the characters of RFC 3986.
pub(super) fn uri_reference(text: &str) -> bool {
    static REFERENCE: LazyLock<Regex> =
        LazyLock::new(|| compiled(r"\A(?:[A-Za-z0-9\-._~:/?#\[\]@!$&'()*+,;=]|%[0-9A-Fa-f]{2})*\z"));
    REFERENCE.is_match(text.as_bytes())
}

pub(super) fn uuid(text: &str) -> bool {
    let groups: Vec<&str> = text.split('-').collect();
    let lengths: Vec<usize> = groups.iter().map(|group| group.len()).collect();
    lengths == [8, 4, 4, 4, 12] && groups.iter().all(|group| group.bytes().all(|b| b.is_ascii_hexdigit()))
}

/// A header's name: a token of RFC 7230, or a pseudo header.
pub(super) fn header_name(text: &str) -> bool {
    let name = text.strip_prefix(':').unwrap_or(text);
    !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"!#$%&'*+,-.^_`|~".contains(&b))
}

/// A header's value: no control characters but the tab.
pub(super) fn header_value(text: &str) -> bool {
    text.bytes().all(|b| (b >= 0x20 && b != 0x7f) || b == b'\t')
}

/// What both may be where the rule is not `strict`: anything that does not end the header.
pub(super) fn header_text(text: &str) -> bool {
    !text.contains(['\0', '\n', '\r'])
}
