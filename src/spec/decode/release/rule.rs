//! Which requests are meant, and who stays with what was once chosen for them.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::time::Duration;

use crate::model::{GrpcMethod, Rule, Sticky, StickyCookie, TextMatch, UserKey, Users, Weight};
use crate::spec::decode::amount::{exactly_one, percent};
use crate::spec::diagnostic::quoted;
use crate::spec::reader::{At, Reader};
use crate::spec::value::{self, Refused, web};

const RULES: &str = "list the rules, as in `match: [{headers: {x-internal: {exact: \"true\"}}}]`";
const RULE: &str =
    "a rule has one or more of `headers`, `cookies`, `query`, `path`, `method`, `grpc`, `sourceIP`, `users`";
const TEXT: &str = "write how to compare, as in `{exact: \"true\"}`, `{prefix: /admin}` or `{present: true}`";
const STRENGTH: &str = "write the share of these requests that goes to the canary, in percent, such as `50`";
const METHOD: &str = "write a method, as in `method: GET`, or several: `method: [GET, POST]`";
const RANGES: &str = "list ranges of addresses, as in `sourceIP: [10.8.0.0/16, 192.0.2.7]`";
const USERS: &str = "write what tells users apart, and which, as in `users: {header: x-user-id, ids: [alice, bob]}`";
const IDS: &str = "list the users, as in `ids: [alice, bob]`, or leave it out for all";
const GRPC: &str = "write `grpc: {service: shop.v1.Checkout, method: Pay}`, or leave out the method for all of them";
const STICKY: &str = "write `sticky: {cookie: uid, ttl: 24h}`, `{header: x-user}` or `{sourceIP: true}`";
const ATTRIBUTES: &str = "write `attributes: {SameSite: Lax, Secure: \"\"}`";

/// A list of rules, the first of which that fits decides.
pub(super) fn rules(reader: &mut Reader<'_, '_>, at: &At<'_>) -> Vec<Rule> {
    let items = reader.list(at, RULES).unwrap_or_default();
    items.iter().filter_map(|at| rule(reader, at)).collect()
}

fn rule(reader: &mut Reader<'_, '_>, at: &At<'_>) -> Option<Rule> {
    let mut fields = reader.map(at, RULE)?;
    let (headers, cookies, query) = (fields.optional("headers"), fields.optional("cookies"), fields.optional("query"));
    let (path, method, grpc) = (fields.optional("path"), fields.optional("method"), fields.optional("grpc"));
    let (source, users, strength) =
        (fields.optional("sourceIP"), fields.optional("users"), fields.optional("strength"));
    fields.finish(reader, &[]);
    if fields.all().iter().all(|(name, _)| *name == "strength") {
        let help = format!("{RULE}; for a share of all requests, use `setWeight`");
        reader.error(at, "this rule chooses every request", help);
    }
    if let (Some(path), Some(grpc)) = (&path, &grpc) {
        let given = [("path", Some(path)), ("grpc", Some(grpc))];
        exactly_one(reader, &fields, &given, "keep one: the path of a gRPC call is its service and method", RULE);
    }
    let strength_given = strength.as_ref().map(|at| reader.at_key(at));
    let mut rule = Rule {
        headers: headers.map(|at| texts(reader, &at, web::header_name)).unwrap_or_default(),
        cookies: cookies.map(|at| texts(reader, &at, web::cookie_name)).unwrap_or_default(),
        query: query.map(|at| texts(reader, &at, value::printable)).unwrap_or_default(),
        path: path.and_then(|at| text_match(reader, &at)),
        methods: method.map(|at| several(reader, &at, METHOD, web::method)).unwrap_or_default(),
        grpc: grpc.and_then(|at| grpc_method(reader, &at)),
        source_ip: source.map(|at| several(reader, &at, RANGES, web::ip_range)).unwrap_or_default(),
        users: None,
        strength: strength.map_or(Some(Weight::FULL), |at| share(reader, &at)).unwrap_or(Weight::FULL),
    };
    if let Some((users, of_them)) = users.and_then(|at| self::users(reader, &at, strength_given.is_some())) {
        rule.users = Some(users);
        rule.strength = of_them.unwrap_or(rule.strength);
    }
    Some(rule)
}

fn share(reader: &mut Reader<'_, '_>, at: &At<'_>) -> Option<Weight> {
    percent(reader, at, "a percentage above 0 and up to 100", STRENGTH, |n| n > 0.0 && n <= 100.0)
}

