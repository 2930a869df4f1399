//! `kind: Fleet`.

use std::net::SocketAddr;

use super::{Fleet, Named, Patch, Table, TableKind, config_canary, doubles, envoy, reference, telemetry, tls};
use crate::model::{self, DownstreamTls, Listener, NodeSelector, PatchTarget, Patches, Pattern, RouteConfig};
use crate::spec::diagnostic::quoted;
use crate::spec::problems::Spot;
use crate::spec::reader::{At, Reader};
use crate::spec::value;

const LISTENERS: &str = "write `listeners: [{name: http, bind: 0.0.0.0:10000, services: [checkout]}]`";
const ROUTE_CONFIGS: &str = "write `routeConfigs: [{name: local-routes, services: [checkout]}]`";
const SERVICES: &str = "list the services by name, as in `services: [checkout]`";
const NODES: &str = "write which proxies belong to it, as in `nodes: {cluster: edge}`, or `nodes: {}` for all of them";

const LISTENER_PATCHES: [PatchTarget; 4] =
    [PatchTarget::Listener, PatchTarget::FilterChain, PatchTarget::ConnectionManager, PatchTarget::RouteConfiguration];

pub(super) fn decode(reader: &mut Reader<'_, '_>, spec: &At<'_>) -> Option<Fleet> {
    let mut fields = reader.map(spec, "a Fleet's spec has `nodes`, and `listeners` or `routeConfigs`")?;
    let nodes_at = fields.optional("nodes");
    let listeners_at = fields.optional("listeners");
    let configs_at = fields.optional("routeConfigs");
    let canary_at = fields.optional("configCanary");
    let telemetry_at = fields.optional("telemetry");
    fields.finish(reader, &[]);
    if listeners_at.is_none() && configs_at.is_none() {
        let help = "add `listeners` for those that Serin is to open, or `routeConfigs` for those of the bootstrap";
        reader.error(spec, "a fleet needs `listeners` or `routeConfigs`: this one has nothing to serve", help);
    }
    let selector = nodes_at.as_ref().map(|at| nodes(reader, at)).unwrap_or_default();
    let (mut tables, mut patches) = (Vec::new(), Vec::new());
    let listeners = listeners_at.map(|at| listeners(reader, &at, &mut tables, &mut patches)).unwrap_or_default();
    let configs = configs_at.map(|at| route_configs(reader, &at, &mut tables, &mut patches)).unwrap_or_default();
    names_once(reader, &listeners, &configs);
    binds_once(reader, &listeners);
    let fleet = model::Fleet {
        name: String::new(),
        nodes: selector,
        listeners: listeners.into_iter().filter_map(Draft::listener).collect(),
        route_configs: configs.into_iter().filter_map(Draft::route_config).collect(),
        config_canary: canary_at.and_then(|at| config_canary::decode(reader, &at)),
        poll: telemetry_at.and_then(|at| telemetry::decode(reader, &at)),
    };
    let nodes = reader.at_key(nodes_at.as_ref().unwrap_or(spec));
    Some(Fleet { fleet, nodes, tables, patches })
}

fn nodes(reader: &mut Reader<'_, '_>, at: &At<'_>) -> NodeSelector {
    let Some(mut fields) = reader.map(at, NODES) else { return NodeSelector::default() };
    let cluster = fields.optional("cluster");
    let id = fields.optional("id");
    let locality = fields.optional("locality");
    let metadata = fields.optional("metadata");
    fields.finish(reader, &[]);
    let mut selector = NodeSelector {
        cluster: cluster.and_then(|at| exact(reader, &at)),
        id: id
            .and_then(|at| reader.parse(&at, "write an id or a pattern, as in `edge-*`", value::printable))
            .map(Pattern),
        ..NodeSelector::default()
    };
    if let Some(mut fields) = locality.and_then(|at| reader.map(&at, "write `locality: {region: …, zone: …}`")) {
        let (region, zone) = (fields.optional("region"), fields.optional("zone"));
        fields.finish(reader, &["subZone"]);
        selector.region = region.and_then(|at| exact(reader, &at));
        selector.zone = zone.and_then(|at| exact(reader, &at));
    }
    if let Some(fields) = metadata.and_then(|at| reader.map(&at, "write `metadata: {role: canary}`")) {
        for (key, at) in fields.all() {
            if let Some(value) = reader.parse(&at, "write text, as in `role: canary`", value::printable) {
                selector.metadata.insert(key.to_owned(), value);
            }
        }
    }
    selector
}

