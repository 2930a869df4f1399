//! Traffic and defects as people write them: `rps=200,errors=0.5%` and `errors=x3,after=5m`.

use std::collections::BTreeSet;

use super::defect::Defect;
use super::traffic::Traffic;

/// What may be written of traffic, with what it means.
pub const TRAFFIC: &[(&str, &str)] = &[
    ("rps", "requests per second to both versions (100)"),
    ("daily", "by which part there are more by day and fewer by night (0)"),
    ("proxies", "how many proxies share them (4)"),
    ("endpoints", "how many endpoints each version has (4)"),
    ("errors", "the usual share that fails (0.5%)"),
    ("drift", "how many times that it has become after driftOver (x1)"),
    ("driftOver", "the time of the drift (30m)"),
    ("bursts", "the mean time between bursts of errors that hit both versions (none)"),
    ("burstFactor", "how many times as many fail in a burst (x10)"),
    ("burstLength", "how long a burst is (10s)"),
    ("groups", "how many errors one cause makes at once (1)"),
    ("restarts", "the mean time between two restarts of an endpoint (none)"),
    ("restartLength", "how long a restart is felt (2s)"),
    ("restartErrors", "the share that fails meanwhile of what the endpoint gets (50%)"),
    ("latency", "the median of the durations (50ms)"),
    ("sigma", "the standard deviation of their logarithm (0.7)"),
];

/// What may be written of a defect, with what it means.
pub const DEFECT: &[(&str, &str)] = &[
    ("errors", "x3: fails three times as often; +1%: fails 1 % more of its requests"),
    ("latency", "x1.5: takes so many times as long; +50ms: takes so much longer"),
    ("share", "the share of the requests that latency touches (100%)"),
    ("stuck", "the share of the requests that end after more than ten seconds"),
    ("route", "the share of the requests that belong to a route that is broken"),
    ("routeErrors", "the share of that route's requests that fails (100%)"),
    ("endpoint", "the share that fails of what one of the endpoints gets"),
    ("leak", "the time in which it grows from nothing to all of that"),
    ("after", "when it begins"),
];

/// What is wrong with the words.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WordError {
    /// Not `key=value`.
    #[error("`{0}` is not `key=value`")]
    NoPair(String),
    /// Nothing is called so.
    #[error("{what} has no `{key}`{}; there are: {all}", nearest.as_ref().map(|word| format!(": did you mean `{word}`?")).unwrap_or_default())]
    Unknown {
        /// Traffic or a defect.
        what: &'static str,
        /// As written.
        key: String,
        /// What is meant, probably.
        nearest: Option<&'static str>,
        /// All that there is.
        all: String,
    },
    /// The value is none of this kind.
    #[error("{key}={value}: {expected}")]
    Value {
        /// Of what.
        key: String,
        /// As written.
        value: String,
        /// What is to be there.
        expected: String,
    },
    /// The same word twice.
    #[error("`{0}` is given twice: leave one of them out")]
    Twice(String),
    /// A word that changes nothing.
    #[error("`{key}` changes nothing without {needs}")]
    Idle {
        /// Which.
        key: &'static str,
        /// What it is about.
        needs: &'static str,
    },
}

/// `a=1,b=2` as pairs.
///
/// # Errors
/// A part that is no pair.
pub fn pairs(text: &str) -> Result<Vec<(String, String)>, WordError> {
    let parts = text.split(',').map(str::trim).filter(|part| !part.is_empty());
    parts
        .map(|part| {
            let (key, value) = part.split_once('=').ok_or_else(|| WordError::NoPair(part.to_owned()))?;
            Ok((key.trim().to_owned(), value.trim().to_owned()))
        })
        .collect()
}

/// Traffic as it is written; what is not written is as by default.
///
/// # Errors
/// The first pair that makes no sense.
pub fn traffic(pairs: &[(String, String)]) -> Result<Traffic, WordError> {
    once(pairs, |(key, _)| key.clone())?;
    let mut traffic = Traffic::default();
    for (key, value) in pairs {
        let word = Word { key, value };
        match key.as_str() {
            "rps" => traffic.rps = word.number(0.0, 1e7)?,
            "daily" => traffic.daily = word.share()?,
            "proxies" => traffic.proxies = word.count()?,
            "endpoints" => traffic.endpoints = word.count()?,
            "errors" => traffic.errors = word.share()?,
            "drift" => traffic.drift = word.factor()?,
            "driftOver" => traffic.drift_over = word.seconds()?,
            "bursts" => traffic.bursts = word.seconds()?,
            "burstFactor" => traffic.burst_factor = word.factor()?,
            "burstLength" => traffic.burst_length = word.seconds()?,
            "groups" => traffic.groups = word.number(1.0, 1e4)?,
            "restarts" => traffic.restarts = word.seconds()?,
            "restartLength" => traffic.restart_length = word.seconds()?,
            "restartErrors" => traffic.restart_errors = word.share()?,
            "latency" => traffic.latency = (word.seconds()? * 1000.0).max(1e-3),
            "sigma" => traffic.sigma = word.number(0.01, 5.0)?,
            _ => return Err(word.unknown("traffic", TRAFFIC)),
        }
    }
    Ok(traffic)
}

