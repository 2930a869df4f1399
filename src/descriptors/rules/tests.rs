use envoy_types::pb::envoy::config::accesslog::v3::AccessLog;
use envoy_types::pb::envoy::config::cluster::v3::{CircuitBreakers, Cluster, OutlierDetection, circuit_breakers};
use envoy_types::pb::envoy::config::core::v3::{Address, HeaderValue, HeaderValueOption, SocketAddress};
use envoy_types::pb::envoy::config::endpoint::v3::{ClusterLoadAssignment, LbEndpoint, LocalityLbEndpoints};
use envoy_types::pb::envoy::config::listener::v3::{Filter, FilterChain, Listener, filter::ConfigType};
use envoy_types::pb::envoy::config::route::v3::{Route, RouteConfiguration, RouteMatch, VirtualHost};
use envoy_types::pb::envoy::extensions::filters::network::http_connection_manager::v3::HttpConnectionManager;
use envoy_types::pb::google::protobuf::{Any, Duration, Timestamp, UInt32Value};
use envoy_types::pb::validate::{self as pgv, bytes_rules, field_rules::Type, string_rules::WellKnown};
use prost::{Message, Name};
use prost_reflect::Kind;

use super::value::ValueRule;
use super::*;

fn told<M: Name>(message: &M) -> Vec<String> {
    let found = check(&M::type_url(), &message.encode_to_vec()).expect("a message of the API");
    found.iter().map(ToString::to_string).collect()
}

/// What a rule says to values: those that it takes, and the others with what it says.
fn rule(rules: Type, kind: Kind, good: &[Value], bad: &[(Value, &str)]) {
    let rule = ValueRule::new(&rules, &kind).expect("a rule");
    for value in good {
        assert_eq!(rule.fault(value), None, "{rules:?} for {value:?}");
    }
    for (value, says) in bad {
        assert_eq!(rule.fault(value).map(|fault| fault.rule).as_deref(), Some(*says), "{rules:?} for {value:?}");
    }
}

