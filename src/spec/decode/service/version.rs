//! The versions of a service: where each runs, and what it sets.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::model::{Endpoint, EndpointSource, Version};
use crate::spec::decode::amount::exactly_one;
use crate::spec::decode::doubles;
use crate::spec::diagnostic::quoted;
use crate::spec::problems::Spot;
use crate::spec::reader::{At, Reader};
use crate::spec::value::{self, Refused, listed, nearest, web};

pub(super) const VERSIONS: &str =
    "list the versions with their endpoints, as in `versions: {v1: {endpoints: [10.0.0.1:8080]}}`";
const ENDPOINTS: &str = "write `endpoints: [10.0.0.1:8080]`, or `endpoints: []` until something runs it";
const SOURCE: &str = "write `endpoints: [10.0.0.1:8080]`, or `endpoints: []` until something runs it; or where they come \
                      from: `dns`, `file`, `registered`, `sameAs`";
const ENDPOINT: &str = "write `10.0.0.1:8080`, or `{address: 10.0.0.1:8080, zone: eu-1a}`";
const DNS: &str = "write `dns: checkout.internal:8080`, or `dns: {host: checkout.internal, port: 8080, interval: 5s}`";
const FILE: &str = "write a path below the directory of the specs, as in `file: endpoints/v2.yaml`";
const REGISTERED: &str = "write `registered: {}`, or `registered: {ttl: 15s, drain: 30s}`";
const SAME_AS: &str = "write the version whose endpoints run this one, too, as in `sameAs: v1`";
const FLAGS: &str = "write features by name, as in `featureFlags: {new-checkout: on}`";

const DNS_INTERVAL: Duration = Duration::from_secs(5);
const TTL: Duration = Duration::from_secs(15);
const DRAIN: Duration = Duration::from_secs(30);

/// What is read of all versions.
#[derive(Default)]
pub(super) struct Versions {
    pub(super) versions: BTreeMap<String, Version>,
    /// Where each is written, and whether it may be released: there are endpoints, or will be.
    pub(super) named: BTreeMap<String, (Spot, bool)>,
    /// Addresses of two versions: where, and what to say of it.
    pub(super) shared: Vec<(Spot, String)>,
    /// Where a version sets features, which are headers of requests.
    pub(super) flags: Option<Spot>,
}

pub(super) fn decode(reader: &mut Reader<'_, '_>, at: &At<'_>) -> Versions {
    let mut found = Versions::default();
    let Some(fields) = reader.map(at, VERSIONS) else { return found };
    let all = fields.all();
    if all.is_empty() {
        reader.error(at, "a service needs at least one version", VERSIONS);
    }
    let (mut places, mut same) = (Vec::new(), Vec::new());
    for (name, at) in all {
        reader.named(&at, name, value::version);
        let draft = version(reader, &at).unwrap_or_default();
        found.named.insert(name.to_owned(), (reader.at_key(&at), draft.written));
        found.flags = found.flags.or(draft.flags);
        let endpoints = draft.endpoints.into_iter().map(|(endpoint, at)| {
            places.push((name.to_owned(), endpoint.address.to_string(), at));
            endpoint
        });
        let version = Version { endpoints: endpoints.collect(), ..draft.version };
        found.versions.insert(name.to_owned(), version);
        same.extend(draft.same_as.map(|at| (name.to_owned(), at)));
    }
    same_as(reader, &same, &mut found);
    endpoints_once(reader, &places, &mut found.shared);
    found
}

/// A version as far as it could be read.
#[derive(Default)]
struct Draft<'t> {
    version: Version,
    endpoints: Vec<(Endpoint, At<'t>)>,
    /// Whether endpoints are written down or will come, be they right or wrong.
    written: bool,
    same_as: Option<At<'t>>,
    flags: Option<Spot>,
}

fn version<'t>(reader: &mut Reader<'_, '_>, at: &At<'t>) -> Option<Draft<'t>> {
    let unknown = Draft { written: true, ..Draft::default() };
    let Some(mut fields) = reader.map(at, ENDPOINTS) else { return Some(unknown) };
    let (endpoints_at, dns_at, file) = (fields.optional("endpoints"), fields.optional("dns"), fields.optional("file"));
    let (registered_at, same_as) = (fields.optional("registered"), fields.optional("sameAs"));
    let flags = fields.optional("featureFlags");
    fields.finish(reader, &[]);
    let given = [
        ("endpoints", endpoints_at.as_ref()),
        ("dns", dns_at.as_ref()),
        ("file", file.as_ref()),
        ("registered", registered_at.as_ref()),
        ("sameAs", same_as.as_ref()),
    ];
    let help = "keep one of them: the endpoints of a version come from one place";
    let mut draft = Draft { written: true, ..Draft::default() };
    draft.flags = flags.as_ref().map(|at| reader.at_key(at));
    draft.version.feature_flags = flags.map(|at| features(reader, &at)).unwrap_or_default();
    if !exactly_one(reader, &fields, &given, help, SOURCE) {
        return Some(draft);
    }
    draft.version.source = if let Some(at) = dns_at {
        dns(reader, &at)
    } else if let Some(at) = file {
        reader.parse(&at, FILE, value::file_below).map(|path| EndpointSource::File { path })
    } else {
        registered_at.and_then(|at| registered(reader, &at))
    };
    if let Some(items) = endpoints_at.and_then(|at| reader.list(&at, ENDPOINTS)) {
        draft.written = !items.is_empty();
        draft.endpoints = items.into_iter().filter_map(|at| Some((endpoint(reader, &at)?, at))).collect();
    }
    draft.same_as = same_as;
    Some(draft)
}

