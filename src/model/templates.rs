//! Queries of Prometheus for what common exporters tell, under names: what most would write themselves.
//!
//! A rate of nothing is 0/0, which counts as "nothing to measure"; that there are no errors is 0, which takes
//! `or vector(0)`, because Prometheus has no series of what never happened.
//!
//! Where an exporter knows workloads and not versions, a version's workload is taken to be named `<service>-<version>`,
//! which is how versions that run side by side in Kubernetes are mostly named.
//!
//! Where an exporter has a label `service`, Prometheus' operator gives the exporter's own service that label, and what
//! the exporter says becomes `exported_service`: both are asked for.

/// A query with a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Template {
    /// As it is written in specs.
    pub name: &'static str,
    /// PromQL with [`super::PLACEHOLDERS`].
    pub query: &'static str,
    /// What the number is.
    pub unit: &'static str,
    /// Which limit makes sense.
    pub limit: SensibleLimit,
    /// What it measures, and what it takes.
    pub about: &'static str,
}

/// Which limit to a number makes sense.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SensibleLimit {
    /// Less is better.
    Max,
    /// More is better.
    Min,
}

impl SensibleLimit {
    /// As it is written in specs.
    pub fn word(self) -> &'static str {
        match self {
            SensibleLimit::Max => "max",
            SensibleLimit::Min => "min",
        }
    }
}

/// The template of a name.
pub fn template(name: &str) -> Option<&'static Template> {
    TEMPLATES.iter().find(|template| template.name == name)
}

const fn max(name: &'static str, unit: &'static str, about: &'static str, query: &'static str) -> Template {
    Template { name, query, unit, limit: SensibleLimit::Max, about }
}

const fn min(name: &'static str, unit: &'static str, about: &'static str, query: &'static str) -> Template {
    Template { name, query, unit, limit: SensibleLimit::Min, about }
}

const SHARE: &str = "share, 0 to 1";
const MILLISECONDS: &str = "milliseconds";

/// The pods of the canary: `-` and a number (of a StatefulSet), or its ReplicaSet's hash, if any, and five characters, in
/// the alphabet that Kubernetes makes both of. It has no vowels, so the pods of `v2-beta` are not taken for those of `v2`.
macro_rules! pods {
    () => {
        r#"pod=~"{{service}}-{{canary}}-([0-9]+|([bcdfghjklmnpqrstvwxz2456789]{6,10}-)?[bcdfghjklmnpqrstvwxz2456789]{5})""#
    };
}

/// The rate of the series of a service, by whichever label it has.
macro_rules! rate_of_service {
    ($name:literal, $service:literal, $more:literal) => {
        concat!(
            "rate(",
            $name,
            "{service",
            $service,
            $more,
            "}[{{window}}]) or ",
            "rate(",
            $name,
            "{exported_service",
            $service,
            $more,
            "}[{{window}}])"
        )
    };
}

/// Answers of class 5xx among all of a service.
macro_rules! error_rate_of_service {
    ($name:literal, $service:literal, $errors:literal) => {
        concat!(
            "(sum(",
            rate_of_service!($name, $service, $errors),
            ") or vector(0)) / ",
            "sum(",
            rate_of_service!($name, $service, ""),
            ")"
        )
    };
}

/// The 99th percentile of a service, in milliseconds, of a histogram in seconds.
macro_rules! p99_of_service {
    ($name:literal, $service:literal) => {
        concat!("1000 * histogram_quantile(0.99, sum by (le) (", rate_of_service!($name, $service, ""), "))")
    };
}

