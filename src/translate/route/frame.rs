//! What a route configuration has beside its virtual hosts. PURE.

use envoy_types::pb::envoy::config::route::v3::RouteConfiguration;
use envoy_types::pb::google::protobuf::BoolValue;
use prost::Message;

use crate::model::PatchTarget;
use crate::translate::patch::Raw;
use crate::translate::{TranslateError, check};
use crate::xds::Resource;
use crate::xds::resource::Reference;

/// A route configuration without its virtual hosts, encoded. No patch reaches these, so the rest is the same whatever
/// they are.
#[derive(Debug)]
pub(in crate::translate) struct Frame {
    /// What is encoded before the virtual hosts: the name. All other fields have higher numbers.
    pub(super) before: Box<[u8]>,
    /// What after them, by whether one of their hosts names a port.
    after: [Box<[u8]>; 2],
    pub(super) refers_to: Box<[Reference]>,
}

impl Frame {
    /// That of the configuration of this name, with its raw configuration.
    ///
    /// # Errors
    /// When the name is none, or the raw configuration does not fit.
    pub(in crate::translate) fn new(name: &str, raw: Raw<'_>) -> Result<Self, TranslateError> {
        let before = RouteConfiguration { name: name.to_owned(), ..Default::default() }.encode_to_vec();
        let whole = |has_port: bool| {
            let config = RouteConfiguration {
                name: name.to_owned(),
                // Callers put the port into `Host` (curl does, gRPC clients do); a spec that names ports itself means
                // them.
                ignore_port_in_host_matching: !has_port,
                // Off (the default with RDS), Envoy takes a route to a cluster that it was never given, and answers
                // those requests with a 503 that bears no cluster: invisible to the analysis. On, it rejects the
                // configuration and keeps its routes, so an ACK means that the proxy can really send requests there.
                validate_clusters: Some(BoolValue { value: true }),
                ..Default::default()
            };
            let config = raw.onto(PatchTarget::RouteConfiguration, config)?;
            let whole = raw.resource(&config, Resource::route, !raw.is_empty())?;
            check::checked(raw.fleet(), None, whole)
        };
        let (without, with) = (whole(false)?, whole(true)?);
        let after = [&without, &with].map(|whole| whole.body()[before.len()..].into());
        Ok(Self { before: before.into(), after, refers_to: without.refers_to().into() })
    }

    /// What is encoded after virtual hosts of which one names a port, or none does.
    pub(super) fn after(&self, has_port: bool) -> &[u8] {
        &self.after[usize::from(has_port)]
    }
}