#[test]
fn numbers() {
    use Value::{F64, I32, I64, U32, U64};
    let int = |low, high| pgv::Int32Rules { gte: low, lt: high, ..Default::default() };
    rule(
        Type::Int32(int(Some(-1), Some(3))),
        Kind::Int32,
        &[I32(-1), I32(2)],
        &[(I32(3), "must be at least -1 and less than 3"), (I32(-2), "must be at least -1 and less than 3")],
    );
    // A range whose ends are the wrong way round is what is outside of it.
    rule(
        Type::Int32(int(Some(10), Some(3))),
        Kind::Int32,
        &[I32(2), I32(10)],
        &[(I32(3), "must be at least 10 or less than 3"), (I32(9), "must be at least 10 or less than 3")],
    );
    let rules = pgv::UInt64Rules { r#in: vec![1, 2], ignore_empty: Some(true), ..Default::default() };
    rule(Type::Uint64(rules), Kind::Uint64, &[U64(0), U64(1)], &[(U64(3), "must be 1 or 2")]);
    let rules = pgv::Fixed32Rules { not_in: vec![7], ..Default::default() };
    rule(Type::Fixed32(rules), Kind::Fixed32, &[U32(0)], &[(U32(7), "must not be 7")]);
    let rules = pgv::SInt64Rules { r#const: Some(-9), ..Default::default() };
    rule(Type::Sint64(rules), Kind::Sint64, &[I64(-9)], &[(I64(0), "must be -9")]);
    let rules = pgv::SFixed64Rules { lte: Some(i64::MIN), ..Default::default() };
    let most = "must be at most -9223372036854775808";
    rule(Type::Sfixed64(rules), Kind::Sfixed64, &[I64(i64::MIN)], &[(I64(0), most)]);
    let rules = pgv::DoubleRules { gt: Some(0.0), lte: Some(100.0), ..Default::default() };
    let share = "must be more than 0 and at most 100";
    let bad = [(F64(0.0), share), (F64(100.5), share), (F64(f64::NAN), share), (F64(f64::INFINITY), share)];
    rule(Type::Double(rules), Kind::Double, &[F64(0.1), F64(100.0)], &bad);
    let rules = pgv::BoolRules { r#const: Some(true) };
    rule(Type::Bool(rules), Kind::Bool, &[Value::Bool(true)], &[(Value::Bool(false), "must be true")]);
}

#[test]
fn durations_and_times() {
    let message = |name: &str, seconds: i64, nanos: i32| {
        let descriptor = crate::descriptors::pool().get_message_by_name(name).expect("a well-known type");
        let mut message = DynamicMessage::new(descriptor);
        message.set_field_by_name("seconds", Value::I64(seconds));
        message.set_field_by_name("nanos", Value::I32(nanos));
        Value::Message(message)
    };
    let duration = |seconds, nanos| message("google.protobuf.Duration", seconds, nanos);
    let span = |seconds, nanos| Some(Duration { seconds, nanos });
    let kind = |value: &Value| Kind::Message(value.as_message().expect("a message").descriptor());
    let rules = pgv::DurationRules { gte: span(0, 1_000_000), lt: span(300, 0), ..Default::default() };
    let says = "must be at least 0.001s and less than 300s";
    let bad = [(duration(0, 999_999), says), (duration(300, 0), says), (duration(-1, 0), says)];
    let good = [duration(0, 1_000_000), duration(299, 999_999_999)];
    rule(Type::Duration(rules), kind(&good[0]), &good, &bad);
    let rules =
        pgv::DurationRules { not_in: vec![Duration { seconds: -1, nanos: -500_000_000 }], ..Default::default() };
    let bad = [(duration(-1, -500_000_000), "must not be -1.5s")];
    rule(Type::Duration(rules), kind(&good[0]), &good, &bad);
    let time = |seconds| message("google.protobuf.Timestamp", seconds, 0);
    let rules = pgv::TimestampRules { gt: Some(Timestamp { seconds: 0, nanos: 0 }), ..Default::default() };
    rule(Type::Timestamp(rules), kind(&time(0)), &[time(1)], &[(time(0), "must be more than 1970-01-01T00:00:00Z")]);
}

#[test]
fn texts() {
    let check = |rules: pgv::StringRules, good: &[&str], bad: &[&str], says: &str| {
        let value = |text: &&str| Value::String((*text).to_owned());
        let bad: Vec<_> = bad.iter().map(|text| (value(text), says)).collect();
        rule(Type::String(rules), Kind::String, &good.iter().map(value).collect::<Vec<_>>(), &bad);
    };
    let none = pgv::StringRules::default;
    let some = |text: &str| Some(text.to_owned());
    check(pgv::StringRules { r#const: some("a"), ..none() }, &["a"], &["", "b"], "must be \"a\"");
    check(pgv::StringRules { len: Some(2), ..none() }, &["éé"], &["é", "ééé"], "must have 2 characters");
    check(pgv::StringRules { min_len: Some(1), ..none() }, &["a"], &[""], "must not be empty");
    check(pgv::StringRules { max_len: Some(1), ..none() }, &["", "é"], &["ab"], "must have at most 1 characters");
    check(pgv::StringRules { len_bytes: Some(2), ..none() }, &["é"], &["a", "éé"], "must have 2 bytes");
    check(pgv::StringRules { min_bytes: Some(3), ..none() }, &["abc"], &["é"], "must have at least 3 bytes");
    check(pgv::StringRules { max_bytes: Some(3), ..none() }, &["é"], &["éé"], "must have at most 3 bytes");
    check(pgv::StringRules { prefix: some("%"), ..none() }, &["%a"], &["a%"], "must begin with \"%\"");
    check(pgv::StringRules { suffix: some("%"), ..none() }, &["a%"], &["%a"], "must end with \"%\"");
    check(pgv::StringRules { contains: some("bc"), ..none() }, &["abcd"], &["b", "cb"], "must contain \"bc\"");
    check(pgv::StringRules { not_contains: some("bc"), ..none() }, &["cb"], &["abc"], "must not contain \"bc\"");
    let among = vec!["a".to_owned(), "b".to_owned()];
    check(pgv::StringRules { r#in: among.clone(), ..none() }, &["b"], &["", "c"], "must be \"a\" or \"b\"");
    check(pgv::StringRules { not_in: among, ..none() }, &["c"], &["b"], "must not be \"b\"");
    let lenient = pgv::StringRules { prefix: some("%"), ignore_empty: Some(true), ..none() };
    check(lenient, &["", "%"], &["a"], "must begin with \"%\"");
    // The whole text, as Envoy compares it.
    let pattern = pgv::StringRules { pattern: some("[a-z]+|0"), ..none() };
    check(pattern, &["abc", "0"], &["", "ab1", "a\n"], "must match [a-z]+|0");
}

#[test]
fn forms_of_texts() {
    let check = |form: WellKnown, strict: bool, good: &[&str], bad: &[&str], says: &str| {
        let rules = pgv::StringRules { well_known: Some(form), strict: Some(strict), ..Default::default() };
        let value = |text: &&str| Value::String((*text).to_owned());
        let bad: Vec<_> = bad.iter().map(|text| (value(text), says)).collect();
        rule(Type::String(rules), Kind::String, &good.iter().map(value).collect::<Vec<_>>(), &bad);
    };
    let long = format!("{}.example", "a".repeat(64));
    let host = &["example.com", "example.com.", "1-a"][..];
    let no_host = &["", "-a", "a-", "a..b", "a_b", &long][..];
    check(WellKnown::Hostname(true), true, host, no_host, "must be a host name");
    check(WellKnown::Address(true), true, &["a.b", "::1"], &["a b", "::g"], "must be a host name or an IP address");
    let mails = &["a.b+c@example.com"][..];
    check(WellKnown::Email(true), true, mails, &["a", "@b", "a@", ".a@b", "a@b c"], "must be an e-mail address");
    check(WellKnown::Ip(true), true, &["10.0.0.1", "::1"], &["", "10.0.0", "[::1]"], "must be an IP address");
    check(WellKnown::Ipv4(true), true, &["10.0.0.1"], &["::1", "10.0.0.256"], "must be an IPv4 address");
    check(WellKnown::Ipv6(true), true, &["::1"], &["10.0.0.1", "fe80::1%eth0"], "must be an IPv6 address");
    let uris = &["https://a.b/c?d=%20#e", "urn:a"][..];
    check(WellKnown::Uri(true), true, uris, &["/a", "a b:c", "a:%zz"], "must be an absolute URI");
    check(WellKnown::UriRef(true), true, &["/a", "https://a.b"], &["a b", "%"], "must be a URI");
    let uuid = "123e4567-e89b-12d3-a456-426614174000";
    check(
        WellKnown::Uuid(true),
        true,
        &[uuid],
        &["", &uuid[1..], "g23e4567-e89b-12d3-a456-426614174000"],
        "must be a UUID",
    );
    let name = WellKnown::WellKnownRegex(pgv::KnownRegex::HttpHeaderName.into());
    let value = WellKnown::WellKnownRegex(pgv::KnownRegex::HttpHeaderValue.into());
    check(name, true, &["x-a", ":path"], &["", ":", "x a", "é", "x\n"], "must be a header's name");
    check(value, true, &["", "a\tb é"], &["a\nb", "\u{7f}", "\0"], "must be a header's value");
    for rule in [name, value] {
        check(rule, false, &["", "x a", "\u{1}"], &["a\nb", "a\r", "\0"], "must be without line breaks and NUL");
    }
    check(WellKnown::Ip(false), true, &["anything"], &[], "");
}

#[test]
fn bytes() {
    let check = |rules: pgv::BytesRules, good: &[&[u8]], bad: &[&[u8]], says: &str| {
        let value = |bytes: &&[u8]| Value::Bytes(bytes.to_vec().into());
        let bad: Vec<_> = bad.iter().map(|text| (value(text), says)).collect();
        rule(Type::Bytes(rules), Kind::Bytes, &good.iter().map(value).collect::<Vec<_>>(), &bad);
    };
    let none = pgv::BytesRules::default;
    check(pgv::BytesRules { len: Some(2), ..none() }, &[b"\xff\xff"], &[b"\xff"], "must have 2 bytes");
    check(pgv::BytesRules { prefix: Some(vec![1]), ..none() }, &[b"\x01\xff"], &[b""], "must begin with \"\\u{1}\"");
    check(pgv::BytesRules { r#in: vec![b"a".into()], ..none() }, &[b"a"], &[b"", b"aa"], "must be \"a\"");
    let ip = pgv::BytesRules { well_known: Some(bytes_rules::WellKnown::Ip(true)), ..none() };
    check(ip, &[&[0; 4], &[0; 16]], &[b"", &[0; 5]], "must be the 4 or 16 bytes of an IP address");
    let lenient = pgv::BytesRules { min_len: Some(2), ignore_empty: Some(true), ..none() };
    check(lenient, &[b"", b"ab"], &[b"a"], "must have at least 2 bytes");
}

#[test]
fn enums() {
    let pool = crate::descriptors::pool();
    let kind = || Kind::Enum(pool.get_enum_by_name("envoy.config.core.v3.TrafficDirection").expect("an enum"));
    let number = Value::EnumNumber;
    let defined = pgv::EnumRules { defined_only: Some(true), not_in: vec![0], ..Default::default() };
    rule(
        Type::Enum(defined),
        kind(),
        &[number(1), number(2)],
        &[(number(9), "must be UNSPECIFIED, INBOUND or OUTBOUND"), (number(0), "must not be UNSPECIFIED")],
    );
    let among = pgv::EnumRules { r#in: vec![1, 2], ..Default::default() };
    rule(Type::Enum(among), kind(), &[number(1)], &[(number(0), "must be INBOUND or OUTBOUND")]);
    let only = pgv::EnumRules { r#const: Some(2), ..Default::default() };
    rule(Type::Enum(only), kind(), &[number(2)], &[(number(1), "must be OUTBOUND")]);
}

#[test]
fn lists_and_maps() {
    let value = |rules: Type, kind| table::Value { rule: ValueRule::new(&rules, &kind), inside: false };
    let texts = |texts: &[&str]| texts.iter().map(|text| Value::String((*text).to_owned())).collect::<Vec<_>>();
    let word = || value(Type::String(pgv::StringRules { min_len: Some(1), ..Default::default() }), Kind::String);
    let size = |least, most, ignore_empty| Size { least, most, ignore_empty };
    let list = |size: &Size, items: &[&str]| {
        let mut walk = Walk::default();
        walk.within(Step::Field("f"), |walk| walk.list(size, true, &word(), &texts(items)));
        walk.found.iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    assert_eq!(list(&size(Some(1), Some(2), false), &[]), ["f must have at least 1 item, got 0 items"]);
    assert_eq!(list(&size(Some(1), Some(2), true), &[]), [""; 0]);
    assert_eq!(list(&size(None, Some(2), false), &["a", "b", "c"]), ["f must have at most 2 items, got 3 items"]);
    assert_eq!(
        list(&size(None, None, false), &["a", "", "a"]),
        ["f[1] must not be empty, got nothing", "f[2] must be unlike all items before it, got the same as item 0",]
    );
    let map = |size: &Size, keys: &[&str]| {
        let mut walk = Walk::default();
        let entries: Vec<(MapKey, Value)> =
            keys.iter().map(|key| (MapKey::String((*key).to_owned()), Value::String(String::new()))).collect();
        let entries: Vec<(&MapKey, &Value)> = entries.iter().map(|(key, value)| (key, value)).collect();
        walk.within(Step::Field("f"), |walk| walk.map(size, &word(), &word(), &entries));
        walk.found.iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    assert_eq!(
        map(&size(Some(2), None, false), &["a"]),
        ["f must have at least 2 entries, got 1 entry", "f[\"a\"] must not be empty, got nothing",]
    );
    assert_eq!(map(&size(None, None, false), &[""]).len(), 2, "the key and the value");
    assert_eq!(map(&size(Some(2), None, true), &[]), [""; 0]);
}

#[test]
fn rules_hold_at_every_depth_and_name_the_place() {
    let endpoint =
        |weight| LbEndpoint { load_balancing_weight: Some(UInt32Value { value: weight }), ..Default::default() };
    let assignment = ClusterLoadAssignment {
        cluster_name: "a".into(),
        endpoints: vec![
            LocalityLbEndpoints::default(),
            LocalityLbEndpoints { lb_endpoints: vec![endpoint(1), endpoint(0)], priority: 129, ..Default::default() },
        ],
        ..Default::default()
    };
    assert_eq!(
        told(&assignment),
        [
            "endpoints[1].lb_endpoints[1].load_balancing_weight must be at least 1, got 0",
            "endpoints[1].priority must be at most 128, got 129",
        ]
    );
}

#[test]
fn what_must_be_set_must_be_set() {
    let unnamed = Cluster {
        connect_timeout: Some(Duration { seconds: 0, nanos: 0 }),
        outlier_detection: Some(OutlierDetection {
            max_ejection_percent: Some(UInt32Value { value: 101 }),
            ..Default::default()
        }),
        lb_policy: 99,
        ..Default::default()
    };
    let told = told(&unnamed);
    assert_eq!(told[0], "name must not be empty, got nothing");
    assert_eq!(told[1], "connect_timeout must be more than 0s, got 0s");
    assert!(told[2].starts_with("lb_policy must be ROUND_ROBIN, LEAST_REQUEST,"), "{}", told[2]);
    assert_eq!(told[3], "outlier_detection.max_ejection_percent must be at most 100, got 101");
    assert_eq!(told.len(), 4);
}

#[test]
fn one_of_a_required_group_must_be_set() {
    let config = RouteConfiguration {
        name: "a".into(),
        virtual_hosts: vec![VirtualHost {
            name: "v".into(),
            domains: vec!["*".into()],
            routes: vec![Route { r#match: Some(RouteMatch::default()), ..Default::default() }, Route::default()],
            request_headers_to_add: vec![HeaderValueOption {
                header: Some(HeaderValue { key: "a\nb".into(), ..Default::default() }),
                ..Default::default()
            }],
            ..Default::default()
        }],
        ..Default::default()
    };
    let paths: Vec<String> = told(&config);
    assert!(paths[0].starts_with("virtual_hosts[0].routes[0].match must have prefix, path, "), "{}", paths[0]);
    assert!(paths[1].starts_with("virtual_hosts[0].routes[0] must have route, redirect, "), "{}", paths[1]);
    assert_eq!(paths[2], "virtual_hosts[0].routes[1].match must be set, got nothing");
    let header =
        "virtual_hosts[0].request_headers_to_add[0].header.key must be without line breaks and NUL, got \"a\\nb\"";
    assert!(paths.iter().any(|path| path == header), "{paths:#?}");
}

#[test]
fn what_is_packed_is_checked_too() {
    let manager = HttpConnectionManager { access_log: vec![AccessLog::default()], ..Default::default() };
    let packed = |type_url: &str, value: Vec<u8>| Filter {
        name: "f".into(),
        config_type: Some(ConfigType::TypedConfig(Any { type_url: type_url.into(), value })),
    };
    let filters = vec![
        packed(&HttpConnectionManager::type_url(), manager.encode_to_vec()),
        packed("type.googleapis.com/no.Such", Vec::new()),
        packed(&HttpConnectionManager::type_url(), vec![0xff]),
    ];
    let listener = Listener {
        name: "l".into(),
        address: Some(Address { address: None }),
        filter_chains: vec![FilterChain { filters, ..Default::default() }],
        ..Default::default()
    };
    let told = told(&listener);
    assert_eq!(told[0], "address must have socket_address, pipe or envoy_internal_address, got none");
    assert_eq!(told[1], "filter_chains[0].filters[0].typed_config.stat_prefix must not be empty, got nothing");
    assert!(told[2].starts_with("filter_chains[0].filters[0].typed_config must have rds, "), "{}", told[2]);
    assert_eq!(
        told[3],
        "filter_chains[0].filters[1].typed_config must hold a message of Envoy's API, got \"type.googleapis.com/no.Such\""
    );
    assert!(told[4].starts_with("filter_chains[0].filters[2].typed_config must hold a message that can be read"));
    assert_eq!(told.len(), 5);
}

#[test]
fn any_within_any_has_an_end() {
    let mut any = Any { type_url: Any::type_url(), value: Vec::new() };
    for _ in 0..5_000 {
        any = Any { type_url: Any::type_url(), value: any.encode_to_vec() };
    }
    let [violation] = &*told(&any) else { panic!("one violation") };
    assert!(violation.contains("must not be nested more than 100 messages deep"), "{violation}");
}

#[test]
fn what_cannot_be_checked_is_an_error() {
    assert!(matches!(check("type.googleapis.com/no.Such", b""), Err(DescriptorError::UnknownType(_))));
    assert!(matches!(check(&Cluster::type_url(), b"\xff"), Err(DescriptorError::Decode { .. })));
}

#[test]
fn the_whole_api_s_rules_can_be_read() {
    let fields: usize = TABLE.values().map(|message| message.fields.len()).sum();
    assert!(fields > 2_500 && TABLE.len() > 1_000, "{fields} fields of {} messages", TABLE.len());
    for nothing in ["google.protobuf.Struct", "google.protobuf.Duration"] {
        assert!(!TABLE.contains_key(nothing), "{nothing}");
    }
    let breakers = CircuitBreakers {
        thresholds: vec![circuit_breakers::Thresholds { priority: 7, ..Default::default() }],
        ..Default::default()
    };
    assert_eq!(told(&breakers), ["thresholds[0].priority must be DEFAULT or HIGH, got 7"]);
    let socket = SocketAddress { address: String::new(), ..Default::default() };
    assert_eq!(told(&socket).len(), 2, "the address, and its port");
}
