//! `kind: Release`.

use serde_json::{Value, json};

use crate::model::{Cause, TEMPLATES};

use super::{duration, either, list, map, name, object, one, percent, share, strategy, text, version_name, whole};

pub(super) fn schema() -> Value {
    let region = either(json!([text("`all`, or a region."), list(text("A region."), "Regions.")]), "A wave.");
    let deadline = json!({
        "after": duration("How long one step may take of the time that nobody held it."),
        "onDeadline": {"enum": ["hold", "revert"], "default": "hold"},
    });
    let deadline = object(deadline, &["after"], "How long one step may take.");
    let properties = json!({
        "service": name(),
        "version": version_name(),
        "strategy": strategy::schema(),
        "analysis": analysis(),
        "rollback": rollback(),
        "paused": {"type": "boolean", "default": false},
        "regions": list(region, "Where first, by the region of the proxies; the last wave is `all`."),
        "windows": list(window(), "When no step is taken."),
        "dependsOn": list(name(), "Releases that must be at rest with what they want before this one begins."),
        "together": name(),
        "progressDeadline": either(json!([duration("As after."), deadline]), "How long one step may take."),
        "experiment": experiment(),
        "notify": list(sink(), "Who is told."),
    });
    object(properties, &["service", "version", "strategy"], "What should be live, and how to get there.")
}

fn rollback() -> Value {
    let retry = json!({
        "limit": whole(1, "How many further tries."),
        "backoff": duration("Before the first of them, 10m by default; it doubles."),
    });
    let window = json!({"revisions": whole(1, "So many of the former stable versions; 1 by default.")});
    let properties = json!({
        "auto": {"type": "boolean", "default": true, "description": "Whether failing evidence does."},
        "onRejected": {
            "enum": ["hold", "revert"],
            "default": "hold",
            "description": "What a proxy's rejection of something that the release needs does.",
        },
        "window": object(window, &["revisions"], "Which versions return without steps."),
        "over": duration("Over which traffic returns; at once by default."),
        "retry": object(retry, &["limit"], "Whether what failed is tried again by itself."),
    });
    object(properties, &[], "What sends it back by itself, and how.")
}

fn window() -> Value {
    let days = json!({"enum": ["mon", "tue", "wed", "thu", "fri", "sat", "sun"]});
    let deny = json!({
        "days": list(days, "On which it begins; every day by default."),
        "from": text("A time, as 16:00, or a date, as 2026-12-20."),
        "to": text("A time, on the next day when not after `from`; or the last date."),
    });
    let properties = json!({
        "deny": object(deny, &["from", "to"], "When."),
        "timeZone": text("As Europe/Berlin, or UTC."),
        "reason": text("Why, for those who wait."),
    });
    object(properties, &["deny", "timeZone"], "A time in which no step is taken.")
}

fn experiment() -> Value {
    let properties = json!({
        "name": name(),
        "candidates": map(percent("Its share; all of them sum to less than 100."), "Versions and their shares."),
        "duration": duration("For how long."),
    });
    object(properties, &["name", "candidates", "duration"], "Versions that are tried beside the live one.")
}

fn sink() -> Value {
    let events = || list(text("As in the journal: promoted, reverting."), "All but measurements by default.");
    let slack = json!({"url": text("http:// or https://."), "events": events()});
    let webhook = json!({
        "url": text("http:// or https://."),
        "secret": text("The name of the secret that signs the body."),
        "events": events(),
    });
    let properties = json!({
        "slack": object(slack, &["url"], "Text, as Slack and others take it."),
        "webhook": object(webhook, &["url"], "The event in JSON."),
    });
    one(properties, "Somebody who is told.")
}

fn analysis() -> Value {
    let chance = |default: f64| share(&format!("Up to 0.5; {default} by default."));
    let ratio = |default: f64| json!({"type": "number", "minimum": 1, "maximum": 1000, "default": default});
    let dry = || json!({"type": "boolean", "default": false, "description": "Shown, and decides nothing."});
    let errors = json!({
        "tolerateRatio": ratio(1.1),
        "rejectRatio": ratio(2.0),
        "harmlessRate": share("An error rate below it is harmless, whatever the baseline's."),
        "clusterSize": either(json!([{"type": "number", "minimum": 1}, {"const": "auto"}]), "Errors that one cause makes."),
        "max": share("The error rate that may not be exceeded."),
        "causes": list(json!({"enum": Cause::ALL.map(Cause::word)}), "Which failures count; all by default."),
        "dryRun": dry(),
    });
    let latency = json!({
        "tolerateRatio": ratio(1.05),
        "rejectRatio": ratio(2.0),
        "max": map(duration("The longest."), "By percentile, as p99."),
        "dryRun": dry(),
    });
    let ejections = json!({"maxExcess": share("0.2 by default."), "dryRun": dry()});
    let metric = json!({
        "errors": object(errors, &[], "The error rate against the baseline's."),
        "latency": object(latency, &[], "The durations against the baseline's."),
        "ejections": object(ejections, &[], "Endpoints that the proxies ejected."),
        "prometheus": measured(json!({
            "address": text("The server, as http://prometheus:9090."),
            "query": text("PromQL whose answer is one number."),
            "template": {"enum": TEMPLATES.iter().map(|template| template.name).collect::<Vec<_>>()},
            "secret": text("The name of the secret that is sent as the header Authorization."),
        }), &[]),
        "webhook": measured(json!({
            "url": text("http:// or https://."),
            "path": text("Where in the answer the number is, as data.rate."),
            "secret": text("The name of the secret that signs the body."),
        }), &["url"]),
    });
    let properties = json!({
        "risk": object(json!({"falseRevert": chance(0.01), "falseAdvance": chance(0.05)}), &[], "Chances of being wrong."),
        "metrics": list(one(metric, "A metric."), "Errors and ejections by default."),
        "silentLimit": share("Of the proxies; 0.2 by default."),
        "onNoData": {"enum": ["hold", "revert"], "default": "hold"},
        "baseline": text("A version with endpoints of the old one, started to compare with; the stable version by default."),
        "onInconclusive": {"enum": ["pause", "revert", "advance"], "default": "pause"},
    });
    object(properties, &[], "What counts as evidence, and how sure to be.")
}

/// What somebody else measures: what of it is its own, and what all have.
fn measured(own: Value, required: &[&str]) -> Value {
    let common = json!({
        "name": name(),
        "min": {"type": "number", "description": "The number may not be below."},
        "max": {"type": "number", "description": "The number may not exceed."},
        "interval": duration("30s by default."),
        "initialDelay": duration("After the first traffic; none by default."),
        "timeout": duration("10s by default."),
        "count": whole(1, "Good ones that an analyze takes; 1 by default."),
        "failureLimit": whole(0, "Bad ones that are let pass; 0 by default."),
        "consecutiveErrorLimit": whole(0, "Failed ones running that are let pass; 4 by default."),
        "dryRun": {"type": "boolean", "default": false, "description": "Shown, and decides nothing."},
    });
    let mut properties = own;
    if let (Value::Object(own), Value::Object(common)) = (&mut properties, common) {
        own.extend(common);
    }
    object(properties, required, "A number that somebody else measures.")
}
