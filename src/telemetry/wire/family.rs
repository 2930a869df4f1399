//! A family of statistics, of which only what is used is decoded. PURE.

use prost::DecodeError;
use prost::bytes::{Buf, BufMut};
use prost::encoding::{DecodeContext, WireType, message, skip_field, string};

use super::Metric;
use crate::telemetry::sample::is_used;

/// `io.prometheus.client.MetricFamily`. Envoy sends one for each series, with one metric in it. Of a statistic that
/// nobody looks at, only when it was taken is decoded: those are most of what an Envoy without a filter sends.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct MetricFamily {
    /// The statistic's name without its tags.
    pub name: String,
    /// The values.
    pub metric: Vec<Metric>,
}

/// A metric's time and nothing else.
#[derive(Clone, Copy, PartialEq, prost::Message)]
struct Taken {
    #[prost(int64, tag = "6")]
    timestamp_ms: i64,
}

const NAME: u32 = 1;
const METRIC: u32 = 4;

impl prost::Message for MetricFamily {
    fn encode_raw(&self, buffer: &mut impl BufMut) {
        string::encode(NAME, &self.name, buffer);
        message::encode_repeated(METRIC, &self.metric, buffer);
    }

    fn merge_field(
        &mut self,
        tag: u32,
        wire_type: WireType,
        buffer: &mut impl Buf,
        context: DecodeContext,
    ) -> Result<(), DecodeError> {
        match tag {
            NAME => string::merge(wire_type, &mut self.name, buffer, context),
            // The name comes first; where it does not, everything is decoded.
            METRIC if self.name.is_empty() || is_used(&self.name) => {
                message::merge_repeated(wire_type, &mut self.metric, buffer, context)
            }
            METRIC => {
                let mut taken = Taken::default();
                message::merge(wire_type, &mut taken, buffer, context)?;
                self.metric.push(Metric { timestamp_ms: taken.timestamp_ms, ..Metric::default() });
                Ok(())
            }
            _ => skip_field(wire_type, tag, buffer, context),
        }
    }

    fn encoded_len(&self) -> usize {
        string::encoded_len(NAME, &self.name) + message::encoded_len_repeated(METRIC, &self.metric)
    }

    fn clear(&mut self) {
        self.name.clear();
        self.metric.clear();
    }
}

#[cfg(test)]
mod tests {
    use prost::Message;

    use super::*;
    use crate::telemetry::wire::{LabelPair, Value};

    #[test]
    fn what_is_used_comes_back_whole_and_of_the_rest_when_it_was_taken() {
        let label = vec![LabelPair { name: "envoy.cluster_name".into(), value: "a/v1".into() }];
        let metric = Metric { label, counter: Some(Value { value: 7.0 }), timestamp_ms: 5, ..Metric::default() };
        let family = |name: &str| MetricFamily { name: name.into(), metric: vec![metric.clone()] };
        let back = |family: &MetricFamily| MetricFamily::decode(&*family.encode_to_vec()).expect("what was encoded");
        for name in ["cluster.membership_total", ""] {
            assert_eq!(back(&family(name)), family(name));
        }
        let taken = Metric { timestamp_ms: 5, ..Metric::default() };
        assert_eq!(back(&family("cluster.other")), MetricFamily { name: "cluster.other".into(), metric: vec![taken] });
        assert!(MetricFamily::decode(&[4 << 3 | 2, 9, 0][..]).is_err());
    }
}
