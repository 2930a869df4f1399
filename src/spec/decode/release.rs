//! `kind: Release`.

use std::time::Duration;

use super::{Release, reference};
use crate::model::{
    self, AnalysisPolicy, EjectionsMetric, ErrorsMetric, OnInconclusive, OnNoData, OnRejected, Risk, Step, Strategy,
    Weight,
};
use crate::spec::diagnostic::quoted;
use crate::spec::problems::Spot;
use crate::spec::reader::{At, Fields, Reader};
use crate::spec::value;

const STRATEGY: &str =
    "write how to get there, as in `strategy: {canary: {steps: [{setWeight: 5}, {analyze: {max: 10m}}]}}`";
const STEPS: &str = "list the steps, as in `steps: [{setWeight: 5}, {analyze: {max: 10m}}, {setWeight: 50}]`";
const STEP: &str = "a step is `setWeight: 5`, `pause: {}`, `pause: {duration: 10m}` or `analyze: {max: 10m}`";
const PAUSE: &str = "write `pause: {}` to wait until promoted, or `pause: {duration: 10m}`";
const ANALYZE: &str = "write `analyze: {max: 10m}`: the longest time to look for proof";
const WEIGHT: &str = "write a percentage above 0 and up to 100, such as `5` or `0.5`";
const ROLLBACK: &str = "write `rollback: {auto: true, onRejected: hold}`: `auto: false` pauses instead of going back";
const METRICS: &str = "list the metrics, as in `metrics: [{errors: {}}, {ejections: {}}]`, or leave it out for both";
const METRIC: &str = "a metric is `errors: {}` or `ejections: {}`, with or without limits of its own";

const RISK: Risk = Risk { false_revert: 0.01, false_advance: 0.05 };
const ERRORS: ErrorsMetric =
    ErrorsMetric { tolerate_ratio: 1.1, reject_ratio: 2.0, harmless_rate: 0.001, cluster_size: 1.0 };
const EJECTIONS: EjectionsMetric = EjectionsMetric { max_excess: 0.2 };
const ANALYZE_MAX: Duration = Duration::from_secs(600);

pub(super) fn decode(reader: &mut Reader<'_, '_>, spec: &At<'_>) -> Option<Release> {
    let mut fields = reader.map(spec, "a Release's spec has `service`, `version` and `strategy`")?;
    let service = fields.required("service", "write which service it releases, as in `service: checkout`");
    let version = fields.required("version", "write the version that should be live, as in `version: v2`");
    let strategy_at = fields.required_unless(&["strategyRef"], "strategy", STRATEGY);
    let analysis_at = fields.optional("analysis");
    let rollback = fields.optional("rollback");
    let paused = fields.optional("paused");
    fields.finish(
        reader,
        &["strategyRef", "windows", "dependsOn", "regions", "featureFlags", "notify", "progressDeadline"],
    );
    let service = service.and_then(|at| reference(reader, &at, "write the service's name"));
    let version = version.and_then(|at| reference(reader, &at, "write the version's name"));
    let strategy = strategy_at.and_then(|at| strategy(reader, &at));
    let analysis = match analysis_at {
        Some(at) => analysis(reader, &at),
        None => default_analysis(),
    };
    let rollback = rollback.and_then(|at| self::rollback(reader, &at)).unwrap_or_default();
    let paused = paused.and_then(|at| reader.boolean(&at));
    let release = match (&service, &version, strategy) {
        (Some(service), Some(version), Some(strategy)) => Some(model::Release {
            name: String::new(),
            service: service.name.clone(),
            version: version.name.clone(),
            strategy,
            analysis,
            auto_rollback: rollback.auto,
            on_rejected: rollback.on_rejected,
            paused: paused.unwrap_or(false),
        }),
        _ => None,
    };
    Some(Release { release, service, version })
}

/// What sends a release back by itself.
struct Rollback {
    auto: bool,
    on_rejected: OnRejected,
}

impl Default for Rollback {
    fn default() -> Self {
        Self { auto: true, on_rejected: OnRejected::default() }
    }
}

fn rollback(reader: &mut Reader<'_, '_>, at: &At<'_>) -> Option<Rollback> {
    let mut fields = reader.map(at, ROLLBACK)?;
    let (auto, rejected) = (fields.optional("auto"), fields.optional("onRejected"));
    fields.finish(reader, &["window"]);
    let mut rollback = Rollback::default();
    if let Some(auto) = auto.and_then(|at| reader.boolean(&at)) {
        rollback.auto = auto;
    }
    let words = [("hold", OnRejected::Hold), ("revert", OnRejected::Revert)];
    if let Some(chosen) = rejected.and_then(|at| reader.choice(&at, &words, &[])) {
        rollback.on_rejected = chosen;
    }
    Some(rollback)
}

fn strategy(reader: &mut Reader<'_, '_>, at: &At<'_>) -> Option<Strategy> {
    let mut fields = reader.map(at, STRATEGY)?;
    let canary = fields.required_unless(&["blueGreen", "rolling"], "canary", STRATEGY);
    fields.finish(reader, &["blueGreen", "rolling"]);
    let mut fields = reader.map(&canary?, STEPS)?;
    let steps_at = fields.required("steps", STEPS);
    fields.finish(reader, &["sticky", "match", "mirror"]);
    let steps_at = steps_at?;
    let items = reader.list(&steps_at, STEPS)?;
    if items.is_empty() {
        reader.error(&steps_at, "a canary needs at least one step", STEPS);
    }
    let mut order = Order::default();
    let steps = items.iter().filter_map(|at| step(reader, at, &mut order)).collect();
    Some(Strategy::Canary { steps })
}

