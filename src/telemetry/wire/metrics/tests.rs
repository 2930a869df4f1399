use proptest::prelude::*;
use prost::Message as _;

use super::reference::{self, Identifier, LabelPair, Node, StreamMetricsMessage, Value};
use super::*;

/// Small ones, large ones, and those at a limit.
fn number() -> impl Strategy<Value = u64> {
    prop_oneof![0..3_u64, any::<u64>(), Just(u64::MAX)]
}

/// One that is equal to itself: `NaN` has a test of its own.
fn double() -> impl Strategy<Value = f64> {
    prop_oneof![Just(0.0), Just(-0.0), Just(f64::INFINITY), any::<f64>().prop_filter("a number", |of| !of.is_nan())]
}

prop_compose! {
    fn histogram()(
        sample_count in number(),
        bucket in prop::collection::vec((number(), double()), 0..4),
    ) -> reference::HistogramValue {
        let of = |(cumulative_count, upper_bound)| reference::Bucket { cumulative_count, upper_bound };
        reference::HistogramValue { sample_count, bucket: bucket.into_iter().map(of).collect() }
    }
}

prop_compose! {
    fn metric()(
        labels in prop::collection::vec(("[a-zé.]{0,4}", "[a-zé/]{0,6}"), 0..4),
        values in (prop::option::of(double()), prop::option::of(double())),
        histogram in prop::option::of(histogram()),
        timestamp_ms in any::<i64>(),
    ) -> reference::Metric {
        let label = labels.into_iter().map(|(name, value)| LabelPair { name, value }).collect();
        let [gauge, counter] = [values.0, values.1].map(|value| value.map(|value| Value { value }));
        reference::Metric { label, gauge, counter, histogram, timestamp_ms }
    }
}

prop_compose! {
    fn message()(
        id in prop::option::of(prop::option::of("[a-z]{0,4}")),
        families in prop::collection::vec(("[a-zé.]{0,6}", prop::collection::vec(metric(), 0..3)), 0..4),
    ) -> StreamMetricsMessage {
        let identifier = id.map(|id| Identifier { node: id.map(|id| Node { id }) });
        let of = |(name, metric)| reference::MetricFamily { name, metric };
        StreamMetricsMessage { identifier, envoy_metrics: families.into_iter().map(of).collect() }
    }
}

/// A metric as `prost` holds it.
fn owned(metric: &Metric<'_>) -> reference::Metric {
    let label = |(name, value): &(&str, &str)| LabelPair { name: (*name).into(), value: (*value).into() };
    let bucket = |of: &Bucket| reference::Bucket { cumulative_count: of.cumulative_count, upper_bound: of.upper_bound };
    let histogram = metric.histogram.as_ref().map(|of| reference::HistogramValue {
        sample_count: of.sample_count,
        bucket: of.buckets.iter().map(bucket).collect(),
    });
    reference::Metric {
        label: metric.labels.iter().map(label).collect(),
        gauge: metric.gauge.map(|value| Value { value }),
        counter: metric.counter.map(|value| Value { value }),
        histogram,
        timestamp_ms: metric.timestamp_ms,
    }
}

/// All families of a message, read by one metric whose memory is used again and again.
fn families(bytes: &[u8]) -> Result<Vec<reference::MetricFamily>, Malformed> {
    let (mut families, mut metric) = (Vec::new(), Metric::default());
    let report = MetricsReport::read(bytes)?;
    report.node_id()?;
    for family in report.families() {
        let family = family?;
        let mut found = reference::MetricFamily { name: family.name.into(), metric: Vec::new() };
        for bytes in family.metrics() {
            metric.read(bytes?)?;
            assert_eq!(taken(bytes?), Ok(metric.timestamp_ms));
            found.metric.push(owned(&metric));
        }
        families.push(found);
    }
    assert_eq!(report.is_empty(), families.is_empty());
    Ok(families)
}

proptest! {
    #[test]
    fn it_reads_what_prost_reads(message in message()) {
        let bytes = message.encode_to_vec();
        prop_assert_eq!(families(&bytes).unwrap(), message.envoy_metrics);
        let id = message.identifier.and_then(|identifier| identifier.node).map(|node| node.id);
        let told = MetricsReport::read(&bytes).unwrap().node_id().unwrap();
        prop_assert_eq!(told, id.as_deref().filter(|id| !id.is_empty()));
    }

    #[test]
    fn what_is_changed_or_cut_is_read_only_if_prost_reads_it(
        message in message(),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4),
        cut in prop::option::of(any::<prop::sample::Index>()),
    ) {
        let mut bytes = message.encode_to_vec();
        for (at, byte) in &changes {
            let at = at.index(bytes.len().max(1));
            bytes.get_mut(at).into_iter().for_each(|one| *one = *byte);
        }
        bytes.truncate(cut.map_or(bytes.len(), |at| at.index(bytes.len() + 1)));
        prop_assert!(families(&bytes).is_err() || StreamMetricsMessage::decode(&*bytes).is_ok());
    }

    #[test]
    fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
        prop_assert!(families(&bytes).is_err() || StreamMetricsMessage::decode(&*bytes).is_ok());
    }
}

#[test]
fn what_is_no_number_is_read_as_such_and_what_is_none_at_all_is_refused() {
    let counter = Some(Value { value: f64::NAN });
    let bytes = reference::Metric { counter, ..reference::Metric::default() }.encode_to_vec();
    let mut metric = Metric::default();
    metric.read(&bytes).unwrap();
    assert!(metric.counter.is_some_and(f64::is_nan));
    // A double of four bytes, and one that is a varint.
    for value in [&[3 << 3 | 2, 5, 1 << 3 | 5, 0, 0, 0, 0][..], &[3 << 3 | 2, 2, 1 << 3, 7]] {
        assert!(metric.read(value).is_err());
    }
    assert!(MetricsReport::read(&[1 << 3 | 2, 0, 1 << 3 | 2, 0]).is_err(), "two identifiers");
}
