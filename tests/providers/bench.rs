//! A measurer, and where its measurements come.

use std::sync::Arc;
use std::time::Duration;

use serin::analysis::Outcome;
use serin::http::Secrets;
use serin::model::MetricSource;
use serin::providers::Measurer;
use serin::rollout::{MeasureAbout, MeasureRequest, Measured};
use tokio::sync::mpsc;

pub(crate) const SECRET: &str = "open sesame";

pub(crate) struct Bench {
    pub(crate) measurer: Measurer,
    pub(crate) measured: mpsc::Receiver<Measured>,
    _files: tempfile::TempDir,
}

impl Bench {
    pub(crate) fn new() -> Self {
        let files = tempfile::tempdir().expect("a directory");
        let named = ["metrics", "two-lines"].map(|name| (name.to_owned(), files.path().join(name)));
        std::fs::write(&named[0].1, format!("{SECRET}\n")).expect("written");
        std::fs::write(&named[1].1, "one\ntwo\n").expect("written");
        let secrets = Secrets::from_flags(named).expect("secrets");
        let (measurer, measured) = Measurer::new(Arc::new(secrets), None);
        Self { measurer, measured, _files: files }
    }

    pub(crate) async fn next(&mut self) -> Measured {
        self.measured.recv().await.expect("the measurer lives")
    }

    /// What one measurement comes to.
    pub(crate) async fn measure(&mut self, source: MetricSource) -> Outcome {
        self.measure_within(source, Duration::from_secs(60)).await
    }

    pub(crate) async fn measure_within(&mut self, source: MetricSource, timeout: Duration) -> Outcome {
        self.measurer.conduct([MeasureRequest { timeout, ..request("p99", source) }]);
        let outcome = self.next().await.outcome;
        self.measurer.conduct([]);
        outcome
    }
}

/// One that is asked once: the next time is far away.
pub(crate) fn request(metric: &str, source: MetricSource) -> MeasureRequest {
    MeasureRequest {
        key: format!("checkout/1/{metric}/v2"),
        about: about(metric),
        source,
        interval: Duration::from_secs(3600),
        timeout: Duration::from_secs(60),
    }
}

pub(crate) fn about(metric: &str) -> MeasureAbout {
    MeasureAbout {
        release: "checkout".into(),
        service: "checkout".into(),
        canary: "v2".into(),
        baseline: "v1".into(),
        metric: metric.into(),
        window: "60s".into(),
    }
}

pub(crate) fn prometheus(address: impl Into<String>, secret: Option<&str>) -> MetricSource {
    let query = r#"sum(rate(rq{v="v2"}[60s]))"#.into();
    MetricSource::Prometheus { address: Some(address.into()), query, secret: secret.map(str::to_owned) }
}

pub(crate) fn webhook(url: impl Into<String>, path: &[&str], secret: Option<&str>) -> MetricSource {
    let path = path.iter().map(|step| (*step).to_owned()).collect();
    MetricSource::Webhook { url: url.into(), path, secret: secret.map(str::to_owned) }
}

pub(crate) fn error(why: &str) -> Outcome {
    Outcome::Error(why.to_owned())
}
