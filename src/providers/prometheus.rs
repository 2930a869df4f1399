//! PURE: instant queries of Prometheus's HTTP API, and what is answered.
//!
//! After <https://prometheus.io/docs/prometheus/latest/querying/api/>: `GET /api/v1/query`. Thanos, Mimir and
//! VictoriaMetrics answer the same.

use std::time::Duration;

use serde::Deserialize;
use serde::de::IgnoredAny;

use crate::analysis::Outcome;

/// The URL of an instant query, as of now. The timeout is told, too, so that nobody works on what is not waited for.
pub(super) fn url(address: &str, query: &str, timeout: Duration) -> String {
    let address = address.trim_end_matches('/');
    format!("{address}/api/v1/query?query={}&timeout={}", escape(query), timeout.as_secs_f64())
}

/// What an answer comes to.
pub(super) fn outcome(body: &[u8]) -> Option<Outcome> {
    let answer: Answer = serde_json::from_slice(body).ok()?;
    Some(match answer {
        Answer::Success { data } => number(data).unwrap_or_else(Outcome::Error),
        Answer::Error { error_type, error } => Outcome::Error(format!("{error_type}: {error}")),
    })
}

#[derive(Debug, Deserialize)]
#[serde(tag = "status", rename_all = "lowercase")]
enum Answer {
    Success {
        data: Data,
    },
    Error {
        #[serde(rename = "errorType")]
        error_type: String,
        error: String,
    },
}

#[derive(Debug, Deserialize)]
#[serde(tag = "resultType", content = "result", rename_all = "lowercase")]
enum Data {
    Vector(Vec<Sample>),
    Scalar(Point),
    Matrix(IgnoredAny),
    String(IgnoredAny),
}

/// One series at one moment.
#[derive(Debug, Deserialize)]
struct Sample {
    /// Absent where it is a native histogram.
    value: Option<Point>,
}

/// A Unix time, and a number as text, because JSON has neither NaN nor infinity.
#[derive(Debug, Deserialize)]
struct Point(IgnoredAny, String);

fn number(data: Data) -> Result<Outcome, String> {
    let point = match data {
        Data::Scalar(point) => point,
        Data::Vector(mut samples) => match (samples.pop(), samples.len() + 1) {
            (None, _) => return Ok(Outcome::Nothing),
            (Some(sample), 1) => sample
                .value
                .ok_or("the query answers a native histogram: take a number of it, as with histogram_quantile()")?,
            (Some(_), series) => return Err(format!("the query answers {series} series: aggregate, as with sum()")),
        },
        Data::Matrix(_) => {
            return Err("the query answers a range and not one number: aggregate it over time, as with rate()".into());
        }
        Data::String(_) => return Err("the query answers a text and not a number".into()),
    };
    let Point(_, text) = point;
    // Rust reads Prometheus' NaN, +Inf and -Inf, too.
    text.parse().map(Outcome::of).map_err(|_| format!("the query answers {text:?}, which is no number"))
}

/// What may not stand in a query's value is written as its bytes.
fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len() * 2);
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => escaped.push(char::from(byte)),
            other => escaped.push_str(&format!("%{other:02X}")),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_is_asked_as_it_is_written() {
        let asked = url("http://prometheus:9090/base/", "sum(rate(a{b=~\"ä+\"}[60s]))", Duration::from_millis(1500));
        let query = "sum%28rate%28a%7Bb%3D~%22%C3%A4%2B%22%7D%5B60s%5D%29%29";
        assert_eq!(asked, format!("http://prometheus:9090/base/api/v1/query?query={query}&timeout=1.5"));
    }

    #[test]
    fn what_prometheus_answers() {
        let error = |why: &str| Some(Outcome::Error(why.to_owned()));
        let sample = |value: &str| format!(r#"{{"metric":{{}},"value":[1435781451.781,"{value}"]}}"#);
        let vector =
            |samples: &str| format!(r#"{{"status":"success","data":{{"resultType":"vector","result":[{samples}]}}}}"#);
        let of = |kind: &str, result: &str| {
            format!(
                r#"{{"status":"success","data":{{"resultType":"{kind}","result":{result}}},"warnings":["slow"],"infos":[]}}"#
            )
        };
        let histogram = r#"{"metric":{},"histogram":[1,{"count":"1","sum":"2","buckets":[]}]}"#;
        for (body, expected) in [
            (vector(&sample("0.0123")), Some(Outcome::Value(0.0123))),
            (vector(&sample("1e-7")), Some(Outcome::Value(1e-7))),
            (vector(&sample("NaN")), Some(Outcome::Nothing)),
            (vector(&sample("+Inf")), Some(Outcome::Nothing)),
            (vector(&sample("-Inf")), Some(Outcome::Nothing)),
            (vector(""), Some(Outcome::Nothing)),
            (vector(&[sample("1"), sample("2")].join(",")), error("the query answers 2 series: aggregate, as with sum()")),
            (
                vector(histogram),
                error("the query answers a native histogram: take a number of it, as with histogram_quantile()"),
            ),
            (vector(&sample("much")), error("the query answers \"much\", which is no number")),
            (of("scalar", r#"[1435781451.781,"42"]"#), Some(Outcome::Value(42.0))),
            (of("string", r#"[1435781451.781,"yes"]"#), error("the query answers a text and not a number")),
            (
                of("matrix", "[]"),
                error("the query answers a range and not one number: aggregate it over time, as with rate()"),
            ),
            (
                r#"{"status":"error","errorType":"bad_data","error":"invalid parameter \"query\": 1:5: parse error: unexpected end of input"}"#.into(),
                error("bad_data: invalid parameter \"query\": 1:5: parse error: unexpected end of input"),
            ),
            ("<html>a login page</html>".into(), None),
            (String::new(), None),
            (r#"{"status":"success"}"#.into(), None),
            (of("vector", "7"), None),
        ] {
            assert_eq!(outcome(body.as_bytes()), expected, "{body}");
        }
    }
}
