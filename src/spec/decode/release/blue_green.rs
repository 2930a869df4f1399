//! `blueGreen`: two sets of endpoints and one switch.

use std::time::Duration;

use super::rule;
use super::step::{Order, Place, steps};
use super::strategy::{Draft, sticky};
use crate::model::{AutoPromote, BlueGreen, Hook, Preview, Retire, Step};
use crate::spec::decode::doubles;
use crate::spec::decode::hook::hook;
use crate::spec::diagnostic::quoted;
use crate::spec::reader::{At, Reader};
use crate::spec::value;

const BLUE_GREEN: &str = "write `blueGreen: {}` to switch when all is ready, or `blueGreen: {autoPromote: false}`";
const PREVIEW: &str = "write `preview: {hosts: [preview.shop.example.com]}`, or `preview: {match: […]}`";
const PREVIEW_HOSTS: &str = "list the hosts of the preview, as in `hosts: [preview.shop.example.com]`";
const BEFORE: &str = "list the steps, as in `prePromotion: [{hook: {url: …}}, {analyze: {max: 10m}}]`";
const AFTER: &str = "list the steps, as in `postPromotion: [{watch: {duration: 10m}}]`";
const PROMOTE: &str = "write `true`, `false` to wait for `serin promote`, or a time such as `10m`";
const SWITCH: &str = "write `switch: atomic`, or `switch: {over: 10m}`";
const STANDBY: &str = "write `standby: {for: 1h}`, or `standby: {for: 1h, then: retire, drain: 30s}`";
const HOOKS: &str = "write `hooks: {beforeSwitch: {url: …}, afterSwitch: {url: …}, retire: {url: …}}`";

const DRAIN: Duration = Duration::from_secs(30);

pub(super) fn decode(reader: &mut Reader<'_, '_>, at: &At<'_>, draft: &mut Draft) -> Option<BlueGreen> {
    let mut fields = reader.map(at, BLUE_GREEN)?;
    let preview_at = fields.optional("preview");
    let (before, promote) = (fields.optional("prePromotion"), fields.optional("autoPromote"));
    let (switch_at, sticky_at) = (fields.optional("switch"), fields.optional("sticky"));
    let (after, standby_at) = (fields.optional("postPromotion"), fields.optional("standby"));
    let hooks_at = fields.optional("hooks");
    fields.finish(reader, &["weights"]);
    let preview = preview_at.map(|at| preview(reader, &at, draft)).unwrap_or_default();
    let is_shown = !preview.hosts.is_empty() || !preview.rules.is_empty();
    let pre_promotion = before.map(|at| pre_promotion(reader, &at, is_shown, draft)).unwrap_or_default();
    let auto_promote = promote.and_then(|at| auto_promote(reader, &at)).unwrap_or_default();
    let switch_over = switch_at.and_then(|at| switch(reader, &at));
    let sticky = sticky_at.and_then(|at| sticky(reader, &at, draft));
    let mut order = Order::at(Place::PostPromotion);
    let post_promotion = after.map(|at| steps(reader, &at, AFTER, &mut order)).unwrap_or_default();
    let standby = standby_at.as_ref().map(|at| standby(reader, at)).unwrap_or_default();
    let hooks = hooks_at.as_ref().map(|at| hooks(reader, at)).unwrap_or_default();
    let retire = retire(reader, &standby, &hooks, draft);
    Some(BlueGreen {
        preview,
        pre_promotion,
        auto_promote,
        before_switch: hooks.before_switch,
        switch_over,
        sticky,
        after_switch: hooks.after_switch,
        post_promotion,
        standby: standby.time,
        retire,
    })
}

