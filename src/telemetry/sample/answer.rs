//! How a request ended, as its caller saw it. PURE.

use std::ops::Deref;

use crate::model::Cause;

/// The route of all requests that nobody has chosen; those of a named route of the service are `shared/NAME`.
const SHARED: &str = "shared";

/// How a request ended. Its texts are borrowed from a message, or kept: the order is the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::telemetry) struct Answer<T> {
    /// The name of the route that it took; `None` from a proxy that does not tell.
    pub(in crate::telemetry) route: Option<T>,
    /// The HTTP status; 0 when there was none.
    pub(in crate::telemetry) code: u16,
    /// The `grpc-status` of a gRPC request.
    pub(in crate::telemetry) grpc: Option<u16>,
    /// Envoy's response flags, as they came (`-` is none): what is one cause to us may be several counters. `None` when
    /// the proxy's configuration is too old to tell.
    pub(in crate::telemetry) flags: Option<T>,
}

/// What an answer counts as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::telemetry) enum Outcome {
    /// A request that went well, or badly by its caller's fault.
    Success,
    /// A request that failed, by no fault of its caller.
    Failure(Cause),
    /// Neither request nor error.
    Nothing,
}

impl<T: Deref<Target = str>> Answer<T> {
    /// The same, its texts borrowed from this one.
    pub(in crate::telemetry) fn borrowed(&self) -> Answer<&str> {
        let (route, flags) = (self.route.as_deref(), self.flags.as_deref());
        Answer { route, code: self.code, grpc: self.grpc, flags }
    }

    /// Judges it by whose fault it is.
    ///
    /// - No status (code 0): the caller went away before there was an answer. Who gives up is not the server's doing,
    ///   and a proxy that gets no answer says so with a 503 or 504 of its own.
    /// - HTTP: an error from 500 on.
    /// - gRPC: the statuses that OpenTelemetry's conventions count as a server's errors: `UNKNOWN` 2,
    ///   `DEADLINE_EXCEEDED` 4, `UNIMPLEMENTED` 12, `INTERNAL` 13, `UNAVAILABLE` 14, `DATA_LOSS` 15. Not
    ///   `RESOURCE_EXHAUSTED` 8, as 429 is none either.
    pub(in crate::telemetry) fn outcome(&self) -> Outcome {
        match (self.code, self.grpc) {
            (0..100, _) => Outcome::Nothing,
            (500.., _) | (_, Some(2 | 4 | 12..=15)) => Outcome::Failure(self.cause()),
            (100..500, _) => Outcome::Success,
        }
    }

    /// Why it failed, if it did: of several flags the one that says most. They come as Envoy writes them, such as
    /// `URX,UF`.
    fn cause(&self) -> Cause {
        let flags = self.flags.as_deref().unwrap_or_default().split(',');
        flags.filter_map(cause).min_by_key(|(rank, _)| *rank).map_or(Cause::Answer, |(_, cause)| cause)
    }

    /// Whether a rule or a preview has chosen it.
    pub(in crate::telemetry) fn is_chosen(&self) -> bool {
        is_chosen(self.route.as_deref())
    }

    /// The service's named route that it took.
    pub(in crate::telemetry) fn named_route(&self) -> Option<&str> {
        self.route.as_deref().and_then(named)
    }
}

/// What a flag says, the one that says most first; nothing when it says nothing of why a request failed: `URX` is a
/// retry that did not help either (alone it is an endpoint's answer), `DI` a delay that was wanted.
fn cause(flag: &str) -> Option<(u8, Cause)> {
    Some(match flag {
        "" | "-" | "URX" | "DI" => return None,
        "UH" => (0, Cause::NoEndpoint),
        "UO" => (1, Cause::Overflow),
        "UF" => (2, Cause::Connect),
        "UT" | "SI" | "DT" | "UMSDR" => (3, Cause::Timeout),
        "UC" | "UR" | "LR" | "UPE" => (4, Cause::Reset),
        _ => (5, Cause::Other),
    })
}

