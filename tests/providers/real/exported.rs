//! What the exporters show of the canary v2 of a service, with the names and labels that each gives, beside what must
//! not be counted: the baseline, a version whose name begins alike, and sums of what is there already.
//!
//! After what the projects document, and expositions that their users published.

use super::exporter::{Moment, counter, histogram};

/// cAdvisor, in the kubelet: with its own timestamps; each pod has its cgroup (`container=""`) beside its containers.
pub(crate) fn cadvisor(service: &str, moment: Moment) -> String {
    let seconds = |cores: f64| cores * (moment.millis % 1_000_000_000) as f64 / 1000.0;
    let mut text = String::new();
    let pods = [
        // Cores, bytes and throttled periods of 100, of the application and of its sidecar; then of the pod's cgroup.
        ("v2-7d9c5b8f6d-x2x4z", [(0.3, 200e6, 30), (0.1, 50e6, 20)], 0),
        ("v2-7d9c5b8f6d-8kq5w", [(0.1, 300e6, 30), (0.1, 50e6, 20)], 0),
        ("v1-6c4f7d9b58-lm5tn", [(2.0, 900e6, 90), (1.0, 900e6, 90)], 90),
        ("v2-beta-58bd47f6c9-zz7vp", [(3.0, 800e6, 80), (1.0, 800e6, 80)], 80),
    ];
    for (pod, containers, throttled) in pods {
        let whole = containers.iter().fold((0.0, 0.0), |sum, of| (sum.0 + of.0, sum.1 + of.1));
        let [application, sidecar] = containers;
        for (container, image, (cores, bytes, throttled)) in [
            ("app", "registry.example.com/app:2", application),
            ("proxy", "registry.example.com/proxy:1", sidecar),
            ("", "registry.k8s.io/pause:3.9", (0.0, 1e6, 0)),
            ("", "", (whole.0, whole.1 + 1e6, throttled)),
        ] {
            let id = format!("/kubepods.slice/{service}-{pod}.slice/{container}.scope");
            let labels = format!(
                "container=\"{container}\",id=\"{id}\",image=\"{image}\",name=\"{container}\",namespace=\"shop\",\
                 pod=\"{service}-{pod}\""
            );
            let at = moment.millis;
            text += &format!("container_cpu_usage_seconds_total{{cpu=\"total\",{labels}}} {} {at}\n", seconds(cores));
            text += &format!("container_memory_working_set_bytes{{{labels}}} {bytes} {at}\n");
            // What has no limit has no periods: the pause container.
            if !image.contains("pause") {
                for (kind, each) in [("throttled_periods", throttled), ("periods", 100)] {
                    text += &counter(&format!("container_cpu_cfs_{kind}_total"), &labels, each, moment);
                }
            }
        }
    }
    text
}

/// kube-state-metrics: restarts so far of two containers of the canary.
pub(crate) fn kube_state(service: &str, restarts: u64) -> String {
    let pods = [
        ("v2-7d9c5b8f6d-x2x4z", "app", 4 + restarts),
        ("v2-7d9c5b8f6d-8kq5w", "app", 0),
        ("v1-6c4f7d9b58-lm5tn", "app", 7 + 5 * restarts),
        ("v2-beta-58bd47f6c9-zz7vp", "app", 7 + 5 * restarts),
    ];
    let line = |(pod, container, restarts)| {
        format!(
            "kube_pod_container_status_restarts_total{{namespace=\"shop\",pod=\"{service}-{pod}\",\
             uid=\"a4b2a5d6-{pod}\",container=\"{container}\"}} {restarts}\n"
        )
    };
    pods.map(line).concat()
}

/// Istio's standard metrics, of the sidecars: both sides of each request report it.
pub(crate) fn istio(service: &str, moment: Moment) -> String {
    let mut text = String::new();
    for (reporter, version, failures) in
        [("destination", "v2", 3), ("source", "v2", 60), ("destination", "v1", 50), ("destination", "v2-beta", 70)]
    {
        let labels = |code: &str| {
            format!(
                "reporter=\"{reporter}\",source_workload=\"cart\",source_workload_namespace=\"shop\",\
                 source_app=\"cart\",source_version=\"v2\",destination_workload=\"{service}-{version}\",\
                 destination_workload_namespace=\"shop\",destination_app=\"{service}\",\
                 destination_version=\"{version}\",destination_service=\"{service}.shop.svc.cluster.local\",\
                 destination_service_name=\"{service}\",destination_service_namespace=\"shop\",\
                 request_protocol=\"http\",response_code=\"{code}\",grpc_response_status=\"\",response_flags=\"-\",\
                 connection_security_policy=\"mutual_tls\""
            )
        };
        for (code, each) in [("200", 95 - failures), ("404", 5), ("503", failures)] {
            text += &counter("istio_requests_total", &labels(code), each, moment);
        }
        let slow = if (reporter, version) == ("destination", "v2") { 98 } else { 10 };
        let within = [("25", slow - 8), ("50", slow), ("100", slow), ("250", 100), ("500", 100)];
        for code in ["200", "503"] {
            text += &histogram("istio_request_duration_milliseconds", &labels(code), 1, &within, moment);
        }
    }
    text
}

