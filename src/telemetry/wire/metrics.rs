//! A message of a metrics stream as it stands in its bytes: it is read family by family, and no text is copied. PURE.

use super::fields::{Fields, Malformed};

/// Envoy's histograms have 19 bounds unless it is told otherwise.
const USUAL_BUCKETS: usize = 20;

/// `envoy.service.metrics.v3.StreamMetricsMessage`: a flush of the proxy's statistics, or a part of one.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct MetricsReport<'a> {
    /// Who reports, not read: Envoy says it in a stream's first message only.
    identifier: Option<&'a [u8]>,
    is_empty: bool,
    message: &'a [u8],
}

/// `io.prometheus.client.MetricFamily`, its metrics not read. Envoy sends one for each series, with one metric in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MetricFamily<'a> {
    /// The statistic's name without its tags.
    pub name: &'a str,
    message: &'a [u8],
}

/// `io.prometheus.client.Metric`.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Metric<'a> {
    /// The statistic's tags: names and values.
    pub labels: Vec<(&'a str, &'a str)>,
    /// Set when it is a gauge.
    pub gauge: Option<f64>,
    /// Set when it is a counter: cumulative, unless the proxy was told otherwise (which is not supported).
    pub counter: Option<f64>,
    /// Set when it is a histogram. Envoy's are those of the flush interval, not cumulative over time.
    pub histogram: Option<HistogramValue>,
    /// When the proxy took it, in milliseconds since 1970 by its own clock: the same in all parts of a flush.
    pub timestamp_ms: i64,
}

/// `io.prometheus.client.Histogram`.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct HistogramValue {
    /// How many there are in all.
    pub sample_count: u64,
    /// By upper bound, ascending.
    pub buckets: Vec<Bucket>,
}

/// `io.prometheus.client.Bucket`.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Bucket {
    /// How many are at most the bound.
    pub cumulative_count: u64,
    /// The bound.
    pub upper_bound: f64,
}

impl<'a> MetricsReport<'a> {
    /// Finds the parts of a message, and reads none of them.
    ///
    /// # Errors
    /// When these bytes are no such message.
    pub fn read(message: &'a [u8]) -> Result<Self, Malformed> {
        let mut report = Self { identifier: None, is_empty: true, message };
        for field in Fields::of(message) {
            match field? {
                (1, _) if report.identifier.is_some() => return Err(Malformed("it has two identifiers")),
                (1, identifier) => report.identifier = Some(identifier.bytes()?),
                (2, family) => {
                    family.bytes()?;
                    report.is_empty = false;
                }
                _ => {}
            }
        }
        Ok(report)
    }

    /// The id of the node that reports; `None` when the message does not say.
    ///
    /// # Errors
    /// When what should be a node is none.
    pub fn node_id(&self) -> Result<Option<&'a str>, Malformed> {
        let mut id = None;
        for node in messages(self.identifier.unwrap_or_default(), 1) {
            for field in Fields::of(node?) {
                if let (1, text) = field? {
                    id = Some(text.text()?);
                }
            }
        }
        Ok(id)
    }

    /// Whether it has no families.
    pub fn is_empty(&self) -> bool {
        self.is_empty
    }

    /// Its families, one after the other.
    pub fn families(&self) -> impl Iterator<Item = Result<MetricFamily<'a>, Malformed>> {
        messages(self.message, 2).map(|family| MetricFamily::read(family?))
    }
}

impl<'a> MetricFamily<'a> {
    fn read(message: &'a [u8]) -> Result<Self, Malformed> {
        let mut name = "";
        for field in Fields::of(message) {
            if let (1, text) = field? {
                name = text.text()?;
            }
        }
        Ok(Self { name, message })
    }

    /// Its metrics, to be read with [`Metric::read`].
    pub fn metrics(&self) -> impl Iterator<Item = Result<&'a [u8], Malformed>> {
        messages(self.message, 4)
    }
}

impl<'a> Metric<'a> {
    /// Becomes the metric of a message. What it was before is gone.
    ///
    /// # Errors
    /// When these bytes are no metric. Then it is nothing that can be used.
    pub fn read(&mut self, message: &'a [u8]) -> Result<(), Malformed> {
        self.labels.clear();
        (self.gauge, self.counter, self.histogram, self.timestamp_ms) = (None, None, None, 0);
        for field in Fields::of(message) {
            match field? {
                (1, label) => self.labels.push(read_label(label.bytes()?)?),
                (2, gauge) => self.gauge = Some(read_number(gauge.bytes()?)?),
                (3, counter) => self.counter = Some(read_number(counter.bytes()?)?),
                (6, time) => self.timestamp_ms = time.varint()?.cast_signed(),
                (7, histogram) => self.histogram = Some(HistogramValue::read(histogram.bytes()?)?),
                _ => {}
            }
        }
        Ok(())
    }
}

impl HistogramValue {
    fn read(message: &[u8]) -> Result<Self, Malformed> {
        let mut histogram = Self { sample_count: 0, buckets: Vec::with_capacity(USUAL_BUCKETS) };
        for field in Fields::of(message) {
            match field? {
                (1, count) => histogram.sample_count = count.varint()?,
                (3, bucket) => histogram.buckets.push(Bucket::read(bucket.bytes()?)?),
                _ => {}
            }
        }
        Ok(histogram)
    }
}

impl Bucket {
    fn read(message: &[u8]) -> Result<Self, Malformed> {
        let mut bucket = Self::default();
        for field in Fields::of(message) {
            match field? {
                (1, count) => bucket.cumulative_count = count.varint()?,
                (2, bound) => bucket.upper_bound = bound.double()?,
                _ => {}
            }
        }
        Ok(bucket)
    }
}

/// When a metric was taken, as [`Metric::timestamp_ms`]; nothing else of it is read.
///
/// # Errors
/// When these bytes are no message.
pub(in crate::telemetry) fn taken(metric: &[u8]) -> Result<i64, Malformed> {
    let mut at = 0;
    for field in Fields::of(metric) {
        if let (6, time) = field? {
            at = time.varint()?.cast_signed();
        }
    }
    Ok(at)
}

/// The messages within a message that a field of this number holds.
fn messages(message: &[u8], number: u32) -> impl Iterator<Item = Result<&[u8], Malformed>> {
    Fields::of(message).filter_map(move |field| match field {
        Ok((of, value)) => (of == number).then(|| value.bytes()),
        Err(malformed) => Some(Err(malformed)),
    })
}

/// `io.prometheus.client.LabelPair`.
fn read_label(message: &[u8]) -> Result<(&str, &str), Malformed> {
    let (mut name, mut value) = ("", "");
    for field in Fields::of(message) {
        match field? {
            (1, text) => name = text.text()?,
            (2, text) => value = text.text()?,
            _ => {}
        }
    }
    Ok((name, value))
}

/// `io.prometheus.client.Gauge` and `.Counter`.
fn read_number(message: &[u8]) -> Result<f64, Malformed> {
    let mut number = 0.0;
    for field in Fields::of(message) {
        if let (1, value) = field? {
            number = value.double()?;
        }
    }
    Ok(number)
}

#[cfg(test)]
pub(in crate::telemetry) mod reference;
#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
