//! What a proxy's admin interface shows at `/stats/prometheus`, as the messages of a metrics stream.
//!
//! PURE. The statistics are those of the metrics sink, in Prometheus' text format: names with underscores, labels that
//! say the rest. Its counters are read as they are. Its histograms are cumulative over all time, those of the sink of one
//! interval: what is told of them is the difference to the page before, which is exact, bucket by bucket. They come up to
//! one `stats_flush_interval` of the proxy later than its counters.

use std::collections::BTreeMap;

use super::wire::{Bucket, HistogramValue, LabelPair, Metric, MetricFamily, Value};

/// The page, with the statistics that are used and no others: `filter` is a regular expression on their full names.
pub(super) const PAGE: &str = "/stats/prometheus?usedonly&filter=%5E(rollout%5C.(rq%7Cdur)%5C.%7Ccluster%5C.%5B%5E./%5D%2B/%5B%5E./%5D%2B%5C.\
                               (upstream_rq_(active%7C%5B1-5%5Dxx%7Ctime)%7Cupstream_cx_(total%7Chttp%5B12%5D_total%7Cconnect_fail%7Cnone_healthy)\
                               %7Coutlier_detection%5C.ejections_active%7Cmembership_(healthy%7Ctotal))$)";

/// The most series that are read of one page.
const SERIES_LIMIT: usize = 200_000;

/// How a statistic is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Counter,
    Gauge,
    Histogram,
}

/// The statistics that are used: as they are shown, and as the metrics sink names them.
const NAMES: [(&str, &str, Kind); 12] = [
    ("envoy_rollout_rq", "rollout.rq", Kind::Counter),
    ("envoy_rollout_dur", "rollout.dur", Kind::Histogram),
    ("envoy_cluster_upstream_rq_xx", "cluster.upstream_rq_xx", Kind::Counter),
    ("envoy_cluster_upstream_rq_time", "cluster.upstream_rq_time", Kind::Histogram),
    ("envoy_cluster_upstream_rq_active", "cluster.upstream_rq_active", Kind::Gauge),
    ("envoy_cluster_upstream_cx_total", "cluster.upstream_cx_total", Kind::Counter),
    ("envoy_cluster_upstream_cx_http1_total", "cluster.upstream_cx_http1_total", Kind::Counter),
    ("envoy_cluster_upstream_cx_http2_total", "cluster.upstream_cx_http2_total", Kind::Counter),
    ("envoy_cluster_upstream_cx_connect_fail", "cluster.upstream_cx_connect_fail", Kind::Counter),
    ("envoy_cluster_upstream_cx_none_healthy", "cluster.upstream_cx_none_healthy", Kind::Counter),
    ("envoy_cluster_membership_total", "cluster.membership_total", Kind::Gauge),
    ("envoy_cluster_membership_healthy", "cluster.membership_healthy", Kind::Gauge),
];
/// As the above; its name alone is longer.
const EJECTED: (&str, &str, Kind) =
    ("envoy_cluster_outlier_detection_ejections_active", "cluster.outlier_detection.ejections_active", Kind::Gauge);

/// The pages of one proxy, one after the other.
#[derive(Debug, Default)]
pub(super) struct Pages {
    /// The histograms of the page before; `None` while there was none.
    before: Option<BTreeMap<Series, HistogramValue>>,
}

