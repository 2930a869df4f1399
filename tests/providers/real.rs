//! A real Prometheus, which scrapes what exporters expose: each template's query gives the number that was put in.

#[path = "real/exported.rs"]
mod exported;
#[path = "real/exporter.rs"]
mod exporter;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Result, ensure};
use serin::analysis::Outcome;
use serin::model::{MetricSource, TEMPLATES, fill_in, template};
use serin_testbed::prometheus::{Job, Prometheus};
use serin_testbed::wait;

use crate::bench::{Bench, error};
use exporter::{Exporter, Exposed, Moment};

const DEADLINE: Duration = Duration::from_secs(60);
const EVERY: Duration = Duration::from_millis(200);
/// What is looked at is this old at most.
const WINDOW: &str = "2s";
/// The same where something happens once, which must not be gone before it is seen.
const LONG_WINDOW: &str = "1m";
/// How many scrapes it takes until there are so many in a window.
const FULL: u64 = 12;

/// What an exporter shows of a service.
type Shown = fn(&str, Moment) -> String;
/// Exporters with a label `service`: shown of a second service, as the target of one that has this label itself.
const HAVE_SERVICE: [&str; 2] = ["nginx", "traefik"];
const OF_A_SERVICE: &str = "-of-a-service";

/// Asks a Prometheus.
async fn measured(prometheus: &Prometheus, query: &str) -> Outcome {
    let source = MetricSource::Prometheus { address: Some(prometheus.url()), query: query.into(), secret: None };
    Bench::new().measure(source).await
}

/// The query of a template about the canary v2 of a service.
fn about(name: &str, service: &str) -> String {
    let query = template(name).expect("there is one").query;
    fill_in(query, |place| match place {
        "service" => Some(service),
        "canary" => Some("v2"),
        "window" if name == "kube-restarts" => Some(LONG_WINDOW),
        "window" => Some(WINDOW),
        other => panic!("{name} takes {other}"),
    })
}

/// Waits until a number comes to what it should, give or take a share of it.
async fn comes_to(prometheus: &Prometheus, name: &str, service: &str, expected: f64, within: f64) -> Result<()> {
    let query = about(name, service);
    wait::until(&format!("{name} of {service} to be {expected}"), DEADLINE, || async {
        let outcome = measured(prometheus, &query).await;
        let Outcome::Value(value) = outcome else { anyhow::bail!("{outcome:?} of {query}") };
        ensure!((value - expected).abs() <= expected * within, "{value} of {query}");
        Ok(())
    })
    .await
}

/// All exporters, the container's restarts, and a Prometheus that has scraped a window full of them.
async fn world() -> Result<Option<(Prometheus, Exporter, Arc<AtomicU64>)>> {
    let restarts = Arc::new(AtomicU64::new(0));
    let so_far = Arc::clone(&restarts);
    let shown: [(&str, Shown); 6] = [
        ("cadvisor", exported::cadvisor),
        ("istio", exported::istio),
        ("linkerd", exported::linkerd),
        ("nginx", exported::nginx),
        ("otel", exported::otel),
        ("traefik", exported::traefik),
    ];
    let mut paths: BTreeMap<String, Exposed> = BTreeMap::new();
    for (name, exposed) in shown {
        paths.insert(format!("/{name}"), Box::new(move |moment| exposed("checkout", moment)));
        if HAVE_SERVICE.contains(&name) {
            paths.insert(format!("/{name}{OF_A_SERVICE}"), Box::new(move |moment| exposed("basket", moment)));
        }
    }
    let kube_state = move |_| exported::kube_state("checkout", so_far.load(Ordering::SeqCst));
    paths.insert("/kube".into(), Box::new(kube_state));
    let names: Vec<String> = paths.keys().cloned().collect();
    let exporter = Exporter::start(paths).await;
    let jobs: Vec<Job> = names
        .iter()
        .map(|path| {
            let mut job = Job::new(&path[1..], vec![exporter.address], path);
            // As Prometheus' operator has it: the target's labels win over what it exposes.
            if path.ends_with(OF_A_SERVICE) {
                job.labels = vec![("service".into(), "metrics".into()), ("namespace".into(), "ingress".into())];
            }
            job
        })
        .collect();
    let Some(mut prometheus) = Prometheus::new("templates at a real Prometheus", EVERY)? else { return Ok(None) };
    prometheus.scrape(&jobs)?;
    prometheus.start().await?;
    wait::until("a window full of scrapes", DEADLINE, || async {
        let scrapes = exporter.scrapes(names.len());
        ensure!(scrapes >= FULL, "{scrapes} of {FULL}");
        Ok(())
    })
    .await?;
    Ok(Some((prometheus, exporter, restarts)))
}