/// All templates, by name.
pub const TEMPLATES: &[Template] = &[
    max(
        "cadvisor-cpu",
        "cores per pod",
        "CPU that the canary's pods use on average (cAdvisor)",
        concat!(
            "avg(sum by (pod) (rate(container_cpu_usage_seconds_total{",
            pods!(),
            r#",container!=""}[{{window}}])))"#
        ),
    ),
    max(
        "cadvisor-cpu-throttled",
        SHARE,
        "CPU periods in which the canary's pods were throttled (cAdvisor)",
        // The pod's own cgroup has periods, too.
        concat!(
            "sum(rate(container_cpu_cfs_throttled_periods_total{",
            pods!(),
            r#",container!=""}[{{window}}])) / sum(rate(container_cpu_cfs_periods_total{"#,
            pods!(),
            r#",container!=""}[{{window}}]))"#
        ),
    ),
    max(
        "cadvisor-memory",
        "bytes",
        "memory in use in the canary's largest pod (cAdvisor)",
        concat!("max(sum by (pod) (container_memory_working_set_bytes{", pods!(), r#",container!=""}))"#),
    ),
    max(
        "envoy-error-rate",
        SHARE,
        "answers of class 5xx among all of the canary's cluster (Envoy's own statistics)",
        r#"(sum(rate(envoy_cluster_upstream_rq_xx{envoy_cluster_name="{{canaryCluster}}",envoy_response_code_class="5"}[{{window}}])) or vector(0)) / sum(rate(envoy_cluster_upstream_rq_xx{envoy_cluster_name="{{canaryCluster}}"}[{{window}}]))"#,
    ),
    max(
        "envoy-p50",
        MILLISECONDS,
        "median duration of the requests to the canary's cluster (Envoy's own statistics)",
        r#"histogram_quantile(0.5, sum by (le) (rate(envoy_cluster_upstream_rq_time_bucket{envoy_cluster_name="{{canaryCluster}}"}[{{window}}])))"#,
    ),
    max(
        "envoy-p95",
        MILLISECONDS,
        "95th percentile of the durations of requests to the canary's cluster (Envoy's own statistics)",
        r#"histogram_quantile(0.95, sum by (le) (rate(envoy_cluster_upstream_rq_time_bucket{envoy_cluster_name="{{canaryCluster}}"}[{{window}}])))"#,
    ),
    max(
        "envoy-p99",
        MILLISECONDS,
        "99th percentile of the durations of requests to the canary's cluster (Envoy's own statistics)",
        r#"histogram_quantile(0.99, sum by (le) (rate(envoy_cluster_upstream_rq_time_bucket{envoy_cluster_name="{{canaryCluster}}"}[{{window}}])))"#,
    ),
    max(
        "istio-request-duration",
        MILLISECONDS,
        "99th percentile of the durations of requests that the canary's sidecars took (Istio's standard metrics)",
        r#"histogram_quantile(0.99, sum by (le) (rate(istio_request_duration_milliseconds_bucket{reporter="destination",destination_service_name="{{service}}",destination_version="{{canary}}"}[{{window}}])))"#,
    ),
    min(
        "istio-request-success-rate",
        SHARE,
        "requests that the canary's sidecars answered with less than 500 (Istio's standard metrics)",
        r#"(sum(rate(istio_requests_total{reporter="destination",destination_service_name="{{service}}",destination_version="{{canary}}",response_code!~"5.."}[{{window}}])) or vector(0)) / sum(rate(istio_requests_total{reporter="destination",destination_service_name="{{service}}",destination_version="{{canary}}"}[{{window}}]))"#,
    ),
    max(
        "kube-restarts",
        "restarts per window",
        "restarts of the canary's containers (kube-state-metrics)",
        concat!("sum(increase(kube_pod_container_status_restarts_total{", pods!(), "}[{{window}}]))"),
    ),
    max(
        "linkerd-latency",
        MILLISECONDS,
        "99th percentile of the durations of requests to the canary's deployment (Linkerd's proxy)",
        r#"histogram_quantile(0.99, sum by (le) (rate(response_latency_ms_bucket{direction="inbound",deployment="{{service}}-{{canary}}"}[{{window}}])))"#,
    ),
    min(
        "linkerd-success-rate",
        SHARE,
        "requests to the canary's deployment that Linkerd's proxy classified as success",
        r#"(sum(rate(response_total{direction="inbound",deployment="{{service}}-{{canary}}",classification="success"}[{{window}}])) or vector(0)) / sum(rate(response_total{direction="inbound",deployment="{{service}}-{{canary}}"}[{{window}}]))"#,
    ),
    max(
        "nginx-error-rate",
        SHARE,
        "answers of class 5xx among all of the Kubernetes service of the canary (ingress-nginx)",
        error_rate_of_service!(
            "nginx_ingress_controller_requests",
            r#"="{{service}}-{{canary}}""#,
            r#",status=~"5..""#
        ),
    ),
    max(
        "nginx-latency",
        MILLISECONDS,
        "99th percentile of the durations of requests to the Kubernetes service of the canary (ingress-nginx)",
        p99_of_service!("nginx_ingress_controller_request_duration_seconds_bucket", r#"="{{service}}-{{canary}}""#),
    ),
    max(
        "otel-error-rate",
        SHARE,
        "answers of class 5xx as the canary itself counts them (OpenTelemetry's http.server.request.duration, with \
         service.name and service.version as labels)",
        r#"(sum(rate(http_server_request_duration_seconds_count{service_name="{{service}}",service_version="{{canary}}",http_response_status_code=~"5.."}[{{window}}])) or vector(0)) / sum(rate(http_server_request_duration_seconds_count{service_name="{{service}}",service_version="{{canary}}"}[{{window}}]))"#,
    ),
    max(
        "otel-latency",
        MILLISECONDS,
        "99th percentile of the durations as the canary itself measures them (OpenTelemetry's \
         http.server.request.duration, with service.name and service.version as labels)",
        r#"1000 * histogram_quantile(0.99, sum by (le) (rate(http_server_request_duration_seconds_bucket{service_name="{{service}}",service_version="{{canary}}"}[{{window}}])))"#,
    ),
    max(
        "traefik-error-rate",
        SHARE,
        "answers of class 5xx among all of the canary's service (Traefik)",
        error_rate_of_service!(
            "traefik_service_requests_total",
            r#"=~"(.+-)?{{service}}-{{canary}}(-[^@]*)?@.+""#,
            r#",code=~"5..""#
        ),
    ),
    max(
        "traefik-latency",
        MILLISECONDS,
        "99th percentile of the durations of requests to the canary's service (Traefik)",
        p99_of_service!(
            "traefik_service_request_duration_seconds_bucket",
            r#"=~"(.+-)?{{service}}-{{canary}}(-[^@]*)?@.+""#
        ),
    ),
];

#[cfg(test)]
mod tests {
    use super::super::placeholders;
    use super::*;

    #[test]
    fn each_is_found_by_its_name_and_asks_about_the_canary() {
        assert!(TEMPLATES.is_sorted_by(|a, b| a.name < b.name), "a list for people is sorted, and names are unique");
        for known in TEMPLATES {
            assert_eq!(template(known.name), Some(known));
            let places = placeholders(known.query).expect("only known places");
            assert!(places.iter().any(|place| place.starts_with("canary")), "{}", known.name);
            let is_rate = known.query.contains("rate(") || known.query.contains("increase(");
            assert_eq!(places.contains(&"window"), is_rate, "{}", known.name);
            for pair in ["()", "[]"] {
                let count = |at: usize| known.query.matches(&pair[at..=at]).count();
                assert_eq!(count(0), count(1), "{}", known.name);
            }
        }
        assert_eq!(template("envoy"), None);
    }
}
