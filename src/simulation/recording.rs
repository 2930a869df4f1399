//! Traffic as it was measured: from a release's journal, or from plain counts.

use serde::Deserialize;
use serde_json::Value;

use super::durations::BOUNDS;
use super::traffic::Recorded;
use crate::analysis::Window;
use crate::model::{Cause, Histogram};
use crate::rollout::Record;

/// One second of plain counts.
#[derive(Debug, Deserialize)]
struct Plain {
    requests: u64,
    #[serde(default)]
    errors: u64,
}

/// The seconds of a recording: what `serin events NAME -o json` prints, or a list of `{"requests": 200, "errors": 1}`, one
/// a second.
///
/// # Errors
/// What is none of that, or has no measurement in it, in words for people.
pub fn read(text: &str) -> Result<Vec<Recorded>, String> {
    let value: Value = serde_json::from_str(text).map_err(|error| format!("it is not JSON: {error}"))?;
    let seconds = match &value {
        Value::Array(seconds) => plain(seconds)?,
        Value::Object(journal) => match journal.get("events").and_then(Value::as_array) {
            Some(events) => events.iter().filter_map(measured).flat_map(|window| spread(&window)).collect(),
            None => return Err(NEITHER.to_owned()),
        },
        _ => return Err(NEITHER.to_owned()),
    };
    if seconds.is_empty() { Err("there is no measurement in it".to_owned()) } else { Ok(seconds) }
}

const NEITHER: &str =
    "it is neither what `serin events NAME -o json` prints nor a list of {\"requests\": …, \"errors\": …}";

fn plain(seconds: &[Value]) -> Result<Vec<Recorded>, String> {
    let read = |(at, second): (usize, &Value)| {
        let plain = Plain::deserialize(second).map_err(|error| format!("second {}: {error}", at + 1))?;
        let errors = plain.errors.min(plain.requests) as f64 / plain.requests.max(1) as f64;
        Ok(Recorded { requests: plain.requests, errors, durations: None })
    };
    seconds.iter().enumerate().map(read).collect()
}

/// The window of an event, if it is a measurement.
fn measured(event: &Value) -> Option<Window> {
    let record = serde_json::from_str(event.get("json")?.as_str()?).ok()?;
    match record {
        Record::Measured { measurement, .. } => Some(measurement.window),
        _ => None,
    }
}

/// A window as seconds: one that is longer is spread over its length.
fn spread(window: &Window) -> Vec<Recorded> {
    let seconds = window.length.as_secs().clamp(1, 60);
    let counts = window.baseline.counts(&Cause::all());
    let second = Recorded {
        requests: window.canary.requests.saturating_add(counts.requests) / seconds,
        errors: counts.error_rate(),
        durations: window.baseline.latency.as_ref().and_then(chances),
    };
    vec![second; seconds as usize]
}

/// The parts of a histogram, in the simulation's buckets; `None` when nothing was counted.
fn chances(histogram: &Histogram) -> Option<Vec<f64>> {
    let all: u64 = histogram.counts.iter().sum();
    let mut chances = vec![0.0; BOUNDS.len()];
    for (bound, count) in histogram.bounds.iter().zip(&histogram.counts) {
        let at = BOUNDS.iter().position(|at| bound <= at).unwrap_or(BOUNDS.len() - 1);
        chances[at] += *count as f64 / all as f64;
    }
    (all > 0).then_some(chances)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::analysis::{Arm, Counts, Judge};
    use crate::model::AnalysisPolicy;

    #[test]
    fn plain_counts() {
        let seconds = read(r#"[{"requests": 200, "errors": 1}, {"requests": 0}]"#).expect("a recording");
        assert_eq!(seconds[0], Recorded { requests: 200, errors: 0.005, durations: None });
        assert_eq!((seconds.len(), seconds[1].errors), (2, 0.0));
    }

    #[test]
    fn a_journal() {
        let latency = Histogram { bounds: vec![10.0, f64::INFINITY], counts: vec![3, 1] };
        let baseline = Arm { latency: Some(latency), ..Arm::from(Counts { requests: 180, errors: 18 }) };
        let canary = Counts { requests: 20, errors: 20 }.into();
        let window = Window { canary, baseline, proxies: 1, length: Duration::from_secs(2), ..Window::default() };
        let measurement = Box::new(Judge::default().observe(&window, &AnalysisPolicy::default()));
        let record = serde_json::to_string(&Record::Measured { version: "v2".into(), measurement }).expect("JSON");
        let journal =
            serde_json::json!({"events": [{"kind": "started", "json": "{}"}, {"kind": "measured", "json": record}]});
        let seconds = read(&journal.to_string()).expect("a recording");
        assert_eq!((seconds.len(), seconds[0].requests, seconds[0].errors), (2, 100, 0.1));
        let durations = seconds[0].durations.as_ref().expect("durations");
        assert_eq!((durations[7], durations[34]), (0.75, 0.25));
    }

    #[test]
    fn what_is_none_is_told() {
        for (text, told) in [
            ("{", "it is not JSON"),
            ("{}", "it is neither"),
            ("3", "it is neither"),
            ("[]", "there is no measurement"),
            (r#"{"events": []}"#, "there is no measurement"),
            (r#"[{"errors": 1}]"#, "second 1: missing field `requests`"),
        ] {
            let error = read(text).expect_err("no recording");
            assert!(error.starts_with(told), "{error}");
        }
    }
}
