//! The small languages inside single values: durations, percentages, names, hosts, addresses.
//!
//! PURE. Each takes text as a person writes it, and says how to mend it otherwise.

pub(super) mod web;

use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use jiff::SignedDuration;

use super::diagnostic::quoted;
use crate::model::Portion;

/// Why a value is none, and what would be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Refused {
    pub(super) message: String,
    pub(super) help: String,
}

fn refuse<T>(message: impl Into<String>, help: impl Into<String>) -> Result<T, Refused> {
    Err(Refused { message: message.into(), help: help.into() })
}

/// How durations are written.
pub(super) const DURATION_EXAMPLES: &str = "write a number with its unit, as `250ms`, `10s`, `5m`, `1h` or `1h30m`";
/// Longer ones are mistakes, and could overflow a clock.
const LONGEST: Duration = Duration::from_secs(365 * 24 * 3600);

/// From `250ms`, `10s`, `5m`, `1h30m`: at least a millisecond and at most a year; nothing at all only if `zero`.
pub(super) fn duration(text: &str, zero: bool) -> Result<Duration, Refused> {
    if let Ok(number) = text.parse::<f64>()
        && !(zero && number == 0.0)
    {
        return refuse(
            format!("duration {} has no unit", quoted(text)),
            format!("write `{text}ms` for milliseconds, `{text}s` for seconds, or `{text}m` for minutes"),
        );
    }
    let parsed: SignedDuration = match text {
        "0" => SignedDuration::ZERO,
        // The longest that makes sense has few characters; the parser need not see more.
        text if text.len() > 64 => return refuse(format!("{} is not a duration", quoted(text)), DURATION_EXAMPLES),
        text => match text.parse() {
            Ok(parsed) => parsed,
            Err(_) => return refuse(format!("{} is not a duration", quoted(text)), DURATION_EXAMPLES),
        },
    };
    match Duration::try_from(parsed) {
        Err(_) => refuse(format!("duration {} is negative", quoted(text)), DURATION_EXAMPLES),
        Ok(duration) if duration > LONGEST => {
            refuse(format!("duration {} is longer than a year", quoted(text)), DURATION_EXAMPLES)
        }
        Ok(Duration::ZERO) if !zero => refuse("a duration of nothing at all makes no sense here", DURATION_EXAMPLES),
        Ok(duration) if !duration.is_zero() && duration < Duration::from_millis(1) => {
            refuse(format!("duration {} is shorter than a millisecond", quoted(text)), DURATION_EXAMPLES)
        }
        Ok(duration) => Ok(duration),
    }
}

/// A share from `0.1%` or `0.001`, within 0 to 1.
pub(super) fn share(text: &str) -> Result<f64, Refused> {
    let help = "write a percentage, as `0.1%`, or a share, as `0.001`";
    let number = match text.strip_suffix('%') {
        Some(percent) => percent.trim_end().parse::<f64>().map(|p| p / 100.0),
        None => text.parse::<f64>(),
    };
    match number {
        Ok(share) if (0.0..=1.0).contains(&share) => Ok(share),
        Ok(_) => refuse(format!("{} is not within 0 to 100 %", quoted(text)), help),
        Err(_) => refuse(format!("{} is not a share", quoted(text)), help),
    }
}

/// Some of a number of things, from `2` or `10%`. `of` says of which things, `help` what to write, `all` what to do
/// where all or none of them are meant.
pub(super) fn portion(text: &str, of: &str, help: &str, all: &str) -> Result<Portion, Refused> {
    // More than there are anywhere.
    const MOST: u32 = 1_000_000;
    match text.strip_suffix('%').map(|percent| percent.trim_end().parse::<u8>()) {
        Some(Ok(percent @ 1..=99)) => Ok(Portion::Percent(percent)),
        Some(Ok(0 | 100)) => refuse(format!("{} is no part of the {of}", quoted(text)), all),
        Some(_) => refuse(format!("{} is not a percentage from 1 to 99", quoted(text)), help),
        None => match text.parse::<u32>() {
            Ok(0) => refuse(format!("`0` is no part of the {of}"), all),
            Ok(count @ 1..=MOST) => Ok(Portion::Count(count)),
            Ok(_) | Err(_) => refuse(format!("{} is not a number of {of}", quoted(text)), help),
        },
    }
}

/// A name to look up, and a port, from `checkout.internal:8080`.
pub(super) fn dns(text: &str) -> Result<(String, u16), Refused> {
    let help = "write a name and a port, such as `dns: checkout.internal:8080`";
    let Some((name, port)) = text.rsplit_once(':') else {
        return refuse(
            format!("{} has no port", quoted(text)),
            format!("add it, as in `{}:8080`", quoted(text).trim_matches('`')),
        );
    };
    match port.parse::<u16>() {
        Ok(port) if port != 0 => Ok((dns_name(name)?, port)),
        Ok(_) | Err(_) => refuse(format!("{} has no valid port after the `:`", quoted(text)), help),
    }
}

