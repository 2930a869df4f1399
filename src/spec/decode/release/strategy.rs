//! How a live version is replaced.

use super::step::{Order, Place, holdback, steps};
use super::{blue_green, rolling, rule};
use crate::model::{Canary, Sticky, Strategy};
use crate::spec::decode::amount::exactly_one;
use crate::spec::problems::Spot;
use crate::spec::reader::{At, Reader};

pub(super) const STRATEGY: &str =
    "write how to get there, as in `strategy: {canary: {steps: [{setWeight: 5}, {analyze: {max: 10m}}]}}`";
const STEPS: &str = "list the steps, as in `steps: [{setWeight: 5}, {analyze: {max: 10m}}, {setWeight: 50}]`";

/// A strategy, and what other parts of the set want to know of it.
#[derive(Debug, Default)]
pub(in crate::spec) struct Draft {
    /// None where it could not be read.
    pub(super) strategy: Option<Strategy>,
    /// Where something is written that needs requests of HTTP, and what it is.
    pub(in crate::spec) http: Vec<(Spot, &'static str)>,
    /// The hosts of a preview.
    pub(in crate::spec) preview_hosts: Vec<(String, Spot)>,
    /// Where a preview is analyzed that neither hosts nor rules lead to, nor copied requests.
    pub(in crate::spec) looks_at_preview: Option<Spot>,
    /// Where the old set of endpoints is thrown away.
    pub(super) retires: Option<Spot>,
    /// Where endpoints are waited for that register themselves.
    pub(in crate::spec) registration: Option<Spot>,
    /// Whether endpoints are replaced where they are, so that versions share addresses.
    pub(in crate::spec) in_place: bool,
}

pub(super) fn decode(reader: &mut Reader<'_, '_>, at: &At<'_>) -> Draft {
    let mut draft = Draft::default();
    let Some(mut fields) = reader.map(at, STRATEGY) else { return draft };
    let canary_at = fields.optional("canary");
    let (blue_green_at, rolling_at) = (fields.optional("blueGreen"), fields.optional("rolling"));
    fields.finish(reader, &[]);
    let given =
        [("canary", canary_at.as_ref()), ("blueGreen", blue_green_at.as_ref()), ("rolling", rolling_at.as_ref())];
    let help = "keep one: to try a few endpoints first and roll on, write `rolling: {canary: …}`";
    if !exactly_one(reader, &fields, &given, help, STRATEGY) {
        return draft;
    }
    draft.strategy = if let Some(at) = canary_at {
        canary(reader, &at, &mut draft).map(Strategy::Canary)
    } else if let Some(at) = blue_green_at {
        blue_green::decode(reader, &at, &mut draft).map(Strategy::BlueGreen)
    } else {
        rolling_at.and_then(|at| rolling::decode(reader, &at, &mut draft)).map(Strategy::Rolling)
    };
    draft
}

fn canary(reader: &mut Reader<'_, '_>, at: &At<'_>, draft: &mut Draft) -> Option<Canary> {
    let mut fields = reader.map(at, STEPS)?;
    let steps_at = fields.required("steps", STEPS);
    let (sticky_at, rules_at) = (fields.optional("sticky"), fields.optional("match"));
    let holdback_at = fields.optional("holdback");
    let message = "copying requests is a step";
    fields.misplaced(reader, "mirror", message, "move it into the steps, as in `- mirror: {percent: 5}`");
    fields.finish(reader, &[]);
    let sticky = sticky_at.and_then(|at| sticky(reader, &at, draft));
    let rules = rules_at.map(|at| {
        draft.http.push((reader.at_key(&at), "`match` chooses requests"));
        rule::rules(reader, &at)
    });
    let steps_at = steps_at?;
    if reader.list(&steps_at, STEPS)?.is_empty() {
        reader.error(&steps_at, "a canary needs at least one step", STEPS);
    }
    let mut order = Order::at(Place::Canary);
    let steps = steps(reader, &steps_at, STEPS, &mut order);
    let holdback = holdback_at.and_then(|at| holdback(reader, &at, &order));
    draft.http.append(&mut order.http);
    Some(Canary { sticky, rules: rules.unwrap_or_default(), steps, holdback })
}

/// By what a user stays; what is not the address needs requests.
pub(super) fn sticky(reader: &mut Reader<'_, '_>, at: &At<'_>, draft: &mut Draft) -> Option<Sticky> {
    let sticky = rule::sticky(reader, at)?;
    match &sticky {
        Sticky::Cookie(_) => draft.http.push((reader.at_key(at), "cookies belong to requests")),
        Sticky::Header(_) => draft.http.push((reader.at_key(at), "headers belong to requests")),
        Sticky::SourceIp => {
            draft.http.push((reader.at_key(at), "connections are shared out at random, and `sticky` is for requests"))
        }
    }
    Some(sticky)
}
