//! Route configurations: which host's requests go to which version. PURE. The only resources that a plan changes.
//!
//! The virtual hosts of a service are a function of its spec and its routing alone, and are encoded and checked once
//! ([`VirtualHostField`]); a configuration is these, one after the other, in a [`Frame`] ([`Table`]). So a step costs the
//! virtual hosts of one service, however many there are.
//!
//! A route is named by how a request came to it, which access logs tell: [`SHARED`], `shared/NAME` where the service gives
//! these requests a name, `chosen/0` (the first rule), [`PREVIEW`]. Only what is shared out says how one version compares
//! with another.

mod action;
mod frame;
mod matching;
mod source;
mod table;

use std::collections::BTreeMap;

use envoy_types::pb::envoy::config::route::v3::{Route, RouteConfiguration, VirtualHost, route};
use prost::Message;

use action::Key;
pub(super) use action::{Parts, chosen, destination, shared};
pub(super) use frame::Frame;
pub(super) use matching::{everything, for_grpc};
pub(super) use table::{Change, Table};

use super::patch::Raw;
use super::{TranslateError, check};
use crate::model::{Fleet, PatchTarget, Patches, Protocol, Routing, Service, TrafficPlan, Weight};
use crate::xds::resource::Reference;
use crate::xds::{Resource, ResourceType};

/// The route of all requests that nobody chose.
pub(super) const SHARED: &str = "shared";
/// The route of requests that are shown what comes.
const PREVIEW: &str = "preview";

/// What a fleet's spec says of a route configuration.
#[derive(Debug, Clone, Copy)]
pub(super) struct Routes<'a> {
    pub(super) name: &'a str,
    /// As they are written.
    pub(super) services: &'a [String],
    pub(super) envoy: &'a Patches,
    /// Whether it shows what comes.
    pub(super) preview: bool,
}

/// The route configurations of a fleet: those of its listeners, then its own.
pub(super) fn all_of(fleet: &Fleet) -> impl Iterator<Item = Routes<'_>> {
    let of_listeners = fleet.listeners.iter().map(|of| Routes {
        name: &of.name,
        services: &of.services,
        envoy: &of.envoy,
        preview: of.preview,
    });
    let own = fleet.route_configs.iter().map(|of| Routes {
        name: &of.name,
        services: &of.services,
        envoy: &of.envoy,
        preview: false,
    });
    of_listeners.chain(own)
}

/// A route configuration of a fleet's proxies, with the virtual hosts of each of its services. `region` is the one that
/// these proxies are in, if it is told from others.
pub(super) fn resource(
    fleet: &Fleet,
    region: Option<&str>,
    Routes { name, services: to, envoy, preview }: Routes<'_>,
    services: &BTreeMap<String, Service>,
    plans: &BTreeMap<String, TrafficPlan>,
) -> Result<Resource, TranslateError> {
    let mut to: Vec<&str> = to.iter().map(String::as_str).collect();
    to.sort_unstable();
    to.dedup();
    let mut hosts = Hosts::new(&fleet.name, name);
    let mut fields = Vec::with_capacity(to.len());
    for service in to {
        let (fleet, owned) = (|| fleet.name.clone(), || service.to_owned());
        let spec =
            services.get(service).ok_or_else(|| TranslateError::UnknownService { fleet: fleet(), service: owned() })?;
        let plan = plans.get(service).ok_or_else(|| TranslateError::NoPlan { fleet: fleet(), service: owned() })?;
        let routing = routing_of(plan, region);
        hosts.take(spec, &domains(&routing.preview_hosts))?;
        fields.push(virtual_hosts(&fleet(), spec, routing, preview)?);
    }
    let table = Table::new(name, Frame::new(name, Raw::of_part(&fleet.name, name, envoy))?, fields.iter());
    table
        .map(|table| table.resource().clone())
        .map_err(|source| TranslateError::Resource { fleet: fleet.name.clone(), source })
}

/// What proxies do that are in a region, if it is told from others.
pub(super) fn routing_of<'a>(plan: &'a TrafficPlan, region: Option<&str>) -> &'a Routing {
    region.map_or_else(|| plan.routing(), |region| plan.routing_in(region))
}

