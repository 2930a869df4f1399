//! Numbers, times and tables for people. PURE.

use std::time::Duration;

use envoy_types::pb::google::protobuf;
use jiff::Timestamp;

/// What stands where there is nothing.
pub(super) const NOTHING: &str = "-";

/// A share in percent, as `5%`, `12.5%`, `0.01%`.
pub(super) fn percent(share: f64) -> String {
    if !share.is_finite() {
        return NOTHING.to_owned();
    }
    let text = format!("{share:.2}");
    format!("{}%", text.trim_end_matches('0').trim_end_matches('.'))
}

/// A share from 0 to 1 as a rate, always with two digits: `0.10%`.
pub(super) fn rate(share: f64) -> String {
    if share.is_finite() { format!("{:.2}%", share * 100.0) } else { NOTHING.to_owned() }
}

/// A whole number with thousands apart: `12,345`.
pub(super) fn count(number: u64) -> String {
    let digits = number.to_string();
    let groups: Vec<&str> = digits.as_bytes().rchunks(3).rev().filter_map(|g| std::str::from_utf8(g).ok()).collect();
    groups.join(",")
}

/// Three digits of a positive number, for e-values and rates per second: `0.0123`, `1.20`, `3.2e9`.
pub(super) fn three_digits(number: f64) -> String {
    match number {
        n if !n.is_finite() => if n == f64::INFINITY { "∞" } else { NOTHING }.to_owned(),
        0.0 => "0".to_owned(),
        n if n.abs() < 0.001 || n.abs() >= 1e6 => format!("{n:.1e}"),
        n if n.abs() < 1.0 => format!("{n:.3}"),
        n if n.abs() < 10.0 => format!("{n:.2}"),
        n if n.abs() < 100.0 => format!("{n:.1}"),
        n => format!("{n:.0}"),
    }
}

/// A span of time as kubectl has it: the two greatest units.
pub(super) fn span(of: Duration) -> String {
    let seconds = of.as_secs();
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86_400);
    match seconds {
        0..120 => format!("{seconds}s"),
        120..7_200 if seconds.is_multiple_of(60) || minutes >= 10 => format!("{minutes}m"),
        120..7_200 => format!("{minutes}m{}s", seconds % 60),
        7_200..172_800 if minutes.is_multiple_of(60) => format!("{hours}h"),
        7_200..172_800 => format!("{hours}h{}m", minutes % 60),
        172_800.. => format!("{days}d"),
    }
}

/// How long ago it was; `-` when it never was.
pub(super) fn age(then: Option<&protobuf::Timestamp>, now: Timestamp) -> String {
    match then.and_then(timestamp) {
        Some(then) => span(Duration::try_from(now.duration_since(then)).unwrap_or_default()),
        None => NOTHING.to_owned(),
    }
}

/// How long it is until then, nothing below zero.
pub(super) fn left(then: &protobuf::Timestamp, now: Timestamp) -> String {
    timestamp(then)
        .map_or(NOTHING.to_owned(), |then| span(Duration::try_from(then.duration_since(now)).unwrap_or_default()))
}

/// A moment as RFC 3339 in UTC with milliseconds; `-` when there is none.
pub(super) fn moment(at: Option<&protobuf::Timestamp>) -> String {
    at.and_then(timestamp).map_or(NOTHING.to_owned(), |at| format!("{at:.3}"))
}

/// A latency: `850µs`, `12ms`, `1.25s`.
pub(super) fn latency(of: Option<&protobuf::Duration>) -> String {
    let Some(seconds) = of.map(|d| d.seconds as f64 + f64::from(d.nanos) * 1e-9) else {
        return NOTHING.to_owned();
    };
    match seconds {
        s if s < 0.001 => format!("{:.0}µs", s * 1e6),
        s if s < 0.01 => format!("{:.1}ms", s * 1e3),
        s if s < 1.0 => format!("{:.0}ms", s * 1e3),
        s => format!("{s:.2}s"),
    }
}

/// A duration of the API, nothing below zero.
pub(super) fn duration(of: Option<&protobuf::Duration>) -> Duration {
    of.map_or(Duration::ZERO, |d| {
        Duration::new(u64::try_from(d.seconds).unwrap_or(0), u32::try_from(d.nanos).unwrap_or(0))
    })
}

/// The text, or `-`.
pub(super) fn or_nothing(text: &str) -> &str {
    if text.is_empty() { NOTHING } else { text }
}

/// `1 fleet`, `2 fleets`.
pub(super) fn plural(number: usize, noun: &str) -> String {
    format!("{number} {noun}{}", if number == 1 { "" } else { "s" })
}

/// A version hash as people compare it: its beginning.
pub(super) fn short_version(version: &str) -> &str {
    or_nothing(version.get(..12).unwrap_or(version))
}

