//! Evidence as e-values, in log space.
//!
//! PURE. An e-value is the factor by which a bet against a hypothesis has multiplied its stake. While the hypothesis is
//! true, the chance that it ever reaches `1/risk` is at most `risk` (Ville's inequality), however often one looks.
//! Products over windows and weighted averages over bets are e-values again.

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// The natural logarithm of an e-value: it overflows otherwise. Never NaN, never above `f64::MAX`; an e-value of 0, a
/// bet that is lost for good, is minus infinity.
///
/// Serialised as the 16 hexadecimal digits of its bits: JSON has no infinity, and a decimal may come back one bit off.
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd)]
pub struct LogE(f64);

impl LogE {
    /// An e-value of 1: nothing is known.
    pub const ONE: LogE = LogE(0.0);

    /// An e-value of 0: lost for good, or nothing laid.
    pub const ZERO: LogE = LogE(f64::NEG_INFINITY);

    /// From a logarithm. What is no number is no evidence: [`LogE::ONE`].
    pub fn from_ln(ln: f64) -> Self {
        if ln.is_nan() { Self::ONE } else { Self(ln.min(f64::MAX)) }
    }

    /// The logarithm.
    pub fn ln(self) -> f64 {
        self.0
    }

    /// The e-value itself, `f64::MAX` where it is too large to be told.
    pub fn value(self) -> f64 {
        self.0.exp().min(f64::MAX)
    }

    /// Multiplied by `e^ln_factor`, which is what one more window does. A factor that is no number changes nothing.
    #[must_use]
    pub fn times(self, ln_factor: f64) -> Self {
        let ln = self.0 + ln_factor;
        if ln.is_nan() { self } else { Self(ln.clamp(f64::NEG_INFINITY, f64::MAX)) }
    }

    /// The weighted average of e-values; the weights are positive.
    pub fn average(parts: impl IntoIterator<Item = (f64, LogE)> + Clone) -> Self {
        let top = parts.clone().into_iter().map(|(_, e)| e.0).fold(f64::NEG_INFINITY, f64::max);
        if top == f64::NEG_INFINITY {
            return Self(top);
        }
        let (mut sum, mut weights) = (0.0, 0.0);
        for (weight, e) in parts {
            sum += weight * (e.0 - top).exp();
            weights += weight;
        }
        Self::from_ln(top + (sum / weights).ln())
    }

    /// Whether it is enough to act on with this risk of being wrong. A risk outside of (0, 1) is never taken.
    pub fn reaches(self, risk: f64) -> bool {
        risk > 0.0 && risk < 1.0 && self.0 >= -risk.ln()
    }
}

/// 1 / risk: the e-value that is enough. `f64::MAX` for a risk outside of (0, 1).
pub fn bound(risk: f64) -> f64 {
    if risk > 0.0 && risk < 1.0 { (1.0 / risk).min(f64::MAX) } else { f64::MAX }
}

/// Bets that are kept together with what they are against: evidence against one hypothesis is none against another, so
/// a policy that is edited in mid-rollout begins anew.
// Serde knows arrays of each length but not of any, hence the bounds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(bound(serialize = "[LogE; N]: Serialize", deserialize = "[LogE; N]: Deserialize<'de>"))]
pub(super) struct Bets<const N: usize> {
    /// The hypothesis's rate or ratio: its bits, because it is only ever compared.
    against: u64,
    logs: [LogE; N],
}

impl<const N: usize> Bets<N> {
    /// Nothing known yet.
    pub(super) fn new(against: f64) -> Self {
        Self { against: against.to_bits(), logs: [LogE::ONE; N] }
    }

    /// The bets against this hypothesis, begun anew if they were against another.
    pub(super) fn against(&mut self, against: f64) -> &mut [LogE; N] {
        if self.against != against.to_bits() {
            *self = Self::new(against);
        }
        &mut self.logs
    }

    /// Each bet's e-value.
    pub(super) fn logs(&self) -> &[LogE; N] {
        &self.logs
    }
}

impl<const N: usize> Default for Bets<N> {
    fn default() -> Self {
        Self::new(0.0)
    }
}

impl Serialize for LogE {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&format!("{:016x}", self.0.to_bits()))
    }
}

impl<'de> Deserialize<'de> for LogE {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let ln = f64::from_bits(u64::from_str_radix(&text, 16).map_err(de::Error::custom)?);
        if ln.is_nan() || ln == f64::INFINITY {
            return Err(de::Error::custom(format!("{text} is no evidence")));
        }
        Ok(Self(ln))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn averages_far_beyond_what_a_float_holds() {
        let close = |e: LogE, ln: f64| assert!((e.ln() - ln).abs() < 1e-9, "{e:?} is not {ln}");
        close(LogE::average([(0.5, LogE::ONE), (0.5, LogE::ONE)]), 0.0);
        close(LogE::average([(0.5, LogE(5000.0)), (0.5, LogE(-5000.0))]), 5000.0 - 2_f64.ln());
        close(LogE::average([(0.25, LogE(3_f64.ln())), (0.75, LogE(f64::NEG_INFINITY))]), 0.75_f64.ln());
        assert_eq!(LogE::average([(1.0, LogE(f64::NEG_INFINITY))]).ln(), f64::NEG_INFINITY);
    }

    #[test]
    fn a_bound_is_reached_only_for_a_risk_that_is_one() {
        for (ln, risk, reached) in [
            (100_f64.ln(), 0.01, true),
            (99.9_f64.ln(), 0.01, false),
            (1e9, 0.0, false),
            (1e9, 1.0, false),
            (1e9, 2.0, false),
            (1e9, f64::NAN, false),
            (f64::NEG_INFINITY, 0.5, false),
        ] {
            assert_eq!(LogE(ln).reaches(risk), reached, "{ln} at {risk}");
        }
    }

    #[test]
    fn what_is_no_evidence_is_not_read() {
        let nan = format!("\"{:016x}\"", f64::NAN.to_bits());
        let infinite = format!("\"{:016x}\"", f64::INFINITY.to_bits());
        for text in [nan.as_str(), &infinite, "\"\"", "\"xyz\"", "1.5"] {
            assert!(serde_json::from_str::<LogE>(text).is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn is_never_anything_else_than_a_number(start in any::<f64>(), factors in prop::collection::vec(any::<f64>(), 0..9)) {
            let e = factors.into_iter().fold(LogE::from_ln(start), LogE::times);
            prop_assert!(!e.ln().is_nan() && e.ln() < f64::INFINITY);
            prop_assert!(e.value().is_finite());
            let text = serde_json::to_string(&e).unwrap();
            prop_assert_eq!(serde_json::from_str::<LogE>(&text).unwrap().ln().to_bits(), e.ln().to_bits());
        }
    }
}