/// A name to look up.
pub(super) fn dns_name(text: &str) -> Result<String, Refused> {
    if text.parse::<IpAddr>().is_ok() {
        let help = "list it, as in `endpoints: [10.0.0.1:8080]`";
        return refuse(format!("{} is an address: nothing is to be looked up", quoted(text)), help);
    }
    if text.len() <= 253 && !text.contains('*') && !text.starts_with('[') && is_domain(text) {
        return Ok(text.to_owned());
    }
    refuse(format!("{} is not a DNS name", quoted(text)), "write a name, such as `checkout.internal`")
}

/// A file below the directory of the specs.
pub(super) fn file_below(text: &str) -> Result<String, Refused> {
    let help = "write a path below the directory of the specs, such as `endpoints/v2.yaml`";
    let text = printable(text)?;
    if text.starts_with(['/', '\\', '~']) || text.as_bytes().get(1) == Some(&b':') {
        return refuse(format!("{} is an absolute path", quoted(&text)), help);
    }
    if text.split(['/', '\\']).any(|part| part == "..") {
        return refuse(format!("{} leads out of the directory of the specs", quoted(&text)), help);
    }
    if text.split('/').any(|part| part.is_empty() || part == ".") {
        return refuse(format!("{} is not a plain path", quoted(&text)), help);
    }
    Ok(text)
}

/// The name of a feature, as a part of a header's name.
pub(super) fn feature(text: &str) -> Result<String, Refused> {
    let refused = Err(Refused {
        message: format!("{} cannot be a feature's name", quoted(text)),
        help: "a feature has 1 to 63 lower-case letters, digits or `-`, with a letter or digit at each end".to_owned(),
    });
    label(text).or(refused)
}

/// A DNS label: what fleets, services and releases are named by.
pub(super) fn label(text: &str) -> Result<String, Refused> {
    let is_label = |s: &str| {
        (1..=63).contains(&s.len())
            && s.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
            && !s.starts_with('-')
            && !s.ends_with('-')
    };
    if is_label(text) {
        return Ok(text.to_owned());
    }
    let mended: String = text
        .chars()
        .take(64)
        .map(|c| if matches!(c, '_' | '.' | ' ' | '/') { '-' } else { c.to_ascii_lowercase() })
        .collect();
    let mended = mended.trim_matches('-');
    let rule = "a name has 1 to 63 lower-case letters, digits or `-`, with a letter or digit at each end";
    let help = if is_label(mended) { format!("{rule}: `{mended}` would do") } else { rule.to_owned() };
    refuse(format!("{} cannot be a name", quoted(text)), help)
}

/// A version: what a release sets live.
pub(super) fn version(text: &str) -> Result<String, Refused> {
    let fits = (1..=63).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-'))
        && text.starts_with(|c: char| c.is_ascii_alphanumeric());
    if fits {
        return Ok(text.to_owned());
    }
    let help = "a version has 1 to 63 letters, digits, `.`, `_` or `-`, and begins with a letter or digit";
    refuse(format!("{} cannot be a version's name", quoted(text)), help)
}

/// Any printable text of 1 to 255 characters, as Envoy's names are.
pub(super) fn printable(text: &str) -> Result<String, Refused> {
    if text.is_empty() {
        return refuse("this text is empty", "give it a value, or remove the line");
    }
    if text.chars().any(char::is_control) {
        return refuse(format!("{} has control characters", quoted(text)), "use printable characters only");
    }
    if text.chars().count() > 255 {
        return refuse(format!("{} is too long", quoted(text)), "use at most 255 characters");
    }
    Ok(text.to_owned())
}

/// A virtual host domain of Envoy: `*`, `*.example.com`, `example.*` or a host, each with or without a port.
pub(super) fn host(text: &str) -> Result<String, Refused> {
    let help =
        "write a host as clients send it, such as `shop.example.com`, `*.example.com` or `shop.example.com:8443`";
    if let Some((_, rest)) = text.split_once("://") {
        let bare = rest.split(['/', '?', '#']).next().unwrap_or(rest);
        return refuse(format!("{} is a URL, not a host", quoted(text)), format!("write {}", quoted(bare)));
    }
    if let Some((bare, _)) = text.split_once('/').filter(|(bare, _)| !bare.is_empty()) {
        let help = format!("write {}: paths cannot be matched", quoted(bare));
        return refuse(format!("{} has a path", quoted(text)), help);
    }
    let (name, port) = match text.rsplit_once(':') {
        Some((name, port)) if !text.ends_with(']') => (name, Some(port)),
        _ => (text, None),
    };
    if let Some(port) = port
        && port != "*"
        && port.parse::<u16>().map_or(true, |p| p == 0)
    {
        return refuse(format!("{} has no valid port after the `:`", quoted(text)), help);
    }
    if text.len() > 255 || !is_domain(name) {
        return refuse(format!("{} is not a host", quoted(text)), help);
    }
    // Envoy takes one wildcard, at one end.
    let stars = text.matches('*').count();
    if stars > 1 || (stars == 1 && !text.starts_with('*') && !text.ends_with('*')) {
        return refuse(format!("{} has a `*` elsewhere than at one end", quoted(text)), help);
    }
    Ok(text.to_owned())
}

