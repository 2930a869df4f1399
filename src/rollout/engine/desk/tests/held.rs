//! What rejections and a fleet's `configCanary` do to releases that share a listener.

use super::*;
use crate::xds::subscription::Subscription;
use crate::xds::{Held, Rejection, Resource};

const WALL: SystemTime = SystemTime::UNIX_EPOCH;

impl Office {
    /// A proxy that has all that is intended, but for these clusters.
    fn proxy_without(&self, id: &str, lacking: &[&str]) -> ProxyStatus {
        let intended = &self.desk.groups["edge"].0;
        let mut proxy = self.proxy();
        proxy.node = Arc::new(Node { id: id.into(), ..Node::default() });
        for t in [ResourceType::Cluster, ResourceType::Endpoint] {
            let mut status = TypeStatus { held: intended.of_type(t).clone(), ..TypeStatus::default() };
            let mut subscription = Subscription::default();
            subscription.replace(&[]);
            status.subscription = subscription;
            lacking.iter().for_each(|name| drop(status.held.remove(*name)));
            Arc::make_mut(&mut proxy.types).insert(t, status);
        }
        proxy
    }

    async fn sees(&mut self, proxies: &[ProxyStatus]) {
        self.now += Duration::from_secs(1);
        self.desk.observe(proxies, Duration::from_secs(1), self.now, Timestamp::UNIX_EPOCH).await;
    }

    fn resource(&self, resource_type: ResourceType, name: &str) -> Resource {
        self.desk.groups["edge"].0.get(resource_type, name).cloned().expect("the resource")
    }

    fn rejects(&self, resource_type: ResourceType, name: &str, node: &str) {
        let resource = self.resource(resource_type, name);
        self.desk.cache.reject("edge", &[resource], node, "bad outlier detection", WALL);
    }

    /// What a proxy's route configuration is, as it is served.
    fn served(&self, node: &str) -> ResourceVersion {
        let published = self.desk.cache.subscribe("edge").borrow().clone().expect("a snapshot");
        published.of(node).version_of(ResourceType::Route)
    }

    fn intended(&self) -> ResourceVersion {
        self.desk.groups["edge"].0.version_of(ResourceType::Route)
    }

    fn message(&self, release: &str) -> String {
        self.desk.view().borrow().releases[release].message.clone()
    }

    async fn order(&mut self, release: &str, command: Command) {
        self.desk.order(release, command, Timestamp::UNIX_EPOCH).await.expect("the order is carried out");
    }
}

fn abort() -> Command {
    Command::Abort { reason: String::new() }
}

#[tokio::test]
async fn a_rejected_cluster_holds_its_own_release_and_no_others_revert() {
    let mut office = Office::open("{setWeight: 5}, {pause: {}}").await;
    office.rejects(ResourceType::Cluster, "a/v2", "edge-3");
    for _ in 0..3 {
        office.sees(&[office.proxy_without("edge-3", &["a/v2"])]).await;
    }
    let held = "held: cluster a/v2 was rejected by edge-3: bad outlier detection";
    assert!(office.message("a").ends_with(held), "{}", office.message("a"));
    assert_eq!((office.weight("a"), office.weight("b")), (0.0, 5.0), "another release takes its steps");
    assert_eq!(office.phase("b"), Phase::Paused);
    assert_eq!(office.served("edge-3"), office.intended(), "no route names what is parked");
    let told = |office: &Office| {
        let kept = office.shelf.kept.lock().expect("a lock");
        let held = |record: &Record| matches!(record, Record::Held { .. });
        kept.iter().flat_map(|batch| &batch.records).filter(|(name, record)| name == "a" && held(record)).count()
    };
    assert_eq!(told(&office), 1, "it is told once");

    office.order("b", abort()).await;
    assert_eq!(office.served("edge-3"), office.intended());
    office.sees(&[office.proxy_without("edge-3", &["a/v2"])]).await;
    assert_eq!((office.phase("b"), office.phase("a")), (Phase::Degraded, Phase::Progressing));

    // Taken after all: it goes on.
    office.desk.cache.accept("edge", &[office.resource(ResourceType::Cluster, "a/v2")]);
    office.sees(&[office.proxy_without("edge-3", &[])]).await;
    assert_eq!(office.weight("a"), 5.0);
}