/// A defect as it is written.
///
/// # Errors
/// The first pair that makes no sense.
pub fn defect(pairs: &[(String, String)]) -> Result<Defect, WordError> {
    // `errors=x3,errors=+1%` is both.
    once(pairs, |(key, value)| format!("{key}{}", if value.starts_with('+') { "=+" } else { "" }))?;
    let mut defect = Defect::default();
    for (key, value) in pairs {
        let word = Word { key, value };
        match (key.as_str(), value.strip_prefix('+')) {
            ("errors", Some(more)) => defect.errors_plus = Word { key, value: more }.share()?,
            ("errors", None) => {
                defect.errors_factor = word.times("`x3` (times the usual) or `+1%` (of the requests)")?
            }
            ("latency", Some(more)) => defect.latency_plus = Word { key, value: more }.seconds()? * 1000.0,
            ("latency", None) => defect.latency_factor = word.times("`x1.5` (times as long) or `+50ms`")?,
            ("share", _) => defect.share = word.share()?,
            ("stuck", _) => defect.stuck = word.share()?,
            ("route", _) => defect.route = word.share()?,
            ("routeErrors", _) => defect.route_errors = word.share()?,
            ("endpoint", _) => defect.endpoint_errors = word.share()?,
            ("leak", _) => defect.leak = word.seconds()?,
            ("after", _) => defect.after = word.seconds()?,
            _ => return Err(word.unknown("a defect", DEFECT)),
        }
    }
    let is_given = |word: &str| pairs.iter().any(|(key, _)| key == word);
    let idle = |key, needs| Err(WordError::Idle { key, needs });
    if is_given("share") && !is_given("latency") {
        return idle("share", "`latency`, such as `latency=+50ms`");
    }
    if is_given("routeErrors") && !is_given("route") {
        return idle("routeErrors", "`route`, such as `route=5%`");
    }
    let harms = ["errors", "latency", "stuck", "route", "endpoint"];
    match ["leak", "after"].into_iter().find(|time| is_given(time)) {
        Some(time) if !harms.into_iter().any(is_given) => idle(time, "a defect, such as `errors=x3`"),
        _ => Ok(defect),
    }
}

/// Refuses what is said twice.
fn once(pairs: &[(String, String)], what: impl Fn(&(String, String)) -> String) -> Result<(), WordError> {
    let mut seen = BTreeSet::new();
    match pairs.iter().find(|pair| !seen.insert(what(pair))) {
        Some((key, _)) => Err(WordError::Twice(key.clone())),
        None => Ok(()),
    }
}

/// One pair.
struct Word<'a> {
    key: &'a str,
    value: &'a str,
}

