//! The steps of a release, and what their order allows.

use std::time::Duration;

use super::rule;
use crate::model::{Holdback, Step, Weight};
use crate::spec::decode::amount::{one_of, percent};
use crate::spec::decode::hook::hook;
use crate::spec::problems::Spot;
use crate::spec::reader::{At, Reader};

const PAUSE: &str = "write `pause: {}` to wait until promoted, or `pause: {duration: 10m}`";
const ANALYZE: &str = "write `analyze: {max: 10m}`: the longest time to look for proof";
const WEIGHT: &str = "write a percentage above 0 and up to 100, such as `5` or `0.5`";
const MIRROR: &str =
    "write `mirror: {percent: 5}` to go on with it, or `mirror: {percent: 5, duration: 2m}` to wait for it";
const WATCH: &str = "write `watch: {duration: 10m}`";
const HOLDBACK: &str =
    "write `holdback: {weight: 10, duration: 1h}`: so much stays with the version before for so long";
const AUTO: &str = "write `auto: {from: 1, to: 50, analyze: 10m}`, and `within: 1h` to limit the whole: each weight is proven \
                    before the next";

pub(super) const ANALYZE_MAX: Duration = Duration::from_secs(600);

/// Where steps stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// All the way of a canary.
    Canary,
    /// Before a switch.
    PrePromotion,
    /// After one.
    PostPromotion,
}

impl Place {
    fn kinds(self) -> &'static [&'static str] {
        match self {
            Place::Canary => &["setWeight", "pause", "analyze", "mirror", "hook", "match", "watch", "auto"],
            Place::PrePromotion => &["hook", "mirror", "analyze", "pause"],
            Place::PostPromotion => &["watch", "hook", "pause"],
        }
    }

    fn help(self) -> &'static str {
        match self {
            Place::Canary => {
                "a step is `setWeight: 5`, `analyze: {max: 10m}`, `pause: {}`, `hook: {url: …}`, `mirror: {percent: 5}`, \
                 `match: […]`, `watch: {duration: 10m}` or `auto: {}`"
            }
            Place::PrePromotion => {
                "a step here is `hook: {url: …}`, `mirror: {percent: 5}`, `analyze: {}` or `pause: {}`"
            }
            Place::PostPromotion => "a step here is `watch: {duration: 10m}`, `hook: {url: …}` or `pause: {}`",
        }
    }
}