/// One endpoint, as an address or with what else is known of it.
pub(in crate::spec) fn endpoint(reader: &mut Reader<'_, '_>, at: &At<'_>) -> Option<Endpoint> {
    if at.node.text().is_some() {
        let address = reader.parse(at, ENDPOINT, value::endpoint)?;
        return Some(Endpoint::at(address));
    }
    let mut fields = reader.map(at, ENDPOINT)?;
    let address = fields.required("address", "add `address: 10.0.0.1:8080`");
    let (zone, weight) = (fields.optional("zone"), fields.optional("weight"));
    fields.finish(reader, &[]);
    let zone = match zone {
        None => None,
        Some(at) => Some(reader.parse(&at, "write the zone, as in `zone: eu-1a`", value::printable)?),
    };
    let help = "write its part among the endpoints of its version, such as `2` for one that takes twice as much";
    let weight = weight.map_or(Some(1), |at| reader.whole(&at, 1, 128, help))?;
    let address = address.and_then(|at| reader.parse(&at, "write `address: 10.0.0.1:8080`", value::endpoint))?;
    Some(Endpoint { zone, weight, ..Endpoint::at(address) })
}

fn dns(reader: &mut Reader<'_, '_>, at: &At<'_>) -> Option<EndpointSource> {
    if at.node.text().is_some() {
        let (host, port) = reader.parse(at, DNS, value::dns)?;
        return Some(EndpointSource::Dns { host, port, interval: DNS_INTERVAL });
    }
    let mut fields = reader.map(at, DNS)?;
    let (host, port, interval) =
        (fields.required("host", DNS), fields.required("port", DNS), fields.optional("interval"));
    fields.finish(reader, &[]);
    let host = host.and_then(|at| reader.parse(&at, DNS, value::dns_name));
    let port = port.and_then(|at| reader.whole(&at, 1, u32::from(u16::MAX), "write a port, such as `8080`"));
    let interval = interval.map_or(Some(DNS_INTERVAL), |at| reader.duration(&at, false))?;
    Some(EndpointSource::Dns { host: host?, port: u16::try_from(port?).ok()?, interval })
}

fn registered(reader: &mut Reader<'_, '_>, at: &At<'_>) -> Option<EndpointSource> {
    let mut fields = reader.map(at, REGISTERED)?;
    let (ttl, drain) = (fields.optional("ttl"), fields.optional("drain"));
    fields.finish(reader, &[]);
    let ttl = ttl.map_or(Some(TTL), |at| reader.duration(&at, false));
    let drain = drain.map_or(Some(DRAIN), |at| reader.duration(&at, true));
    Some(EndpointSource::Registered { ttl: ttl?, drain: drain? })
}

fn features(reader: &mut Reader<'_, '_>, at: &At<'_>) -> BTreeMap<String, String> {
    let mut flags = BTreeMap::new();
    let Some(fields) = reader.map(at, FLAGS) else { return flags };
    let all = fields.all();
    if all.is_empty() {
        reader.error(at, "no feature is set here", FLAGS);
    }
    let setting = |text: &str| match text {
        "" => Err(Refused { message: "this feature is set to nothing".into(), help: FLAGS.to_owned() }),
        text => web::header_value(text),
    };
    for (name, at) in all {
        let name = reader.named(&at, name, value::feature);
        let value = reader.parse(&at, FLAGS, setting);
        flags.extend(name.zip(value));
    }
    flags
}

/// Gives each version that is the same as another the other's endpoints.
fn same_as(reader: &mut Reader<'_, '_>, same: &[(String, At<'_>)], found: &mut Versions) {
    for (name, at) in same {
        let Some(other) = reader.text(at, SAME_AS) else { continue };
        let Some((spot, written)) = found.named.get(other).cloned() else {
            let names: Vec<&str> =
                found.named.keys().filter(|known| *known != name).take(1_000).map(String::as_str).collect();
            let help = match nearest(other, &names) {
                Some(near) => format!("did you mean `{near}`?"),
                None => format!("name another version: {}", listed(&names, "or")),
            };
            reader.error(at, format!("there is no version {} of this service", quoted(other)), help);
            continue;
        };
        if other == name || same.iter().any(|(same, _)| same == other) {
            let message = if other == name {
                "a version cannot be the same as itself".to_owned()
            } else {
                format!("version {} is itself the same as another", quoted(other))
            };
            reader.error_with(at, message, "name a version that has endpoints of its own", (&spot, "that version"));
            continue;
        }
        let base = found.versions.get(other).cloned().unwrap_or_default();
        if let Some(version) = found.versions.get_mut(name) {
            version.endpoints = base.endpoints;
            version.source = base.source;
            version.same_as = Some(other.to_owned());
        }
        if let Some((_, own)) = found.named.get_mut(name) {
            *own = written;
        }
    }
}

/// An address twice in a version is a mistake; one in two versions makes them hard to compare.
fn endpoints_once(reader: &mut Reader<'_, '_>, places: &[(String, String, At<'_>)], shared: &mut Vec<(Spot, String)>) {
    for ((version, address, at), (other, _, first)) in doubles(places, |(_, address, _)| Some(address.clone())) {
        if version == other {
            let first = reader.at(first);
            let message = format!("endpoint `{address}` is listed twice for version {}", quoted(version));
            reader.error_with(at, message, "remove one of them", (&first, "the first one"));
        } else {
            let message = format!("endpoint `{address}` serves version {} and {}", quoted(other), quoted(version));
            shared.push((reader.at_key(at), message));
        }
    }
}
