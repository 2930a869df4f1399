//! Which requests are meant, and who stays with what was once chosen for them.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use super::Weight;

/// Requests that are sent to the canary because of what they are. All that is given must hold.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Rule {
    /// Request headers, by their lower-case names.
    pub headers: BTreeMap<String, TextMatch>,
    /// Cookies, by name.
    pub cookies: BTreeMap<String, TextMatch>,
    /// Query parameters, by name.
    pub query: BTreeMap<String, TextMatch>,
    /// The path, without the query.
    pub path: Option<TextMatch>,
    /// One of these methods, in capitals; empty is any.
    pub methods: Vec<String>,
    /// A gRPC call.
    pub grpc: Option<GrpcMethod>,
    /// The caller's address lies in one of these ranges; empty is any. Who the caller is, behind how many trusted
    /// proxies, is the listener's to say ([`super::Listener::trusted_hops`]).
    pub source_ip: Vec<IpNet>,
    /// Certain users, or a share of them.
    pub users: Option<Users>,
    /// The share of the matching traffic that goes to the canary; the rest of it goes to the stable version. Never less
    /// than the canary's own share, so that nobody flips back as that grows.
    pub strength: Weight,
}

/// Users, by something that every request of theirs bears.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Users {
    /// What bears their id. A [`Rule::strength`] below 100 % shares them out by a hash of it: each user is either in
    /// or out.
    pub key: UserKey,
    /// Which ids; empty is all that have one.
    pub ids: Vec<String>,
}

/// Where a request says whose it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum UserKey {
    /// A request header, by its lower-case name.
    Header(String),
    /// A cookie.
    Cookie(String),
}

/// A gRPC service's calls.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GrpcMethod {
    /// The full name, as `shop.v1.Checkout`.
    pub service: String,
    /// The method; any when absent.
    pub method: Option<String>,
}

/// What a text must be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum TextMatch {
    /// The same.
    Exact(String),
    /// Begins so.
    Prefix(String),
    /// Ends so.
    Suffix(String),
    /// Has it anywhere.
    Contains(String),
    /// The whole of it fits a regular expression (RE2 syntax).
    Regex(String),
    /// Whether it is there at all.
    Present(bool),
}

/// What a request's place among the shares is decided by, so that a user stays where they are. The canary's users are
/// nested: whoever has it at 5 % has it at 25 %.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Sticky {
    /// A cookie.
    Cookie(StickyCookie),
    /// A request header, by its lower-case name. Requests without it are shared out at random.
    Header(String),
    /// The caller's address.
    SourceIp,
}

/// A cookie that a place among the shares is decided by.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StickyCookie {
    /// Its name.
    pub name: String,
    /// For how long a cookie lives that is issued to a caller without one; zero is until the browser is closed. None is
    /// issued when absent: the application does.
    pub ttl: Option<Duration>,
    /// The path that it is issued for.
    pub path: Option<String>,
    /// Its other attributes, such as `SameSite: Lax`; an empty value for those that are only named (`Secure`).
    pub attributes: BTreeMap<String, String>,
}

impl fmt::Display for TextMatch {
    /// As in the spec: `exact "true"`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (how, text) = match self {
            TextMatch::Exact(text) => ("exact", text),
            TextMatch::Prefix(text) => ("prefix", text),
            TextMatch::Suffix(text) => ("suffix", text),
            TextMatch::Contains(text) => ("contains", text),
            TextMatch::Regex(text) => ("regex", text),
            TextMatch::Present(true) => return f.write_str("present"),
            TextMatch::Present(false) => return f.write_str("absent"),
        };
        write!(f, "{how} {text:?}")
    }
}

impl fmt::Display for UserKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            UserKey::Header(name) => write!(f, "header {name}"),
            UserKey::Cookie(name) => write!(f, "cookie {name}"),
        }
    }
}

impl fmt::Display for Sticky {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Sticky::Cookie(cookie) => write!(f, "cookie {}", cookie.name),
            Sticky::Header(name) => write!(f, "header {name}"),
            Sticky::SourceIp => f.write_str("source address"),
        }
    }
}

impl fmt::Display for Rule {
    /// In words: `header x-internal exact "true", source 10.8.0.0/16, 50% of them`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut parts: Vec<String> = Vec::new();
        let named = |what: &str, all: &BTreeMap<String, TextMatch>| -> Vec<String> {
            all.iter().map(|(name, text)| format!("{what} {name} {text}")).collect()
        };
        parts.extend(named("header", &self.headers));
        parts.extend(named("cookie", &self.cookies));
        parts.extend(named("query", &self.query));
        parts.extend(self.path.iter().map(|path| format!("path {path}")));
        if !self.methods.is_empty() {
            parts.push(format!("method {}", self.methods.join(" or ")));
        }
        parts.extend(self.grpc.iter().map(|grpc| match &grpc.method {
            Some(method) => format!("gRPC {}/{method}", grpc.service),
            None => format!("gRPC {}", grpc.service),
        }));
        if !self.source_ip.is_empty() {
            let ranges: Vec<String> = self.source_ip.iter().map(ToString::to_string).collect();
            parts.push(format!("source {}", ranges.join(" or ")));
        }
        parts.extend(self.users.iter().map(|users| {
            let key = &users.key;
            match users.ids.as_slice() {
                [] => format!("users by {key}"),
                [one] => format!("user {one} by {key}"),
                several => format!("{} users by {key}", several.len()),
            }
        }));
        if parts.is_empty() {
            parts.push("every request".into());
        }
        if self.strength < Weight::FULL {
            parts.push(format!("{} of them", self.strength));
        }
        f.write_str(&parts.join(", "))
    }
}