/// What the steps so far say about those that follow.
pub(super) struct Order {
    place: Place,
    /// The weight before, and where it is set.
    weight: Option<(Weight, Spot)>,
    /// Whether a weight could not be read: then nothing is known of the order.
    unknown: bool,
    /// Whether requests are copied.
    mirrored: bool,
    /// Where what needs requests of HTTP is written, and what it is.
    pub(super) http: Vec<(Spot, &'static str)>,
    /// Where a preview is analyzed without copied requests.
    pub(super) looks_at_preview: Option<Spot>,
}

impl Order {
    pub(super) fn at(place: Place) -> Self {
        Self { place, weight: None, unknown: false, mirrored: false, http: Vec::new(), looks_at_preview: None }
    }
}

/// A list of steps.
pub(super) fn steps(reader: &mut Reader<'_, '_>, at: &At<'_>, help: &str, order: &mut Order) -> Vec<Step> {
    let items = reader.list(at, help).unwrap_or_default();
    items.iter().filter_map(|at| step(reader, at, order)).collect()
}

fn step(reader: &mut Reader<'_, '_>, at: &At<'_>, order: &mut Order) -> Option<Step> {
    let place = order.place;
    let mut fields = reader.map(at, place.help())?;
    let given: Vec<(&str, At<'_>)> =
        place.kinds().iter().filter_map(|kind| Some((*kind, fields.optional(kind)?))).collect();
    for kind in Place::Canary.kinds().iter().filter(|kind| !place.kinds().contains(kind)) {
        let message = format!("a step `{kind}` has no place here");
        fields.misplaced(reader, kind, &message, place.help());
    }
    one_of(reader, &mut fields, "step", place.help(), &[]);
    let (kind, at) = given.into_iter().next()?;
    match kind {
        "setWeight" => set_weight(reader, &at, order).map(Step::SetWeight),
        "pause" => pause(reader, &at),
        "analyze" => analyze(reader, &at, order),
        "mirror" => mirror(reader, &at, order),
        "hook" => hook(reader, &at).map(Step::Hook),
        "match" => {
            order.http.push((reader.at_key(&at), "`match` chooses requests"));
            Some(Step::Match(rule::rules(reader, &at)))
        }
        "watch" => watch(reader, &at, order),
        _ => auto(reader, &at, order),
    }
}

fn set_weight(reader: &mut Reader<'_, '_>, at: &At<'_>, order: &mut Order) -> Option<Weight> {
    let weight = percent(reader, at, "a percentage above 0 and up to 100", WEIGHT, |n| n > 0.0 && n <= 100.0);
    match weight {
        Some(weight) => grows(reader, at, weight, weight, order),
        None => order.unknown = true,
    }
    weight
}

/// Checks the first weight of a step against those before, and keeps the last.
fn grows(reader: &mut Reader<'_, '_>, at: &At<'_>, first: Weight, last: Weight, order: &mut Order) {
    let spot = reader.at(at);
    if let Some((before, place)) = &order.weight
        && first <= *before
    {
        let message = format!("the weights of a canary only grow, but {first} follows {before}");
        reader.error_with(at, message, "raise it, or remove the step", (place, "the weight before"));
    }
    // One that is out of order is told once: what follows is compared with the highest.
    if order.weight.as_ref().is_none_or(|(before, _)| last > *before) {
        order.weight = Some((last, spot));
    }
}

/// What is held back for the version before, after the last step.
pub(super) fn holdback(reader: &mut Reader<'_, '_>, at: &At<'_>, order: &Order) -> Option<Holdback> {
    let mut fields = reader.map(at, HOLDBACK)?;
    let (weight_at, duration_at) = (fields.required("weight", HOLDBACK), fields.required("duration", HOLDBACK));
    fields.finish(reader, &[]);
    let within = |n: f64| n > 0.0 && n <= 50.0;
    let weight =
        weight_at.as_ref().and_then(|at| percent(reader, at, "a percentage above 0 and up to 50", HOLDBACK, within));
    if let (Some(held_back), Some((before, place))) = (weight, &order.weight)
        && held_back.rest() < *before
    {
        let message = format!("{held_back} cannot be held back: {before} are given before");
        let help = "let the last weight leave as much, or hold back less";
        reader.error_with(weight_at.as_ref().unwrap_or(at), message, help, (place, "the last weight"));
    }
    let duration = duration_at.and_then(|at| reader.duration(&at, false));
    Some(Holdback { weight: weight?, duration: duration? })
}

fn pause(reader: &mut Reader<'_, '_>, at: &At<'_>) -> Option<Step> {
    let mut fields = reader.map(at, PAUSE)?;
    let duration = fields.optional("duration");
    fields.finish(reader, &[]);
    match duration {
        None => Some(Step::Pause(None)),
        Some(at) => reader.duration(&at, false).map(|duration| Step::Pause(Some(duration))),
    }
}

fn analyze(reader: &mut Reader<'_, '_>, at: &At<'_>, order: &mut Order) -> Option<Step> {
    let max = longest_look(reader, at)?;
    match (order.place, &order.weight) {
        _ if order.unknown || order.mirrored => {}
        (Place::PrePromotion | Place::PostPromotion, _) => {
            order.looks_at_preview.get_or_insert_with(|| reader.at_key(at));
        }
        (Place::Canary, None) => {
            let spot = reader.at_key(at);
            let help = "put a step `setWeight: 5` before it, or `mirror: {percent: 5}` without a duration";
            reader.error_at(&spot, "there is nothing to analyze before the canary has traffic", help);
        }
        (Place::Canary, Some((weight, _))) if *weight == Weight::FULL => {
            let spot = reader.at_key(at);
            let message = "with all traffic on the canary there is no baseline to compare it with";
            let help = "analyze before the step `setWeight: 100`, or `watch` after it";
            reader.error_at(&spot, message, help);
        }
        (Place::Canary, Some(_)) => {}
    }
    Some(Step::Analyze { max: max? })
}

/// From `{max: 10m}`: none where it is not even fields, nothing within where the time is none.
pub(super) fn longest_look(reader: &mut Reader<'_, '_>, at: &At<'_>) -> Option<Option<Duration>> {
    let mut fields = reader.map(at, ANALYZE)?;
    let max = fields.optional("max");
    fields.finish(reader, &[]);
    Some(max.map_or(Some(ANALYZE_MAX), |at| reader.duration(&at, false)))
}

fn mirror(reader: &mut Reader<'_, '_>, at: &At<'_>, order: &mut Order) -> Option<Step> {
    let spot = reader.at_key(at);
    order.http.push((spot.clone(), "`mirror` copies requests"));
    let mut fields = reader.map(at, MIRROR)?;
    let (percent_at, duration_at) = (fields.required("percent", MIRROR), fields.optional("duration"));
    fields.finish(reader, &[]);
    if let Some((_, place)) = &order.weight {
        let message = "requests are copied only before the canary has traffic of its own";
        reader.error_at_with(
            &spot,
            message,
            "put it before the first `setWeight`",
            (place, "it has traffic from here on"),
        );
    }
    let within = |n: f64| (0.0..=100.0).contains(&n);
    let share = percent_at.and_then(|at| percent(reader, &at, "a percentage from 0 to 100", MIRROR, within));
    let duration = match &duration_at {
        None => Some(None),
        Some(at) => reader.duration(at, false).map(Some),
    };
    match share {
        None => order.unknown = true,
        Some(Weight::ZERO) => {
            if let Some(at) = &duration_at {
                let spot = reader.at_key(at);
                reader.error_at(
                    &spot,
                    "`percent: 0` ends it at once: there is nothing to wait for",
                    "remove the duration",
                );
            }
            order.mirrored = false;
        }
        Some(_) => order.mirrored = duration_at.is_none(),
    }
    Some(Step::Mirror { percent: share?, duration: duration? })
}

fn watch(reader: &mut Reader<'_, '_>, at: &At<'_>, order: &Order) -> Option<Step> {
    let mut fields = reader.map(at, WATCH)?;
    let duration = fields.required("duration", WATCH);
    fields.finish(reader, &[]);
    let is_full = order.weight.as_ref().is_some_and(|(weight, _)| *weight == Weight::FULL);
    if order.place == Place::Canary && !is_full && !order.unknown {
        let spot = reader.at_key(at);
        let message = "a canary is watched once it has all the traffic: before, it is compared with its baseline";
        reader.error_at(&spot, message, "put a step `setWeight: 100` before it, or write `analyze: {max: 10m}`");
    }
    reader.duration(&duration?, false).map(|duration| Step::Watch { duration })
}

/// From weight to weight, each proven before the next.
fn auto(reader: &mut Reader<'_, '_>, at: &At<'_>, order: &mut Order) -> Option<Step> {
    let mut fields = reader.map(at, AUTO)?;
    let (from_at, to_at) = (fields.optional("from"), fields.optional("to"));
    let (look, within_at) = (fields.optional("analyze"), fields.optional("within"));
    fields.finish(reader, &[]);
    let mut weight = |at: &At<'_>| {
        let within = |n: f64| n > 0.0 && n < 100.0;
        percent(reader, at, "a percentage above 0 and below 100", AUTO, within)
    };
    let from = from_at.as_ref().map_or(Some(None), |at| weight(at).map(Some));
    let to = to_at.as_ref().map_or(Some(Weight::from_hundredths(5_000)), weight);
    let max = look.map_or(Some(ANALYZE_MAX), |at| reader.duration(&at, false));
    let within = within_at.map_or(Some(None), |at| reader.duration(&at, false).map(Some));
    let (Some(from), Some(to)) = (from, to) else {
        order.unknown = true;
        return None;
    };
    if let Some(from) = from.filter(|from| *from > to) {
        let message = format!("`auto` goes up, but {from} is more than {to}");
        let spot = from_at.as_ref().or(to_at.as_ref()).map_or_else(|| reader.at_key(at), |at| reader.at(at));
        reader.error_at(&spot, message, "let `from` be at most `to`, which is 50 when left out");
        order.unknown = true;
        return None;
    }
    // Without a first weight it goes on from the one that is reached.
    let place = from_at.as_ref().or(to_at.as_ref()).unwrap_or(at);
    grows(reader, place, from.unwrap_or(to), to, order);
    Some(Step::Auto { from, to, max: max?, within: within? })
}
