//! Rules about what has an order: numbers, durations, times. PURE.

use std::fmt;
use std::ops::Bound;

use envoy_types::pb::google::protobuf as wkt;
use envoy_types::pb::validate::{self as pgv, field_rules::Type};

use super::{Fault, one_of};

/// What a value that has an order must be.
#[derive(Debug)]
pub(super) struct Range<T> {
    only: Option<T>,
    low: Bound<T>,
    high: Bound<T>,
    among: Vec<T>,
    except: Vec<T>,
    /// The value that counts as none and is not looked at.
    empty: Option<T>,
}

impl<T: PartialOrd + fmt::Display> Range<T> {
    /// What a value breaks, if it breaks anything.
    pub(super) fn fault(&self, value: T) -> Option<Fault> {
        if self.empty.as_ref() == Some(&value) {
            return None;
        }
        let rule = match &self.only {
            Some(only) if *only != value => format!("must be {only}"),
            _ if !self.holds(&value) => format!("must be {}", self.words()),
            _ if !self.among.is_empty() && !self.among.contains(&value) => format!("must be {}", one_of(&self.among)),
            _ if self.except.contains(&value) => format!("must not be {}", one_of(&self.except)),
            _ => return None,
        };
        Some(Fault { rule, got: value.to_string() })
    }

    fn holds(&self, value: &T) -> bool {
        let above = match &self.low {
            Bound::Included(low) => value >= low,
            Bound::Excluded(low) => value > low,
            Bound::Unbounded => true,
        };
        let below = match &self.high {
            Bound::Included(high) => value <= high,
            Bound::Excluded(high) => value < high,
            Bound::Unbounded => true,
        };
        if self.is_outside() { above || below } else { above && below }
    }

    /// A lower bound above the upper one means what is outside of both.
    fn is_outside(&self) -> bool {
        match (&self.low, &self.high) {
            (Bound::Included(low) | Bound::Excluded(low), Bound::Included(high) | Bound::Excluded(high)) => low > high,
            _ => false,
        }
    }

    fn words(&self) -> String {
        let low = match &self.low {
            Bound::Included(low) => Some(format!("at least {low}")),
            Bound::Excluded(low) => Some(format!("more than {low}")),
            Bound::Unbounded => None,
        };
        let high = match &self.high {
            Bound::Included(high) => Some(format!("at most {high}")),
            Bound::Excluded(high) => Some(format!("less than {high}")),
            Bound::Unbounded => None,
        };
        let parts: Vec<String> = low.into_iter().chain(high).collect();
        parts.join(if self.is_outside() { " or " } else { " and " })
    }
}

/// The stricter kind of bound wins where both are given, as in protoc-gen-validate's templates.
fn bound<T>(exclusive: Option<T>, inclusive: Option<T>) -> Bound<T> {
    exclusive.map(Bound::Excluded).or(inclusive.map(Bound::Included)).unwrap_or(Bound::Unbounded)
}

/// The twelve kinds of number rules are one message but for the type of their fields.
macro_rules! range {
    ($rules:expr, $to:ty) => {{
        let rules = $rules;
        Range {
            only: rules.r#const.map(<$to>::from),
            low: bound(rules.gt.map(<$to>::from), rules.gte.map(<$to>::from)),
            high: bound(rules.lt.map(<$to>::from), rules.lte.map(<$to>::from)),
            among: rules.r#in.iter().copied().map(<$to>::from).collect(),
            except: rules.not_in.iter().copied().map(<$to>::from).collect(),
            empty: rules.ignore_empty().then(<$to>::default),
        }
    }};
}

/// The rules of a signed integer.
pub(super) fn signed(rules: &Type) -> Option<Range<i64>> {
    Some(match rules {
        Type::Int32(r) => range!(r, i64),
        Type::Int64(r) => range!(r, i64),
        Type::Sint32(r) => range!(r, i64),
        Type::Sint64(r) => range!(r, i64),
        Type::Sfixed32(r) => range!(r, i64),
        Type::Sfixed64(r) => range!(r, i64),
        _ => return None,
    })
}

/// The rules of an unsigned integer.
pub(super) fn unsigned(rules: &Type) -> Option<Range<u64>> {
    Some(match rules {
        Type::Uint32(r) => range!(r, u64),
        Type::Uint64(r) => range!(r, u64),
        Type::Fixed32(r) => range!(r, u64),
        Type::Fixed64(r) => range!(r, u64),
        _ => return None,
    })
}

/// The rules of a floating-point number. One that is not a number is in no range.
pub(super) fn float(rules: &Type) -> Option<Range<f64>> {
    Some(match rules {
        Type::Float(r) => range!(r, f64),
        Type::Double(r) => range!(r, f64),
        _ => return None,
    })
}

/// A length of time.
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd)]
pub(super) struct Span {
    pub(super) seconds: i64,
    pub(super) nanos: i32,
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.seconds < 0 || self.nanos < 0 { "-" } else { "" };
        let fraction = format!("{:09}", self.nanos.unsigned_abs());
        match fraction.trim_end_matches('0') {
            "" => write!(f, "{sign}{}s", self.seconds.unsigned_abs()),
            fraction => write!(f, "{sign}{}.{fraction}s", self.seconds.unsigned_abs()),
        }
    }
}

impl From<&wkt::Duration> for Span {
    fn from(of: &wkt::Duration) -> Self {
        Self { seconds: of.seconds, nanos: of.nanos }
    }
}

/// A point in time.
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd)]
pub(super) struct Moment(pub(super) Span);

impl fmt::Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match jiff::Timestamp::new(self.0.seconds, self.0.nanos) {
            Ok(time) => time.fmt(f),
            Err(_) => write!(f, "{} after 1970", self.0),
        }
    }
}

impl From<&wkt::Timestamp> for Moment {
    fn from(of: &wkt::Timestamp) -> Self {
        Self(Span { seconds: of.seconds, nanos: of.nanos })
    }
}

/// The rules of a duration.
pub(super) fn duration(rules: &pgv::DurationRules) -> Range<Span> {
    let span = |of: &Option<wkt::Duration>| of.as_ref().map(Span::from);
    Range {
        only: span(&rules.r#const),
        low: bound(span(&rules.gt), span(&rules.gte)),
        high: bound(span(&rules.lt), span(&rules.lte)),
        among: rules.r#in.iter().map(Span::from).collect(),
        except: rules.not_in.iter().map(Span::from).collect(),
        empty: None,
    }
}

/// The rules of a time, but for those that need a clock (`lt_now`, `gt_now`, `within`): whether they hold changes while
/// nothing else does. Envoy's API has none of them.
pub(super) fn timestamp(rules: &pgv::TimestampRules) -> Range<Moment> {
    let moment = |of: &Option<wkt::Timestamp>| of.as_ref().map(Moment::from);
    Range {
        only: moment(&rules.r#const),
        low: bound(moment(&rules.gt), moment(&rules.gte)),
        high: bound(moment(&rules.lt), moment(&rules.lte)),
        among: Vec::new(),
        except: Vec::new(),
        empty: None,
    }
}