/// What a histogram is told from others by: its name and labels.
type Series = (&'static str, Vec<LabelOf>);
type LabelOf = (String, String);

impl Pages {
    /// What a page says. A line that cannot be read is left out.
    pub(super) fn read(&mut self, page: &str) -> Vec<MetricFamily> {
        let (mut families, mut histograms) = (Vec::new(), BTreeMap::<Series, HistogramValue>::new());
        for line in page.lines().take(SERIES_LIMIT) {
            let Some((shown, labels, value)) = line_of(line) else { continue };
            match known(shown) {
                Some((name, Kind::Counter, "")) => {
                    let metric = Metric { counter: Some(Value { value }), ..metric(labels) };
                    families.push(family(name, metric));
                }
                Some((name, Kind::Gauge, "")) => {
                    let metric = Metric { gauge: Some(Value { value }), ..metric(labels) };
                    families.push(family(name, metric));
                }
                Some((name, Kind::Histogram, part)) => note(&mut histograms, name, part, labels, value),
                Some((_, Kind::Counter | Kind::Gauge, _)) | None => {}
            }
        }
        if let Some(before) = &self.before {
            let news = histograms.iter().filter_map(|(series, now)| {
                let interval = difference(now, before.get(series));
                let metric = Metric { histogram: Some(interval), ..metric(series.1.clone()) };
                (metric.histogram.as_ref()?.sample_count > 0).then(|| family(series.0, metric))
            });
            families.extend(news);
        }
        self.before = Some(histograms);
        families
    }

    /// The next page is the first.
    pub(super) fn forget(&mut self) {
        self.before = None;
    }
}

/// The name that the metrics sink gives to what is shown, how it is shown, and which part of a histogram it is.
fn known(shown: &str) -> Option<(&'static str, Kind, &str)> {
    NAMES.iter().chain([&EJECTED]).find_map(|(prefix, name, kind)| {
        let part = shown.strip_prefix(prefix)?;
        let fits = match kind {
            Kind::Counter | Kind::Gauge => part.is_empty(),
            Kind::Histogram => matches!(part, "_bucket" | "_count"),
        };
        fits.then_some((*name, *kind, part))
    })
}

fn family(name: &str, metric: Metric) -> MetricFamily {
    MetricFamily { name: name.to_owned(), metric: vec![metric] }
}

fn metric(labels: Vec<LabelOf>) -> Metric {
    let label = labels.into_iter().map(|(name, value)| LabelPair { name, value }).collect();
    Metric { label, ..Metric::default() }
}

fn note(
    histograms: &mut BTreeMap<Series, HistogramValue>,
    name: &'static str,
    part: &str,
    mut labels: Vec<LabelOf>,
    value: f64,
) {
    let bound = labels.iter().position(|(name, _)| name == "le").map(|at| labels.remove(at).1);
    // Counts are whole, and far below what a float holds exactly.
    let count = value as u64;
    let histogram = histograms.entry((name, labels)).or_default();
    match (part, bound) {
        ("_count", _) => histogram.sample_count = count,
        (_, Some(bound)) => {
            // The last bucket is that of all.
            if let Some(upper_bound) = bound.parse().ok().filter(|bound: &f64| bound.is_finite()) {
                histogram.bucket.push(Bucket { cumulative_count: count, upper_bound });
            }
        }
        (_, None) => {}
    }
}

/// What came to a histogram since the page before. One that falls, or has other bounds, was made anew since.
fn difference(now: &HistogramValue, before: Option<&HistogramValue>) -> HistogramValue {
    let Some(before) = before.filter(|before| grew(before, now)) else { return now.clone() };
    let bucket = now.bucket.iter().zip(&before.bucket).map(|(now, before)| Bucket {
        cumulative_count: now.cumulative_count - before.cumulative_count,
        upper_bound: now.upper_bound,
    });
    HistogramValue { sample_count: now.sample_count - before.sample_count, bucket: bucket.collect() }
}

fn grew(before: &HistogramValue, now: &HistogramValue) -> bool {
    let same = |(before, now): (&Bucket, &Bucket)| {
        before.upper_bound == now.upper_bound && before.cumulative_count <= now.cumulative_count
    };
    before.sample_count <= now.sample_count
        && before.bucket.len() == now.bucket.len()
        && before.bucket.iter().zip(&now.bucket).all(same)
}

/// The name, the labels and the value of a line such as `name{a="b",c="d"} 7`.
fn line_of(line: &str) -> Option<(&str, Vec<LabelOf>, f64)> {
    let end = line.find(['{', ' '])?;
    let (name, mut rest) = line.split_at(end);
    let mut labels = Vec::new();
    if let Some(inner) = rest.strip_prefix('{') {
        rest = inner;
        while !rest.starts_with('}') {
            let (label, after) = rest.split_once("=\"")?;
            let (value, after) = quoted(after)?;
            // Prometheus has no dots in names; Envoy's own labels have them.
            labels.push((label.replacen("envoy_", "envoy.", 1), value));
            rest = after.strip_prefix(',').unwrap_or(after);
        }
        rest = &rest[1..];
    }
    let value = rest.split_ascii_whitespace().next()?.parse().ok()?;
    (!name.starts_with('#')).then_some((name, labels, value))
}

/// The text up to the closing quote, and what is after that.
fn quoted(text: &str) -> Option<(String, &str)> {
    let mut value = String::new();
    let mut chars = text.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return Some((value, &text[at + 1..])),
            '\\' => match chars.next()?.1 {
                'n' => value.push('\n'),
                escaped => value.push(escaped),
            },
            plain => value.push(plain),
        }
    }
    None
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
