//! `analysis`: what counts as evidence, and how sure to be.

use crate::model::{AnalysisPolicy, EjectionsMetric, ErrorsMetric, OnInconclusive, OnNoData, Risk};
use crate::spec::decode::amount::one_of;
use crate::spec::problems::Spot;
use crate::spec::reader::{At, Reader};
use crate::spec::value;

const METRICS: &str = "list the metrics, as in `metrics: [{errors: {}}, {ejections: {}}]`, or leave it out for both";
const METRIC: &str = "a metric is `errors: {}` or `ejections: {}`, with or without limits of its own";

pub(super) fn decode(reader: &mut Reader<'_, '_>, at: &At<'_>) -> AnalysisPolicy {
    let mut policy = AnalysisPolicy::default();
    let Some(mut fields) = reader.map(at, "write `analysis: {risk: …, metrics: […]}`, or leave it out") else {
        return policy;
    };
    let risk_at = fields.optional("risk");
    let metrics_at = fields.optional("metrics");
    let no_data = fields.optional("onNoData");
    let inconclusive = fields.optional("onInconclusive");
    fields.finish(reader, &[]);
    if let Some(at) = risk_at {
        policy.risk = risk(reader, &at);
    }
    if let Some(at) = metrics_at {
        metrics(reader, &at, &mut policy);
    }
    let words = [("hold", OnNoData::Hold), ("revert", OnNoData::Revert)];
    if let Some(chosen) = no_data.and_then(|at| reader.choice(&at, &words, &[])) {
        policy.on_no_data = chosen;
    }
    let words =
        [("pause", OnInconclusive::Pause), ("revert", OnInconclusive::Revert), ("advance", OnInconclusive::Advance)];
    if let Some(chosen) = inconclusive.and_then(|at| reader.choice(&at, &words, &[])) {
        policy.on_inconclusive = chosen;
    }
    policy
}

fn risk(reader: &mut Reader<'_, '_>, at: &At<'_>) -> Risk {
    let mut risk = AnalysisPolicy::default().risk;
    let Some(mut fields) = reader.map(at, "write `risk: {falseRevert: 0.01, falseAdvance: 0.05}`") else { return risk };
    let (revert, advance) = (fields.optional("falseRevert"), fields.optional("falseAdvance"));
    fields.finish(reader, &[]);
    let mut chance = |at: Option<At<'_>>, into: &mut f64| {
        let within = |n: f64| n > 0.0 && n < 1.0;
        let help = "write a probability such as `0.01`: the smaller, the longer it takes to be sure";
        let read = at.and_then(|at| reader.number(&at, "a probability between 0 and 1, both excluded", help, within));
        *into = read.unwrap_or(*into);
    };
    chance(revert, &mut risk.false_revert);
    chance(advance, &mut risk.false_advance);
    risk
}

fn metrics(reader: &mut Reader<'_, '_>, at: &At<'_>, policy: &mut AnalysisPolicy) {
    let Some(items) = reader.list(at, METRICS) else { return };
    if items.is_empty() {
        reader.error(at, "an analysis needs at least one metric", METRICS);
    }
    let defaults = AnalysisPolicy::default();
    (policy.errors, policy.ejections) = (None, None);
    let mut seen: [Option<Spot>; 2] = [None, None];
    for at in items {
        let Some(mut fields) = reader.map(&at, METRIC) else { continue };
        let (errors_at, ejections_at) = (fields.optional("errors"), fields.optional("ejections"));
        one_of(reader, &mut fields, "metric", METRIC, &["latency", "prometheus", "webhook"]);
        for (at, seen) in [&errors_at, &ejections_at].into_iter().zip(&mut seen) {
            let Some(at) = at else { continue };
            let spot = reader.at_key(at);
            match seen {
                Some(first) => {
                    reader.error_with(at, "this metric is listed twice", "remove one of them", (first, "the first one"))
                }
                None => *seen = Some(spot),
            }
        }
        if let Some((at, default)) = errors_at.zip(defaults.errors) {
            policy.errors = Some(errors(reader, &at, default));
        }
        if let Some((at, default)) = ejections_at.zip(defaults.ejections) {
            policy.ejections = Some(ejections(reader, &at, default));
        }
    }
}

fn errors(reader: &mut Reader<'_, '_>, at: &At<'_>, mut metric: ErrorsMetric) -> ErrorsMetric {
    let Some(mut fields) = reader.map(at, "write `errors: {}` for the defaults") else { return metric };
    let tolerate = fields.optional("tolerateRatio");
    let reject = fields.optional("rejectRatio");
    let harmless = fields.optional("harmlessRate");
    let cluster = fields.optional("clusterSize");
    fields.finish(reader, &[]);
    let tolerate_spot = tolerate.as_ref().map(|at| reader.at_key(at));
    if let Some(at) = tolerate {
        let help = "write a ratio of error rates such as `1.1`: up to it the canary counts as good";
        let read = reader.number(&at, "a ratio from 1 to 1000", help, |n| (1.0..=1000.0).contains(&n));
        metric.tolerate_ratio = read.unwrap_or(metric.tolerate_ratio);
    }
    if let Some(at) = &reject {
        let help = "write a ratio of error rates such as `2`: from it on the canary counts as bad";
        let read = reader.number(at, "a ratio above 1 and up to 1000", help, |n| n > 1.0 && n <= 1000.0);
        metric.reject_ratio = read.unwrap_or(f64::INFINITY);
    }
    if metric.reject_ratio <= metric.tolerate_ratio {
        let (tolerate, reject_ratio) = (metric.tolerate_ratio, metric.reject_ratio);
        let message = format!("rejectRatio ({reject_ratio}) must be greater than tolerateRatio ({tolerate})");
        let help = "leave room between good and bad: the closer they are, the longer it takes to tell them apart";
        let spot = reject.as_ref().map(|at| reader.at(at)).or(tolerate_spot).unwrap_or_else(|| reader.at_key(at));
        reader.error_at(&spot, message, help);
    }
    if let Some(share) = harmless.and_then(|at| reader.parse(&at, "write `0.1%` or `0.001`", value::share)) {
        metric.harmless_rate = share;
    }
    if let Some(at) = cluster {
        let help = "write how many errors one cause makes at once, such as `1` or `5`";
        let read = reader.number(&at, "a number from 1 to 1000000", help, |n| (1.0..=1e6).contains(&n));
        metric.cluster_size = read.unwrap_or(metric.cluster_size);
    }
    metric
}

fn ejections(reader: &mut Reader<'_, '_>, at: &At<'_>, default: EjectionsMetric) -> EjectionsMetric {
    let Some(mut fields) = reader.map(at, "write `ejections: {}` for the defaults") else { return default };
    let excess = fields.optional("maxExcess");
    fields.finish(reader, &[]);
    let read = excess.and_then(|at| reader.parse(&at, "write a share, such as `0.2` or `20%`", value::share));
    read.map_or(default, |max_excess| EjectionsMetric { max_excess })
}