/// What the steps so far say about those that follow.
#[derive(Default)]
struct Order {
    /// The weight before, and where it is set.
    weight: Option<(Weight, Spot)>,
    /// Whether a weight could not be read: then nothing is known of the order.
    unknown: bool,
}

fn step(reader: &mut Reader<'_, '_>, at: &At<'_>, order: &mut Order) -> Option<Step> {
    let mut fields = reader.map(at, STEP)?;
    let (weight, pause_at, analyze_at) =
        (fields.optional("setWeight"), fields.optional("pause"), fields.optional("analyze"));
    one_of(reader, &mut fields, "step", STEP, &["mirror", "hook"]);
    if let Some(at) = weight {
        let weight = set_weight(reader, &at, order);
        order.unknown |= weight.is_none();
        return weight.map(Step::SetWeight);
    }
    if let Some(at) = pause_at {
        return pause(reader, &at);
    }
    analyze(reader, &analyze_at?, order)
}

/// Steps and metrics are mappings with a single field, which tells what they are.
fn one_of(reader: &mut Reader<'_, '_>, fields: &mut Fields<'_>, what: &str, help: &str, later: &[&str]) {
    fields.finish(reader, later);
    let all = fields.all();
    let given: Vec<&str> = all.iter().map(|(name, _)| *name).collect();
    match given.as_slice() {
        [] => reader.error(&fields.at, format!("this {what} is empty"), help),
        [_] => {}
        [_, second, ..] => {
            let message = format!("a {what} is one thing, and this one is {}", value::listed(&given, "and"));
            let spot = all.iter().find(|(name, _)| name == second).map(|(_, at)| reader.at_key(at));
            let spot = spot.unwrap_or_else(|| reader.at_key(&fields.at));
            reader.error_at(&spot, message, format!("begin {} on a line of its own with a dash", quoted(second)));
        }
    }
}

fn set_weight(reader: &mut Reader<'_, '_>, at: &At<'_>, order: &mut Order) -> Option<Weight> {
    let text = reader.text(at, WEIGHT)?;
    if let Some(number) = text.strip_suffix('%').filter(|n| n.parse::<f64>().is_ok()) {
        reader.error(
            at,
            format!("{} has a sign: weights are percentages anyway", quoted(text)),
            format!("write `{number}`"),
        );
        return None;
    }
    let percent = reader.number(at, "a percentage above 0 and up to 100", WEIGHT, |n| n > 0.0 && n <= 100.0)?;
    let weight = match Weight::from_percent(percent) {
        Ok(weight) => weight,
        Err(error) => {
            reader.error(at, error.to_string(), "round it to two decimals");
            return None;
        }
    };
    let spot = reader.at(at);
    if let Some((before, place)) = &order.weight
        && weight <= *before
    {
        let message = format!("the weights of a canary only grow, but {weight} follows {before}");
        reader.error_with(at, message, "raise it, or remove the step", (place, "the weight before"));
    }
    // One that is out of order is told once: what follows is compared with the highest.
    if order.weight.as_ref().is_none_or(|(before, _)| weight > *before) {
        order.weight = Some((weight, spot));
    }
    Some(weight)
}

fn pause(reader: &mut Reader<'_, '_>, at: &At<'_>) -> Option<Step> {
    let mut fields = reader.map(at, PAUSE)?;
    let duration = fields.optional("duration");
    fields.finish(reader, &[]);
    match duration {
        None => Some(Step::Pause(None)),
        Some(at) => reader.duration(&at, false).map(|duration| Step::Pause(Some(duration))),
    }
}

fn analyze(reader: &mut Reader<'_, '_>, at: &At<'_>, order: &Order) -> Option<Step> {
    let mut fields = reader.map(at, ANALYZE)?;
    let max = fields.optional("max");
    fields.finish(reader, &[]);
    match &order.weight {
        _ if order.unknown => {}
        None => {
            let spot = reader.at_key(at);
            let help = "put a step `setWeight: 5` before it";
            reader.error_at(&spot, "there is nothing to analyze before the canary has traffic", help);
        }
        Some((weight, _)) if *weight == Weight::FULL => {
            let spot = reader.at_key(at);
            let message = "with all traffic on the canary there is no baseline to compare it with";
            reader.error_at(&spot, message, "analyze before the step `setWeight: 100`");
        }
        Some(_) => {}
    }
    match max {
        None => Some(Step::Analyze { max: ANALYZE_MAX }),
        Some(at) => reader.duration(&at, false).map(|max| Step::Analyze { max }),
    }
}

fn default_analysis() -> AnalysisPolicy {
    AnalysisPolicy {
        risk: RISK,
        errors: Some(ERRORS),
        ejections: Some(EJECTIONS),
        on_no_data: OnNoData::Hold,
        on_inconclusive: OnInconclusive::Pause,
    }
}

fn analysis(reader: &mut Reader<'_, '_>, at: &At<'_>) -> AnalysisPolicy {
    let mut policy = default_analysis();
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
    let mut risk = RISK;
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
        if let Some(at) = errors_at {
            policy.errors = Some(errors(reader, &at));
        }
        if let Some(at) = ejections_at {
            policy.ejections = Some(ejections(reader, &at));
        }
    }
}

fn errors(reader: &mut Reader<'_, '_>, at: &At<'_>) -> ErrorsMetric {
    let mut metric = ERRORS;
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

fn ejections(reader: &mut Reader<'_, '_>, at: &At<'_>) -> EjectionsMetric {
    let Some(mut fields) = reader.map(at, "write `ejections: {}` for the defaults") else { return EJECTIONS };
    let excess = fields.optional("maxExcess");
    fields.finish(reader, &[]);
    let read = excess.and_then(|at| reader.parse(&at, "write a share, such as `0.2` or `20%`", value::share));
    read.map_or(EJECTIONS, |max_excess| EjectionsMetric { max_excess })
}