/// What was put in, and how far it may be off: shares and quantiles are exact, because the same scrapes count above and
/// below; a rate or an increase is extrapolated from the scrapes to the window.
const EXPECTED: [(&str, f64, f64); 13] = [
    ("cadvisor-cpu", 0.3, 0.05),
    ("cadvisor-cpu-throttled", 0.25, 1e-9),
    ("cadvisor-memory", 350e6, 1e-9),
    ("istio-request-duration", 175.0, 1e-9),
    ("istio-request-success-rate", 0.97, 1e-9),
    ("linkerd-latency", 150.0, 1e-9),
    ("linkerd-success-rate", 0.96, 1e-9),
    ("nginx-error-rate", 0.05, 1e-9),
    ("nginx-latency", 375.0, 1e-9),
    ("otel-error-rate", 0.07, 1e-9),
    ("otel-latency", 87.5, 1e-9),
    ("traefik-error-rate", 0.06, 1e-9),
    ("traefik-latency", 750.0, 1e-9),
];

#[tokio::test]
async fn each_template_gives_the_number_that_was_put_in() -> Result<()> {
    let Some((prometheus, exporter, restarts)) = world().await? else { return Ok(()) };
    for (name, expected, within) in EXPECTED {
        comes_to(&prometheus, name, "checkout", expected, within).await?;
        if HAVE_SERVICE.iter().any(|exporter| name.starts_with(exporter)) {
            comes_to(&prometheus, name, "basket", expected, within).await?;
        }
        // Of what has no series there is no number, not even none of the errors.
        assert_eq!(measured(&prometheus, &about(name, "absent")).await, Outcome::Nothing, "{name}");
    }
    comes_to(&prometheus, "kube-restarts", "checkout", 0.0, 0.0).await?;
    restarts.store(3, Ordering::SeqCst);
    comes_to(&prometheus, "kube-restarts", "checkout", 3.0, 0.2).await?;
    // Those of Envoy are asked of a real one: tests/e2e/prometheus.rs.
    let others = TEMPLATES.iter().filter(|template| !template.name.starts_with("envoy-"));
    assert_eq!(others.count(), EXPECTED.len() + 1, "each is asked");
    drop(exporter);
    Ok(())
}

#[tokio::test]
async fn what_is_not_one_number_is_told_in_its_words() -> Result<()> {
    let Some(mut prometheus) = Prometheus::new("queries at a real Prometheus", EVERY)? else { return Ok(()) };
    prometheus.start().await?;
    let refused = "bad_data: invalid parameter \"query\": ";
    for (query, expected) in [
        ("sum(rate(rq[2s])", error(&format!("{refused}1:17: parse error: unclosed left parenthesis"))),
        (
            "sum(\n rate(rq))",
            error(&format!(
                "{refused}2:7: parse error: expected type range vector in call to function \"rate\", got instant vector"
            )),
        ),
        ("vector(0.25)", Outcome::Value(0.25)),
        ("scalar(vector(7))", Outcome::Value(7.0)),
        ("sum(rate(rq[1500ms]))", Outcome::Nothing),
        ("vector(0) / vector(0)", Outcome::Nothing),
        ("1 / vector(0)", Outcome::Nothing),
        ("\"fast\"", error("the query answers a text and not a number")),
        ("rq[2s]", error("the query answers a range and not one number: aggregate it over time, as with rate()")),
        (
            "label_replace(vector(1), \"a\", \"b\", \"\", \"\") or vector(2)",
            error("the query answers 2 series: aggregate, as with sum()"),
        ),
    ] {
        assert_eq!(measured(&prometheus, query).await, expected, "{query}");
    }
    prometheus.kill();
    assert_eq!(measured(&prometheus, "vector(0.25)").await, error("connection refused"));
    Ok(())
}