/// A route without a name is one of raw configuration.
pub(super) fn is_chosen(route: Option<&str>) -> bool {
    route.is_some_and(|route| !matches!(route, "" | "-" | SHARED) && named(route).is_none())
}

fn named(route: &str) -> Option<&str> {
    route.strip_prefix(SHARED)?.strip_prefix('/')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer<'a>(route: Option<&'a str>, code: u16, grpc: Option<u16>, flags: Option<&'a str>) -> Answer<&'a str> {
        Answer { route, code, grpc, flags }
    }

    #[test]
    fn whose_fault_an_answer_is() {
        use Outcome::{Failure, Nothing, Success};
        let error = Failure(Cause::Answer);
        for (code, grpc, outcome) in [
            (0, None, Nothing),
            (0, Some(14), Nothing),
            (99, None, Nothing),
            (101, None, Success),
            (200, None, Success),
            (404, None, Success),
            (429, None, Success),
            (499, None, Success),
            (500, None, error),
            (503, None, error),
            (599, None, error),
            (999, None, error),
            (200, Some(0), Success),
            (200, Some(1), Success),
            (200, Some(2), error),
            (200, Some(3), Success),
            (200, Some(4), error),
            (200, Some(5), Success),
            (200, Some(7), Success),
            (200, Some(8), Success),
            (200, Some(12), error),
            (200, Some(13), error),
            (200, Some(14), error),
            (200, Some(15), error),
            (200, Some(16), Success),
            (200, Some(77), Success),
            (403, Some(7), Success),
            (500, Some(2), error),
        ] {
            assert_eq!(answer(None, code, grpc, None).outcome(), outcome, "{code} {grpc:?}");
        }
    }

    /// The combinations are those that Envoy 1.37 and 1.40 wrote.
    #[test]
    fn why_a_request_failed() {
        for (code, flags, cause) in [
            (500, None, Cause::Answer),
            (500, Some("-"), Cause::Answer),
            (500, Some(""), Cause::Answer),
            (500, Some("URX"), Cause::Answer),
            (500, Some("DI"), Cause::Answer),
            (503, Some("UH"), Cause::NoEndpoint),
            (503, Some("UO"), Cause::Overflow),
            (503, Some("UF"), Cause::Connect),
            (503, Some("URX,UF"), Cause::Connect),
            (504, Some("UT"), Cause::Timeout),
            (504, Some("URX,UT"), Cause::Timeout),
            (504, Some("SI"), Cause::Timeout),
            (504, Some("DT"), Cause::Timeout),
            (504, Some("UMSDR"), Cause::Timeout),
            (503, Some("UC"), Cause::Reset),
            (503, Some("URX,UC"), Cause::Reset),
            (503, Some("UR"), Cause::Reset),
            (503, Some("LR"), Cause::Reset),
            (502, Some("UPE"), Cause::Reset),
            (503, Some("UC,UF"), Cause::Connect),
            (503, Some("UT,UH,UF"), Cause::NoEndpoint),
            (500, Some("FI"), Cause::Other),
            (503, Some("NEW"), Cause::Other),
            (503, Some("NEW,UC"), Cause::Reset),
        ] {
            let answer = answer(None, code, None, flags);
            assert_eq!(answer.outcome(), Outcome::Failure(cause), "{code} {flags:?}");
        }
        let limited = answer(None, 429, None, Some("RL"));
        assert_eq!(limited.outcome(), Outcome::Success);
        let refused = answer(None, 200, Some(14), Some("UF"));
        assert_eq!(refused.outcome(), Outcome::Failure(Cause::Connect));
    }

    #[test]
    fn routes() {
        for (route, chosen, named) in [
            (None, false, None),
            (Some(""), false, None),
            (Some("-"), false, None),
            (Some("shared"), false, None),
            (Some("shared/pay"), false, Some("pay")),
            (Some("sharedness"), true, None),
            (Some("chosen/0"), true, None),
            (Some("preview"), true, None),
        ] {
            let answer = answer(route, 200, None, None);
            assert_eq!((answer.is_chosen(), answer.named_route()), (chosen, named), "{route:?}");
        }
    }
}
