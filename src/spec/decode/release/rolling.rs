//! `rolling`: endpoints replaced a few at a time.

use std::time::Duration;

use super::step::{ANALYZE_MAX, longest_look};
use super::strategy::Draft;
use crate::model::{OnBatchFailure, Portion, Rolling, RollingCanary, Update};
use crate::spec::decode::amount::exactly_one;
use crate::spec::decode::hook::{hook, probe};
use crate::spec::reader::{At, Reader};
use crate::spec::value;

const ROLLING: &str = "write `rolling: {batch: 2}`, or `rolling: {batch: 25%, analyze: {max: 5m}}`";
const BATCH: &str = "write a number of endpoints, such as `2`, or a percentage, such as `25%`";
const ALL: &str = "write at least `1` and less than all; to replace all at once, use `blueGreen`";
const UPDATE: &str = "write `update: running`, `update: {hook: {url: …}}` or `update: {registration: {within: 5m}}`";
const CANARY: &str = "write the first batch and how long to look at it, as in `canary: {batch: 1, analyze: {max: 1h}}`";

const DRAIN: Duration = Duration::from_secs(30);
const WITHIN: Duration = Duration::from_secs(300);

pub(super) fn decode(reader: &mut Reader<'_, '_>, at: &At<'_>, draft: &mut Draft) -> Option<Rolling> {
    draft.in_place = true;
    let mut fields = reader.map(at, ROLLING)?;
    let (batch, most) = (fields.required("batch", BATCH), fields.optional("maxUnavailable"));
    let (drain, update_at, health) = (fields.optional("drain"), fields.optional("update"), fields.optional("health"));
    let (analyze_at, canary_at) = (fields.optional("analyze"), fields.optional("canary"));
    let on_failure = fields.optional("onFailure");
    fields.finish(reader, &[]);
    let batch = batch.and_then(|at| portion(reader, &at));
    let max_unavailable = most.and_then(|at| portion(reader, &at));
    let drain = drain.and_then(|at| reader.duration(&at, true)).unwrap_or(DRAIN);
    let update = update_at.map_or(Some(Update::Running), |at| update(reader, &at, draft));
    let health = health.and_then(|at| probe(reader, &at));
    let analyze = analyze_at.and_then(|at| longest_look(reader, &at)).flatten();
    let canary = canary_at.and_then(|at| canary(reader, &at));
    let words = [("rollback", OnBatchFailure::Rollback), ("stop", OnBatchFailure::Stop)];
    let on_failure = on_failure.and_then(|at| reader.choice(&at, &words, &[])).unwrap_or_default();
    Some(Rolling { batch: batch?, max_unavailable, drain, update: update?, health, analyze, canary, on_failure })
}

fn portion(reader: &mut Reader<'_, '_>, at: &At<'_>) -> Option<Portion> {
    reader.parse(at, BATCH, |text| value::portion(text, "endpoints", BATCH, ALL))
}

fn update(reader: &mut Reader<'_, '_>, at: &At<'_>, draft: &mut Draft) -> Option<Update> {
    if at.node.text().is_some() {
        return reader.choice(at, &[("running", ())], &[]).map(|()| Update::Running);
    }
    let mut fields = reader.map(at, UPDATE)?;
    let (hook_at, registration) = (fields.optional("hook"), fields.optional("registration"));
    fields.finish(reader, &[]);
    let given = [("hook", hook_at.as_ref()), ("registration", registration.as_ref())];
    if !exactly_one(reader, &fields, &given, "keep one of them", UPDATE) {
        return None;
    }
    if let Some(at) = hook_at {
        return hook(reader, &at).map(Update::Hook);
    }
    let at = registration?;
    draft.registration = Some(reader.at_key(&at));
    let mut fields = reader.map(&at, UPDATE)?;
    let within = fields.optional("within");
    fields.finish(reader, &[]);
    let within = within.map_or(Some(WITHIN), |at| reader.duration(&at, false))?;
    Some(Update::Registration { within })
}

fn canary(reader: &mut Reader<'_, '_>, at: &At<'_>) -> Option<RollingCanary> {
    let mut fields = reader.map(at, CANARY)?;
    let (batch, look) = (fields.required("batch", BATCH), fields.optional("analyze"));
    fields.finish(reader, &[]);
    let batch = batch.and_then(|at| portion(reader, &at));
    let analyze = look.map_or(Some(ANALYZE_MAX), |at| longest_look(reader, &at).flatten());
    Some(RollingCanary { batch: batch?, analyze: analyze? })
}
