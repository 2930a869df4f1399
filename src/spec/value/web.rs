//! What is written of requests: headers, cookies, methods, URLs, patterns.

use std::net::IpAddr;

use http::{HeaderName, HeaderValue, Uri};
use ipnet::IpNet;

use super::{Refused, refuse};
use crate::spec::diagnostic::quoted;

/// A header's name, in lower case.
pub(in crate::spec) fn header_name(text: &str) -> Result<String, Refused> {
    if text.starts_with(':') {
        let help = "match it by `path`, `method` or `hosts`";
        return refuse(format!("{} is no header but a part of the request's line", quoted(text)), help);
    }
    match HeaderName::from_bytes(text.as_bytes()) {
        Ok(name) if text.len() <= 255 => Ok(name.as_str().to_owned()),
        Ok(_) | Err(_) => refuse(
            format!("{} cannot be a header's name", quoted(text)),
            "write letters, digits and `-`, as in `x-user`",
        ),
    }
}

/// What a header may be set to.
pub(in crate::spec) fn header_value(text: &str) -> Result<String, Refused> {
    match HeaderValue::from_str(text) {
        Ok(_) if text.is_ascii() && text.len() <= 1024 => Ok(text.to_owned()),
        Ok(_) | Err(_) => refuse(
            format!("{} cannot be a header's value", quoted(text)),
            "use printable ASCII characters, at most 1024 of them",
        ),
    }
}

/// A cookie's name: a token, as RFC 6265 has it.
pub(in crate::spec) fn cookie_name(text: &str) -> Result<String, Refused> {
    if is_token(text) {
        return Ok(text.to_owned());
    }
    refuse(format!("{} cannot be a cookie's name", quoted(text)), "write letters, digits, `-` and `_`, as in `uid`")
}

fn is_token(text: &str) -> bool {
    (1..=255).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b))
}

/// A request's method, in capitals.
pub(in crate::spec) fn method(text: &str) -> Result<String, Refused> {
    let capitals = text.to_ascii_uppercase();
    if !is_token(text) || text.len() > 32 {
        return refuse(format!("{} is not a method", quoted(text)), "write a method, such as `GET` or `POST`");
    }
    if capitals != text {
        let message = format!("{} is not in capitals, as methods are", quoted(text));
        return refuse(message, format!("write `{capitals}`"));
    }
    Ok(capitals)
}

/// A URL that can be called.
pub(in crate::spec) fn url(text: &str) -> Result<String, Refused> {
    let help = "write a URL, such as `https://ci.example.com/run`";
    let Ok(uri) = text.parse::<Uri>() else { return refuse(format!("{} is not a URL", quoted(text)), help) };
    let authority = uri.authority().map_or("", |authority| authority.as_str());
    if authority.contains('@') {
        let message = format!("the URL of {} has a password in it", quoted(uri.host().unwrap_or_default()));
        return refuse(message, "take it out: a `secret` signs what is sent, and the server's operator keeps it");
    }
    // What is no number of 16 bits the parser takes for no port at all.
    if uri.port().is_none() && uri.host().is_some_and(|host| host != authority) {
        let message = format!("the port of {} is no number from 0 to 65535", quoted(text));
        return refuse(message, "correct it, or leave it out: 80 of `http` and 443 of `https` are known");
    }
    match uri.scheme_str() {
        Some("http" | "https") if uri.host().is_some_and(|host| !host.is_empty()) => Ok(text.to_owned()),
        Some("http" | "https") | None => refuse(format!("{} is not a whole URL", quoted(text)), help),
        Some(scheme) => refuse(format!("{} is no URL of HTTP but of `{scheme}`", quoted(text)), help),
    }
}

/// What people may call a URL that has no name: its host and path.
pub(in crate::spec) fn short_name(url: &str) -> String {
    let Ok(uri) = url.parse::<Uri>() else { return url.to_owned() };
    let name = format!("{}{}", uri.host().unwrap_or_default(), uri.path().trim_end_matches('/'));
    name.chars().take(255).collect()
}

/// A regular expression.
pub(in crate::spec) fn pattern(text: &str) -> Result<String, Refused> {
    match regex::Regex::new(text) {
        Ok(_) => Ok(text.to_owned()),
        Err(error) => {
            let all = error.to_string();
            let why = all.lines().last().unwrap_or_default().trim_start_matches("error: ").to_owned();
            let help = "write it in RE2's syntax (no look-around, no references back); it must fit the whole text";
            refuse(format!("{} is not a regular expression: {why}", quoted(text)), help)
        }
    }
}

