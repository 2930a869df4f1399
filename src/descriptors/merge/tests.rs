use envoy_types::pb::envoy::config::cluster::v3::Cluster;
use envoy_types::pb::envoy::config::core::v3::{Metadata, RuntimeUInt32};
use envoy_types::pb::envoy::config::listener::v3::Listener;
use envoy_types::pb::envoy::config::route::v3::{Route, RouteConfiguration, route, route_action};
use envoy_types::pb::envoy::extensions::filters::network::http_connection_manager::v3::HttpConnectionManager;
use envoy_types::pb::google::protobuf::{BoolValue, Duration};
use proptest::prelude::*;
use prost::{Message, Name};
use serde_json::json;

use super::*;
use crate::descriptors::to_json;

const TERMS: Terms = Terms {
    owned: &[("name", "it is the spec's"), ("route.cluster", "it is the plan's")],
    before_last: &["http_filters", "access_log"],
    replaced_by_name: &["http_filters"],
};

fn merged<M: Name + Default>(message: &M, json: &Json) -> M {
    let bytes = merge(&M::type_url(), &message.encode_to_vec(), json, TERMS).expect("it fits");
    M::decode(&*bytes).expect("the same message")
}

fn wrong<M: Name>(json: &Json) -> Vec<String> {
    faults(&M::type_url(), json, TERMS).expect("a message").iter().map(ToString::to_string).collect()
}

#[test]
fn scalars_are_set_messages_are_merged_and_lists_grow() {
    let before = Cluster {
        name: "a".into(),
        connect_timeout: Some(Duration { seconds: 5, nanos: 0 }),
        ..merged(
            &Cluster::default(),
            &json!({
                "circuit_breakers": {"thresholds": [{"max_requests": 7}]},
                "common_lb_config": {"healthy_panic_threshold": {"value": 5.0}},
            }),
        )
    };
    let after = merged(
        &before,
        &json!({
            "connectTimeout": "0.5s",
            "circuitBreakers": {"thresholds": [{"priority": "HIGH", "max_retries": "3"}]},
            "common_lb_config": {"ignore_new_hosts_until_first_hc": true},
            "per_connection_buffer_limit_bytes": 1024.0,
        }),
    );
    let shown = to_json(&Cluster::type_url(), &after.encode_to_vec()).expect("a cluster");
    assert_eq!(
        shown,
        json!({
            "name": "a",
            "connect_timeout": "0.500s",
            "circuit_breakers": {"thresholds": [{"max_requests": 7}, {"priority": "HIGH", "max_retries": 3}]},
            "common_lb_config": {"healthy_panic_threshold": {"value": 5.0}, "ignore_new_hosts_until_first_hc": true},
            "per_connection_buffer_limit_bytes": 1024,
        })
    );
}

#[test]
fn what_is_given_counts_even_where_it_is_the_default() {
    let before = RouteConfiguration {
        ignore_port_in_host_matching: true,
        validate_clusters: Some(BoolValue { value: true }),
        ..Default::default()
    };
    let after = merged(&before, &json!({"ignore_port_in_host_matching": false, "validate_clusters": false}));
    assert!(!after.ignore_port_in_host_matching);
    assert_eq!(after.validate_clusters, Some(BoolValue { value: false }));
}

#[test]
fn the_other_members_of_a_group_give_way() {
    let before = Route { action: Some(route::Action::Redirect(Default::default())), ..Default::default() };
    let after = merged(&before, &json!({"route": {"cluster_header": "x-to"}}));
    let Some(route::Action::Route(action)) = after.action else { panic!("{after:?}") };
    assert_eq!(action.cluster_specifier, Some(route_action::ClusterSpecifier::ClusterHeader("x-to".into())));
}