fn is_domain(name: &str) -> bool {
    if let Some(ip) = name.strip_prefix('[').and_then(|n| n.strip_suffix(']')) {
        return ip.parse::<Ipv6Addr>().is_ok();
    }
    !name.is_empty()
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_' | b'*'))
        && !name.contains("..")
        && !name.starts_with('.')
        && (name == "*" || name.bytes().any(|b| b.is_ascii_alphanumeric()))
}

/// An address that can be connected to.
pub(super) fn endpoint(text: &str) -> Result<SocketAddr, Refused> {
    let address = socket_address(text, "10.0.0.1:8080")?;
    if address.ip().is_unspecified() {
        let help = "write the address that the proxies reach it at, such as `10.0.0.1:8080`";
        return refuse(format!("{} is where one listens, not an address to connect to", quoted(text)), help);
    }
    Ok(address)
}

/// An address to listen on.
pub(super) fn bind(text: &str) -> Result<SocketAddr, Refused> {
    let port = text.strip_prefix(':').unwrap_or(text);
    if port.parse::<u16>().is_ok() {
        return refuse(format!("{} has no address to bind", quoted(text)), format!("write `0.0.0.0:{port}`"));
    }
    if let Some(port) = text.strip_prefix("localhost:").filter(|p| p.parse::<u16>().is_ok()) {
        return refuse(format!("{} is not an IP address", quoted(text)), format!("write `127.0.0.1:{port}`"));
    }
    socket_address(text, "0.0.0.0:10000")
}

fn socket_address(text: &str, example: &str) -> Result<SocketAddr, Refused> {
    let help = format!("write an IP address and a port, such as `{example}`");
    match text.parse::<SocketAddr>() {
        Ok(address) if address.port() == 0 => return refuse(format!("{} has port 0", quoted(text)), help),
        Ok(address) => return Ok(address),
        Err(_) => {}
    }
    if let Some((_, rest)) = text.split_once("://") {
        let bare = rest.split('/').next().unwrap_or(rest);
        return refuse(format!("{} is a URL, not an address", quoted(text)), format!("write {}", quoted(bare)));
    }
    if let Ok(ip) = text.parse::<IpAddr>() {
        let written = SocketAddr::new(ip, 8080);
        return refuse(format!("{} has no port", quoted(text)), format!("add it, as in `{written}`"));
    }
    let (name, port) = text.rsplit_once(':').unwrap_or((text, "8080"));
    let is_name = name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_'));
    if is_name && name.bytes().any(|b| b.is_ascii_alphabetic()) && port.parse::<u16>().is_ok() {
        let message = format!("{} is a DNS name, not an address", quoted(text));
        return refuse(
            message,
            format!("{help}; the endpoints of a name are those of a version with `dns: {name}:{port}`"),
        );
    }
    refuse(format!("{} is not an address", quoted(text)), help)
}