impl Word<'_> {
    fn wrong(&self, expected: &str) -> WordError {
        WordError::Value { key: self.key.to_owned(), value: self.value.to_owned(), expected: expected.to_owned() }
    }

    fn unknown(&self, what: &'static str, known: &[(&'static str, &str)]) -> WordError {
        let distance = |word: &str| strsim::damerau_levenshtein(&word.to_lowercase(), &self.key.to_lowercase());
        let nearest = known.iter().map(|(word, _)| *word).min_by_key(|word| distance(word));
        let nearest = nearest.filter(|word| distance(word) <= (word.len() / 3).max(1));
        let all = known.iter().map(|(word, _)| *word).collect::<Vec<_>>().join(", ");
        WordError::Unknown { what, key: self.key.to_owned(), nearest, all }
    }

    fn number(&self, least: f64, most: f64) -> Result<f64, WordError> {
        let number = self.value.parse().ok().filter(|number| (least..=most).contains(number));
        number.ok_or_else(|| self.wrong(&format!("a number from {least} to {most} is expected")))
    }

    fn count(&self) -> Result<usize, WordError> {
        let count = self.value.parse().ok().filter(|count| (1..=10_000).contains(count));
        count.ok_or_else(|| self.wrong("a whole number from 1 to 10000 is expected"))
    }

    /// `0.5%` or `0.005`.
    fn share(&self) -> Result<f64, WordError> {
        let share = match self.value.strip_suffix('%') {
            Some(percent) => percent.trim().parse().map(|percent: f64| percent / 100.0).ok(),
            None => self.value.parse().ok(),
        };
        let share = share.filter(|share: &f64| (0.0..=1.0).contains(share));
        share.ok_or_else(|| self.wrong("a share is expected, as 0.5% or 0.005"))
    }

    /// `x10` or `10`.
    fn factor(&self) -> Result<f64, WordError> {
        let number = self.value.trim_start_matches(['x', '×']).parse().ok();
        let number = number.filter(|number: &f64| (0.0..=1e6).contains(number));
        number.ok_or_else(|| self.wrong("a factor is expected, as x10"))
    }

    /// `x10`, and nothing less clear.
    fn times(&self, expected: &'static str) -> Result<f64, WordError> {
        if !self.value.starts_with(['x', '×']) {
            return Err(self.wrong(expected));
        }
        self.factor().map_err(|_| self.wrong(expected))
    }

    /// `10s`, `5m`, `50ms`.
    fn seconds(&self) -> Result<f64, WordError> {
        let time = self.value.parse::<jiff::SignedDuration>().ok().map(|time| time.as_secs_f64());
        time.filter(|time| *time >= 0.0).ok_or_else(|| self.wrong("a time is expected, as 50ms, 10s or 5m"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn traffic_of(text: &str) -> Result<Traffic, String> {
        pairs(text).and_then(|pairs| traffic(&pairs)).map_err(|error| error.to_string())
    }

    fn defect_of(text: &str) -> Result<Defect, String> {
        pairs(text).and_then(|pairs| defect(&pairs)).map_err(|error| error.to_string())
    }

    #[test]
    fn what_is_written_is_what_is_meant() {
        let expected =
            Traffic { rps: 200.0, errors: 0.005, bursts: 300.0, latency: 20.0, proxies: 8, ..Traffic::default() };
        assert_eq!(traffic_of("rps=200, errors=0.5%, bursts=5m,latency=20ms, proxies=8,"), Ok(expected));
        let expected = Defect { errors_factor: 3.0, latency_plus: 50.0, share: 0.1, after: 90.0, ..Defect::default() };
        assert_eq!(defect_of("errors=x3,latency=+50ms,share=10%,after=1m30s"), Ok(expected));
        assert_eq!(defect_of("errors=+1%"), Ok(Defect { errors_plus: 0.01, ..Defect::default() }));
        let both = Defect { errors_factor: 3.0, errors_plus: 0.01, ..Defect::default() };
        assert_eq!(defect_of("errors=x3,errors=+1%"), Ok(both));
        assert_eq!((traffic_of(""), defect_of("")), (Ok(Traffic::default()), Ok(Defect::default())));
    }

    #[test]
    fn every_word_that_is_told_of_is_known() {
        for (word, _) in TRAFFIC {
            let unknown = traffic_of(&format!("{word}=?")).expect_err("no value");
            assert!(unknown.contains("expected"), "{unknown}");
        }
        for (word, _) in DEFECT {
            let unknown = defect_of(&format!("{word}=?")).expect_err("no value");
            assert!(!unknown.contains("there are"), "{unknown}");
        }
    }

    #[test]
    fn what_makes_no_sense_is_told() {
        for (error, told) in [
            (
                traffic_of("rsp=1").expect_err("no word"),
                "traffic has no `rsp`: did you mean `rps`?; there are: rps, daily",
            ),
            (defect_of("eror=x3").expect_err("no word"), "a defect has no `eror`: did you mean `errors`?; there are"),
            (defect_of("zzz=x3").expect_err("no word"), "a defect has no `zzz`; there are: errors, latency"),
            (traffic_of("rps").expect_err("no pair"), "`rps` is not `key=value`"),
            (traffic_of("errors=200%").expect_err("no share"), "errors=200%: a share is expected, as 0.5% or 0.005"),
            (traffic_of("rps=NaN").expect_err("no number"), "rps=NaN: a number from 0 to 10000000 is expected"),
            (traffic_of("rps=1,errors=1%,rps=2").expect_err("twice"), "`rps` is given twice: leave one of them out"),
            (defect_of("share=10%").expect_err("idle"), "`share` changes nothing without `latency`, such as"),
            (defect_of("routeErrors=10%").expect_err("idle"), "`routeErrors` changes nothing without `route`"),
            (defect_of("after=10m").expect_err("idle"), "`after` changes nothing without a defect, such as"),
            (traffic_of("bursts=-5s").expect_err("no time"), "bursts=-5s: a time is expected, as 50ms, 10s or 5m"),
            (
                defect_of("errors=3").expect_err("unclear"),
                "errors=3: `x3` (times the usual) or `+1%` (of the requests)",
            ),
            (traffic_of("proxies=0").expect_err("no count"), "proxies=0: a whole number from 1 to 10000 is expected"),
        ] {
            assert!(error.starts_with(told), "{error}");
        }
    }
}
