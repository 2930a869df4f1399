//! What a plan and the calls of a rollout are in words, one line for each thing that changed.

use std::collections::BTreeMap;

use serin::model::{EndpointState, MetricSource, Routing, TrafficPlan, Weight};
use serin::rollout::{Call, MeasureRequest, Question};

/// What became another, with its label: `traffic`, `rules`, `in eu-west`, …
pub(super) fn changes(before: &TrafficPlan, after: &TrafficPlan, previews: bool) -> Vec<(String, String)> {
    let (before, after) = (lines(before, previews), lines(after, previews));
    let ended = before.keys().filter(|label| !after.contains_key(*label)).map(|label| (label.clone(), "none".into()));
    let ended: Vec<(String, String)> = ended.collect();
    let others = after.into_iter().filter(|(label, text)| before.get(label) != Some(text));
    let mut lines: Vec<(String, String)> = others.chain(ended).collect();
    lines.sort_by_key(|(label, _)| (label != "traffic", label.clone()));
    lines
}

fn lines(plan: &TrafficPlan, previews: bool) -> BTreeMap<String, String> {
    let mut lines = of(plan.routing(), previews);
    for region in plan.regions() {
        let told: Vec<String> =
            of(plan.routing_in(region), previews).into_iter().map(|(label, text)| named(&label, text)).collect();
        lines.insert(format!("in {region}"), told.join("; "));
    }
    let endpoints: Vec<String> = plan
        .endpoints
        .iter()
        .map(|(version, states)| {
            let state = |state: &EndpointState| match state {
                EndpointState::Draining => "drains",
                EndpointState::Absent => "absent",
            };
            let states: Vec<String> = states.iter().map(|(at, of)| format!("{at} {}", state(of))).collect();
            format!("{version}: {}", states.join(", "))
        })
        .collect();
    if !endpoints.is_empty() {
        lines.insert("endpoints".into(), endpoints.join("; "));
    }
    lines
}

fn named(label: &str, text: String) -> String {
    if label == "traffic" { text } else { format!("{label} {text}") }
}

fn of(routing: &Routing, previews: bool) -> BTreeMap<String, String> {
    let shares: Vec<String> =
        routing.shares.iter().map(|share| format!("{} {}", share.version, share.weight)).collect();
    let sticky = routing.sticky.as_ref().map(|sticky| format!(", by {sticky}")).unwrap_or_default();
    let mut lines = BTreeMap::from([("traffic".to_owned(), format!("{}{sticky}", shares.join(", ")))]);
    if previews {
        let shown = routing.preview.as_deref().or(routing.stable()).unwrap_or("nobody");
        lines.insert("preview".into(), shown.to_owned());
    }
    // Previews come before the rules in the order of precedence, and the rest after them.
    let rules: Vec<String> = routing
        .precedence()
        .into_iter()
        .filter(|line| !["preview", "rest:", "copied:"].iter().any(|other| line.starts_with(other)))
        .collect();
    if !rules.is_empty() {
        lines.insert("rules".into(), rules.join("; "));
    }
    if let Some(mirror) = routing.mirror.as_ref().filter(|mirror| mirror.percent > Weight::ZERO) {
        lines.insert("mirror".into(), format!("{} to {}", mirror.percent, mirror.version));
    }
    lines
}

/// Who measures what.
pub(super) fn measurement(request: &MeasureRequest) -> String {
    let MeasureRequest { key, interval, source, .. } = request;
    match source {
        MetricSource::Prometheus { address, query, .. } => {
            format!("{key} every {interval:?}: {query} at {}", address.as_deref().unwrap_or("the server's own"))
        }
        MetricSource::Webhook { url, .. } => format!("{key} every {interval:?}: {url}"),
    }
}

/// Who is asked what.
pub(super) fn call(call: &Call) -> String {
    let asked = match &call.question {
        Question::Hook { hook, about } if about.endpoints.is_empty() => {
            format!("hook {hook}, {} of {}", about.purpose, about.version)
        }
        Question::Hook { hook, about } => {
            let endpoints: Vec<String> = about.endpoints.iter().map(ToString::to_string).collect();
            format!("hook {hook}, {} of {} to {}", about.purpose, endpoints.join(", "), about.version)
        }
        Question::Probe { address, .. } => format!("probe of {address}"),
    };
    format!("{} try {}: {asked}", call.key, call.attempt)
}
