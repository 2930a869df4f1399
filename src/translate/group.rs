//! Which proxies are given the same snapshot: those of one fleet that understand the same things, and where a release goes
//! through regions, that are in the same one. PURE.

use std::collections::BTreeSet;

use super::grpc;
use crate::model::{Fleet, NodeSelector, Wave, World};
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

/// Clients that are given the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Group<'a> {
    /// Whose they are.
    pub fleet: &'a Fleet,
    /// What they understand.
    pub dialect: Dialect,
    /// Where they are, if that is told from other places; all that are elsewhere when absent.
    pub region: Option<&'a str>,
}

impl<'a> Group<'a> {
    /// Those of a fleet whose region is told from no other.
    pub fn anywhere(fleet: &'a Fleet, dialect: Dialect) -> Self {
        Self { fleet, dialect, region: None }
    }

    /// Its name, which no other group has ([`group_name`]).
    pub fn name(&self) -> String {
        group_name(&self.fleet.name, self.dialect, self.region)
    }

    /// The names of the services that these clients can reach, each once, sorted.
    pub fn services(&self, world: &'a World) -> Vec<&'a str> {
        services_of(world, self.fleet, self.dialect)
    }
}

/// The name of the clients of a fleet that speak a dialect and are in a region that is told from others: the fleet's own
/// for the modern dialect, `edge~grpc` for gRPC clients, `edge~plain` for the others; `edge@eu-west~plain` for those in
/// `eu-west`.
///
/// No fleet's name has a `~` or an `@`. A region's may: its `~` are doubled.
pub fn group_name(fleet: &str, dialect: Dialect, region: Option<&str>) -> String {
    let region = region.map(|region| format!("@{}", region.replace('~', "~~"))).unwrap_or_default();
    match (dialect.proxyless, dialect.stats_access_logger) {
        (true, _) => format!("{fleet}{region}~grpc"),
        (false, true) => format!("{fleet}{region}"),
        (false, false) => format!("{fleet}{region}~plain"),
    }
}

/// The group of a client; none where no fleet selects it.
pub fn group_of<'a>(world: &'a World, node: &Node) -> Option<Group<'a>> {
    let fleet = fleet_of(world, node)?;
    let region = regions_of(world, fleet).into_iter().find(|region| *region == node.locality.region);
    Some(Group { fleet, dialect: Dialect::of(node), region })
}

/// The regions of a fleet's proxies that are told from others: those that some release of a service which it carries
/// names.
pub(super) fn regions_of<'a>(world: &'a World, fleet: &Fleet) -> BTreeSet<&'a str> {
    let through_regions = || world.releases.values().filter(|release| !release.regions.is_empty());
    if through_regions().next().is_none() {
        return BTreeSet::new();
    }
    let services = fleet.services();
    let carried = through_regions().filter(|release| services.binary_search(&release.service.as_str()).is_ok());
    let regions = carried.flat_map(|release| &release.regions).flat_map(|wave| match wave {
        Wave::Regions(regions) => regions.as_slice(),
        Wave::All => &[],
    });
    let own = fleet.nodes.region.as_deref();
    regions.map(String::as_str).filter(|region| own.is_none_or(|own| own == *region)).collect()
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

/// Every group there can be: each fleet in each dialect, and in that of gRPC clients only where they can reach a service;
/// each of these in every region that is told from others, and in all others together.
pub fn all_groups(world: &World) -> Vec<Group<'_>> {
    let mut groups = Vec::new();
    for fleet in world.fleets.values() {
        let regions: Vec<&str> = regions_of(world, fleet).into_iter().collect();
        let is_of_use = |dialect: &Dialect| !dialect.proxyless || !services_of(world, fleet, *dialect).is_empty();
        for dialect in Dialect::ALL.into_iter().filter(is_of_use) {
            let places = std::iter::once(None).chain(regions.iter().copied().map(Some));
            groups.extend(places.map(|region| Group { fleet, dialect, region }));
        }
    }
    groups
}

/// The names of the services that a group's clients can reach, each once, sorted.
pub fn services_of<'a>(world: &'a World, fleet: &'a Fleet, dialect: Dialect) -> Vec<&'a str> {
    if dialect.proxyless { grpc::services(fleet, &world.services) } else { fleet.services() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{AnalysisPolicy, Canary, Pattern, Release, RouteConfig, Strategy};
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
        Fleet {
            name: name.into(),
            nodes,
            listeners: Vec::new(),
            route_configs: Vec::new(),
            config_canary: None,
            poll: None,
        }
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
        let names: Vec<String> = all_groups(&world).iter().map(Group::name).collect();
        assert_eq!(names, ["edge", "edge~plain", "inner", "inner~plain"]);
        assert_eq!(group_of(&world, &node()).map(|group| group.name()).as_deref(), Some("edge~plain"));
    }

    fn listening(name: &str, services: &[&str]) -> Fleet {
        let config = RouteConfig {
            name: "routes".into(),
            services: services.iter().map(|service| (*service).into()).collect(),
            envoy: Default::default(),
        };
        Fleet { route_configs: vec![config], ..fleet(name, NodeSelector::default()) }
    }

    #[test]
    fn a_release_through_regions_tells_them_apart_in_the_fleets_that_carry_it() {
        let mut world = world([listening("edge", &["shop", "other"]), listening("inner", &["other"])]);
        let strategy = Strategy::Canary(Canary::default());
        let mut release = Release::new("shop", "shop", "v2", strategy, AnalysisPolicy::default());
        release.regions = vec![Wave::Regions(vec!["eu".into()]), Wave::Regions(vec!["us~plain".into()]), Wave::All];
        world.releases.insert("shop".into(), release);
        let names: Vec<String> = all_groups(&world).iter().map(Group::name).collect();
        let edge = ["edge", "edge@eu", "edge@us~~plain", "edge~plain", "edge@eu~plain", "edge@us~~plain~plain"];
        assert_eq!(names, [&edge[..], &["inner", "inner~plain"]].concat());
        for (region, group) in [("eu", "edge@eu~plain"), ("us~plain", "edge@us~~plain~plain"), ("asia", "edge~plain")] {
            let node = Node { locality: Locality { region: region.into(), ..Locality::default() }, ..node() };
            assert_eq!(group_of(&world, &node).map(|group| group.name()).as_deref(), Some(group));
        }
        // Nobody of this fleet is elsewhere.
        world.fleets.get_mut("edge").expect("it").nodes.region = Some("eu".into());
        let names: Vec<String> = all_groups(&world).iter().map(Group::name).collect();
        assert_eq!(names, ["edge", "edge@eu", "edge~plain", "edge@eu~plain", "inner", "inner~plain"]);
    }
}