#[test]
fn any_holds_any_message_of_the_api() {
    let filter = |name: &str, config: Json| json!({"http_filters": [{"name": name, "typed_config": config}]});
    let lua = json!({
        "@type": "type.googleapis.com/envoy.extensions.filters.http.lua.v3.Lua",
        "default_source_code": {"inline_string": "x"},
    });
    let router = json!({"@type": "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router"});
    let before: HttpConnectionManager = merged(&Default::default(), &filter("router", router.clone()));
    let after = merged(&before, &filter("lua", lua.clone()));
    let shown = to_json(&HttpConnectionManager::type_url(), &after.encode_to_vec()).expect("a manager");
    let filters = json!([{"name": "lua", "typed_config": lua}, {"name": "router", "typed_config": router}]);
    assert_eq!(shown["http_filters"], filters, "the last one stays the last");
    let other = json!({
        "@type": "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router",
        "suppressEnvoyHeaders": true,
    });
    let after = merged(&after, &filter("router", other));
    let shown = to_json(&HttpConnectionManager::type_url(), &after.encode_to_vec()).expect("a manager");
    assert_eq!(shown["http_filters"][1]["typed_config"]["suppress_envoy_headers"], true, "and can be replaced");
    assert_eq!(shown["http_filters"].as_array().map(Vec::len), Some(2));
    let log =
        |path: &str| json!({"access_log": [{"name": "a", "filter": {"header_filter": {"header": {"name": path}}}}]});
    let after = merged(&merged(&HttpConnectionManager::default(), &log("1")), &log("2"));
    let names: Vec<_> = after.access_log.iter().filter_map(|log| log.filter.as_ref()).collect();
    assert_eq!(names.len(), 2, "only where that is said");
    // A message with a JSON form of its own stands in `value`.
    let metadata = json!({"typed_filter_metadata": {
        "a": {"@type": "type.googleapis.com/google.protobuf.Duration", "value": "1.5s"},
        "b": {"@type": "type.googleapis.com/google.protobuf.Struct", "value": {"x": [1, null]}},
    }});
    let after: Metadata = merged(&Default::default(), &metadata);
    let held = Duration::decode(&*after.typed_filter_metadata["a"].value).expect("a duration");
    assert_eq!(held, Duration { seconds: 1, nanos: 500_000_000 });
    let shown = to_json(&Metadata::type_url(), &after.encode_to_vec()).expect("metadata");
    assert_eq!(shown["typed_filter_metadata"]["b"]["value"]["x"], json!([1.0, null]));
}

#[test]
fn everything_that_is_wrong_is_told_at_once_with_its_place() {
    let told = wrong::<Cluster>(&json!({
        "nmae": "a",
        "name": "a",
        "lb_policy": "ROUND_ROBBIN",
        "connect_timeout": "250ms",
        "connectTimeout": "1s",
        "per_connection_buffer_limit_bytes": -1,
        "circuit_breakers": {"thresholds": [{"max_requests": "many"}, [], {"max_requests": 4294967296_u64}]},
        "respect_dns_ttl": "yes",
        "lb_subset_config": null,
        "ring_hash_lb_config": {},
        "maglevLbConfig": {},
        "transport_socket": {"typed_config": {"@type": "type.googleapis.com/no.Such"}},
        "metadata": {"filter_metadata": {"a": 1}, "typed_filter_metadata": {"b": {}}},
    }));
    let expected = [
        "circuit_breakers.thresholds[0].max_requests: expected a whole number from 0 to 4294967295, found text `many`",
        "circuit_breakers.thresholds[1]: expected fields, found a list",
        "circuit_breakers.thresholds[2].max_requests: expected a whole number from 0 to 4294967295, \
         found the number 4294967296",
        "connect_timeout: `connect_timeout` is the same field as `connectTimeout`",
        "lb_policy: expected a value of LbPolicy, found text `ROUND_ROBBIN`",
        "lb_subset_config: expected fields, found nothing",
        "metadata.filter_metadata.a: expected fields, found the number 1",
        "metadata.typed_filter_metadata.b: its `@type` is missing: the type of what is here",
        "name: `name` cannot be set here: it is the spec's",
        "nmae: Cluster has no field `nmae`",
        "per_connection_buffer_limit_bytes: expected a whole number from 0 to 4294967295, found the number -1",
        "respect_dns_ttl: expected true or false, found text `yes`",
        "ring_hash_lb_config: only one of `ring_hash_lb_config` and `maglevLbConfig` can be set",
        "transport_socket.typed_config.@type: `type.googleapis.com/no.Such` is no message of Envoy's API",
    ];
    let mut told: Vec<&str> = told.iter().map(String::as_str).collect();
    told.sort_unstable();
    assert_eq!(told, expected);
    assert_eq!(wrong::<Cluster>(&json!([])), ["expected fields, found a list"]);
    assert!(matches!(faults("no.Such", &json!({}), TERMS), Err(DescriptorError::UnknownType(_))));
    let error = merge(&Cluster::type_url(), b"", &json!({"nmae": 1}), TERMS).expect_err("no such field");
    let says = "this cannot be merged into a envoy.config.cluster.v3.Cluster: nmae: Cluster has no field `nmae`";
    assert_eq!(error.to_string(), says);
}