fn timestamp(of: &protobuf::Timestamp) -> Option<Timestamp> {
    Timestamp::new(of.seconds, of.nanos).ok()
}

/// What a terminal may not be told by a text from outside: line breaks become spaces, other control characters and those
/// that turn the direction of writing a replacement, so that no text can leave its cell, move the cursor or read as
/// another one.
pub(super) fn on_one_line(text: &str) -> String {
    let plain = text.chars().map(|c| match c {
        '\n' | '\r' | '\t' => ' ',
        c if c.is_control() => char::REPLACEMENT_CHARACTER,
        '\u{202A}'..='\u{202E}' | '\u{2066}'..='\u{2069}' => char::REPLACEMENT_CHARACTER,
        c => c,
    });
    plain.collect::<String>().trim_end().to_owned()
}

/// Reads `5s`, `1m30s`, `2h`, `PT5M`.
///
/// # Errors
/// A sentence that says what is wrong, for clap.
pub(super) fn parse_duration(text: &str) -> Result<Duration, String> {
    let hint = "write it as 500ms, 5s, 1m30s or 2h";
    let signed: jiff::SignedDuration = text.parse().map_err(|_| hint.to_owned())?;
    match Duration::try_from(signed) {
        Ok(duration) if duration > Duration::ZERO => Ok(duration),
        Ok(_) | Err(_) => Err(format!("it must be more than nothing; {hint}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_short() {
        for (share, text) in
            [(0.0, "0%"), (5.0, "5%"), (12.5, "12.5%"), (0.01, "0.01%"), (100.0, "100%"), (10.0, "10%")]
        {
            assert_eq!(percent(share), text);
        }
        assert_eq!(percent(f64::NAN), "-");
        assert_eq!((rate(0.001), rate(1.0)), ("0.10%".into(), "100.00%".into()));
        for (number, text) in [(0, "0"), (999, "999"), (1_000, "1,000"), (12_345_678, "12,345,678")] {
            assert_eq!(count(number), text);
        }
        let numbers = [
            (0.0, "0"),
            (0.0123, "0.012"),
            (1.2, "1.20"),
            (42.04, "42.0"),
            (512.4, "512"),
            (3.2e9, "3.2e9"),
            (1e-5, "1.0e-5"),
            (f64::INFINITY, "∞"),
            (f64::NAN, "-"),
        ];
        for (number, text) in numbers {
            assert_eq!(three_digits(number), text);
        }
    }

    #[test]
    fn spans_have_two_units() {
        for (seconds, text) in [
            (0, "0s"),
            (119, "119s"),
            (120, "2m"),
            (150, "2m30s"),
            (3_599, "59m"),
            (7_200, "2h"),
            (7_260, "2h1m"),
            (172_800, "2d"),
            (u64::MAX, "213503982334601d"),
        ] {
            assert_eq!(span(Duration::from_secs(seconds)), text);
        }
    }

    #[test]
    fn times_that_are_none_do_no_harm() {
        let now = Timestamp::from_second(1_000).expect("a time");
        let at = |seconds| protobuf::Timestamp { seconds, nanos: 0 };
        assert_eq!(age(Some(&at(990)), now), "10s");
        assert_eq!(age(Some(&at(2_000)), now), "0s", "clocks differ");
        assert_eq!(age(Some(&at(i64::MAX)), now), "-");
        assert_eq!(age(None, now), "-");
        assert_eq!(moment(Some(&at(0))), "1970-01-01T00:00:00.000Z");
        let took = |seconds, nanos| latency(Some(&protobuf::Duration { seconds, nanos }));
        assert_eq!(took(0, 850_000), "850µs");
        assert_eq!(took(0, 2_500_000), "2.5ms");
        assert_eq!(took(0, 12_000_000), "12ms");
        assert_eq!(took(1, 250_000_000), "1.25s");
        assert_eq!(duration(Some(&protobuf::Duration { seconds: -1, nanos: -1 })), Duration::ZERO);
    }

    #[test]
    fn texts_stay_on_their_line() {
        assert_eq!(on_one_line("a\nb\x1b[2Jc\n"), "a b\u{fffd}[2Jc");
        assert_eq!(short_version("0123456789abcdef"), "0123456789ab");
        assert_eq!((short_version(""), short_version("üü")), ("-", "üü"));
    }

    #[test]
    fn durations_are_read() {
        for (text, millis) in [("5s", 5_000), ("500ms", 500), ("1m30s", 90_000), ("2h", 7_200_000), ("1m 30s", 90_000)]
        {
            assert_eq!(parse_duration(text), Ok(Duration::from_millis(millis)), "{text}");
        }
        for text in ["", "5", "x", "-5s", "0s"] {
            assert!(parse_duration(text).is_err(), "{text}");
        }
    }
}
