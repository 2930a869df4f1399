//! What else decides a release's course: where first, after whom, by when, and which way back.

use std::time::Duration;

use crate::model::{
    Candidate, Experiment, OnDeadline, OnRejected, ProgressDeadline, RetryPolicy, Rollback, Wave, Weight,
};
use crate::spec::decode::amount::percent;
use crate::spec::decode::{Named, doubles, reference};
use crate::spec::diagnostic::quoted;
use crate::spec::problems::Spot;
use crate::spec::reader::{At, Reader};
use crate::spec::value;

const ROLLBACK: &str = "write `rollback: {auto: true, onRejected: hold}`: `auto: false` pauses instead of going back";
const WINDOW: &str = "write among how many of the former versions one returns at once, as in `window: {revisions: 3}`";
const RETRY: &str = "write how often it is tried again, as in `retry: {limit: 2, backoff: 10m}`";
const WAVES: &str = "list the waves, as in `regions: [[eu-west], [us-east, us-west], all]`";
const DEPENDS: &str = "list releases by name, as in `dependsOn: [payments]`";
const DEADLINE: &str = "write `progressDeadline: 30m`, or `progressDeadline: {after: 30m, onDeadline: revert}`";
const EXPERIMENT: &str = "write `experiment: {name: colours, candidates: {v2a: 5, v2b: 5}, duration: 1h}`";

const BACKOFF: Duration = Duration::from_secs(600);

/// What sends a release back, and how.
pub(super) struct Back {
    pub(super) auto: bool,
    pub(super) on_rejected: OnRejected,
    pub(super) rollback: Rollback,
    /// Where the window is written.
    pub(super) window: Option<Spot>,
}

impl Default for Back {
    fn default() -> Self {
        Self { auto: true, on_rejected: OnRejected::default(), rollback: Rollback::default(), window: None }
    }
}

pub(super) fn rollback(reader: &mut Reader<'_, '_>, at: &At<'_>) -> Option<Back> {
    let mut fields = reader.map(at, ROLLBACK)?;
    let (auto, rejected) = (fields.optional("auto"), fields.optional("onRejected"));
    let (window_at, over, retry_at) = (fields.optional("window"), fields.optional("over"), fields.optional("retry"));
    fields.finish(reader, &[]);
    let mut back = Back::default();
    if let Some(auto) = auto.and_then(|at| reader.boolean(&at)) {
        back.auto = auto;
    }
    let words = [("hold", OnRejected::Hold), ("revert", OnRejected::Revert)];
    if let Some(chosen) = rejected.and_then(|at| reader.choice(&at, &words, &[])) {
        back.on_rejected = chosen;
    }
    if let Some(at) = window_at {
        back.window = Some(reader.at_key(&at));
        back.rollback.window = window(reader, &at).unwrap_or(back.rollback.window);
    }
    back.rollback.over = over.and_then(|at| reader.duration(&at, false));
    back.rollback.retry = retry_at.and_then(|at| retry(reader, &at));
    Some(back)
}

fn window(reader: &mut Reader<'_, '_>, at: &At<'_>) -> Option<usize> {
    let mut fields = reader.map(at, WINDOW)?;
    let revisions = fields.required("revisions", WINDOW);
    fields.finish(reader, &[]);
    reader.whole(&revisions?, 1, 1_000, WINDOW).map(|n| n as usize)
}

fn retry(reader: &mut Reader<'_, '_>, at: &At<'_>) -> Option<RetryPolicy> {
    let mut fields = reader.map(at, RETRY)?;
    let (limit, backoff) = (fields.required("limit", RETRY), fields.optional("backoff"));
    fields.finish(reader, &[]);
    let backoff = backoff.map_or(Some(BACKOFF), |at| reader.duration(&at, false));
    Some(RetryPolicy { limit: reader.whole(&limit?, 1, 100, RETRY)?, backoff: backoff? })
}

/// Where first.
pub(super) fn regions(reader: &mut Reader<'_, '_>, at: &At<'_>) -> Vec<Wave> {
    let Some(items) = reader.list(at, WAVES) else { return Vec::new() };
    let (mut waves, mut named) = (Vec::new(), Vec::new());
    for item in &items {
        match item.node.text() {
            Some("all") => waves.push(Wave::All),
            Some(_) => waves.extend(region(reader, item, &mut named).map(|region| Wave::Regions(vec![region]))),
            None => {
                let regions = reader.list(item, WAVES).unwrap_or_default();
                if regions.is_empty() && !item.node.is_null() {
                    reader.error(item, "this wave reaches nobody", WAVES);
                }
                let regions: Vec<String> = regions.iter().filter_map(|at| region(reader, at, &mut named)).collect();
                waves.push(Wave::Regions(regions));
            }
        }
    }
    for ((name, at), (_, first)) in doubles(&named, |(name, _)| Some(name.clone())) {
        let first = reader.at(first);
        let message = format!("region {} is in two places", quoted(name));
        reader.error_with(at, message, "keep the first", (&first, "the first one"));
    }
    let is_all = |at: &&At<'_>| at.node.text() == Some("all");
    if let Some(last) = items.last() {
        for early in items[..items.len() - 1].iter().filter(is_all) {
            reader.error(early, "after `all` no region is left", "let `all` be the last wave");
        }
        if !is_all(&last) {
            let help = "add `all` at the end: proxies of other regions, and of none, come with it";
            reader.error(last, "the last wave must be `all`", help);
        }
    } else {
        reader.error(at, "there is no wave here", "list them, or leave `regions` out to go everywhere at once");
    }
    waves
}

