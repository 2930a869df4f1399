//! `kind: Service`.

use std::collections::BTreeMap;
use std::time::Duration;

use super::{Service, doubles, envoy};
use crate::model::{self, Endpoint, OutlierDetection, PatchTarget, Protocol, Version};
use crate::spec::diagnostic::quoted;
use crate::spec::problems::Spot;
use crate::spec::reader::{At, Reader};
use crate::spec::value;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);
/// As Envoy's own.
const TIMEOUT: Duration = Duration::from_secs(15);

const HOSTS: &str = "list the hosts that clients ask for, as in `hosts: [shop.example.com]`, or `[\"*\"]` for all";
const VERSIONS: &str = "list the versions with their endpoints, as in `versions: {v1: {endpoints: [10.0.0.1:8080]}}`";
const ENDPOINTS: &str = "write `endpoints: [10.0.0.1:8080]`, or `endpoints: []` until something runs it";
const ENDPOINT: &str = "write `10.0.0.1:8080`, or `{address: 10.0.0.1:8080, zone: eu-1a}`";

const PATCHES: [PatchTarget; 3] = [PatchTarget::Cluster, PatchTarget::Route, PatchTarget::VirtualHost];

pub(super) fn decode(reader: &mut Reader<'_, '_>, spec: &At<'_>) -> Option<Service> {
    let mut fields = reader.map(spec, "a Service's spec has `hosts` and `versions`")?;
    let hosts_at = fields.required("hosts", HOSTS);
    let protocol = fields.optional("protocol");
    let versions_at = fields.required("versions", VERSIONS);
    let outliers = fields.optional("outlierDetection");
    let connect_timeout = fields.optional("connectTimeout");
    let timeout = fields.optional("timeout");
    let envoy = fields.optional("envoy");
    fields.finish(reader, &["retries", "healthCheck", "tls", "windows", "dependsOn"]);
    let protocols = [("http1", Protocol::Http1), ("http2", Protocol::Http2), ("grpc", Protocol::Grpc)];
    let hosts = hosts_at.map(|at| hosts(reader, &at)).unwrap_or_default();
    let (versions, named) = versions_at.map(|at| versions(reader, &at)).unwrap_or_default();
    let timeout = match timeout {
        None => Some(TIMEOUT),
        Some(at) => reader.duration(&at, true).filter(|timeout| !timeout.is_zero()),
    };
    let mut patches = Vec::new();
    let service = model::Service {
        name: String::new(),
        hosts,
        protocol: protocol.and_then(|at| reader.choice(&at, &protocols, &["tcp"])).unwrap_or(Protocol::Http1),
        versions,
        outlier_detection: outliers.and_then(|at| outlier_detection(reader, &at)),
        connect_timeout: connect_timeout.and_then(|at| reader.duration(&at, false)).unwrap_or(CONNECT_TIMEOUT),
        timeout,
        envoy: envoy::patches(reader, envoy, &PATCHES, None, &mut patches),
    };
    Some(Service { service, versions: named, patches })
}