/// The candidate that was probably meant.
pub(super) fn nearest<'c>(text: &str, candidates: &[&'c str]) -> Option<&'c str> {
    const MOST: usize = 1_000;
    if text.is_empty() || text.len() > 64 {
        return None;
    }
    let wanted = text.to_ascii_lowercase();
    let allowed = (text.len() / 3).max(1);
    candidates
        .iter()
        .take(MOST)
        .map(|candidate| (strsim::damerau_levenshtein(&wanted, &candidate.to_ascii_lowercase()), *candidate))
        .filter(|(distance, candidate)| *distance <= allowed && *distance < candidate.len())
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// As `` `a`, `b` or `c` ``; a long list is cut.
pub(super) fn listed(names: &[&str], joint: &str) -> String {
    const MOST: usize = 20;
    let shown: Vec<String> = names.iter().take(MOST).map(|name| quoted(name)).collect();
    match shown.split_last() {
        None => "nothing".to_owned(),
        Some(_) if names.len() > MOST => format!("{} and {} more", shown.join(", "), names.len() - MOST),
        Some((last, [])) => last.clone(),
        Some((last, rest)) => format!("{} {joint} {last}", rest.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_written_as_people_write_them() {
        for (text, millis) in [
            ("250ms", 250),
            ("10s", 10_000),
            ("5m", 300_000),
            ("1h", 3_600_000),
            ("1h30m", 5_400_000),
            ("1.5s", 1_500),
            ("24h", 86_400_000),
        ] {
            assert_eq!(duration(text, false), Ok(Duration::from_millis(millis)), "{text}");
        }
        for text in ["0s", "0"] {
            assert_eq!(duration(text, true), Ok(Duration::ZERO), "{text}");
        }
        for text in ["0s", "0", "10", "1.5", "-5s", "5 minutes ago", "1d", "10x", "", "99999999h", "9e99s", "1us", "∞"]
        {
            assert!(duration(text, false).is_err(), "{text}");
        }
        let long = "9".repeat(100_000);
        assert!(duration(&long, true).is_err());
        assert!(duration(&format!("{long}h"), true).is_err());
    }

    #[test]
    fn shares_are_percentages_or_plain() {
        assert_eq!(share("0.1%"), Ok(0.001));
        assert_eq!(share("0.001"), Ok(0.001));
        assert_eq!(share("100 %"), Ok(1.0));
        assert_eq!(share("0"), Ok(0.0));
        for text in ["101%", "2", "-1%", "nan", "inf", "%", "x"] {
            assert!(share(text).is_err(), "{text}");
        }
    }

    #[test]
    fn hosts_are_what_envoy_takes_as_domains() {
        for text in [
            "*",
            "*.example.com",
            "*-eu.example.com",
            "example.*",
            "shop.example.com",
            "shop.example.com:8080",
            "shop.example.com:*",
            "localhost",
            "10.0.0.1",
            "10.0.0.1:80",
            "[::1]",
            "[::1]:80",
            "*:8080",
            "my_host",
            "a",
        ] {
            assert_eq!(host(text), Ok(text.to_owned()), "{text}");
        }
        for text in [
            "",
            "**",
            "*.example.*",
            "a*b",
            "*.example.com:*",
            "shop:",
            "shop:0",
            "shop:99999",
            "shop:http",
            ".example.com",
            "a..b",
            "a b",
            "http://shop.example.com/x",
            "shop.example.com/x",
            "/x",
            "[::1",
            "::1",
            "é",
            "-",
            "[x]",
            "*.",
            "*é",
            "é*",
        ] {
            assert!(host(text).is_err(), "{text}");
        }
    }

    #[test]
    fn addresses_say_what_they_lack() {
        assert!(endpoint("10.0.0.1:8080").is_ok());
        assert!(endpoint("[fd00::1]:8080").is_ok());
        assert!(bind("0.0.0.0:80").is_ok());
        assert!(bind("[::]:80").is_ok());
        for (text, said) in [
            ("10.0.0.1", "has no port"),
            ("10.0.0.1:0", "port 0"),
            ("fd00::1", "has no port"),
            ("0.0.0.0:80", "where one listens"),
            ("shop:8080", "DNS name"),
            ("shop.example.com", "DNS name"),
            ("http://10.0.0.1:80/", "is a URL"),
            ("10.0.0.1:99999", "not an address"),
            ("", "not an address"),
        ] {
            let refused = endpoint(text).expect_err(text);
            assert!(refused.message.contains(said), "{text}: {refused:?}");
        }
        for (text, cure) in [("10000", "`0.0.0.0:10000`"), (":80", "`0.0.0.0:80`"), ("localhost:80", "`127.0.0.1:80`")]
        {
            let refused = bind(text).expect_err(text);
            assert!(refused.help.contains(cure), "{text}: {refused:?}");
        }
    }

    #[test]
    fn names_come_with_a_better_one() {
        assert_eq!(label("checkout-2"), Ok("checkout-2".into()));
        assert!(label("Checkout_API").expect_err("upper case").help.contains("`checkout-api`"));
        for text in ["", "-", "-a", "a-", "é", &"a".repeat(64)] {
            assert!(label(text).is_err(), "{text}");
        }
        assert_eq!(version("1.10_rc-2"), Ok("1.10_rc-2".into()));
        for text in ["", ".1", "v 1", "v/1", &"1".repeat(64)] {
            assert!(version(text).is_err(), "{text}");
        }
    }

    #[test]
    fn the_nearest_name_is_near() {
        let fields = ["setWeight", "pause", "analyze"];
        for (text, near) in [
            ("setweight", Some("setWeight")),
            ("setWieght", Some("setWeight")),
            ("analyse", Some("analyze")),
            ("weight", None),
            ("x", None),
            ("", None),
        ] {
            assert_eq!(nearest(text, &fields), near, "{text}");
        }
    }
}
