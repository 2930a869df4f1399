//! A small snapshot in three editions, with all that makes names hard: aliases, `xdstp://` names, times to live, versions
//! of the maker's own, types without a name of their own here.

use std::sync::{Arc, LazyLock};
use std::time::Duration;

use serin::xds::{Resource, ResourceType, Snapshot};

/// A type that is served by its URL alone.
pub const OTHER: ResourceType = ResourceType::Other("type.googleapis.com/a.b.C");

/// The types, by a number of any size.
pub fn resource_type(at: u8) -> ResourceType {
    let at = usize::from(at) % (ResourceType::ALL.len() + 1);
    ResourceType::ALL.get(at).copied().unwrap_or(OTHER)
}

/// Names that clients ask for: plain ones, aliases, `xdstp://` ones in several spellings, collections, unknown ones.
pub const NAMES: [&str; 16] = [
    "*",
    "a",
    "b",
    "c",
    "alias-a",
    "alias-b",
    "",
    "unknown",
    "xdstp://x/t/a",
    "xdstp://x/t/a?k=1&l=2",
    "xdstp://x/t/a?l=2&k=1#entry=1",
    "xdstp://x/t/*",
    "xdstp://x/t/*?k=1&l=2",
    "xdstp://x/nothing/*",
    "xdstp://x/t/b",
    "alias://of/a",
];

/// The snapshots that a server may have.
pub fn snapshot(at: u8) -> Arc<Snapshot> {
    static ALL: LazyLock<[Arc<Snapshot>; 4]> = LazyLock::new(|| {
        [&[("a", 1), ("b", 1)][..], &[("a", 2), ("b", 1), ("c", 1)], &[("a", 2), ("c", 2)], &[]].map(build)
    });
    Arc::clone(&ALL[usize::from(at) % ALL.len()])
}

fn build(members: &[(&str, u64)]) -> Arc<Snapshot> {
    let mut builder = Snapshot::builder();
    for of in ResourceType::ALL.into_iter().chain([OTHER]) {
        for (name, edition) in members {
            builder.add(resource(of, name, *edition, members));
            builder.add(resource(of, &format!("xdstp://x/t/{name}"), *edition, &[]));
        }
        if let Some((name, edition)) = members.first() {
            builder.add(resource(of, &format!("xdstp://x/t/{name}?k=1&l=2"), *edition, &[]));
        }
    }
    if members.len() == 3 {
        builder.version(ResourceType::Cluster, "two");
    }
    Arc::new(builder.build_unchecked())
}

/// Its body is its name and its edition. Listeners and routes refer to what comes before them, as Envoy's do.
fn resource(of: ResourceType, name: &str, edition: u64, members: &[(&str, u64)]) -> Resource {
    use ResourceType::{Cluster, Endpoint, ExtensionConfig, Listener, Route, Secret};
    let to: &[ResourceType] = match of {
        Cluster => &[Endpoint, Secret],
        Listener => &[Route, Secret, ExtensionConfig],
        Route => &[Cluster],
        _ => &[],
    };
    let own = to.iter().filter(|_| !members.is_empty()).map(|t| (*t, Arc::from(name))).collect();
    let resource = Resource::new(of, name, format!("{name}\n{edition}").into_bytes(), own).expect("a name of one");
    match (name, of) {
        ("a", _) => resource.with_aliases(["alias-a", "alias://of/a"]),
        ("b", Cluster | Secret) => resource.with_aliases(["alias-b"]).with_ttl(Duration::from_secs(9)),
        ("b", _) => resource.with_ttl(Duration::from_secs(9)),
        ("c", Endpoint) => resource.with_version(&format!("own-{edition}")),
        (_, _) => resource,
    }
}