#[test]
fn what_is_owned_is_owned_at_its_place_alone() {
    assert_eq!(wrong::<Route>(&json!({"route": {"cluster": "a"}})).len(), 1);
    assert_eq!(wrong::<Route>(&json!({"name": "a"})).len(), 1);
    let inside = json!({"filter_chains": [{"name": "b", "filters": [{"name": "c", "typed_config": {
        "@type": "type.googleapis.com/envoy.config.cluster.v3.Cluster", "name": "d",
    }}]}]});
    assert_eq!(wrong::<Listener>(&inside), [""; 0]);
}

#[test]
fn choices_are_given_where_they_can_be_listed() {
    let choices = |json: Json| faults("envoy.config.cluster.v3.Cluster", &json, TERMS).expect("it")[0].choices.clone();
    assert!(choices(json!({"nmae": 1})).contains(&"name".to_owned()));
    assert!(choices(json!({"lb_policy": "X"})).contains(&"ROUND_ROBIN".to_owned()));
    let any = |url: &str| choices(json!({"transport_socket": {"typed_config": {"@type": url}}}));
    let tls = "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext";
    assert_eq!(any("type.googleapis.com/envoy.tls.v2.UpstreamTlsContext"), [tls]);
    assert_eq!(any(&tls["type.googleapis.com/".len()..]), [tls], "a name alone is no type URL");
    assert_eq!(any(&tls.replace("Tls", "Tsl")), [tls]);
    assert_eq!(any("x"), [""; 0]);
}

#[test]
fn numbers_and_texts_are_as_in_protobuf_s_json() {
    let value = |json: Json| faults("envoy.config.core.v3.RuntimeUInt32", &json!({"default_value": json}), TERMS);
    for good in [json!(7), json!("7"), json!(7.0), json!(0)] {
        assert_eq!(value(good.clone()).expect("it"), [], "{good}");
    }
    for bad in [json!(7.5), json!("x"), json!(true), json!(-1), json!(1e10), json!(null), json!([7])] {
        assert_eq!(value(bad.clone()).expect("it").len(), 1, "{bad}");
    }
    let text = |json: Json| wrong::<RuntimeUInt32>(&json!({"runtime_key": json}));
    assert_eq!(text(json!("a")), [""; 0]);
    assert_eq!(text(json!(1.5)), ["runtime_key: expected text, found the number 1.5"]);
}

#[test]
fn what_could_not_be_read_again_is_refused() {
    let nested = |levels: usize| (0..levels).fold(json!(1), |inner, _| json!({"x": inner}));
    let patch = |levels| json!({"filter_metadata": {"a": nested(levels)}});
    assert_eq!(wrong::<Metadata>(&patch(20)), [""; 0]);
    assert_eq!(
        wrong::<Metadata>(&patch(60)),
        ["filter_metadata.a: expected fields that are nested less deep, found fields"]
    );
    // Each part can be read by itself, but not all of them in each other.
    let mut matcher = json!({"on_no_match": {"action": {"name": "a", "typed_config": {
        "@type": "type.googleapis.com/google.protobuf.Empty", "value": {},
    }}}});
    for _ in 0..60 {
        matcher = json!({"on_no_match": {"matcher": matcher}});
    }
    let error = merge("xds.type.matcher.v3.Matcher", b"", &matcher, TERMS).expect_err("121 messages deep");
    assert!(matches!(error, DescriptorError::Decode { .. }), "{error}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn the_same_input_gives_the_same_bytes(keys in prop::collection::btree_set("[a-z]{0,3}", 2..20)) {
        let fields = |n: &str| Json::Object(keys.iter().map(|key| (key.clone(), json!(format!("{key}{n}")))).collect());
        let entries: serde_json::Map<String, Json> = keys.iter().map(|key| (key.clone(), fields(key))).collect();
        let patch = json!({"metadata": {"filter_metadata": entries}});
        let first = merge(&Cluster::type_url(), b"", &patch, TERMS).expect("it fits");
        prop_assert_eq!(&merge(&Cluster::type_url(), b"", &patch, TERMS).expect("it fits"), &first);
        // Whatever order the entries came in.
        let shuffled = Cluster::decode(&*first).expect("a cluster").encode_to_vec();
        prop_assert_eq!(&merge(&Cluster::type_url(), &shuffled, &json!({}), TERMS).expect("it fits"), &first);
    }
}