/// A text that must be equal: a `*` in it is probably meant as a pattern.
fn exact(reader: &mut Reader<'_, '_>, at: &At<'_>) -> Option<String> {
    let text = reader.parse(at, "write the value that the proxies report", value::printable)?;
    if text.contains('*') {
        reader.warning(
            at,
            format!("{} is compared as it is: `*` is no pattern here", quoted(&text)),
            "only `id` takes patterns",
        );
    }
    Some(text)
}

/// A listener or a route configuration, as far as it could be read.
struct Draft<'t> {
    name: Option<(String, At<'t>)>,
    bind: Option<(SocketAddr, At<'t>)>,
    services: Vec<String>,
    tls: Option<DownstreamTls>,
    trusted_hops: u32,
    preview: bool,
    envoy: Patches,
}

impl Draft<'_> {
    fn listener(self) -> Option<Listener> {
        let (name, bind) = (self.name?.0, self.bind?.0);
        Some(Listener {
            name,
            bind,
            services: self.services,
            tls: self.tls,
            trusted_hops: self.trusted_hops,
            preview: self.preview,
            envoy: self.envoy,
        })
    }

    fn route_config(self) -> Option<RouteConfig> {
        Some(RouteConfig { name: self.name?.0, services: self.services, envoy: self.envoy })
    }
}

fn listeners<'t>(
    reader: &mut Reader<'_, '_>,
    at: &At<'t>,
    tables: &mut Vec<Table>,
    patches: &mut Vec<Patch>,
) -> Vec<Draft<'t>> {
    let mut drafts = Vec::new();
    for at in reader.list(at, LISTENERS).unwrap_or_default() {
        let Some(mut fields) = reader.map(&at, LISTENERS) else { continue };
        let name = fields.required("name", "name the listener, as in `name: http`");
        let bind = fields.required("bind", "add the address to listen on, as in `bind: 0.0.0.0:10000`");
        let services = fields.required("services", SERVICES);
        let (tls_at, hops) = (fields.optional("tls"), fields.optional("trustedHops"));
        let (preview_at, envoy) = (fields.optional("preview"), fields.optional("envoy"));
        fields.finish(reader, &[]);
        let name = name.and_then(|at| Some((reader.parse(&at, "write a name, such as `http`", value::printable)?, at)));
        let bind = bind.and_then(|at| Some((reader.parse(&at, "write `0.0.0.0:10000`", value::bind)?, at)));
        let preview = preview_at.and_then(|at| reader.boolean(&at)).unwrap_or(false);
        let kind = if preview { TableKind::Preview } else { TableKind::Listener };
        let services = table(reader, kind, name.as_ref(), services, tables);
        let help = "write how many proxies in front of it are trusted, such as `1`";
        let trusted_hops = hops.and_then(|at| reader.whole(&at, 0, 100, help)).unwrap_or_default();
        let tls = tls_at.and_then(|at| tls::downstream(reader, &at));
        let within = name.as_ref().map(|(name, _)| name.as_str());
        let envoy = envoy::patches(reader, envoy, &LISTENER_PATCHES, within, patches);
        drafts.push(Draft { name, bind, services, tls, trusted_hops, preview, envoy });
    }
    drafts
}

