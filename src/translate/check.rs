//! Keeps back what a proxy would reject. PURE.

use super::TranslateError;
use crate::descriptors;
use crate::model::Service;
use crate::xds::{Resource, ResourceType};

/// The resource, if Envoy's own rules allow it. `of` is the service that it was built from, if it was built from one
/// alone.
pub(super) fn checked(fleet: &str, of: Option<&Service>, resource: Resource) -> Result<Resource, TranslateError> {
    check(fleet, of, resource.resource_type(), resource.name(), resource.body())?;
    Ok(resource)
}

/// Whether Envoy's own rules allow a message that is, or is to be part of, a resource.
pub(super) fn check(
    fleet: &str,
    of: Option<&Service>,
    resource_type: ResourceType,
    name: &str,
    bytes: &[u8],
) -> Result<(), TranslateError> {
    let violations = descriptors::check(resource_type.type_url(), bytes)
        .expect("this crate encoded it, as a message of the same API");
    if violations.is_empty() {
        return Ok(());
    }
    Err(TranslateError::Forbidden {
        fleet: fleet.to_owned(),
        service: of.map(|service| service.name.clone()),
        resource_type,
        name: name.to_owned(),
        violations,
    })
}
