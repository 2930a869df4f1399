//! Another failure counts from now on.

use std::collections::BTreeSet;

use super::super::super::Measurement;
use super::*;
use crate::model::{Cause, Failures};

fn counting(causes: &[Cause]) -> AnalysisPolicy {
    let causes: BTreeSet<Cause> = causes.iter().copied().collect();
    let errors = policy().errors.map(|errors| ErrorsMetric { causes, harmless_rate: 0.001, ..errors });
    AnalysisPolicy { errors, ..policy() }
}

/// A second with failed of many requests, by timeouts.
fn timeouts(canary: (u64, u64), baseline: (u64, u64)) -> Window {
    let arm = |(failed, requests)| Arm {
        requests,
        failures: Failures::of(Cause::Timeout, failed),
        ..Arm::from(counts(0, requests))
    };
    Window { canary: arm(canary), baseline: arm(baseline), ..window(counts(0, 0), counts(0, 0)) }
}

/// Judges, and what is kept of it in a journal.
fn judged(judge: &mut Judge, windows: Vec<Window>, policy: &AnalysisPolicy) -> Vec<Measurement> {
    windows.iter().map(|window| judge.observe(window, policy)).collect()
}

const OWN: &[Cause] = &[Cause::Answer];
const BOTH: &[Cause] = &[Cause::Answer, Cause::Timeout];

#[test]
fn what_speaks_by_other_failures_is_dropped_and_what_is_lost_stays_lost() {
    // Almost enough to revert, by timeouts, which do not count any more.
    let mut judge = Judge::default();
    let mut kept = judged(&mut judge, vec![timeouts((3, 100), (3, 900))], &counting(BOTH));
    let before = judge.evidence(&counting(BOTH)).revert_evidence;
    assert!(before > 2.0 && before < 100.0, "{before}");
    kept.extend(judged(&mut judge, vec![timeouts((3, 100), (3, 900))], &counting(OWN)));
    let after = judge.evidence(&counting(OWN));
    assert!(after.revert_evidence <= 1.0 + 1e-9, "{after:?}");
    assert_eq!((after.canary_errors, after.canary_requests), (0, 100));
    // A canary that was better than its baseline: to count otherwise gives nothing back, however often that is said.
    let mut judge = Judge::default();
    judged(&mut judge, vec![timeouts((0, 500), (9, 500)); 9], &counting(BOTH));
    let mut least = judge.evidence(&counting(BOTH)).revert_evidence;
    assert!(least < 0.9, "{least}");
    for causes in [OWN, BOTH, OWN, BOTH] {
        kept.extend(judged(&mut judge, vec![timeouts((0, 1), (0, 1))], &counting(causes)));
        let now = judge.evidence(&counting(causes)).revert_evidence;
        assert!(now <= least + 1e-9, "{now} after {least}");
        least = now;
    }
}

#[test]
fn a_proof_is_no_proof_of_other_failures() {
    let mut judge = Judge::default();
    let clean = || vec![timeouts((0, 1_000), (50, 9_000)); 9];
    judged(&mut judge, clean(), &counting(BOTH));
    assert_eq!(kind(&judge.verdict(&counting(BOTH))), Kind::Pass);
    judged(&mut judge, vec![timeouts((0, 1), (0, 9))], &counting(OWN));
    assert_eq!(kind(&judge.verdict(&counting(OWN))), Kind::Undecided);
    // What counted against it before is not forgiven.
    let mut judge = Judge::default();
    judged(&mut judge, vec![timeouts((15, 1_000), (50, 9_000)); 2], &counting(BOTH));
    let before = judge.evidence(&counting(BOTH)).advance_evidence;
    assert!(before < 1.0, "{before}");
    judged(&mut judge, vec![timeouts((0, 1), (0, 9))], &counting(OWN));
    assert!(judge.evidence(&counting(OWN)).advance_evidence <= before * 1.01);
}

#[test]
fn after_a_switch_the_predecessor_is_known_by_each_cause() {
    let mut judge = Judge::default();
    let mut kept = judged(&mut judge, vec![timeouts((5, 100), (45, 900)); 9], &counting(OWN));
    judge.begin_watch(&counting(OWN));
    let alone = || vec![timeouts((50, 1_000), (0, 0)); 30];
    kept.extend(judged(&mut judge, alone(), &counting(OWN)));
    // Its predecessor had as many timeouts: that they count now reverts nobody.
    kept.extend(judged(&mut judge, alone(), &counting(BOTH)));
    assert_ne!(kind(&judge.verdict(&counting(BOTH))), Kind::Fail(Metric::Errors), "{judge:?}");
    // More of them do.
    let worse = vec![timeouts((200, 1_000), (0, 0)); 30];
    kept.extend(judged(&mut judge, worse, &counting(BOTH)));
    assert_eq!(kind(&judge.verdict(&counting(BOTH))), Kind::Fail(Metric::Errors));
    // All of it is judged again the same, bit for bit.
    let mut again = Judge::default();
    for measurement in &kept {
        assert_eq!(again.replay(measurement), measurement.evidence);
    }
}
