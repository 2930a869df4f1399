//! Which proxies are given the same snapshot: those of one fleet that understand the same things. PURE.

use super::grpc;
use crate::model::{Fleet, NodeSelector, World};
use crate::xds::Node;

/// What a client understands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Dialect {
    /// Whether it has the access logger `envoy.access_loggers.stats`. A proxy without it rejects a listener that asks
    /// for it, and would open none.
    pub stats_access_logger: bool,
    /// Whether it is a gRPC client that resolves `xds:///NAME` itself: it opens no ports, and takes other forms of
    /// listeners, clusters and endpoints than Envoy does.
    pub proxyless: bool,
}

/// The first Envoy that has the stats access logger.
const STATS_ACCESS_LOGGER_SINCE: (u32, u32, u32) = (1, 37, 0);

impl Dialect {
    /// Of an Envoy from 1.37 on.
    pub const MODERN: Dialect = Dialect { stats_access_logger: true, proxyless: false };
    /// What every proxy understands: an older Envoy, or one that does not say what it is.
    pub const PLAIN: Dialect = Dialect { stats_access_logger: false, proxyless: false };
    /// Of a gRPC client without a proxy.
    pub const GRPC: Dialect = Dialect { stats_access_logger: false, proxyless: true };
    /// All there are.
    pub const ALL: [Dialect; 3] = [Self::MODERN, Self::PLAIN, Self::GRPC];

    /// What a client understands, by what it says it is. In doubt, the plain one.
    pub fn of(node: &Node) -> Self {
        // `gRPC C-core linux Python`, `gRPC Node Pure JS`, `gRPC Java`, `gRPC Go`.
        if node.user_agent.starts_with("gRPC ") {
            return Self::GRPC;
        }
        let recent = node.version.is_some_and(|version| version >= STATS_ACCESS_LOGGER_SINCE);
        if node.user_agent == "envoy" && recent { Self::MODERN } else { Self::PLAIN }
    }
}

/// The name of the clients of a fleet that speak a dialect: the fleet's own for the modern one, `edge~grpc` for gRPC
/// clients, `edge~plain` for the others (no fleet's name has a `~`).
pub fn group_name(fleet: &str, dialect: Dialect) -> String {
    match (dialect.proxyless, dialect.stats_access_logger) {
        (true, _) => format!("{fleet}~grpc"),
        (false, true) => fleet.to_owned(),
        (false, false) => format!("{fleet}~plain"),
    }
}

/// The fleet that a proxy belongs to: of those whose selector fits, the one with the most conditions, and among equals
/// the first by name.
pub fn fleet_of<'a>(world: &'a World, node: &Node) -> Option<&'a Fleet> {
    world
        .fleets
        .values()
        .filter(|fleet| selects(&fleet.nodes, node))
        .min_by_key(|fleet| (std::cmp::Reverse(fleet.nodes.specificity()), fleet.name.as_str()))
}

fn selects(selector: &NodeSelector, node: &Node) -> bool {
    let is = |wanted: &Option<String>, actual: &str| wanted.as_deref().is_none_or(|w| w == actual);
    is(&selector.cluster, &node.cluster)
        && selector.id.as_ref().is_none_or(|pattern| pattern.matches(&node.id))
        && is(&selector.region, &node.locality.region)
        && is(&selector.zone, &node.locality.zone)
        && selector.metadata.iter().all(|(key, value)| node.metadata.get(key) == Some(value))
}

/// Every group there can be, by name: each fleet in each dialect, and in that of gRPC clients only where they can reach
/// a service.
pub fn all_groups<'a>(world: &'a World) -> Vec<(String, &'a Fleet, Dialect)> {
    let in_dialects = |fleet: &'a Fleet| Dialect::ALL.map(|dialect| (group_name(&fleet.name, dialect), fleet, dialect));
    let is_of_use =
        |fleet: &Fleet, dialect: Dialect| !dialect.proxyless || !services_of(world, fleet, dialect).is_empty();
    let all = world.fleets.values().flat_map(in_dialects);
    all.filter(|(_, fleet, dialect)| is_of_use(fleet, *dialect)).collect()
}