fn preview(reader: &mut Reader<'_, '_>, at: &At<'_>, draft: &mut Draft) -> Preview {
    let Some(mut fields) = reader.map(at, PREVIEW) else { return Preview::default() };
    let (hosts_at, rules_at) = (fields.optional("hosts"), fields.optional("match"));
    let message = "a port for the preview is a listener of the fleet";
    let help =
        "write it there, as in `listeners: [{name: preview, bind: 0.0.0.0:10001, services: […], preview: true}]`";
    fields.misplaced(reader, "port", message, help);
    fields.finish(reader, &[]);
    let mut hosts: Vec<(String, At<'_>)> = Vec::new();
    if let Some(at) = hosts_at {
        draft.http.push((reader.at_key(&at), "hosts belong to requests"));
        let items = reader.list(&at, PREVIEW_HOSTS).unwrap_or_default();
        hosts.extend(items.into_iter().filter_map(|at| Some((reader.parse(&at, PREVIEW_HOSTS, value::host)?, at))));
    }
    for ((host, at), (_, first)) in doubles(&hosts, |(host, _)| Some(host.to_ascii_lowercase())) {
        let first = reader.at(first);
        let message = format!("host {} is listed twice", quoted(host));
        reader.error_with(at, message, "remove one of them", (&first, "the first one"));
    }
    let rules = rules_at.map(|at| {
        draft.http.push((reader.at_key(&at), "`match` chooses requests"));
        rule::rules(reader, &at)
    });
    draft.preview_hosts = hosts.iter().map(|(host, at)| (host.clone(), reader.at(at))).collect();
    Preview { hosts: hosts.into_iter().map(|(host, _)| host).collect(), rules: rules.unwrap_or_default() }
}

fn pre_promotion(reader: &mut Reader<'_, '_>, at: &At<'_>, is_shown: bool, draft: &mut Draft) -> Vec<Step> {
    let mut order = Order::at(Place::PrePromotion);
    let steps = steps(reader, at, BEFORE, &mut order);
    draft.http.append(&mut order.http);
    draft.looks_at_preview = order.looks_at_preview.filter(|_| !is_shown);
    steps
}

fn auto_promote(reader: &mut Reader<'_, '_>, at: &At<'_>) -> Option<AutoPromote> {
    match reader.text(at, PROMOTE)? {
        "true" => Some(AutoPromote::Now),
        "false" => Some(AutoPromote::ByHand),
        text if text.starts_with(|c: char| c.is_ascii_digit()) => reader.duration(at, false).map(AutoPromote::After),
        text => {
            reader.error(at, format!("unknown autoPromote {}", quoted(text)), PROMOTE);
            None
        }
    }
}

/// The time that it takes; none is all at once.
fn switch(reader: &mut Reader<'_, '_>, at: &At<'_>) -> Option<Duration> {
    if let Some(text) = at.node.text() {
        if text != "atomic" {
            let help = "it may be `atomic`, or take its time, as in `switch: {over: 10m}`";
            reader.error(at, format!("unknown switch {}", quoted(text)), help);
        }
        return None;
    }
    let mut fields = reader.map(at, SWITCH)?;
    let over = fields.required("over", "write over which time traffic moves, as in `over: 10m`");
    fields.finish(reader, &[]);
    over.and_then(|at| reader.duration(&at, false))
}

/// What becomes of the old set.
#[derive(Default)]
struct Standby<'t> {
    time: Duration,
    /// Where it says that the set is thrown away.
    retire: Option<At<'t>>,
    drain: Option<Duration>,
}

fn standby<'t>(reader: &mut Reader<'_, '_>, at: &At<'t>) -> Standby<'t> {
    let Some(mut fields) = reader.map(at, STANDBY) else { return Standby::default() };
    let (time, then, drain) = (fields.optional("for"), fields.optional("then"), fields.optional("drain"));
    fields.finish(reader, &[]);
    let is_retired =
        then.as_ref().and_then(|at| reader.choice(at, &[("keep", false), ("retire", true)], &[])).unwrap_or(false);
    if let Some(at) = drain.as_ref().filter(|_| !is_retired) {
        let spot = reader.at_key(at);
        let message = "an old set that is kept is not drained";
        reader.error_at(&spot, message, "remove it, or write `then: retire`");
    }
    Standby {
        time: time.and_then(|at| reader.duration(&at, true)).unwrap_or_default(),
        retire: then.filter(|_| is_retired),
        drain: drain.and_then(|at| reader.duration(&at, true)),
    }
}

#[derive(Default)]
struct Hooks<'t> {
    before_switch: Option<Hook>,
    after_switch: Option<Hook>,
    before_retire: Option<(At<'t>, Option<Hook>)>,
    retire: Option<(At<'t>, Option<Hook>)>,
}

fn hooks<'t>(reader: &mut Reader<'_, '_>, at: &At<'t>) -> Hooks<'t> {
    let Some(mut fields) = reader.map(at, HOOKS) else { return Hooks::default() };
    let (before_switch, after_switch) = (fields.optional("beforeSwitch"), fields.optional("afterSwitch"));
    let (before_retire, retire) = (fields.optional("beforeRetire"), fields.optional("retire"));
    fields.finish(reader, &[]);
    let mut read = |at: &At<'_>| hook(reader, at);
    Hooks {
        before_switch: before_switch.and_then(|at| read(&at)),
        after_switch: after_switch.and_then(|at| read(&at)),
        before_retire: before_retire.map(|at| (at.clone(), read(&at))),
        retire: retire.map(|at| (at.clone(), read(&at))),
    }
}

/// The end of the old set: wanted in one place, and done in another.
fn retire(reader: &mut Reader<'_, '_>, standby: &Standby<'_>, hooks: &Hooks<'_>, draft: &mut Draft) -> Option<Retire> {
    let wants = "write `standby: {then: retire}` beside it, or remove it";
    match (&standby.retire, &hooks.retire) {
        (Some(at), None) => {
            let help = "add what does it, as in `hooks: {retire: {url: \"https://ci.example.com/destroy\"}}`";
            reader.error(at, "nothing retires the old set", help);
        }
        (None, Some((at, _))) => {
            let spot = reader.at_key(at);
            reader.error_at(&spot, "this hook is never called: the old set is kept", wants);
        }
        (Some(_), Some(_)) | (None, None) => {}
    }
    if let (None, None, Some((at, _))) = (&standby.retire, &hooks.retire, &hooks.before_retire) {
        let spot = reader.at_key(at);
        reader.error_at(&spot, "this hook is never called: the old set is kept", wants);
    }
    let at = standby.retire.as_ref()?;
    draft.retires = Some(reader.at(at));
    let hook = hooks.retire.as_ref()?.1.clone()?;
    let before = hooks.before_retire.as_ref().and_then(|(_, hook)| hook.clone());
    Some(Retire { drain: standby.drain.unwrap_or(DRAIN), before, hook })
}