#[tokio::test]
async fn one_that_is_to_revert_does_and_is_tried_again_on_demand() {
    let mut office = Office::open("{setWeight: 5}, {pause: {}}").await;
    office
        .reads(
            &specs("v2", "{setWeight: 5}, {pause: {}}")
                .replace("version: v2\n", "version: v2\n  rollback: {onRejected: revert}\n"),
        )
        .await;
    office.rejects(ResourceType::Endpoint, "a/v2", "edge-3");
    for _ in 0..2 {
        office.sees(&[office.proxy_without("edge-3", &["a/v2"])]).await;
    }
    assert_eq!((office.phase("a"), office.weight("b")), (Phase::Degraded, 5.0));
    assert!(office.message("a").contains("endpoint assignment a/v2 was rejected by edge-3"), "{}", office.message("a"));
    office.order("a", Command::Retry).await;
    assert!(office.desk.cache.parked("edge").is_empty(), "it has another chance");
    office.sees(&[office.proxy_without("edge-3", &[])]).await;
    assert_eq!(office.weight("a"), 5.0);
}

#[tokio::test]
async fn no_traffic_moves_while_a_single_proxy_refuses_the_cluster() {
    let mut office = Office::open("{setWeight: 5}, {pause: {}}").await;
    let both = |office: &Office| {
        let mut sick = office.proxy_without("edge-2", &["a/v2"]);
        let rejection = Rejection {
            version: ResourceVersion::NOTHING,
            resources: vec!["a/v2".into()],
            text: "the name is taken".into(),
            at: WALL,
        };
        Arc::make_mut(&mut sick.types).entry(ResourceType::Cluster).or_default().rejection = Some(rejection);
        [office.proxy_without("edge-1", &[]), sick]
    };
    for _ in 0..3 {
        office.sees(&both(&office)).await;
    }
    assert_eq!((office.weight("a"), office.weight("b")), (0.0, 5.0), "the trouble is not b's");
    assert!(office.message("a").contains("edge-2 rejected CDS: the name is taken"), "{}", office.message("a"));
    let refused = office.desk.order("a", Command::Promote { full: true }, Timestamp::UNIX_EPOCH).await;
    assert!(matches!(refused, Err(CommandError::Refused(_))), "{refused:?}");
    // It says nothing, but does not have it either.
    office.sees(&[office.proxy_without("edge-1", &[]), office.proxy_without("edge-2", &["a/v2"])]).await;
    assert_eq!(office.message("a"), "no traffic to v2 yet: 1 of 2 proxies have accepted its cluster");
    // Without it there is no obstacle.
    office.sees(&[office.proxy_without("edge-1", &[])]).await;
    assert_eq!(office.weight("a"), 5.0);
}

#[tokio::test]
async fn new_configuration_goes_to_a_few_first_and_reverts_to_all() {
    let careful = |version: &str, proxies: &str| {
        let text = specs(version, "{setWeight: 5}, {pause: {}}");
        text.replace(
            "nodes: {cluster: edge}\n",
            &format!("nodes: {{cluster: edge}}\n  configCanary: {{proxies: {proxies}}}\n"),
        )
    };
    let mut office = Office::open("{setWeight: 5}, {pause: {}}").await;
    office.reads(&careful("v2", "1")).await;
    let all = |office: &Office| ["edge-1", "edge-2"].map(|id| office.proxy_without(id, &[]));
    office.sees(&all(&office)).await;
    assert_eq!(office.desk.cache.held("edge"), Some(Held::Trial(Vec::new())), "nobody was chosen yet");
    assert_ne!(office.served("edge-1"), office.intended());
    let waiting = ["edge-1", "edge-2"].map(|id| {
        let mut proxy = office.proxy_without(id, &[]);
        Arc::make_mut(&mut proxy.types).entry(ResourceType::Route).or_default().in_force = None;
        proxy
    });
    office.sees(&waiting).await;
    assert_eq!(office.message("a"), "setWeight 5%: 0 of 2 proxies first, 0 have acknowledged it");
    // What goes back does not wait.
    office.order("a", abort()).await;
    assert_eq!((office.desk.cache.held("edge"), office.served("edge-1")), (None, office.intended()));
    // Switched off, nothing waits.
    office.sees(&all(&office)).await;
    office.reads(&specs("v2", "{setWeight: 5}, {pause: {}}")).await;
    office.order("a", Command::Retry).await;
    office.sees(&all(&office)).await;
    assert_eq!((office.weight("a"), office.desk.cache.held("edge")), (5.0, None));
    assert_eq!(office.served("edge-1"), office.intended());
}
