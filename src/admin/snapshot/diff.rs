//! What differs between two snapshots, resource by resource.
//!
//! Not quite pure: the search for the shortest diff of a resource has a time limit.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use similar::TextDiff;

use super::to_json;
use crate::admin::error::AdminError;
use crate::admin::proto;
use crate::xds::{Resource, ResourceType, Snapshot};

/// How long one resource may take. After that its diff is correct, but no longer the shortest.
const TIME_EACH: Duration = Duration::from_millis(100);
/// Lines around each change.
const CONTEXT: usize = 3;

/// By type in sending order, then by name.
pub(super) fn between(from: &Snapshot, to: &Snapshot) -> Result<Vec<proto::ResourceDiff>, AdminError> {
    let mut found = Vec::new();
    for resource_type in ResourceType::CORE {
        let (before, after) = (from.of_type(resource_type), to.of_type(resource_type));
        let names: BTreeSet<&Arc<str>> = before.keys().chain(after.keys()).collect();
        for name in names {
            let (old, new) = (before.get(name), after.get(name));
            if old.map(Resource::version) != new.map(Resource::version) {
                found.push(resource(resource_type, name, old, new)?);
            }
        }
    }
    Ok(found)
}

/// How one resource differs. The contents of a secret are not shown.
pub(in crate::admin) fn resource(
    resource_type: ResourceType,
    name: &str,
    old: Option<&Resource>,
    new: Option<&Resource>,
) -> Result<proto::ResourceDiff, AdminError> {
    let version = |resource: Option<&Resource>| resource.map(|r| r.version().to_string()).unwrap_or_default();
    let title = |resource: Option<&Resource>| match resource {
        Some(resource) => format!("{resource_type}/{name}\t{}", resource.version().short()),
        None => "/dev/null".to_owned(),
    };
    let (before, after) = (pretty(old)?, pretty(new)?);
    let diff = TextDiff::configure().timeout(TIME_EACH).diff_lines(before.as_str(), after.as_str());
    Ok(proto::ResourceDiff {
        type_url: resource_type.type_url().to_owned(),
        name: name.to_owned(),
        from_version: version(old),
        to_version: version(new),
        diff: diff.unified_diff().context_radius(CONTEXT).header(&title(old), &title(new)).to_string(),
    })
}

/// Pretty JSON with a line's end at its end; nothing for what is not there, and of secrets.
fn pretty(resource: Option<&Resource>) -> Result<String, AdminError> {
    let Some(resource) = resource.filter(|resource| resource.resource_type() != ResourceType::Secret) else {
        return Ok(String::new());
    };
    Ok(format!("{:#}\n", to_json(resource)?))
}
