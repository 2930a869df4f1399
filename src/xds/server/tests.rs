//! What a stream may cost.

use tonic::Code;

use super::super::fixtures::{cluster, loose};
use super::super::wire::DeltaDiscoveryRequest;
use super::session::{Session, moment};
use super::*;

struct Nobody(watch::Sender<u64>);

impl Grouping for Nobody {
    fn group_of(&self, _: &Node) -> Option<Arc<str>> {
        None
    }

    fn changes(&self) -> watch::Receiver<u64> {
        self.0.subscribe()
    }
}

#[test]
fn names_that_are_asked_for_bit_by_bit_are_limited_too() {
    let (_keep, stop) = watch::channel(false);
    let options = Options { names: 10, ..Options::new(stop) };
    let server = Server::new(Cache::new(), Proxies::default(), Arc::new(Nobody(watch::Sender::new(0))), options);
    let node = Arc::new(Node { id: "edge-1".into(), ..Node::default() });
    // New names, or names of nothing that the wildcard covers anyway.
    for wildcard in [false, true] {
        let call = Call { server: server.clone(), only: None, address: None };
        let mut session = Session::<Delta>::new(call, Arc::clone(&node), DeltaDiscoveryRequest::default());
        session.stream.aim(loose([cluster("a", 1)]), Vec::new(), moment());
        let request = |n: u32| {
            let names: Vec<String> = (0..9).map(|i| format!("{n}-{i}")).collect();
            let (resource_names_subscribe, resource_names_unsubscribe) = match (wildcard, n) {
                (true, 0) => (vec!["*".to_owned()], Vec::new()),
                (true, _) => (Vec::new(), names),
                (false, _) => (names, Vec::new()),
            };
            let type_url = ResourceType::Cluster.type_url().to_owned();
            DeltaDiscoveryRequest {
                type_url,
                resource_names_subscribe,
                resource_names_unsubscribe,
                ..DeltaDiscoveryRequest::default()
            }
        };
        let refused = (0..9).find_map(|n| session.on_request(request(n)).err());
        assert_eq!(refused.map(|status| status.code()), Some(Code::ResourceExhausted), "{wildcard}");
    }
}

#[test]
fn a_node_is_limited() {
    let id = |length: usize| wire::Node { id: "x".repeat(length), ..wire::Node::default() };
    let heavy = wire::Node { client_features: vec!["x".repeat(1000); 100], ..id(1) };
    for (node, taken) in
        [(None, false), (Some(id(0)), false), (Some(id(1024)), true), (Some(id(1025)), false), (Some(heavy), false)]
    {
        let answer = named(node.clone()).map(|node| node.id.len()).map_err(|status| status.code());
        assert_eq!(answer.is_ok(), taken, "{answer:?}");
    }
}
