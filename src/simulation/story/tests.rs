use super::*;
use crate::model::{AnalysisPolicy, Canary, ClusterSize, ErrorsMetric, OnInconclusive, Strategy};
use crate::simulation::peers::{Argo, Flagger};

fn release(steps: Vec<Step>) -> Release {
    let errors = ErrorsMetric { cluster_size: ClusterSize::Given(1.0), ..ErrorsMetric::default() };
    let analysis = AnalysisPolicy { errors: Some(errors), ..AnalysisPolicy::default() };
    Release::new("checkout", "checkout", "v2", Strategy::Canary(Canary { steps, ..Canary::default() }), analysis)
}

fn ladder() -> Vec<Step> {
    let weight = |percent| Step::SetWeight(Weight::from_percent(percent).expect("a weight"));
    let analyze = || Step::Analyze { max: Duration::from_secs(600) };
    vec![weight(5.0), analyze(), weight(50.0), analyze()]
}

fn played(release: &Release, traffic: &Traffic, defect: &Defect, seed: u64) -> Outcome {
    Story::new(release, None, traffic, defect).play(seed)
}

#[test]
fn good_ones_arrive_and_bad_ones_go_back() {
    let traffic = Traffic { rps: 500.0, ..Traffic::default() };
    for seed in 0..5 {
        let good = played(&release(ladder()), &traffic, &Defect::default(), seed);
        assert_eq!((good.decision, good.harmed), (Decision::Advanced, 0), "{good:?}");
        let bad = played(&release(ladder()), &traffic, &Defect::errors(20.0), seed);
        assert_eq!(bad.decision, Decision::Reverted, "{bad:?}");
        assert!(bad.harmed > 0 && bad.seconds < good.seconds, "{bad:?}, {good:?}");
        assert_eq!(bad, played(&release(ladder()), &traffic, &Defect::errors(20.0), seed), "the same seed");
    }
}

#[test]
fn without_traffic_nothing_is_decided() {
    let traffic = Traffic { rps: 0.0, ..Traffic::default() };
    let story = release(ladder());
    let held = Story { limit: 3_600, ..Story::new(&story, None, &traffic, &Defect::default()) }.play(1);
    assert_eq!((held.decision, held.seconds), (Decision::Held, 3_600));
    let flagger = Story::new(&story, None, &traffic, &Defect::default()).play_peer(&mut Flagger::default(), 1);
    assert_eq!((flagger.decision, flagger.seconds), (Decision::Reverted, 360), "no traffic fails its checks");
}

#[test]
fn what_is_not_proven_in_time_is_inconclusive_or_as_the_policy_says() {
    let traffic = Traffic { rps: 20.0, ..Traffic::default() };
    let mut short =
        release(vec![Step::SetWeight(Weight::from_hundredths(500)), Step::Analyze { max: Duration::from_secs(5) }]);
    assert_eq!(played(&short, &traffic, &Defect::default(), 1).decision, Decision::Inconclusive);
    short.analysis.on_inconclusive = OnInconclusive::Revert;
    assert_eq!(played(&short, &traffic, &Defect::default(), 1).decision, Decision::Reverted);
    short.analysis.on_inconclusive = OnInconclusive::Advance;
    assert_eq!(played(&short, &traffic, &Defect::default(), 1).decision, Decision::Advanced);
}

#[test]
fn a_pause_is_ended_by_somebody_and_a_bad_version_costs_until_it_is_noticed() {
    let traffic = Traffic { rps: 10.0, errors: 0.0, ..Traffic::default() };
    let steps = vec![Step::SetWeight(Weight::from_hundredths(1)), Step::Pause(None)];
    let defect = Defect { errors_plus: 0.5, after: 100.0, ..Defect::default() };
    let outcome = played(&release(steps), &traffic, &defect, 1);
    assert_eq!(outcome.decision, Decision::Advanced, "{outcome:?}");
    assert!(
        (2_200..2_800).contains(&outcome.harmed),
        "half of ten a second for the 500 s left of ten minutes: {outcome:?}"
    );
}

#[test]
fn copies_harm_nobody_and_are_judged() {
    let traffic = Traffic { rps: 500.0, ..Traffic::default() };
    let steps = vec![Step::Mirror { percent: Weight::from_hundredths(1_000), duration: None }];
    let steps = [steps, vec![Step::Analyze { max: Duration::from_secs(600) }]].concat();
    let outcome = played(&release(steps), &traffic, &Defect::errors(20.0), 1);
    assert_eq!((outcome.decision, outcome.harmed), (Decision::Reverted, 0), "{outcome:?}");
}

#[test]
fn peers_walk_the_same_ladder() {
    let traffic = Traffic { rps: 500.0, ..Traffic::default() };
    let (story, good, bad) = (release(ladder()), Defect::default(), Defect::errors(20.0));
    let promoted = Story::new(&story, None, &traffic, &good).play_peer(&mut Argo::default(), 1);
    assert_eq!((promoted.decision, promoted.seconds), (Decision::Advanced, 600));
    let reverted = Story::new(&story, None, &traffic, &bad).play_peer(&mut Argo::default(), 1);
    assert_eq!((reverted.decision, reverted.seconds), (Decision::Reverted, 240));
    let serin = Story::new(&story, None, &traffic, &bad).play(1);
    assert!(serin.harmed * 10 < reverted.harmed, "{serin:?}, {reverted:?}");
}