fn route_configs<'t>(
    reader: &mut Reader<'_, '_>,
    at: &At<'t>,
    tables: &mut Vec<Table>,
    patches: &mut Vec<Patch>,
) -> Vec<Draft<'t>> {
    let mut drafts = Vec::new();
    for at in reader.list(at, ROUTE_CONFIGS).unwrap_or_default() {
        let Some(mut fields) = reader.map(&at, ROUTE_CONFIGS) else { continue };
        let name = fields.required("name", "write the `route_config_name` that the bootstrap asks for");
        let services = fields.required("services", SERVICES);
        let envoy = fields.optional("envoy");
        fields.finish(reader, &[]);
        let name = name.and_then(|at| Some((reader.parse(&at, "write the name", value::printable)?, at)));
        let services = table(reader, TableKind::RouteConfig, name.as_ref(), services, tables);
        let within = name.as_ref().map(|(name, _)| name.as_str());
        let envoy = envoy::patches(reader, envoy, &[PatchTarget::RouteConfiguration], within, patches);
        drafts.push(Draft { name, bind: None, services, tls: None, trusted_hops: 0, preview: false, envoy });
    }
    drafts
}

/// Reads the services of a listener or route configuration, and keeps where they are named.
fn table(
    reader: &mut Reader<'_, '_>,
    kind: TableKind,
    name: Option<&(String, At<'_>)>,
    services: Option<At<'_>>,
    tables: &mut Vec<Table>,
) -> Vec<String> {
    let what = if kind == TableKind::RouteConfig { "route config" } else { "listener" };
    let title = name.map_or_else(|| format!("this {what}"), |(name, _)| format!("{what} {}", quoted(name)));
    let Some(at) = services else { return Vec::new() };
    let Some(items) = reader.list(&at, SERVICES) else { return Vec::new() };
    if items.is_empty() {
        reader.warning(&at, format!("{title} routes to no service: it answers 404 to everything"), SERVICES);
    }
    let named: Vec<(Named, At<'_>)> =
        items.into_iter().filter_map(|at| Some((reference(reader, &at, SERVICES)?, at))).collect();
    for ((named, at), (_, first)) in doubles(&named, |(named, _)| Some(named.name.clone())) {
        let first = reader.at(first);
        let message = format!("{title} lists service {} twice", quoted(&named.name));
        reader.error_with(at, message, "remove one of them", (&first, "the first one"));
    }
    let services: Vec<Named> = named.into_iter().map(|(named, _)| named).collect();
    let names = services.iter().map(|named| named.name.clone()).collect();
    tables.push(Table { kind, title, services });
    names
}

/// A listener's route configuration is named like the listener, so that all their names share one space.
fn names_once(reader: &mut Reader<'_, '_>, listeners: &[Draft<'_>], configs: &[Draft<'_>]) {
    for (drafts, what) in [(listeners, "listeners"), (configs, "route configs")] {
        for (again, first) in doubles(drafts, |draft| Some(draft.name.as_ref()?.0.clone())) {
            let (Some((name, at)), Some((_, first))) = (&again.name, &first.name) else { continue };
            let first = reader.at(first);
            let message = format!("two {what} of this fleet are named {}", quoted(name));
            reader.error_with(at, message, "rename one of them", (&first, "the other one"));
        }
    }
    for (name, at) in configs.iter().filter_map(|config| config.name.as_ref()) {
        let same = listeners.iter().filter_map(|l| l.name.as_ref()).find(|(other, _)| other == name);
        let Some(spot) = same.map(|(_, at)| reader.at(at)) else { continue };
        let message = format!("route config {} has the name of a listener's own route config", quoted(name));
        reader.error_with(at, message, "rename the listener, or this route config", (&spot, "the listener"));
    }
}

fn binds_once(reader: &mut Reader<'_, '_>, listeners: &[Draft<'_>]) {
    for (again, first) in doubles(listeners, |draft| Some(draft.bind.as_ref()?.0.to_string())) {
        let (Some((bind, at)), Some((_, first))) = (&again.bind, &first.bind) else { continue };
        let first: Spot = reader.at(first);
        let message = format!("two listeners of this fleet bind `{bind}`");
        reader.error_with(
            at,
            message,
            "give one of them another port, or put their services into one",
            (&first, "the other one"),
        );
    }
}
