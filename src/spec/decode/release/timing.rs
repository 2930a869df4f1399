//! Whether what others measure can come to its number of good ones in the time that an `analyze` has.

use std::time::Duration;

use crate::model::{AnalysisPolicy, MeasuredMetric, Step, Strategy};
use crate::spec::diagnostic::quoted;
use crate::spec::reader::{At, Reader};

/// Says which metric can never be proven in some step. `metrics` is where they are listed.
pub(super) fn warn(reader: &mut Reader<'_, '_>, metrics: &At<'_>, strategy: &Strategy, policy: &AnalysisPolicy) {
    let steps = strategy.steps(0);
    let shortest = steps.iter().filter_map(length).min();
    let Some(shortest) = shortest else { return };
    for metric in policy.measured.iter().filter(|metric| !metric.dry_run) {
        let needs = needs(metric);
        if needs >= shortest {
            let message = format!(
                "{} takes {} s to be measured {}, and an `analyze` has {} s",
                quoted(&metric.name),
                needs.as_secs(),
                if metric.count == 1 { "once".to_owned() } else { format!("{} times", metric.count) },
                shortest.as_secs(),
            );
            let help =
                "give the `analyze` more time (`max`), or the metric a shorter `interval`, `initialDelay` or `count`";
            reader.warning(metrics, message, help);
        }
    }
}

/// How long a step looks for proof.
fn length(step: &Step) -> Option<Duration> {
    match step {
        Step::Analyze { max } | Step::Auto { max, .. } => Some(*max),
        _ => None,
    }
}

/// The least that it takes: the delay, which counts from the first traffic, and the intervals between the good ones.
fn needs(metric: &MeasuredMetric) -> Duration {
    metric.initial_delay.max(metric.interval.saturating_mul(metric.count.saturating_sub(1)))
}
