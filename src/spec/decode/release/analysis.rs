//! `analysis`: what counts as evidence, and how sure to be.

mod latency;
mod measured;
mod rates;

use std::collections::BTreeMap;

use crate::model::{AnalysisPolicy, OnInconclusive, OnNoData, Risk};
use crate::spec::decode::amount::one_of;
use crate::spec::diagnostic::quoted;
use crate::spec::problems::Spot;
use crate::spec::reader::{At, Reader};
use crate::spec::value;

const METRICS: &str =
    "list the metrics, as in `metrics: [{errors: {}}, {latency: {}}]`, or leave it out for errors and ejections";
const METRIC: &str = "a metric is `errors: {}`, `latency: {}`, `ejections: {}`, `prometheus: {query: …, max: …}` or \
                      `webhook: {url: …, max: …}`";
const BASELINE: &str = "write a version of the service, as in `baseline: v1-fresh`";
/// More could not be told apart by people.
const MEASURED_LIMIT: usize = 32;

pub(super) fn decode(reader: &mut Reader<'_, '_>, at: &At<'_>) -> AnalysisPolicy {
    let mut policy = AnalysisPolicy::default();
    let Some(mut fields) = reader.map(at, "write `analysis: {risk: …, metrics: […]}`, or leave it out") else {
        return policy;
    };
    let risk_at = fields.optional("risk");
    let metrics_at = fields.optional("metrics");
    let (baseline, silent) = (fields.optional("baseline"), fields.optional("silentLimit"));
    let no_data = fields.optional("onNoData");
    let inconclusive = fields.optional("onInconclusive");
    fields.finish(reader, &[]);
    if let Some(at) = risk_at {
        policy.risk = risk(reader, &at);
    }
    if let Some(at) = metrics_at {
        metrics(reader, &at, &mut policy);
        undecided(reader, &at, &policy);
    }
    policy.baseline = baseline.and_then(|at| reader.parse(&at, BASELINE, value::version));
    if let Some(share) = silent.and_then(|at| reader.parse(&at, "write `20%` or `0.2`", value::share)) {
        policy.silent_limit = share;
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
        *into = at.and_then(|at| self::chance(reader, &at)).unwrap_or(*into);
    };
    chance(revert, &mut risk.false_revert);
    chance(advance, &mut risk.false_advance);
    risk
}

/// The chance of being wrong. Who writes 0.95 means how sure to be.
fn chance(reader: &mut Reader<'_, '_>, at: &At<'_>) -> Option<f64> {
    const MOST: f64 = 0.5;
    let help = "write a small chance, such as `0.01` or `1%`: the smaller, the longer it takes to be sure";
    let chance = reader.parse(at, help, |text| {
        value::share(text).map_err(|refused| value::Refused { message: refused.message, help: help.to_owned() })
    })?;
    if chance > 0.0 && chance <= MOST {
        return Some(chance);
    }
    let written = quoted(at.node.text().unwrap_or_default());
    let message = format!("{} is the chance of being wrong, above 0 and up to {MOST}, not {written}", at.shown());
    let percent = |share: f64| (share * 1e8).round() / 1e6;
    let help = if chance > MOST && chance < 1.0 {
        format!("to be {} % sure, write `{}%`", percent(chance), percent(1.0 - chance))
    } else {
        help.to_owned()
    };
    reader.error(at, message, help);
    None
}