/// Linkerd's proxies, with the labels of their pods that Linkerd's own scrape configuration adds.
pub(crate) fn linkerd(service: &str, moment: Moment) -> String {
    let mut text = String::new();
    for (direction, version, failures) in
        [("inbound", "v2", 4), ("outbound", "v2", 60), ("inbound", "v1", 50), ("inbound", "v2-beta", 70)]
    {
        let labels = |status: &str| {
            format!(
                "direction=\"{direction}\",tls=\"true\",target_addr=\"10.0.0.1:8080\",srv_kind=\"default\",\
                 srv_name=\"all-unauthenticated\",deployment=\"{service}-{version}\",namespace=\"shop\",\
                 pod=\"{service}-{version}-7d9c5b8f6d-x2x4z\",status_code=\"{status}\""
            )
        };
        for (status, class, each) in [("200", "success", 100 - failures), ("500", "failure", failures)] {
            let labels = labels(status);
            text += &counter("response_total", &format!("{labels},classification=\"{class}\""), each, moment);
            let slow = if (direction, version) == ("inbound", "v2") { 98 } else { 10 };
            let within = [("50", slow - 8), ("100", slow), ("200", 100), ("300", 100)];
            text += &histogram("response_latency_ms", &labels, 1, &within, moment);
        }
    }
    text
}

/// ingress-nginx: an ingress for each version's Kubernetes service.
pub(crate) fn nginx(service: &str, moment: Moment) -> String {
    let mut text = String::new();
    for (version, failures) in [("v2", 5), ("v1", 50), ("v2-beta", 70)] {
        let labels = |status: &str| {
            format!(
                "canary=\"\",controller_class=\"k8s.io/ingress-nginx\",controller_namespace=\"ingress-nginx\",\
                 controller_pod=\"ingress-nginx-controller-5d7b9f8c6c-8kq5w\",host=\"shop.example.com\",\
                 ingress=\"{service}-{version}\",method=\"GET\",namespace=\"shop\",path=\"/\",\
                 service=\"{service}-{version}\",status=\"{status}\""
            )
        };
        for (status, each) in [("200", 90 - failures), ("404", 10), ("502", failures - 1), ("503", 1)] {
            text += &counter("nginx_ingress_controller_requests", &labels(status), each, moment);
        }
        let slow = if version == "v2" { 98 } else { 10 };
        let within = [("0.1", slow - 8), ("0.25", slow), ("0.5", 100), ("1", 100)];
        for status in ["200", "502"] {
            text +=
                &histogram("nginx_ingress_controller_request_duration_seconds", &labels(status), 1, &within, moment);
        }
    }
    text
}

/// Traefik, with its services as its Kubernetes providers name them.
pub(crate) fn traefik(service: &str, moment: Moment) -> String {
    let mut text = String::new();
    for (name, failures) in [
        (format!("shop-{service}-v2-8080@kubernetescrd"), 6),
        (format!("shop-{service}-v1-8080@kubernetescrd"), 50),
        (format!("shop-{service}-v21-8080@kubernetescrd"), 70),
    ] {
        let labels = |code: &str| format!("code=\"{code}\",method=\"GET\",protocol=\"http\",service=\"{name}\"");
        for (code, each) in [("200", 90 - failures), ("404", 10), ("500", failures)] {
            text += &counter("traefik_service_requests_total", &labels(code), each, moment);
        }
        let slow = if failures == 6 { 98 } else { 10 };
        let within = [("0.1", slow - 8), ("0.3", slow), ("1.2", 100), ("5", 100)];
        for code in ["200", "500"] {
            text += &histogram("traefik_service_request_duration_seconds", &labels(code), 1, &within, moment);
        }
    }
    text
}

/// An OpenTelemetry collector that makes labels of resource attributes.
pub(crate) fn otel(service: &str, moment: Moment) -> String {
    let mut text = String::new();
    for (version, failures) in [("v2", 7), ("v1", 50), ("v2-beta", 70)] {
        for (status, hundreds) in [("200", 100 - failures), ("500", failures)] {
            let labels = format!(
                "http_request_method=\"GET\",http_response_status_code=\"{status}\",http_route=\"/cart\",\
                 job=\"shop/{service}\",network_protocol_version=\"1.1\",otel_scope_name=\"http\",\
                 service_name=\"{service}\",service_version=\"{version}\",url_scheme=\"http\""
            );
            let slow = if version == "v2" { 98 } else { 10 };
            let within = [("0.05", slow - 8), ("0.075", slow), ("0.1", 100), ("0.25", 100)];
            text += &histogram("http_server_request_duration_seconds", &labels, hundreds, &within, moment);
        }
    }
    text
}