/// The hosts of one route configuration. Each may stand there once.
pub(super) struct Hosts<'a> {
    fleet: &'a str,
    route_config: &'a str,
    owner: BTreeMap<String, &'a str>,
}

impl<'a> Hosts<'a> {
    /// None yet.
    pub(super) fn new(fleet: &'a str, route_config: &'a str) -> Self {
        Self { fleet, route_config, owner: BTreeMap::new() }
    }

    /// Takes those of a service, and those of its preview.
    ///
    /// # Errors
    /// When one of them is taken.
    pub(super) fn take(&mut self, service: &'a Service, preview: &[String]) -> Result<(), TranslateError> {
        if service.protocol == Protocol::Tcp {
            return Ok(());
        }
        for host in domains(&service.hosts).into_iter().chain(preview.iter().cloned()) {
            if let Some(first) = self.owner.insert(host.clone(), &service.name) {
                return Err(TranslateError::HostTwice {
                    fleet: self.fleet.to_owned(),
                    route_config: self.route_config.to_owned(),
                    host,
                    first: first.to_owned(),
                    second: service.name.clone(),
                });
            }
        }
        Ok(())
    }
}

/// The virtual hosts of a service, encoded; nothing for a TCP service.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct VirtualHostField {
    /// Field 2 of a route configuration, with its tag: once, or twice with a preview's hosts.
    bytes: Box<[u8]>,
    refers_to: Box<[Reference]>,
    /// Whether one of their hosts names a port.
    has_port: bool,
    preview_hosts: Box<[String]>,
}

impl VirtualHostField {
    /// The hosts of the preview, as Envoy compares them.
    pub(super) fn preview_hosts(&self) -> &[String] {
        &self.preview_hosts
    }
}

/// The virtual hosts of a service; `fleet` is for errors alone. With `preview` all that nobody chose is shown what
/// comes.
pub(super) fn virtual_hosts(
    fleet: &str,
    service: &Service,
    routing: &Routing,
    preview: bool,
) -> Result<VirtualHostField, TranslateError> {
    if service.protocol == Protocol::Tcp {
        return Ok(VirtualHostField::default());
    }
    check_routing(fleet, service, routing)?;
    let mut hosts = vec![own_host(fleet, service, routing, preview)?];
    let preview_hosts = domains(&routing.preview_hosts);
    if !preview_hosts.is_empty() {
        hosts.push(preview_host(fleet, service, routing, preview_hosts.clone())?);
    }
    let has_port = hosts.iter().flat_map(|of| &of.domains).any(|host| has_port(host));
    for of in &hosts {
        check::check(fleet, Some(service), ResourceType::VirtualHost, &of.name, &of.encode_to_vec())?;
    }
    // A configuration of them alone tells what they refer to, and ends in the field.
    let mut alone = RouteConfiguration { name: service.name.clone(), ..Default::default() };
    let begins = alone.encoded_len();
    alone.virtual_hosts = hosts;
    let raw = Raw::of_service(fleet, service);
    let alone = raw.resource(&alone, Resource::route, !raw.is_empty())?;
    let (bytes, refers_to) = (alone.body()[begins..].into(), alone.refers_to().into());
    Ok(VirtualHostField { bytes, refers_to, has_port, preview_hosts: preview_hosts.into() })
}