/// The names of the services that a group's clients can reach, each once, sorted.
pub fn services_of<'a>(world: &'a World, fleet: &'a Fleet, dialect: Dialect) -> Vec<&'a str> {
    if dialect.proxyless { grpc::services(fleet, &world.services) } else { fleet.services() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Pattern;
    use crate::xds::Locality;

    #[test]
    fn the_stats_access_logger_is_for_recent_envoys() {
        for (user_agent, version, dialect) in [
            ("envoy", Some((1, 37, 0)), Dialect::MODERN),
            ("envoy", Some((1, 40, 0)), Dialect::MODERN),
            ("envoy", Some((2, 0, 0)), Dialect::MODERN),
            ("envoy", Some((1, 36, 99)), Dialect::PLAIN),
            ("envoy", None, Dialect::PLAIN),
            ("gRPC C-core linux Python", Some((1, 85, 1)), Dialect::GRPC),
            ("gRPC Node Pure JS", Some((1, 14, 1)), Dialect::GRPC),
            ("gRPC Go", None, Dialect::GRPC),
            ("grpcurl", Some((1, 9, 3)), Dialect::PLAIN),
            ("", Some((1, 40, 0)), Dialect::PLAIN),
        ] {
            let node = Node { user_agent: user_agent.into(), version, ..Node::default() };
            assert_eq!(Dialect::of(&node), dialect, "{user_agent} {version:?}");
        }
    }

    fn fleet(name: &str, nodes: NodeSelector) -> Fleet {
        Fleet { name: name.into(), nodes, listeners: Vec::new(), route_configs: Vec::new(), config_canary: None }
    }

    fn world(fleets: impl IntoIterator<Item = Fleet>) -> World {
        World { fleets: fleets.into_iter().map(|f| (f.name.clone(), f)).collect(), ..World::default() }
    }

    fn node() -> Node {
        Node {
            id: "edge-1".into(),
            cluster: "edge".into(),
            locality: Locality { region: "eu".into(), zone: "eu-1a".into(), sub_zone: String::new() },
            metadata: [("tier".to_owned(), "gold".to_owned())].into(),
            ..Node::default()
        }
    }

    #[test]
    fn every_condition_must_fit() {
        let none = NodeSelector::default;
        let some = |text: &str| Some(text.to_owned());
        let tier = |of: &str| [("tier".to_owned(), of.to_owned())].into();
        for (selector, fits) in [
            (none(), true),
            (NodeSelector { cluster: some("edge"), ..none() }, true),
            (NodeSelector { cluster: some("edg"), ..none() }, false),
            (NodeSelector { id: Some(Pattern("edge-*".into())), ..none() }, true),
            (NodeSelector { id: Some(Pattern("inner-*".into())), ..none() }, false),
            (NodeSelector { region: some("eu"), ..none() }, true),
            (NodeSelector { region: some("us"), ..none() }, false),
            (NodeSelector { zone: some("eu-1a"), ..none() }, true),
            (NodeSelector { zone: some("eu-1b"), ..none() }, false),
            (NodeSelector { metadata: tier("gold"), ..none() }, true),
            (NodeSelector { metadata: tier("tin"), ..none() }, false),
            (NodeSelector { metadata: [("absent".to_owned(), String::new())].into(), ..none() }, false),
            (NodeSelector { cluster: some("edge"), zone: some("eu-1b"), ..none() }, false),
        ] {
            let world = world([fleet("it", selector.clone())]);
            assert_eq!(fleet_of(&world, &node()).is_some(), fits, "{selector:?}");
        }
    }

    #[test]
    fn the_most_specific_fleet_wins_then_the_first_by_name() {
        let cluster = NodeSelector { cluster: Some("edge".into()), ..NodeSelector::default() };
        let zone = NodeSelector { zone: Some("eu-1a".into()), ..NodeSelector::default() };
        let both = NodeSelector { zone: zone.zone.clone(), ..cluster.clone() };
        let all = [
            fleet("a-any", NodeSelector::default()),
            fleet("d-cluster", cluster),
            fleet("c-zone", zone),
            fleet("z-both", both),
        ];
        for (fleets, wins) in [(&all[..1], "a-any"), (&all[..2], "d-cluster"), (&all[..3], "c-zone"), (&all, "z-both")]
        {
            let world = world(fleets.iter().cloned());
            assert_eq!(fleet_of(&world, &node()).map(|f| f.name.as_str()), Some(wins));
        }
        assert_eq!(fleet_of(&World::default(), &node()), None);
    }

    #[test]
    fn each_fleet_has_a_group_for_each_kind_of_envoy() {
        let world = world(["edge", "inner"].map(|name| fleet(name, NodeSelector::default())));
        let groups = all_groups(&world);
        let names: Vec<&str> = groups.iter().map(|(name, ..)| name.as_str()).collect();
        assert_eq!(names, ["edge", "edge~plain", "inner", "inner~plain"]);
        assert!(groups.iter().all(|(name, fleet, dialect)| *name == group_name(&fleet.name, *dialect)));
    }
}
