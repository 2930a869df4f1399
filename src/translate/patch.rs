//! Puts people's raw configuration into what is built here. PURE. What may be patched, and what not, is `crate::patch`'s.

use envoy_types::pb::google::protobuf::Any;
use prost::Name;

use super::TranslateError;
use crate::model::{PatchTarget, Patches, Service};
use crate::xds::{Resource, ResourceError};
use crate::{descriptors, patch};

/// The raw configuration of a part of the specs.
#[derive(Debug, Clone, Copy)]
pub(super) struct Raw<'a> {
    fleet: &'a str,
    /// The service that it is of; none for what is the fleet's own.
    service: Option<&'a str>,
    /// The listener or route configuration that it is for.
    within: Option<&'a str>,
    patches: &'a Patches,
}

impl<'a> Raw<'a> {
    pub(super) fn of_service(fleet: &'a str, service: &'a Service) -> Self {
        Self { fleet, service: Some(&service.name), within: None, patches: &service.envoy }
    }

    /// Of a listener or route configuration.
    pub(super) fn of_part(fleet: &'a str, name: &'a str, patches: &'a Patches) -> Self {
        Self { fleet, service: None, within: Some(name), patches }
    }

    /// The message with what is to be merged into it.
    pub(super) fn onto<M: Name + Default>(self, target: PatchTarget, message: M) -> Result<M, TranslateError> {
        let Some(bytes) = self.patched(target, &message)? else { return Ok(message) };
        M::decode(&*bytes).map_err(|error| self.refused(target, &error))
    }

    /// The same, in an `Any`.
    pub(super) fn packed<M: Name>(self, target: PatchTarget, message: &M) -> Result<Any, TranslateError> {
        let bytes = self.patched(target, message)?;
        Ok(Any { type_url: M::type_url(), value: bytes.unwrap_or_else(|| message.encode_to_vec()) })
    }

    /// The resource of a message that may have been patched. Then its maps may have many entries, which prost writes in
    /// random order.
    pub(super) fn resource<M: Name>(
        self,
        message: &M,
        build: fn(&M) -> Result<Resource, ResourceError>,
        is_patched: bool,
    ) -> Result<Resource, TranslateError> {
        let broken = |source| TranslateError::Resource { fleet: self.fleet.to_owned(), source };
        let resource = build(message).map_err(broken)?;
        if !is_patched {
            return Ok(resource);
        }
        let ordered = descriptors::ordered(&M::type_url(), resource.body()).expect("this crate encoded it");
        Resource::decode(resource.resource_type(), resource.name(), &ordered).map_err(broken)
    }

    /// The name of the fleet, for errors.
    pub(super) fn fleet(self) -> &'a str {
        self.fleet
    }

    pub(super) fn is_empty(self) -> bool {
        self.patches.is_empty()
    }

    fn patched<M: Name>(self, target: PatchTarget, message: &M) -> Result<Option<Vec<u8>>, TranslateError> {
        let Some(patch) = self.patches.get(&target) else { return Ok(None) };
        let patched =
            patch::apply(target, &message.encode_to_vec(), patch).map_err(|error| self.refused(target, &error))?;
        match patched.violations.as_slice() {
            [] => Ok(Some(patched.bytes)),
            broken => Err(self.refused(target, &format!("Envoy's own rules forbid it: {}", super::listed(broken)))),
        }
    }

    fn refused(self, target: PatchTarget, reason: &dyn ToString) -> TranslateError {
        TranslateError::Patch {
            fleet: self.fleet.to_owned(),
            service: self.service.map(str::to_owned),
            within: self.within.map(str::to_owned),
            target,
            reason: reason.to_string(),
        }
    }
}

#[cfg(test)]
mod tests;