/// What is first fits first: routes of raw configuration, the rules in their order, then all the rest.
fn own_host(fleet: &str, service: &Service, routing: &Routing, preview: bool) -> Result<VirtualHost, TranslateError> {
    let raw = Raw::of_service(fleet, service);
    let mut ours: Vec<source::Ranged<'_>> = Vec::new();
    for (at, targeted) in routing.rules.iter().enumerate() {
        let by = targeted.rule.users.as_ref().map(|users| Key::User(&users.key));
        let by = by.or_else(|| routing.sticky.as_ref().map(Key::Sticky));
        let parts = action::chosen(routing, targeted);
        let name = format!("chosen/{at}");
        let requests = matching::for_envoy(&targeted.rule).into_iter();
        for route in requests.flat_map(|requests| action::routes(service, &name, requests, &parts, by)) {
            ours.push((&targeted.rule.source_ip, raw.onto(PatchTarget::Route, route)?));
        }
    }
    let (name, parts) = if preview { (PREVIEW, action::preview(routing)) } else { (SHARED, action::shared(routing)) };
    let by = routing.sticky.as_ref().map(Key::Sticky);
    let mirrored = routing.mirror.as_ref().filter(|mirrored| !preview && mirrored.percent > Weight::ZERO);
    // The same once more for each route that has a name, before that of all.
    let named = service.routes.iter().filter(|_| !preview);
    let named = named.map(|of| (format!("{SHARED}/{}", of.name), matching::named(&of.requests)));
    let all = named.chain([(name.to_owned(), matching::everything())]);
    for mut route in all.flat_map(|(name, requests)| action::routes(service, &name, requests, &parts, by)) {
        if let Some(route::Action::Route(action)) = &mut route.action {
            action.request_mirror_policies.extend(mirrored.map(|mirrored| action::mirror(service, mirrored)));
        }
        ours.push((&[], raw.onto(PatchTarget::Route, route)?));
    }
    let last = ours.last().map(|(_, route)| route.clone()).into_iter().collect();
    let mut host = virtual_host(raw, service.name.clone(), domains(&service.hosts), last)?;
    // The last one stays the last.
    host.routes.pop();
    let before = host.routes.drain(..).map(|route| (&[][..], route));
    let routes: Vec<source::Ranged<'_>> = before.chain(ours).collect();
    host.matcher = source::tree(&routes);
    if host.matcher.is_none() {
        host.routes = routes.into_iter().map(|(_, route)| route).collect();
    }
    Ok(host)
}

/// All of its requests are shown what comes.
fn preview_host(
    fleet: &str,
    service: &Service,
    routing: &Routing,
    domains: Vec<String>,
) -> Result<VirtualHost, TranslateError> {
    let raw = Raw::of_service(fleet, service);
    let by = routing.sticky.as_ref().map(Key::Sticky);
    let routes = action::routes(service, PREVIEW, matching::everything(), &action::preview(routing), by);
    let routes: Result<_, TranslateError> =
        routes.into_iter().map(|route| raw.onto(PatchTarget::Route, route)).collect();
    virtual_host(raw, format!("{}/preview", service.name), domains, routes?)
}

/// With what raw configuration makes of it.
fn virtual_host(
    raw: Raw<'_>,
    name: String,
    domains: Vec<String>,
    routes: Vec<Route>,
) -> Result<VirtualHost, TranslateError> {
    raw.onto(PatchTarget::VirtualHost, VirtualHost { name, domains, routes, ..Default::default() })
}

/// Hosts as Envoy compares them: without case, each once.
pub(super) fn domains(hosts: &[String]) -> Vec<String> {
    let mut hosts: Vec<String> = hosts.iter().map(|h| h.to_ascii_lowercase()).collect();
    hosts.sort_unstable();
    hosts.dedup();
    hosts
}

/// Whether a host ends in a port; the colons of a bracketed IPv6 address are none.
pub(super) fn has_port(host: &str) -> bool {
    host.rsplit(']').next().is_some_and(|rest| rest.contains(':'))
}

/// Whether all of the traffic goes to versions that there are.
pub(super) fn check_routing(fleet: &str, service: &Service, routing: &Routing) -> Result<(), TranslateError> {
    let shared = routing.shares.iter().map(|share| share.version.as_str());
    if let Some(version) = shared.chain(routing.versions()).find(|version| !service.versions.contains_key(*version)) {
        return Err(TranslateError::UnknownVersion {
            fleet: fleet.to_owned(),
            service: service.name.clone(),
            version: version.to_owned(),
        });
    }
    let hundredths: u64 = routing.shares.iter().map(|share| u64::from(share.weight.hundredths())).sum();
    if hundredths != u64::from(Weight::FULL.hundredths()) {
        return Err(TranslateError::Shares { fleet: fleet.to_owned(), service: service.name.clone(), hundredths });
    }
    Ok(())
}
