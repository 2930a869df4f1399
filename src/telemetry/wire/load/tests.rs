use proptest::prelude::*;
use prost::Message as _;

use super::reference::{
    Address, ClusterStats, LoadStatsRequest, SocketAddress, UpstreamEndpointStats, UpstreamLocalityStats,
};
use super::*;
use crate::telemetry::wire::metrics::reference::Node;

/// Small ones, large ones, and those at a limit.
fn number() -> impl Strategy<Value = u64> {
    prop_oneof![0..3_u64, any::<u64>(), Just(u64::MAX)]
}

prop_compose! {
    fn endpoint()(
        ip in prop_oneof![Just("10.0.0.1"), Just("::1"), Just("a.name"), Just("")],
        port_value in prop_oneof![0..3_u32, 65_530..65_540_u32],
        has_address in any::<bool>(),
        counts in [number(), number(), number()],
    ) -> UpstreamEndpointStats {
        let socket_address = Some(SocketAddress { address: ip.into(), port_value });
        let [total_successful_requests, total_error_requests, total_requests_in_progress] = counts;
        let address = has_address.then_some(Address { socket_address });
        UpstreamEndpointStats { address, total_successful_requests, total_error_requests, total_requests_in_progress }
    }
}

prop_compose! {
    fn locality()(
        counts in [number(), number(), number()],
        upstream_endpoint_stats in prop::collection::vec(endpoint(), 0..3),
    ) -> UpstreamLocalityStats {
        let [total_successful_requests, total_error_requests, total_requests_in_progress] = counts;
        UpstreamLocalityStats {
            total_successful_requests,
            total_error_requests,
            total_requests_in_progress,
            upstream_endpoint_stats,
        }
    }
}

prop_compose! {
    fn cluster()(
        cluster_name in "[a-zé/]{0,6}",
        upstream_locality_stats in prop::collection::vec(locality(), 0..3),
        total_dropped_requests in number(),
        load_report_interval in prop::option::of(
            (any::<i64>(), any::<i32>()).prop_map(|(seconds, nanos)| Interval { seconds, nanos })
        ),
    ) -> ClusterStats {
        ClusterStats { cluster_name, upstream_locality_stats, total_dropped_requests, load_report_interval }
    }
}

prop_compose! {
    fn request()(
        id in prop::option::of("[a-z]{0,4}"),
        cluster_stats in prop::collection::vec(cluster(), 0..4),
    ) -> LoadStatsRequest {
        LoadStatsRequest { node: id.map(|id| Node { id }), cluster_stats }
    }
}

fn expected_endpoints(cluster: &ClusterStats) -> Vec<EndpointLoad> {
    let of = |endpoint: &UpstreamEndpointStats| {
        let socket = endpoint.address.as_ref()?.socket_address.as_ref()?;
        let address = SocketAddr::new(socket.address.parse().ok()?, socket.port_value.try_into().ok()?);
        let mut ended = Outcomes::default();
        ended.add(endpoint.total_successful_requests, false);
        ended.add(endpoint.total_error_requests, true);
        Some(EndpointLoad { address, ended, in_progress: endpoint.total_requests_in_progress })
    };
    cluster
        .upstream_locality_stats
        .iter()
        .flat_map(|locality| &locality.upstream_endpoint_stats)
        .filter_map(of)
        .collect()
}

fn assert_same(told: &ClusterLoad<'_>, cluster: &ClusterStats) {
    let localities = &cluster.upstream_locality_stats;
    let mut ended = Outcomes::default();
    for locality in localities {
        ended.add(locality.total_successful_requests, false);
        ended.add(locality.total_error_requests, true);
    }
    let in_progress = localities.iter().map(|of| of.total_requests_in_progress).fold(0, u64::saturating_add);
    assert_eq!((told.name, told.dropped), (&*cluster.cluster_name, cluster.total_dropped_requests));
    assert_eq!((told.ended, told.in_progress, told.interval), (ended, in_progress, cluster.load_report_interval));
    assert_eq!(told.endpoints().unwrap(), expected_endpoints(cluster));
}

/// Whether all of these bytes can be read.
fn is_read(bytes: &[u8]) -> bool {
    let read = |report: LoadReport<'_>| {
        report.node_id().is_ok() && report.clusters.iter().all(|cluster| cluster.endpoints().is_ok())
    };
    LoadReport::read(bytes).is_ok_and(read)
}

proptest! {
    #[test]
    fn it_reads_what_prost_reads(request in request()) {
        let bytes = request.encode_to_vec();
        let report = LoadReport::read(&bytes).unwrap();
        prop_assert_eq!(report.node_id().unwrap(), request.node.as_ref().map(|node| &*node.id).filter(|id| !id.is_empty()));
        prop_assert_eq!(report.clusters.len(), request.cluster_stats.len());
        report.clusters.iter().zip(&request.cluster_stats).for_each(|(told, cluster)| assert_same(told, cluster));
    }

    #[test]
    fn what_is_changed_or_cut_is_read_only_if_prost_reads_it(
        request in request(),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4),
        cut in prop::option::of(any::<prop::sample::Index>()),
    ) {
        let mut bytes = request.encode_to_vec();
        for (at, byte) in &changes {
            let at = at.index(bytes.len().max(1));
            bytes.get_mut(at).into_iter().for_each(|one| *one = *byte);
        }
        bytes.truncate(cut.map_or(bytes.len(), |at| at.index(bytes.len() + 1)));
        prop_assert!(!is_read(&bytes) || LoadStatsRequest::decode(&*bytes).is_ok());
    }

    #[test]
    fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
        prop_assert!(!is_read(&bytes) || LoadStatsRequest::decode(&*bytes).is_ok());
    }
}
