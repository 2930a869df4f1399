//! Times at which nobody wants a release to move.

use jiff::civil::{Date, Time, Weekday};
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan, Zoned};
use serde::{Deserialize, Serialize};

/// A time that comes again, or comes once, in which no step is taken. It is told in the wall time of a time zone, so that
/// it moves with daylight saving.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DenyWindow {
    /// An IANA time zone, as `Europe/Berlin`.
    pub time_zone: String,
    /// When.
    pub when: When,
    /// Why, for those who wait.
    pub reason: Option<String>,
}

/// When a window is open.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum When {
    /// On some days of the week.
    Weekly {
        /// The days that it begins on, by their number from Monday, 1 to 7; each once.
        days: Vec<i8>,
        /// When it begins.
        from: Time,
        /// When it ends: on the next day when that is not after its beginning.
        to: Time,
    },
    /// On dates, the first and the last one included.
    Dates {
        /// The first day.
        from: Date,
        /// The last day.
        to: Date,
    },
}

impl DenyWindow {
    /// The end of the window, when `now` lies in it. A time zone that nobody knows denies nothing (`spec` refuses it).
    pub fn denies_until(&self, now: Timestamp) -> Option<Timestamp> {
        let zone = TimeZone::get(&self.time_zone).ok()?;
        let local = now.to_zoned(zone.clone());
        match &self.when {
            When::Dates { from, to } => {
                let begins = zone.to_zoned(from.to_datetime(Time::midnight())).ok()?;
                let ends = zone.to_zoned(to.tomorrow().ok()?.to_datetime(Time::midnight())).ok()?;
                (begins <= local && local < ends).then(|| ends.timestamp())
            }
            When::Weekly { days, from, to } => {
                let begun = |day: Date| -> Option<(Zoned, Zoned)> {
                    let is_chosen = days.contains(&Weekday::to_monday_one_offset(day.weekday()));
                    let last = if to > from { day } else { day.tomorrow().ok()? };
                    let window = || {
                        Some((zone.to_zoned(day.to_datetime(*from)).ok()?, zone.to_zoned(last.to_datetime(*to)).ok()?))
                    };
                    is_chosen.then(window).flatten()
                };
                // It may have begun yesterday.
                let days = [Some(local.date()), local.date().checked_sub(1.day()).ok()];
                let open = days.into_iter().flatten().filter_map(begun);
                open.filter(|(begins, ends)| *begins <= local && local < *ends).map(|(_, ends)| ends.timestamp()).max()
            }
        }
    }
}

/// The end of the last of the windows that deny a step now, following those that touch, with its reason.
pub fn denied_until(windows: &[DenyWindow], now: Timestamp) -> Option<(Timestamp, Option<&str>)> {
    let (mut at, mut found) = (now, None);
    // Each window may be entered a few times before one that does not touch: a week of days is enough.
    for _ in 0..64 {
        let next = windows.iter().filter_map(|window| Some((window.denies_until(at)?, window.reason.as_deref())));
        match next.max_by_key(|(until, _)| *until) {
            Some((until, reason)) if until > at => {
                at = until;
                found = Some((until, found.map_or(reason, |(_, first)| first)));
            }
            _ => break,
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().expect("a timestamp")
    }

    fn weekly(days: &[i8], from: &str, to: &str) -> DenyWindow {
        let (from, to) = (from.parse().expect("a time"), to.parse().expect("a time"));
        DenyWindow {
            time_zone: "Europe/Berlin".into(),
            when: When::Weekly { days: days.into(), from, to },
            reason: None,
        }
    }

    #[test]
    fn a_window_over_midnight_belongs_to_the_day_on_which_it_begins() {
        let friday = weekly(&[5], "16:00", "08:00");
        for (now, until) in [
            ("2026-11-20T14:59:59Z", None),
            ("2026-11-20T15:00:00Z", Some("2026-11-21T07:00:00Z")),
            ("2026-11-21T06:59:59Z", Some("2026-11-21T07:00:00Z")),
            ("2026-11-21T07:00:00Z", None),
            ("2026-11-19T20:00:00Z", None),
        ] {
            assert_eq!(friday.denies_until(at(now)), until.map(at), "{now}");
        }
    }

    #[test]
    fn it_moves_with_daylight_saving() {
        let nights = weekly(&[1, 2, 3, 4, 5, 6, 7], "01:00", "05:00");
        // Summer: two hours ahead of UTC; the night in which it ends has an hour more.
        assert_eq!(nights.denies_until(at("2026-10-24T00:30:00Z")), Some(at("2026-10-24T03:00:00Z")));
        assert_eq!(nights.denies_until(at("2026-10-25T00:30:00Z")), Some(at("2026-10-25T04:00:00Z")));
        assert_eq!(nights.denies_until(at("2026-10-26T00:30:00Z")), Some(at("2026-10-26T04:00:00Z")));
        // The night in which it begins: 02:30 does not exist, and the window is an hour shorter.
        assert_eq!(nights.denies_until(at("2026-03-29T00:00:00Z")), Some(at("2026-03-29T03:00:00Z")));
        let gap = weekly(&[7], "02:30", "04:00");
        assert_eq!(gap.denies_until(at("2026-03-29T01:15:00Z")), None);
        assert_eq!(gap.denies_until(at("2026-03-29T01:45:00Z")), Some(at("2026-03-29T02:00:00Z")));
    }

    #[test]
    fn dates_include_the_last_day_and_windows_that_touch_are_one() {
        let dates = |from: &str, to: &str, reason: &str| DenyWindow {
            time_zone: "America/New_York".into(),
            when: When::Dates { from: from.parse().expect("a date"), to: to.parse().expect("a date") },
            reason: Some(reason.into()),
        };
        let windows = [dates("2026-11-26", "2026-11-27", "thanksgiving"), dates("2026-11-28", "2026-11-29", "weekend")];
        assert_eq!(denied_until(&windows, at("2026-11-26T04:59:59Z")), None);
        let denied = denied_until(&windows, at("2026-11-26T05:00:00Z"));
        assert_eq!(denied, Some((at("2026-11-30T05:00:00Z"), Some("thanksgiving"))));
        assert_eq!(denied_until(&windows, at("2026-11-30T05:00:00Z")), None);
    }
}
