//! Numbers that others measure, and what they come to.
//!
//! PURE. Invariants: what could not be measured is neither good nor bad; a pass needs measurements of this very step,
//! and the newest one within its limits; a metric is counted against one question and one pair of limits: edited, or made
//! to decide what it only showed before, it begins anew.
//!
//! The rules are those that users of Argo Rollouts know (`count`, `failureLimit`, `consecutiveErrorLimit`, NaN and an
//! empty answer are inconclusive), with two differences: an error holds and does not abort, because what cannot be
//! measured proves nothing; and failures are counted over the whole rollout, not per step, because a version that is bad
//! now and then is bad.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{Metric, MetricEvidence, Standing};
use crate::model::{AnalysisPolicy, MeasuredMetric, MetricSource};

/// One measurement that was made, or failed to be.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Reading {
    /// The metric's name.
    pub metric: String,
    /// How it came out.
    pub outcome: Outcome,
}

/// How a measurement came out.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Outcome {
    /// This number, which is finite.
    Value(f64),
    /// The answer was good and had no number in it: nothing was there to be measured.
    Nothing,
    /// It could not be measured, and why.
    Error(String),
}

impl Outcome {
    /// A number that was answered. What is infinite or no number is nothing: 0/0 is how a query says that there was
    /// nothing to count.
    pub fn of(value: f64) -> Self {
        if value.is_finite() { Outcome::Value(value) } else { Outcome::Nothing }
    }
}

/// What the measurements of a rollout have come to, by metric.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub(super) struct Readings {
    metrics: BTreeMap<String, Counted>,
}

/// One metric's measurements.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Counted {
    /// What they are measurements of, and what they were held against.
    asked: Asked,
    /// How many were within the limits, in this step.
    good: u32,
    /// How many were beyond one, in the rollout.
    failures: u32,
    /// How many could not be made, since one was.
    errors: u32,
    /// The newest.
    newest: Outcome,
    /// The newest number beyond a limit.
    beyond: Option<f64>,
}

/// What tells an edited metric from what it was.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Asked {
    source: MetricSource,
    min: Option<f64>,
    max: Option<f64>,
    /// What decided nothing counts for nothing when it decides.
    #[serde(default)]
    dry_run: bool,
}

impl Asked {
    fn of(metric: &MeasuredMetric) -> Self {
        Self { source: metric.source.clone(), min: metric.min, max: metric.max, dry_run: metric.dry_run }
    }
}

impl Counted {
    fn observe(&mut self, outcome: &Outcome, metric: &MeasuredMetric) {
        self.newest = match outcome {
            Outcome::Value(value) => Outcome::of(*value),
            other => other.clone(),
        };
        match &self.newest {
            Outcome::Error(_) => return self.errors = self.errors.saturating_add(1),
            Outcome::Nothing => {}
            Outcome::Value(value) if limit_passed(*value, metric).is_some() => {
                self.failures = self.failures.saturating_add(1);
                self.beyond = Some(*value);
            }
            Outcome::Value(_) => self.good = self.good.saturating_add(1),
        }
        self.errors = 0;
    }

    fn has_failed(&self, metric: &MeasuredMetric) -> bool {
        self.failures > metric.failure_limit
    }

    fn is_unmeasured(&self, metric: &MeasuredMetric) -> bool {
        self.errors > metric.consecutive_error_limit
    }

    fn is_proven(&self, metric: &MeasuredMetric) -> bool {
        let is_good = |value| limit_passed(value, metric).is_none();
        self.good >= metric.count.max(1) && matches!(self.newest, Outcome::Value(value) if is_good(value))
    }

    fn standing(&self, metric: &MeasuredMetric) -> Standing {
        match &self.newest {
            _ if self.has_failed(metric) => Standing::Fail,
            _ if self.is_unmeasured(metric) => Standing::Error,
            Outcome::Nothing => Standing::NoData,
            Outcome::Value(_) if self.is_proven(metric) => Standing::Pass,
            Outcome::Value(_) | Outcome::Error(_) => Standing::Undecided,
        }
    }

    /// The newest measurement, and how many of which kind there were.
    fn said(&self, metric: &MeasuredMetric) -> String {
        let newest = match &self.newest {
            Outcome::Value(value) => match limit_passed(*value, metric) {
                Some(limit) => format!("{} is {limit}", measured(*value, metric)),
                None => format!("{} is {}", measured(*value, metric), limits(metric)),
            },
            Outcome::Nothing => "the answer had no number: nothing was there to be measured".to_owned(),
            Outcome::Error(why) => {
                let (errors, limit) = (self.errors, metric.consecutive_error_limit);
                let s = if errors == 1 { "" } else { "s" };
                format!("could not be measured {errors} time{s} running ({limit} let pass): {why}")
            }
        };
        let (good, count) = (self.good, metric.count.max(1));
        let failures = match self.failures {
            0 => String::new(),
            failures => format!(", {failures} beyond ({} let pass)", metric.failure_limit),
        };
        format!("{newest}; {good} of {count} good ones in this step{failures}")
    }

    fn failure(&self, metric: &MeasuredMetric) -> String {
        let name = &metric.name;
        let said = |value| Some(format!("{} is {}", measured(value, metric), limit_passed(value, metric)?));
        let beyond = self.beyond.and_then(said);
        let beyond = beyond.unwrap_or_else(|| "beyond its limits".to_owned());
        match (self.failures, metric.failure_limit) {
            (_, 0) => format!("{name}: {beyond}, reverts"),
            (failures, limit) => {
                format!("{name}: {beyond}: {failures} measurements beyond its limits, {limit} let pass, reverts")
            }
        }
    }
}

