//! What a proxy's admin interface shows at `/stats/prometheus`, read as the messages of a metrics stream are.
//!
//! PURE. The statistics are those of the metrics sink, in Prometheus' text format: names with underscores, labels that
//! say the rest. Its counters are read as they are. Its histograms are cumulative over all time, those of the sink of one
//! interval: what is told of them is the difference to the page before, which is exact, bucket by bucket. They come up to
//! one `stats_flush_interval` of the proxy later than its counters.

use std::borrow::Cow;
use std::collections::BTreeMap;

use super::sample::Reading;
use super::wire::{Bucket, HistogramValue, Metric};

/// The page, with the statistics that are used and no others: `filter` is a regular expression on their full names.
pub(super) const PAGE: &str = "/stats/prometheus?usedonly&filter=%5E(rollout%5C.(rq%7Cdur)%5C.%7Ccluster%5C.%5B%5E./%5D%2B/%5B%5E./%5D%2B%5C.\
                               (upstream_rq_(active%7C%5B1-5%5Dxx%7Ctime)%7Cupstream_cx_(total%7Chttp%5B12%5D_total%7Cconnect_fail%7Cnone_healthy)\
                               %7Coutlier_detection%5C.ejections_active%7Cmembership_(healthy%7Ctotal))$)";

/// The label of a bucket's bound.
const BOUND: &str = "le";
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

/// What is used of a page. Texts are copied only where the page has them otherwise.
#[derive(Debug, PartialEq)]
pub(super) struct Page<'a> {
    lines: Vec<Line<'a>>,
}

/// A line of it.
#[derive(Debug, PartialEq)]
struct Line<'a> {
    /// As the metrics sink names it.
    name: &'static str,
    kind: Kind,
    /// Which part of a histogram it is.
    part: &'a str,
    labels: Vec<(Cow<'a, str>, Cow<'a, str>)>,
    value: f64,
}

/// The pages of one proxy, one after the other.
#[derive(Debug, Default)]
pub(super) struct Pages {
    /// The histograms of the page before; `None` while there was none.
    before: Option<BTreeMap<Series<String>, HistogramValue>>,
}

/// What a histogram is told from others by: its name and labels.
type Series<T> = (&'static str, Vec<(T, T)>);

impl<'a> Page<'a> {
    /// Reads a page. A line that cannot be read is left out.
    pub(super) fn of(page: &'a str) -> Self {
        Self { lines: page.lines().take(SERIES_LIMIT).filter_map(Line::of).collect() }
    }
}

impl Pages {
    /// What a page says.
    pub(super) fn read<'p>(&mut self, page: &'p Page<'_>) -> Reading<'p> {
        let (mut reading, mut histograms) = (Reading::default(), BTreeMap::<Series<&str>, HistogramValue>::new());
        for line in &page.lines {
            let metric = match line.kind {
                Kind::Counter => Metric { counter: Some(line.value), ..Metric::default() },
                Kind::Gauge => Metric { gauge: Some(line.value), ..Metric::default() },
                Kind::Histogram => {
                    note(&mut histograms, line);
                    continue;
                }
            };
            reading.add(line.name, &Metric { labels: line.labels().collect(), ..metric });
        }
        let before = self.before.take();
        let mut known = BTreeMap::new();
        for ((name, labels), now) in histograms {
            let owned = labels.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
            let series = (name, owned);
            if let Some(before) = &before {
                let histogram = Some(difference(&now, before.get(&series)));
                reading.add(name, &Metric { labels, histogram, ..Metric::default() });
            }
            known.insert(series, now);
        }
        self.before = Some(known);
        reading
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

fn note<'p>(histograms: &mut BTreeMap<Series<&'p str>, HistogramValue>, line: &'p Line<'_>) {
    let bound = line.labels().find(|(name, _)| *name == BOUND).map(|(_, bound)| bound);
    // Counts are whole, and far below what a float holds exactly.
    let count = line.value as u64;
    let series = (line.name, line.labels().filter(|(name, _)| *name != BOUND).collect());
    let histogram = histograms.entry(series).or_default();
    match (line.part, bound) {
        ("_count", _) => histogram.sample_count = count,
        (_, Some(bound)) => {
            // The last bucket is that of all.
            if let Some(upper_bound) = bound.parse().ok().filter(|bound: &f64| bound.is_finite()) {
                histogram.buckets.push(Bucket { cumulative_count: count, upper_bound });
            }
        }
        (_, None) => {}
    }
}

/// What came to a histogram since the page before. One that falls, or has other bounds, was made anew since.
fn difference(now: &HistogramValue, before: Option<&HistogramValue>) -> HistogramValue {
    let Some(before) = before.filter(|before| grew(before, now)) else { return now.clone() };
    let buckets = now.buckets.iter().zip(&before.buckets).map(|(now, before)| Bucket {
        cumulative_count: now.cumulative_count - before.cumulative_count,
        upper_bound: now.upper_bound,
    });
    HistogramValue { sample_count: now.sample_count - before.sample_count, buckets: buckets.collect() }
}

fn grew(before: &HistogramValue, now: &HistogramValue) -> bool {
    let same = |(before, now): (&Bucket, &Bucket)| {
        before.upper_bound == now.upper_bound && before.cumulative_count <= now.cumulative_count
    };
    before.sample_count <= now.sample_count
        && before.buckets.len() == now.buckets.len()
        && before.buckets.iter().zip(&now.buckets).all(same)
}

impl<'a> Line<'a> {
    /// A line such as `name{a="b",c="d"} 7`, if it is one that is used.
    fn of(line: &'a str) -> Option<Self> {
        let end = line.find(['{', ' '])?;
        let (shown, mut rest) = line.split_at(end);
        let (name, kind, part) = known(shown)?;
        let mut labels = Vec::new();
        if let Some(inner) = rest.strip_prefix('{') {
            rest = inner;
            while !rest.starts_with('}') {
                let (label, after) = rest.split_once("=\"")?;
                let (value, after) = quoted(after)?;
                labels.push((named(label), value));
                rest = after.strip_prefix(',').unwrap_or(after);
            }
            rest = &rest[1..];
        }
        let value = rest.split_ascii_whitespace().next()?.parse().ok()?;
        Some(Self { name, kind, part, labels, value })
    }

    fn labels(&self) -> impl Iterator<Item = (&str, &str)> {
        self.labels.iter().map(|(name, value)| (&**name, &**value))
    }
}

/// A label's name as the metrics sink has it: Envoy's own have dots, and Prometheus has none.
fn named(label: &str) -> Cow<'_, str> {
    match label {
        "envoy_cluster_name" => "envoy.cluster_name".into(),
        "envoy_response_code_class" => "envoy.response_code_class".into(),
        other => other.into(),
    }
}

/// The text up to the closing quote, and what is after that.
fn quoted(text: &str) -> Option<(Cow<'_, str>, &str)> {
    let end = text.find(['"', '\\'])?;
    if text[end..].starts_with('"') {
        return Some((text[..end].into(), &text[end + 1..]));
    }
    let mut value = String::new();
    let mut chars = text.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return Some((value.into(), &text[at + 1..])),
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