fn region<'t>(reader: &mut Reader<'_, '_>, at: &At<'t>, named: &mut Vec<(String, At<'t>)>) -> Option<String> {
    let name = reader.parse(at, WAVES, value::printable)?;
    if name == "all" {
        reader.error(at, "`all` is a wave of its own", "write it without brackets, as the last one");
        return None;
    }
    named.push((name.clone(), at.clone()));
    Some(name)
}

/// After whom.
pub(super) fn depends_on(reader: &mut Reader<'_, '_>, at: &At<'_>) -> Vec<Named> {
    let items = reader.list(at, DEPENDS).unwrap_or_default();
    let named: Vec<(Named, At<'_>)> =
        items.into_iter().filter_map(|at| Some((reference(reader, &at, DEPENDS)?, at))).collect();
    for ((named, at), (_, first)) in doubles(&named, |(named, _)| Some(named.name.clone())) {
        let first = reader.at(first);
        let message = format!("release {} is listed twice", quoted(&named.name));
        reader.error_with(at, message, "remove one of them", (&first, "the first one"));
    }
    named.into_iter().map(|(named, _)| named).collect()
}

/// By when.
pub(super) fn deadline(reader: &mut Reader<'_, '_>, at: &At<'_>) -> Option<ProgressDeadline> {
    if at.node.text().is_some() {
        let after = reader.duration(at, false)?;
        return Some(ProgressDeadline { after, action: OnDeadline::default() });
    }
    let mut fields = reader.map(at, DEADLINE)?;
    let (after, action) = (fields.required("after", DEADLINE), fields.optional("onDeadline"));
    fields.finish(reader, &[]);
    let words = [("hold", OnDeadline::Hold), ("revert", OnDeadline::Revert)];
    let action = action.and_then(|at| reader.choice(&at, &words, &[])).unwrap_or_default();
    Some(ProgressDeadline { after: reader.duration(&after?, false)?, action })
}

/// What is tried, and where its candidates are named.
pub(super) fn experiment(reader: &mut Reader<'_, '_>, at: &At<'_>) -> Option<(Experiment, Vec<Named>)> {
    let mut fields = reader.map(at, EXPERIMENT)?;
    let (name, candidates_at, duration) = (
        fields.required("name", "name it, as in `name: colours`: another name is another experiment"),
        fields.required("candidates", EXPERIMENT),
        fields.required("duration", "write for how long, as in `duration: 1h`"),
    );
    fields.finish(reader, &[]);
    let name = name.and_then(|at| reader.parse(&at, "write a name, such as `colours`", value::label));
    let (candidates, named) = candidates_at.map(|at| candidates(reader, &at)).unwrap_or_default();
    let duration = reader.duration(&duration?, false);
    Some((Experiment { name: name?, candidates, duration: duration? }, named))
}

fn candidates(reader: &mut Reader<'_, '_>, at: &At<'_>) -> (Vec<Candidate>, Vec<Named>) {
    let (mut candidates, mut named) = (Vec::new(), Vec::new());
    let Some(fields) = reader.map(at, EXPERIMENT) else { return (candidates, named) };
    let all = fields.all();
    if all.is_empty() {
        reader.error(at, "an experiment needs at least one candidate", EXPERIMENT);
    }
    let help = "write its share in percent, such as `5`";
    for (version, at) in all {
        named.push(Named { name: version.to_owned(), spot: reader.at_key(&at) });
        let within = |n: f64| n > 0.0 && n < 100.0;
        if let Some(weight) = percent(reader, &at, "a percentage above 0 and below 100", help, within) {
            candidates.push(Candidate { version: version.to_owned(), weight });
        }
    }
    let sum: u32 = candidates.iter().map(|candidate| candidate.weight.hundredths()).sum();
    if sum >= Weight::FULL.hundredths() {
        let sum = f64::from(sum) / 100.0;
        let message = format!("the candidates get {sum}% of the traffic, and leave nothing to the live version");
        reader.error(
            at,
            message,
            "let their shares sum to less than 100: the live version is what they are compared with",
        );
    }
    (candidates, named)
}