/// One item, or a list of them, each once.
fn several<T: PartialEq>(
    reader: &mut Reader<'_, '_>,
    at: &At<'_>,
    help: &str,
    parse: impl Fn(&str) -> Result<T, Refused>,
) -> Vec<T> {
    let items = match at.node.text() {
        Some(_) => vec![at.clone()],
        None => reader.list(at, help).unwrap_or_default(),
    };
    if items.is_empty() && at.node.text().is_none() && !at.node.is_null() {
        reader.error(at, "this list is empty: nothing would fit", help);
    }
    let mut found: Vec<T> = Vec::new();
    for at in items {
        let Some(item) = reader.parse(&at, help, &parse) else { continue };
        if found.contains(&item) {
            reader.error(&at, "this is listed twice", "remove one of them");
        } else {
            found.push(item);
        }
    }
    found
}

fn texts(
    reader: &mut Reader<'_, '_>,
    at: &At<'_>,
    parse: impl Fn(&str) -> Result<String, Refused>,
) -> BTreeMap<String, TextMatch> {
    let mut found = BTreeMap::new();
    let Some(fields) = reader.map(at, "write what is compared, as in `{x-internal: {exact: \"true\"}}`") else {
        return found;
    };
    let all = fields.all();
    if all.is_empty() {
        reader.error(at, "nothing is compared here", "add what is compared, or remove the line");
    }
    for (name, at) in all {
        let name = reader.named(&at, name, &parse);
        let text = text_match(reader, &at);
        let (Some(name), Some(text)) = (name, text) else { continue };
        match found.entry(name) {
            Entry::Vacant(entry) => {
                entry.insert(text);
            }
            Entry::Occupied(entry) => {
                let spot = reader.at_key(&at);
                reader.error_at(&spot, format!("{} is compared twice", quoted(entry.key())), "keep one of them");
            }
        }
    }
    found
}

fn text_match(reader: &mut Reader<'_, '_>, at: &At<'_>) -> Option<TextMatch> {
    if let Some(text) = at.node.text() {
        let text: String = text.chars().take(64).collect();
        reader.error(at, "this does not say how to compare", format!("write `{{exact: \"{text}\"}}`"));
        return None;
    }
    let mut fields = reader.map(at, TEXT)?;
    let (exact, prefix, suffix) = (fields.optional("exact"), fields.optional("prefix"), fields.optional("suffix"));
    let (contains, regex) = (fields.optional("contains"), fields.optional("regex"));
    let present = fields.optional("present");
    fields.finish(reader, &[]);
    let given = [
        ("exact", exact.as_ref()),
        ("prefix", prefix.as_ref()),
        ("suffix", suffix.as_ref()),
        ("contains", contains.as_ref()),
        ("regex", regex.as_ref()),
        ("present", present.as_ref()),
    ];
    if !exactly_one(reader, &fields, &given, "keep one: a rule of its own is for each way to compare", TEXT) {
        return None;
    }
    let mut part = |at: Option<At<'_>>| at.and_then(|at| reader.parse(&at, TEXT, value::printable));
    if let Some(text) = part(prefix) {
        return Some(TextMatch::Prefix(text));
    }
    if let Some(text) = part(suffix) {
        return Some(TextMatch::Suffix(text));
    }
    if let Some(text) = part(contains) {
        return Some(TextMatch::Contains(text));
    }
    if let Some(at) = exact {
        let text = |text: &str| if text.is_empty() { Ok(String::new()) } else { value::printable(text) };
        return reader.parse(&at, TEXT, text).map(TextMatch::Exact);
    }
    if let Some(at) = regex {
        return reader.parse(&at, TEXT, web::pattern).map(TextMatch::Regex);
    }
    present.and_then(|at| reader.boolean(&at)).map(TextMatch::Present)
}

/// A gRPC service's calls, or those of one method.
pub(in crate::spec::decode) fn grpc_method(reader: &mut Reader<'_, '_>, at: &At<'_>) -> Option<GrpcMethod> {
    let mut fields = reader.map(at, GRPC)?;
    let (service, method) = (fields.required("service", GRPC), fields.optional("method"));
    fields.finish(reader, &[]);
    let method = match method {
        None => None,
        Some(at) => Some(reader.parse(&at, GRPC, web::grpc_name)?),
    };
    let service = reader.parse(&service?, GRPC, web::grpc_name)?;
    Some(GrpcMethod { service, method })
}