fn hosts(reader: &mut Reader<'_, '_>, at: &At<'_>) -> Vec<String> {
    let Some(items) = reader.list(at, HOSTS) else { return Vec::new() };
    if items.is_empty() {
        reader.error(at, "a service needs at least one host", HOSTS);
    }
    let hosts: Vec<(String, At<'_>)> =
        items.into_iter().filter_map(|at| Some((reader.parse(&at, HOSTS, value::host)?, at))).collect();
    for ((host, at), (_, first)) in doubles(&hosts, |(host, _)| Some(host.to_ascii_lowercase())) {
        let first = reader.at(first);
        reader.error_with(
            at,
            format!("host {} is listed twice", quoted(host)),
            "remove one of them",
            (&first, "the first one"),
        );
    }
    hosts.into_iter().map(|(host, _)| host).collect()
}

type Versions = (BTreeMap<String, Version>, BTreeMap<String, (Spot, bool)>);

fn versions(reader: &mut Reader<'_, '_>, at: &At<'_>) -> Versions {
    let Some(fields) = reader.map(at, VERSIONS) else { return Versions::default() };
    let (mut versions, mut named) = Versions::default();
    let mut places: Vec<(String, String, At<'_>)> = Vec::new();
    let all = fields.all();
    if all.is_empty() {
        reader.error(at, "a service needs at least one version", VERSIONS);
    }
    for (name, at) in all {
        if let Err(refused) = value::version(name) {
            let spot = reader.at_key(&at);
            reader.error_at(&spot, refused.message, refused.help);
        }
        let endpoints = version(reader, &at);
        let written = endpoints.as_ref().is_none_or(|endpoints| !endpoints.is_empty());
        named.insert(name.to_owned(), (reader.at_key(&at), written));
        let endpoints = endpoints.unwrap_or_default().into_iter().filter_map(|(endpoint, at)| {
            let endpoint = endpoint?;
            places.push((name.to_owned(), endpoint.address.to_string(), at));
            Some(endpoint)
        });
        versions.insert(name.to_owned(), Version { endpoints: endpoints.collect() });
    }
    endpoints_once(reader, &places);
    (versions, named)
}

/// The endpoints of a version, each as far as it could be read; none when the list could not be.
fn version<'t>(reader: &mut Reader<'_, '_>, at: &At<'t>) -> Option<Vec<(Option<Endpoint>, At<'t>)>> {
    let mut fields = reader.map(at, ENDPOINTS)?;
    let endpoints = fields.required_unless(&["dns", "file"], "endpoints", ENDPOINTS);
    fields.finish(reader, &["dns", "file"]);
    let items = reader.list(&endpoints?, ENDPOINTS)?;
    Some(items.into_iter().map(|at| (endpoint(reader, &at), at)).collect())
}

fn endpoint(reader: &mut Reader<'_, '_>, at: &At<'_>) -> Option<Endpoint> {
    if at.node.text().is_some() {
        let address = reader.parse(at, ENDPOINT, value::endpoint)?;
        return Some(Endpoint { address, zone: None });
    }
    let mut fields = reader.map(at, ENDPOINT)?;
    let address = fields.required("address", "add `address: 10.0.0.1:8080`");
    let zone = fields.optional("zone");
    fields.finish(reader, &["weight"]);
    let zone = match zone {
        None => None,
        Some(at) => Some(reader.parse(&at, "write the zone, as in `zone: eu-1a`", value::printable)?),
    };
    let address = address.and_then(|at| reader.parse(&at, "write `address: 10.0.0.1:8080`", value::endpoint))?;
    Some(Endpoint { address, zone })
}

/// An address twice in a version is a mistake; one in two versions makes them hard to compare.
fn endpoints_once(reader: &mut Reader<'_, '_>, places: &[(String, String, At<'_>)]) {
    for ((version, address, at), (other, _, first)) in doubles(places, |(_, address, _)| Some(address.clone())) {
        if version == other {
            let first = reader.at(first);
            let message = format!("endpoint `{address}` is listed twice for version {}", quoted(version));
            reader.error_with(at, message, "remove one of them", (&first, "the first one"));
        } else {
            let message = format!("endpoint `{address}` serves version {} and {}", quoted(other), quoted(version));
            reader.warning(at, message, "give each version its own endpoints: what fails could be either's");
        }
    }
}

fn outlier_detection(reader: &mut Reader<'_, '_>, at: &At<'_>) -> Option<OutlierDetection> {
    let mut fields = reader.map(at, "write `outlierDetection: {}` for Envoy's defaults")?;
    let consecutive = fields.optional("consecutive5xx");
    let interval = fields.optional("interval");
    let base = fields.optional("baseEjectionTime");
    let most = fields.optional("maxEjectionPercent");
    fields.finish(reader, &[]);
    Some(OutlierDetection {
        consecutive_5xx: consecutive.and_then(|at| reader.whole(&at, 1, u32::MAX, "write a number, such as `5`")),
        interval: interval.and_then(|at| reader.duration(&at, false)),
        base_ejection_time: base.and_then(|at| reader.duration(&at, false)),
        max_ejection_percent: most.and_then(|at| reader.whole(&at, 0, 100, "write a percentage, such as `10`")),
    })
}