/// A range of addresses; an address alone is a range of one.
pub(in crate::spec) fn ip_range(text: &str) -> Result<IpNet, Refused> {
    if let Ok(address) = text.parse::<IpAddr>() {
        return Ok(IpNet::from(address));
    }
    match text.parse::<IpNet>() {
        Ok(range) => Ok(range.trunc()),
        Err(_) => refuse(
            format!("{} is no range of addresses", quoted(text)),
            "write `10.8.0.0/16`, or one address: `10.8.0.1`",
        ),
    }
}

/// The full name of a gRPC service or the name of a method.
pub(in crate::spec) fn grpc_name(text: &str) -> Result<String, Refused> {
    let fits = (1..=255).contains(&text.len())
        && text.split('.').all(|part| {
            !part.is_empty()
                && !part.starts_with(|c: char| c.is_ascii_digit())
                && part.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
        });
    if fits {
        return Ok(text.to_owned());
    }
    let help = "write a name as in the .proto file, such as `service: shop.v1.Checkout` and `method: Pay`";
    refuse(format!("{} is no name of a gRPC service or method", quoted(text)), help)
}

/// A path of a URL, with its leading slash.
pub(in crate::spec) fn path(text: &str) -> Result<String, Refused> {
    if !text.starts_with('/') {
        return refuse(
            format!("path {} has no leading slash", quoted(text)),
            format!("write {}", quoted(&format!("/{text}"))),
        );
    }
    match text.parse::<Uri>() {
        Ok(_) if text.len() <= 1024 => Ok(text.to_owned()),
        Ok(_) | Err(_) => refuse(format!("{} is not a path", quoted(text)), "write a path, such as `/healthz`"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_headers_cookies_and_methods() {
        assert_eq!(header_name("X-User"), Ok("x-user".into()));
        assert_eq!(cookie_name("uid_1"), Ok("uid_1".into()));
        assert_eq!(method("PURGE"), Ok("PURGE".into()));
        assert_eq!(method("get").expect_err("small").help, "write `GET`");
        for text in ["", "x user", "é", ":path", "a:b"] {
            assert!(header_name(text).is_err(), "{text}");
        }
        for text in ["", "a=b", "a;b", "a b"] {
            assert!(cookie_name(text).is_err(), "{text}");
        }
        for text in ["a\nb", "é", &"x".repeat(2_000)] {
            assert!(header_value(text).is_err(), "{text}");
        }
        assert!(grpc_name("shop.v1.Checkout").is_ok());
        for text in ["", "shop/Checkout", "shop..v1", "1a"] {
            assert!(grpc_name(text).is_err(), "{text}");
        }
    }

    #[test]
    fn urls_are_whole_and_of_http() {
        assert!(url("http://tests:8080/run?x=1").is_ok());
        assert_eq!(short_name("https://ci.example.com:8443/run/?x=1"), "ci.example.com/run");
        for (text, said) in [
            ("ftp://ci/run", "`ftp`"),
            ("/run", "whole URL"),
            ("ci.example.com", "whole URL"),
            ("http://", "not a URL"),
            ("http://a b", "not a URL"),
            ("https://me:secret@ci/run", "password"),
            ("http://ci:99999/run", "65535"),
        ] {
            let refused = url(text).expect_err(text);
            assert!(refused.message.contains(said), "{text}: {refused:?}");
            assert!(!refused.message.contains("secret"), "{refused:?}");
        }
        assert!(path("/a/b").is_ok());
        assert_eq!(path("a").expect_err("no slash").help, "write `/a`");
        assert!(path("/a b").is_err());
    }

    #[test]
    fn ranges_and_patterns() {
        assert_eq!(ip_range("10.8.0.1").expect("one").to_string(), "10.8.0.1/32");
        assert_eq!(ip_range("fd00::1").expect("one").to_string(), "fd00::1/128");
        assert_eq!(ip_range("10.8.3.1/16").expect("a range").to_string(), "10.8.0.0/16");
        for text in ["", "10.8.0.0/33", "10.8/16", "all"] {
            assert!(ip_range(text).is_err(), "{text}");
        }
        assert!(pattern("a+(b|c)").is_ok());
        for text in ["(", "(?=x)", r"(a)\1"] {
            assert!(pattern(text).is_err(), "{text}");
        }
    }
}
