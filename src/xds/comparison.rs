//! What a proxy is to have against what it has, resource by resource.
//!
//! PURE. What it is to have is what is intended for its group, as far as it asks for it, whether it is served already or
//! held back; what it has is what it acknowledged.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::SystemTime;

use super::name::Glob;
use super::{Parked, ProxyStatus, Resource, ResourceType, Snapshot, TypeStatus};

/// One resource at one proxy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Compared<'a> {
    /// Its type.
    pub resource_type: ResourceType,
    /// Its name.
    pub name: &'a str,
    /// What the proxy is to have; `None` when there is to be nothing of that name (any more).
    pub intended: Option<&'a Resource>,
    /// What it has acknowledged.
    pub held: Option<&'a Resource>,
    /// In short.
    pub standing: Standing<'a>,
    /// What is intended is not sent to it, because another proxy rejected it.
    pub held_back: Option<&'a Parked>,
}

/// How a resource stands at a proxy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing<'a> {
    /// It acknowledged what is intended.
    Synced,
    /// Nothing of that name was sent to it.
    NotSent,
    /// It acknowledged, or was sent, something older or other; or it has not answered yet.
    Stale,
    /// It rejected what is intended.
    Rejected {
        /// In these words.
        text: &'a str,
        /// When.
        at: SystemTime,
    },
    /// Nothing is intended: no group takes the proxy, or nothing was published for its group yet.
    Unknown,
}

/// All that a proxy has or is to have, by type in sending order, then by name. A name that it asks for and that leads to
/// nothing is among it. `intended` and `parked` are its group's.
pub fn compare<'a>(proxy: &'a ProxyStatus, intended: Option<&'a Snapshot>, parked: &'a [Parked]) -> Vec<Compared<'a>> {
    let parts = proxy.types.iter();
    parts.flat_map(|(t, status)| of_type(&proxy.node.id, *t, status, intended, parked)).collect()
}

/// Those of the parked resources that are intended: what else was rejected has been replaced since.
pub fn withheld(intended: Option<&Snapshot>, parked: Vec<Parked>) -> Vec<Parked> {
    let is_intended = |Parked { resource, .. }: &Parked| {
        intended.is_some_and(|of| of.get(resource.resource_type(), resource.name()) == Some(resource))
    };
    parked.into_iter().filter(is_intended).collect()
}

fn of_type<'a>(
    node: &str,
    resource_type: ResourceType,
    status: &'a TypeStatus,
    intended: Option<&'a Snapshot>,
    parked: &'a [Parked],
) -> Vec<Compared<'a>> {
    let subscription = &status.subscription;
    let mut names: BTreeMap<&'a str, (Option<&'a Resource>, Option<&'a Resource>)> = BTreeMap::new();
    let all = intended.into_iter().flat_map(|snapshot| snapshot.of_type(resource_type).values());
    for resource in all.filter(|resource| subscription.covers(resource)) {
        names.entry(resource.name()).or_default().0 = Some(resource);
    }
    for held in status.held.values() {
        names.entry(held.name()).or_default().1 = Some(held);
    }
    for name in subscription.names().iter().filter(|name| Glob::parse(name).is_none()) {
        let leads_to = intended.and_then(|snapshot| snapshot.find(resource_type, name));
        if leads_to.is_none() {
            names.entry(name).or_default();
        }
    }
    let on_its_way: BTreeSet<&str> = status.on_its_way.iter().map(|resource| &**resource.name()).collect();
    let compared = names.into_iter().map(|(name, (wanted, held))| {
        let fits = |parked: &&Parked| Some(&parked.resource) == wanted;
        let parked = if wanted == held { None } else { parked.iter().find(fits) };
        let standing = match wanted {
            _ if intended.is_none() => Standing::Unknown,
            Some(_) if wanted == held => Standing::Synced,
            Some(resource) => {
                refusal(node, status, resource, parked).unwrap_or_else(|| unanswered(name, held, &on_its_way))
            }
            None => unanswered(name, held, &on_its_way),
        };
        let held_back = parked.filter(|_| matches!(standing, Standing::NotSent | Standing::Stale));
        Compared { resource_type, name, intended: wanted, held, standing, held_back }
    });
    compared.collect()
}

/// The proxy's no to a resource: on its stream, or on an earlier one and nobody has had it since.
fn refusal<'a>(
    node: &str,
    status: &'a TypeStatus,
    resource: &Resource,
    parked: Option<&'a Parked>,
) -> Option<Standing<'a>> {
    if let Some(words) = status.rejected.get(&(Arc::clone(resource.name()), resource.version())) {
        return Some(Standing::Rejected { text: &words.text, at: words.at });
    }
    let parked = parked.filter(|parked| parked.node == node)?;
    Some(Standing::Rejected { text: &parked.text, at: parked.at })
}

fn unanswered<'a>(name: &str, held: Option<&Resource>, on_its_way: &BTreeSet<&str>) -> Standing<'a> {
    if held.is_some() || on_its_way.contains(name) { Standing::Stale } else { Standing::NotSent }
}

#[cfg(test)]
mod tests;
