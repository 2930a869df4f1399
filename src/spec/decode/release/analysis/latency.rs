//! `latency`.

use std::time::Duration;

use crate::model::{LatencyMetric, QuantileLimit};
use crate::spec::diagnostic::quoted;
use crate::spec::reader::{At, Reader};

const MAX: &str =
    "write `max: {p50: 100ms, p99: 500ms}`: the longest that half, and 99 of 100, of the requests may take";

pub(super) fn decode(reader: &mut Reader<'_, '_>, at: &At<'_>) -> LatencyMetric {
    let mut metric = LatencyMetric::default();
    let Some(mut fields) = reader.map(at, "write `latency: {}` for the defaults") else { return metric };
    let pair = (fields.optional("tolerateRatio"), fields.optional("rejectRatio"));
    let (max, dry_run) = (fields.optional("max"), fields.optional("dryRun"));
    fields.finish(reader, &[]);
    let ratios = (&mut metric.tolerate_ratio, &mut metric.reject_ratio);
    super::ratios(reader, at, "odds of being slow", pair, ratios);
    metric.max = max.map(|at| limits(reader, &at)).unwrap_or_default();
    metric.dry_run = super::dry_run(reader, dry_run);
    metric
}

fn limits(reader: &mut Reader<'_, '_>, at: &At<'_>) -> Vec<QuantileLimit> {
    let Some(fields) = reader.map(at, MAX) else { return Vec::new() };
    if fields.all().is_empty() {
        reader.error(at, "this limit has no percentile", MAX);
    }
    let mut limits: Vec<QuantileLimit> = Vec::new();
    for (name, at) in fields.all() {
        let limit = reader.duration(&at, false);
        let Some(quantile) = quantile(name) else {
            let spot = reader.at_key(&at);
            reader.error_at(&spot, format!("{} is no percentile", quoted(name)), MAX);
            continue;
        };
        limits.extend(limit.map(|limit| QuantileLimit { quantile, limit }));
    }
    limits.sort_by(|one, other| one.quantile.total_cmp(&other.quantile));
    let falls = limits.windows(2).find(|pair| pair[0].limit > pair[1].limit);
    if let Some([one, other]) = falls {
        let ms = |limit: Duration| format!("{} ms", limit.as_millis());
        let message = format!("a higher percentile has a lower limit: {} after {}", ms(other.limit), ms(one.limit));
        reader.error(at, message, "let the limits grow with the percentiles");
    }
    limits
}

/// 0.99 from `p99`, 0.999 from `p99.9`.
fn quantile(name: &str) -> Option<f64> {
    let percent = name.strip_prefix('p')?.parse::<f64>().ok()?;
    (percent > 0.0 && percent < 100.0).then_some(percent / 100.0)
}