fn metrics(reader: &mut Reader<'_, '_>, at: &At<'_>, policy: &mut AnalysisPolicy) {
    let Some(items) = reader.list(at, METRICS) else { return };
    if items.is_empty() {
        reader.error(at, "an analysis needs at least one metric", METRICS);
    }
    (policy.errors, policy.latency, policy.ejections) = (None, None, None);
    let mut seen: BTreeMap<&str, Spot> = BTreeMap::new();
    for at in items {
        let Some(mut fields) = reader.map(&at, METRIC) else { continue };
        let (errors, latency) = (fields.optional("errors"), fields.optional("latency"));
        let ejections = fields.optional("ejections");
        let (prometheus, webhook) = (fields.optional("prometheus"), fields.optional("webhook"));
        one_of(reader, &mut fields, "metric", METRIC, &["datadog", "newRelic", "cloudWatch", "graphite", "influxdb"]);
        for (word, at) in [("errors", &errors), ("latency", &latency), ("ejections", &ejections)] {
            let Some(at) = at else { continue };
            let spot = reader.at_key(at);
            match seen.get(word) {
                Some(first) => {
                    let first = first.clone();
                    reader.error_with(
                        at,
                        "this metric is listed twice",
                        "remove one of them",
                        (&first, "the first one"),
                    );
                }
                None => drop(seen.insert(word, spot)),
            }
        }
        policy.errors = errors.map(|at| rates::errors(reader, &at)).or(policy.errors.take());
        policy.latency = latency.map(|at| latency::decode(reader, &at)).or(policy.latency.take());
        policy.ejections = ejections.map(|at| rates::ejections(reader, &at)).or(policy.ejections);
        let measured = [
            prometheus.and_then(|at| Some((measured::prometheus(reader, &at)?, at))),
            webhook.and_then(|at| Some((measured::webhook(reader, &at)?, at))),
        ];
        for (metric, at) in measured.into_iter().flatten() {
            if policy.measured.iter().any(|other| other.name == metric.name) {
                let message = format!("there is another metric {}", quoted(&metric.name));
                let spot = reader.at_key(&at);
                reader.error_at(&spot, message, "give each a `name` of its own");
            } else if policy.measured.len() == MEASURED_LIMIT {
                let spot = reader.at_key(&at);
                reader.error_at(&spot, format!("more than {MEASURED_LIMIT} metrics of others"), "leave some out");
            } else {
                policy.measured.push(metric);
            }
        }
    }
}

/// Says so where nothing that is listed decides.
fn undecided(reader: &mut Reader<'_, '_>, at: &At<'_>, policy: &AnalysisPolicy) {
    let of_proxies = [
        policy.errors.as_ref().map(|metric| metric.dry_run),
        policy.latency.as_ref().map(|metric| metric.dry_run),
        policy.ejections.as_ref().map(|metric| metric.dry_run),
    ];
    let mut dry =
        of_proxies.into_iter().flatten().chain(policy.measured.iter().map(|metric| metric.dry_run)).peekable();
    if dry.peek().is_some() && dry.all(|is_dry| is_dry) {
        let message =
            "every metric is a dry run: nothing reverts by evidence, and each `analyze` passes with its `max`";
        reader.warning(at, message, "remove `dryRun` from one that is to decide");
    }
}

/// `dryRun`: whether a metric is shown only.
fn dry_run(reader: &mut Reader<'_, '_>, at: Option<At<'_>>) -> bool {
    at.and_then(|at| reader.boolean(&at)).unwrap_or_default()
}

/// A pair of ratios, the first of which is good and the second bad.
fn ratios(
    reader: &mut Reader<'_, '_>,
    at: &At<'_>,
    of: &str,
    (tolerate, reject): (Option<At<'_>>, Option<At<'_>>),
    (tolerate_ratio, reject_ratio): (&mut f64, &mut f64),
) {
    let tolerate_spot = tolerate.as_ref().map(|at| reader.at_key(at));
    if let Some(at) = tolerate {
        let help = format!("write a ratio of {of} such as `1.1`: up to it the canary counts as good");
        let read = reader.number(&at, "a ratio from 1 to 1000", &help, |n| (1.0..=1000.0).contains(&n));
        *tolerate_ratio = read.unwrap_or(*tolerate_ratio);
    }
    if let Some(at) = &reject {
        let help = format!("write a ratio of {of} such as `2`: from it on the canary counts as bad");
        let read = reader.number(at, "a ratio above 1 and up to 1000", &help, |n| n > 1.0 && n <= 1000.0);
        *reject_ratio = read.unwrap_or(f64::INFINITY);
    }
    if reject_ratio <= tolerate_ratio {
        let default = |is_given: bool| if is_given { "" } else { ", the default" };
        let (rejects, tolerates) = (default(reject.is_some()), default(tolerate_spot.is_some()));
        let message = format!(
            "rejectRatio ({reject_ratio}{rejects}) must be greater than tolerateRatio ({tolerate_ratio}{tolerates})"
        );
        let help = "leave room between good and bad: the closer they are, the longer it takes to tell them apart";
        let spot = reject.as_ref().map(|at| reader.at(at)).or(tolerate_spot).unwrap_or_else(|| reader.at_key(at));
        reader.error_at(&spot, message, help);
    }
}