/// Users, and the share of them.
fn users(reader: &mut Reader<'_, '_>, at: &At<'_>, has_strength: bool) -> Option<(Users, Option<Weight>)> {
    let mut fields = reader.map(at, USERS)?;
    let (header, cookie) = (fields.optional("header"), fields.optional("cookie"));
    let (ids, percent_at) = (fields.optional("ids"), fields.optional("percent"));
    fields.finish(reader, &[]);
    let given = [("header", header.as_ref()), ("cookie", cookie.as_ref())];
    let one = exactly_one(reader, &fields, &given, "keep one: it is what every request of a user bears", USERS);
    let ids = ids.map(|at| several(reader, &at, IDS, value::printable)).unwrap_or_default();
    if let Some(at) = percent_at.as_ref().filter(|_| has_strength) {
        let spot = reader.at_key(at);
        reader.error_at(
            &spot,
            "`percent` of the users is the rule's `strength`, which is given too",
            "keep one of them",
        );
    }
    let of_them = percent_at.and_then(|at| share(reader, &at));
    let key = match (header, cookie) {
        (Some(at), _) => UserKey::Header(reader.parse(&at, USERS, web::header_name)?),
        (None, Some(at)) => UserKey::Cookie(reader.parse(&at, USERS, web::cookie_name)?),
        (None, None) => return None,
    };
    one.then_some((Users { key, ids }, of_them))
}

/// By what a user stays.
pub(super) fn sticky(reader: &mut Reader<'_, '_>, at: &At<'_>) -> Option<Sticky> {
    let mut fields = reader.map(at, STICKY)?;
    let (cookie, header, source) = (fields.optional("cookie"), fields.optional("header"), fields.optional("sourceIP"));
    let (ttl, path, attributes) = (fields.optional("ttl"), fields.optional("path"), fields.optional("attributes"));
    fields.finish(reader, &[]);
    let given = [("cookie", cookie.as_ref()), ("header", header.as_ref()), ("sourceIP", source.as_ref())];
    if !exactly_one(reader, &fields, &given, "keep one of them", STICKY) {
        return None;
    }
    for (name, part) in [("ttl", &ttl), ("path", &path), ("attributes", &attributes)] {
        let Some(part) = part else { continue };
        let spot = reader.at_key(part);
        if cookie.is_none() {
            reader.error_at(&spot, format!("only a cookie has `{name}`"), "remove it, or write `cookie: uid`");
        } else if ttl.is_none() {
            let message = format!("without `ttl` no cookie is issued, so that it has no `{name}`");
            reader.error_at(
                &spot,
                message,
                "add how long it lives, as in `ttl: 24h`; `0s` is until the browser closes",
            );
        }
    }
    if let Some(at) = header {
        return reader.parse(&at, STICKY, web::header_name).map(Sticky::Header);
    }
    if let Some(at) = source {
        if !reader.boolean(&at)? {
            reader.error(&at, "`sourceIP: false` sticks to nothing", "write `sourceIP: true`, or remove `sticky`");
        }
        return Some(Sticky::SourceIp);
    }
    let ttl: Option<Duration> = ttl.and_then(|at| reader.duration(&at, true));
    let path = path.and_then(|at| reader.parse(&at, "write a path, such as `/`", web::path));
    let attributes = attributes.map(|at| self::attributes(reader, &at)).unwrap_or_default();
    let name = reader.parse(&cookie?, STICKY, web::cookie_name)?;
    Some(Sticky::Cookie(StickyCookie { name, ttl, path, attributes }))
}

fn attributes(reader: &mut Reader<'_, '_>, at: &At<'_>) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    let Some(fields) = reader.map(at, ATTRIBUTES) else { return found };
    for (name, at) in fields.all() {
        let spot = reader.at_key(&at);
        if let Some(field) = match name.to_ascii_lowercase().as_str() {
            "path" => Some("path"),
            "max-age" | "expires" => Some("ttl"),
            _ => None,
        } {
            reader.error_at(
                &spot,
                format!("{} has a field of its own", quoted(name)),
                format!("write `{field}` instead"),
            );
            continue;
        }
        let value = if at.node.is_null() { Some("") } else { reader.text(&at, ATTRIBUTES) };
        let Some(value) = value else { continue };
        if web::cookie_name(name).is_err() || value.contains(';') || web::header_value(value).is_err() {
            let message = format!("{} cannot be an attribute of a cookie", quoted(&format!("{name}={value}")));
            reader.error_at(&spot, message, ATTRIBUTES);
            continue;
        }
        found.insert(name.to_owned(), value.to_owned());
    }
    found
}
