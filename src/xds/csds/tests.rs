use std::collections::BTreeMap;
use std::sync::Arc;

use super::super::fixtures::{cluster, loose};
use super::super::{Rejection, TypeStatus, Variant};
use super::*;

const AT: SystemTime = SystemTime::UNIX_EPOCH;

/// A proxy that asks for all clusters (and one secret), has some, and rejected some.
fn proxy(held: &[&Resource], rejected: &[(&Resource, &str)]) -> ProxyStatus {
    let words = |(resource, text): &(&Resource, &str)| {
        let words = Rejection { version: resource.version(), resources: Vec::new(), text: (*text).into(), at: AT };
        ((Arc::clone(resource.name()), resource.version()), Arc::new(words))
    };
    let mut types: BTreeMap<ResourceType, TypeStatus> = BTreeMap::new();
    for of in [ResourceType::Cluster, ResourceType::Secret] {
        let held = held.iter().filter(|r| r.resource_type() == of);
        let mut status = TypeStatus {
            held: held.map(|r| (Arc::clone(r.name()), (*r).clone())).collect(),
            rejected: rejected.iter().filter(|(r, _)| r.resource_type() == of).map(words).collect(),
            changed_at: Some(AT),
            ..TypeStatus::default()
        };
        status.subscription.replace(&[]);
        types.insert(of, status);
    }
    let metadata = [("stage".to_owned(), "blue".to_owned())].into();
    let node = Node { id: "edge-1".into(), metadata, version: Some((1, 40, 0)), ..Node::default() };
    ProxyStatus {
        node: Arc::new(node),
        group: Some("edge".into()),
        variant: Variant::Delta,
        address: None,
        connected_at: AT,
        disconnected_at: None,
        connects: 1,
        types: Arc::new(types),
    }
}

fn told(resource: &Resource) -> Option<Any> {
    Some(Any { type_url: ResourceType::Cluster.type_url().into(), value: resource.body().to_vec() })
}

#[test]
fn xds_36_what_is_told_of_each_status() {
    let [old, new] = [1, 2].map(|edition| cluster("a", edition));
    let intended = loose([new.clone()]);
    let at = Some(Timestamp::default());
    let error = UpdateFailureState {
        failed_configuration: told(&new),
        last_update_attempt: at,
        details: "no such thing".into(),
        version_info: new.version_text(),
    };
    let rows = [
        (proxy(&[&new], &[]), ConfigStatus::Synced, ClientResourceStatus::Acked, Some(&new), None),
        (proxy(&[], &[]), ConfigStatus::NotSent, ClientResourceStatus::Requested, None, None),
        (proxy(&[&old], &[]), ConfigStatus::Stale, ClientResourceStatus::Acked, Some(&old), None),
        (
            proxy(&[&old], &[(&new, "no such thing")]),
            ConfigStatus::Error,
            ClientResourceStatus::Nacked,
            Some(&old),
            Some(error),
        ),
    ];
    for (proxy, config_status, client_status, held, error_state) in rows {
        let expected = GenericXdsConfig {
            type_url: ResourceType::Cluster.type_url().into(),
            name: "a".into(),
            version_info: held.map(Resource::version_text).unwrap_or_default(),
            xds_config: held.and_then(told),
            last_updated: held.and(at),
            config_status: config_status.into(),
            client_status: client_status.into(),
            error_state: error_state.clone(),
            is_static_resource: false,
        };
        let config = client_config(&proxy, Some(&intended), &[], true);
        assert_eq!(config.generic_xds_configs, std::slice::from_ref(&expected), "{config_status:?}");
        let bare = client_config(&proxy, Some(&intended), &[], false).generic_xds_configs.remove(0);
        let error_state = error_state.map(|error| UpdateFailureState { failed_configuration: None, ..error });
        assert_eq!(bare, GenericXdsConfig { xds_config: None, error_state, ..expected }, "{config_status:?}");
    }
}

#[test]
fn xds_36_the_client_is_told_by_what_is_known_of_it() {
    let node = client_config(&proxy(&[], &[]), None, &[], true).node.expect("a node");
    assert_eq!((node.id.as_str(), node.metadata.expect("metadata").fields.len()), ("edge-1", 1));
    assert!(node.user_agent_version_type.is_some());
}

#[test]
fn xds_36_what_is_asked_for_and_is_not_there_does_not_exist() {
    let mut proxy = proxy(&[], &[]);
    Arc::make_mut(&mut proxy.types)
        .values_mut()
        .for_each(|status| drop(status.subscription.replace(&["absent".into()])));
    Arc::make_mut(&mut proxy.types).remove(&ResourceType::Secret);
    let told = client_config(&proxy, Some(&loose([])), &[], true).generic_xds_configs.remove(0);
    assert_eq!(told.client_status(), ClientResourceStatus::DoesNotExist);
    assert_eq!(told.config_status(), ConfigStatus::NotSent);
}

#[test]
fn xds_36_the_contents_of_a_secret_are_never_told() {
    let [old, new] = [b"old key", b"new key"]
        .map(|body| Resource::new(ResourceType::Secret, "cert", body.to_vec(), Vec::new()).expect("a secret"));
    let proxy = proxy(&[&old], &[(&new, "no")]);
    let told = client_config(&proxy, Some(&loose([new])), &[], true).generic_xds_configs.remove(0);
    let failed = told.error_state.as_ref().expect("it was rejected").failed_configuration.as_ref();
    assert_eq!((told.config_status(), told.xds_config.as_ref(), failed), (ConfigStatus::Error, None, None));
}
