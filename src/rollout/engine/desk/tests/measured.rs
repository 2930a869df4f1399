//! What others measure: it reaches the judgement once, also when it could not be kept at first.

use super::*;
use crate::analysis::Outcome;
use crate::model::{MeasuredMetric, MetricSource};
use crate::rollout::{MeasureRequest, Measured};

fn metric() -> MeasuredMetric {
    MeasuredMetric {
        name: "p99".into(),
        source: MetricSource::Webhook { url: "http://127.0.0.1:9/".into(), path: Vec::new(), secret: None },
        min: None,
        max: Some(0.2),
        interval: Duration::from_secs(10),
        initial_delay: Duration::ZERO,
        timeout: Duration::from_secs(1),
        count: 1,
        failure_limit: 1,
        consecutive_error_limit: 4,
        dry_run: false,
    }
}

/// Where `a` has a canary with traffic, and a metric that others measure.
async fn measuring() -> (Office, MeasureRequest) {
    let mut office = Office::open("{setWeight: 5}, {pause: {}}").await;
    let mut world = office.desk.world.as_deref().cloned().expect("specs");
    let release = world.releases.get("a").expect("it");
    let mut release = release.clone();
    release.analysis.measured = vec![metric()];
    world.releases.insert("a".into(), release);
    office.desk.world = Some(Arc::new(world));
    for _ in 0..2 {
        office.second((0, 0), (0, 0)).await;
    }
    let wanted = office.desk.measurements().borrow().clone();
    let [request] = wanted.try_into().expect("one metric of one release");
    (office, request)
}

fn answer(request: &MeasureRequest, value: f64) -> Measured {
    Measured { request: request.clone(), outcome: Outcome::Value(value) }
}

/// How many measurements the journal has of `a`.
fn journaled(office: &Office) -> usize {
    let kept = office.shelf.kept.lock().expect("a lock");
    let readings = kept.iter().flat_map(|batch| &batch.records).map(|(name, record)| match record {
        Record::Measured { measurement, .. } if name == "a" => measurement.window.readings.len(),
        _ => 0,
    });
    readings.sum()
}

#[tokio::test]
async fn it_is_judged_in_the_next_turn_with_or_without_what_the_proxies_count() {
    let (mut office, request) = measuring().await;
    office.desk.measured(answer(&request, 0.3));
    let proxies = [office.proxy()];
    office.desk.observe(&proxies, Duration::ZERO, office.now, Timestamp::UNIX_EPOCH).await;
    assert_eq!((journaled(&office), office.phase("a")), (1, Phase::Paused));
    office.desk.measured(answer(&request, 0.4));
    office.second((0, 20), (0, 380)).await;
    assert_eq!((journaled(&office), office.phase("a")), (2, Phase::Degraded));
    assert!(office.desk.measurements().borrow().is_empty(), "nothing is measured of what has no traffic");
    assert_eq!(office.phase("b"), Phase::Paused);
}

#[tokio::test]
async fn what_nobody_asks_for_any_more_is_not_judged() {
    let (mut office, request) = measuring().await;
    for wrong in [
        MeasureRequest { key: "a/0/p99/v2".into(), ..request.clone() },
        MeasureRequest { interval: Duration::from_secs(1), ..request.clone() },
    ] {
        office.desk.measured(answer(&wrong, 9.0));
        office.desk.measured(answer(&wrong, 9.0));
        office.second((0, 20), (0, 380)).await;
    }
    assert_eq!((journaled(&office), office.phase("a")), (0, Phase::Paused));
}

#[tokio::test]
async fn a_measurement_that_could_not_be_kept_is_not_forgotten_and_counts_once() {
    let (mut office, request) = measuring().await;
    office.shelf.fails(true);
    office.desk.measured(answer(&request, 0.3));
    for _ in 0..3 {
        office.second((0, 0), (0, 0)).await;
    }
    assert_eq!(office.phase("a"), Phase::Paused, "one is let pass");
    office.shelf.fails(false);
    office.second((0, 0), (0, 0)).await;
    assert_eq!((journaled(&office), office.phase("a")), (1, Phase::Paused));
    office.desk.measured(answer(&request, 0.3));
    office.second((0, 0), (0, 0)).await;
    assert_eq!((journaled(&office), office.phase("a")), (2, Phase::Degraded));
}
