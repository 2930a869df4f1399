use jiff::Timestamp;

use super::*;
use crate::model::{AnalysisPolicy, Canary, MetricSource, Step, Strategy};
use crate::rollout::{Context, Event, FleetState, Observation};

fn metric(name: &str, initial_delay: u64) -> MeasuredMetric {
    MeasuredMetric {
        name: name.into(),
        source: MetricSource::Prometheus {
            address: Some("http://prometheus:9090".into()),
            query: r#"up{v="{{canary}}",c="{{canaryCluster}}",b="{{baselineCluster}}"}[{{window}}]"#.into(),
            secret: None,
        },
        min: None,
        max: Some(1.0),
        interval: Duration::from_secs(60),
        initial_delay: Duration::from_secs(initial_delay),
        timeout: Duration::from_secs(5),
        count: 1,
        failure_limit: 0,
        consecutive_error_limit: 4,
        dry_run: false,
    }
}

fn release(version: &str) -> Release {
    let half = Step::SetWeight(Weight::from_percent(50.0).expect("a percentage"));
    let strategy = Strategy::Canary(Canary { steps: vec![half, Step::Pause(None)], ..Canary::default() });
    let measured = vec![metric("at-once", 0), metric("later", 3)];
    let analysis = AnalysisPolicy { measured, ..AnalysisPolicy::default() };
    Release::new("checkout", "checkout", version, strategy, analysis)
}

/// A second passes, in which so many of four proxies have the present weight in force.
fn second(rollout: Rollout, release: &Release, in_force: usize) -> Rollout {
    let fleet = FleetState { proxies: 4, in_force, ready: 4, ..FleetState::default() };
    let seen = Observation { elapsed: Duration::from_secs(1), fleet, ..Observation::default() };
    let applied = rollout.apply(Event::Observed(seen), Context::of(release), Timestamp::UNIX_EPOCH);
    applied.expect("observations never fail").rollout
}

fn names(rollout: &Rollout, release: &Release) -> Vec<String> {
    rollout.measurements(release).into_iter().map(|request| request.about.metric).collect()
}

#[test]
fn it_is_measured_from_the_first_traffic_on_after_the_initial_delay_and_in_pauses() {
    let mut rollout = Rollout::adopt("checkout", "checkout", "v1", Timestamp::UNIX_EPOCH);
    let release = release("v2.1");
    for (in_force, expected) in [
        // It prepares; then the weight is published, but not in force.
        (4, vec![]),
        (4, vec![]),
        (2, vec![]),
        (4, vec!["at-once"]),
        (4, vec!["at-once"]),
        // A proxy more or less ends nothing.
        (3, vec!["at-once", "later"]),
        (4, vec!["at-once", "later"]),
    ] {
        rollout = second(rollout, &release, in_force);
        assert_eq!(names(&rollout, &release), expected, "{:?}", rollout.state);
    }
    let kept = serde_json::to_string(&rollout).expect("JSON");
    let back: Rollout = serde_json::from_str(&kept).expect("the same");
    assert_eq!(back.measurements(&release), rollout.measurements(&release), "nothing begins anew after a restart");
    let next = second(rollout.clone(), &release, 4);
    assert_eq!(next.measurements(&release), rollout.measurements(&release), "the same go on");

    let reverted = Event::Ordered(crate::rollout::Command::Abort { reason: "enough".into() });
    let back = rollout.apply(reverted, Context::of(&release), Timestamp::UNIX_EPOCH).expect("it may be").rollout;
    assert_eq!(names(&back, &release), [""; 0]);
}

#[test]
fn everything_that_is_named_is_filled_in() {
    let mut rollout = Rollout::adopt("checkout", "checkout", "v1", Timestamp::UNIX_EPOCH);
    let release = release("v2.1");
    for _ in 0..3 {
        rollout = second(rollout, &release, 4);
    }
    let request = rollout.measurements(&release).remove(0);
    assert_eq!(request.key, "checkout/1/at-once/v2.1");
    let query = r#"up{v="v2.1",c="checkout/v2~1",b="checkout/v1"}[60s]"#;
    let MetricSource::Prometheus { query: filled, .. } = &request.source else { panic!("{request:?}") };
    assert_eq!(filled, query);
    let about = serde_json::json!({
        "release": "checkout", "service": "checkout", "canary": "v2.1", "baseline": "v1", "metric": "at-once",
        "window": "60s",
    });
    assert_eq!(serde_json::to_value(&request.about).expect("JSON"), about);
    for (millis, words) in [(250, "250ms"), (1000, "1s"), (1500, "1500ms"), (300_000, "300s")] {
        assert_eq!(window(Duration::from_millis(millis)), words);
    }
}
