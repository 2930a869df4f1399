//! Connections that are shared out as they are. PURE.
//!
//! Envoy chooses among the shares at random for each connection: unlike a route, a TCP proxy can weigh by no hash. A
//! caller's address only decides among the endpoints of the version that was chosen.

use envoy_types::pb::envoy::config::listener::v3::{Filter, filter};
use envoy_types::pb::envoy::extensions::filters::network::tcp_proxy::v3::{
    TcpProxy,
    tcp_proxy::{ClusterSpecifier, WeightedCluster, weighted_cluster::ClusterWeight},
};
use envoy_types::pb::envoy::r#type::v3::{HashPolicy, hash_policy};

use crate::model::{Service, Share, Sticky, TrafficPlan, Weight};
use crate::translate::{TranslateError, cluster_name, packed};

/// The filter that gives each connection to a version.
pub(super) fn filter(
    fleet: &str,
    listener: &str,
    service: &Service,
    plan: &TrafficPlan,
) -> Result<Filter, TranslateError> {
    let is_sticky = plan.routing().sticky == Some(Sticky::SourceIp);
    let by_address = || HashPolicy {
        policy_specifier: Some(hash_policy::PolicySpecifier::SourceIp(hash_policy::SourceIp::default())),
    };
    let proxy = TcpProxy {
        stat_prefix: listener.to_owned(),
        cluster_specifier: Some(destination(fleet, service, plan)?),
        hash_policy: is_sticky.then(by_address).into_iter().collect(),
        ..Default::default()
    };
    Ok(Filter {
        name: "envoy.filters.network.tcp_proxy".to_owned(),
        config_type: Some(filter::ConfigType::TypedConfig(packed(&proxy))),
    })
}

fn destination(fleet: &str, service: &Service, plan: &TrafficPlan) -> Result<ClusterSpecifier, TranslateError> {
    if let Some(share) = plan.shares().iter().find(|share| !service.versions.contains_key(&share.version)) {
        return Err(TranslateError::UnknownVersion {
            fleet: fleet.to_owned(),
            service: service.name.clone(),
            version: share.version.clone(),
        });
    }
    let hundredths: u64 = plan.shares().iter().map(|share| u64::from(share.weight.hundredths())).sum();
    if hundredths != u64::from(Weight::FULL.hundredths()) {
        return Err(TranslateError::Shares { fleet: fleet.to_owned(), service: service.name.clone(), hundredths });
    }
    let name = |share: &Share| cluster_name(&service.name, &share.version);
    let served: Vec<&Share> = plan.shares().iter().filter(|share| share.weight > Weight::ZERO).collect();
    let weighted =
        |share: &&Share| ClusterWeight { name: name(share), weight: share.weight.hundredths(), ..Default::default() };
    Ok(match served.as_slice() {
        [only] => ClusterSpecifier::Cluster(name(only)),
        several => {
            ClusterSpecifier::WeightedClusters(WeightedCluster { clusters: several.iter().map(weighted).collect() })
        }
    })
}