impl Readings {
    /// Takes in what was measured, in this order. What the policy does not ask for any more is forgotten.
    pub(super) fn observe(&mut self, readings: &[Reading], policy: &AnalysisPolicy) {
        let is_asked = |name: &str, counted: &Counted| {
            policy.measured.iter().any(|metric| metric.name == name && Asked::of(metric) == counted.asked)
        };
        self.metrics.retain(|name, counted| is_asked(name, counted));
        for Reading { metric, outcome } in readings {
            let Some(metric) = policy.measured.iter().find(|asked| asked.name == *metric) else { continue };
            let new = || Counted {
                asked: Asked::of(metric),
                good: 0,
                failures: 0,
                errors: 0,
                newest: Outcome::Nothing,
                beyond: None,
            };
            self.metrics.entry(metric.name.clone()).or_insert_with(new).observe(outcome, metric);
        }
    }

    /// A new step begins: what is to pass it is measured in it.
    pub(super) fn begin_step(&mut self) {
        self.metrics.values_mut().for_each(|counted| counted.good = 0);
    }

    /// Which metric fails, and why, if one does.
    pub(super) fn failure(&self, policy: &AnalysisPolicy) -> Option<(Metric, String)> {
        let failed = self.deciding(policy).find_map(|(metric, counted)| {
            counted.filter(|counted| counted.has_failed(metric)).map(|counted| (metric, counted))
        });
        failed.map(|(metric, counted)| (Metric::Measured(metric.name.clone()), counted.failure(metric)))
    }

    /// What could not be measured too often running, if so.
    pub(super) fn error(&self, policy: &AnalysisPolicy) -> Option<String> {
        self.deciding(policy).find_map(|(metric, counted)| {
            let counted = counted.filter(|counted| counted.is_unmeasured(metric))?;
            let Outcome::Error(why) = &counted.newest else { return None };
            let (name, errors) = (&metric.name, counted.errors);
            Some(format!("{name} could not be measured {errors} times running, holds: {why}"))
        })
    }

    /// Whether nothing that is measured stands against leaving the step; so too where nothing is to be measured.
    pub(super) fn proven(&self, policy: &AnalysisPolicy) -> bool {
        self.deciding(policy).all(|(metric, counted)| counted.is_some_and(|counted| counted.is_proven(metric)))
    }

    /// What is missing before the step may be left, in words.
    pub(super) fn missing(&self, policy: &AnalysisPolicy) -> Option<String> {
        let mut unproven =
            self.deciding(policy).filter(|(metric, counted)| !counted.is_some_and(|counted| counted.is_proven(metric)));
        unproven.next().map(|(metric, counted)| format!("{}: {}", metric.name, said(metric, counted)))
    }

    /// How each metric stands by itself, in the order of the policy.
    pub(super) fn standings(&self, policy: &AnalysisPolicy) -> Vec<MetricEvidence> {
        let evidence = |metric: &MeasuredMetric| {
            let counted = self.counted(metric);
            MetricEvidence {
                metric: Metric::Measured(metric.name.clone()),
                dry_run: metric.dry_run,
                standing: counted.map_or(Standing::NoData, |counted| counted.standing(metric)),
                said: said(metric, counted),
            }
        };
        policy.measured.iter().map(evidence).collect()
    }

    fn deciding<'a>(
        &'a self,
        policy: &'a AnalysisPolicy,
    ) -> impl Iterator<Item = (&'a MeasuredMetric, Option<&'a Counted>)> {
        policy.measured.iter().filter(|metric| !metric.dry_run).map(|metric| (metric, self.counted(metric)))
    }

    /// What was counted of a metric as it is asked for now.
    fn counted(&self, metric: &MeasuredMetric) -> Option<&Counted> {
        self.metrics.get(&metric.name).filter(|counted| counted.asked == Asked::of(metric))
    }
}

fn said(metric: &MeasuredMetric, counted: Option<&Counted>) -> String {
    counted.map_or_else(|| "not measured yet".to_owned(), |counted| counted.said(metric))
}

/// The limit that a number is beyond, in words.
fn limit_passed(value: f64, metric: &MeasuredMetric) -> Option<String> {
    let below = metric.min.filter(|min| value < *min).map(|min| format!("below {}", number(min)));
    below.or_else(|| metric.max.filter(|max| value > *max).map(|max| format!("above {}", number(max))))
}

fn limits(metric: &MeasuredMetric) -> String {
    match (metric.min, metric.max) {
        (Some(min), Some(max)) => format!("between {} and {}", number(min), number(max)),
        (Some(min), None) => format!("at least {}", number(min)),
        (None, Some(max)) => format!("at most {}", number(max)),
        (None, None) => "within its limits".to_owned(),
    }
}

/// A number that was measured, with four significant digits; with more where it would read as its limit.
fn measured(value: f64, metric: &MeasuredMetric) -> String {
    let rounded = (3..17).filter_map(|digits| format!("{value:.digits$e}").parse::<f64>().ok());
    let limits = [metric.min, metric.max];
    let is_told =
        |rounded: &f64| limits.iter().flatten().all(|limit| rounded.partial_cmp(limit) == value.partial_cmp(limit));
    number(rounded.into_iter().find(is_told).unwrap_or(value))
}

/// As few digits as tell it from all others.
fn number(value: f64) -> String {
    let size = value.abs();
    if size != 0.0 && !(1e-6..1e15).contains(&size) { format!("{value:e}") } else { format!("{}", value + 0.0) }
}

#[cfg(test)]
mod tests;
