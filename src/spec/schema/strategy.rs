//! `strategy` of a Release.

use serde_json::{Value, json};

use super::{duration, either, hook, list, map, object, one, percent, portion, probe, text, whole};

pub(super) fn schema() -> Value {
    one(json!({"canary": canary(), "blueGreen": blue_green(), "rolling": rolling()}), "How to get there.")
}

fn canary() -> Value {
    let kinds = ["setWeight", "pause", "analyze", "mirror", "hook", "match", "watch", "auto"];
    let holdback = json!({"weight": percent("Up to 50."), "duration": duration("For how long.")});
    let properties = json!({
        "sticky": sticky(),
        "match": rules(),
        "steps": list(step(&kinds), "In order; weights only grow."),
        "holdback": object(holdback, &["weight", "duration"], "What the version before keeps for a time, to compare with."),
    });
    object(properties, &["steps"], "A growing share of the traffic.")
}

fn blue_green() -> Value {
    let preview = json!({"hosts": list(text("A host of its own."), "All of their requests."), "match": rules()});
    let standby = json!({
        "for": duration("For how long the old set stands by; not at all by default."),
        "then": {"enum": ["keep", "retire"], "default": "keep"},
        "drain": duration("The longest wait for its last requests, 30s by default."),
    });
    let hooks = json!({
        "beforeSwitch": hook("Immediately before traffic moves."),
        "afterSwitch": hook("When all traffic has moved."),
        "beforeRetire": hook("Before the old set is thrown away."),
        "retire": hook("Throws the old set away."),
    });
    let over = object(json!({"over": duration("Evenly over this time.")}), &["over"], "Evenly over a time.");
    let properties = json!({
        "preview": object(preview, &[], "Who sees the new version before the switch."),
        "prePromotion": list(step(&["hook", "mirror", "analyze", "pause"]), "Before the switch, in order."),
        "autoPromote": either(
            json!([{"type": "boolean"}, duration("After this time.")]),
            "Whether the switch is made without a person; true by default.",
        ),
        "switch": either(json!([{"const": "atomic"}, over]), "All at once by default."),
        "sticky": sticky(),
        "postPromotion": list(step(&["watch", "hook", "pause"]), "After the switch, in order."),
        "standby": object(standby, &[], "What becomes of the old set."),
        "hooks": object(hooks, &[], "What is called at certain points."),
    });
    object(properties, &[], "Two sets of endpoints and one switch.")
}

fn rolling() -> Value {
    let update = one(
        json!({
            "hook": hook("An agent that is asked to update an endpoint."),
            "registration": object(
                json!({"within": duration("The longest wait, 5m by default.")}),
                &[],
                "It registers itself with the new version.",
            ),
        }),
        "How an endpoint comes to run the new version.",
    );
    let mut health = probe();
    health.insert("successes".into(), whole(1, "Good answers in a row; 3 by default."));
    health.insert("interval".into(), duration("Between two probes; 1s by default."));
    health.insert("timeout".into(), duration("For an answer; 1s by default."));
    health.insert("within".into(), duration("The longest wait to become healthy; 2m by default."));
    let canary = json!({"batch": portion("Its size."), "analyze": analyze()});
    let properties = json!({
        "batch": portion("How many endpoints are judged as a whole."),
        "maxUnavailable": portion("How many of a batch are out of service at a time; all of it by default."),
        "drain": duration("The longest wait for an endpoint's last requests; 30s by default."),
        "update": either(json!([{"const": "running"}, update]), "Nothing is to be done by default."),
        "health": object(health.into(), &[], "How an endpoint shows that it works before it gets traffic."),
        "analyze": analyze(),
        "canary": object(canary, &["batch"], "A first batch under a long look."),
        "onFailure": {"enum": ["rollback", "stop"], "default": "rollback"},
    });
    object(properties, &["batch"], "Endpoints replaced a few at a time.")
}

fn analyze() -> Value {
    object(json!({"max": duration("10m by default.")}), &[], "Waits for proof.")
}

fn step(kinds: &[&str]) -> Value {
    let pause = json!({"duration": duration("Goes on by itself after it; waits for a person without it.")});
    let mirror = json!({
        "percent": {"type": "number", "minimum": 0, "maximum": 100, "description": "The share; 0 ends it."},
        "duration": duration("Waits for it, and ends; goes on with the next step without it."),
    });
    let auto = json!({
        "from": percent("By default what is reached, or what can be proven in time: 1 to 8."),
        "to": percent("Below 100; 50 by default."),
        "analyze": duration("The longest look at each weight; 10m by default."),
        "within": duration("The longest time for all weights; as long as it takes by default."),
    });
    let mut all = json!({
        "setWeight": percent("Percent."),
        "pause": object(pause, &[], "Waits."),
        "analyze": analyze(),
        "mirror": object(mirror, &["percent"], "Copies a share of the requests to the canary."),
        "hook": hook("Goes on when it says yes."),
        "match": rules(),
        "watch": object(json!({"duration": duration("For how long.")}), &["duration"], "Looks at it against its predecessor."),
        "auto": object(auto, &[], "Weights up to one, each proven before the next, which is chosen by what it would cost."),
    });
    if let Some(all) = all.as_object_mut() {
        all.retain(|kind, _| kinds.contains(&kind.as_str()));
    }
    one(all, "A step.")
}

fn rules() -> Value {
    let text_match = || {
        let texts = json!({
            "exact": text("The same."),
            "prefix": text("Begins so."),
            "suffix": text("Ends so."),
            "contains": text("Has it anywhere."),
            "regex": text("The whole of it fits (RE2)."),
            "present": {"type": "boolean", "description": "Whether it is there at all."},
        });
        one(texts, "What it must be.")
    };
    let method = text("In capitals.");
    let users = json!({
        "header": text("A request header that bears the id."),
        "cookie": text("A cookie that bears the id."),
        "ids": list(text("An id."), "Which; all by default."),
        "percent": percent("The share of the users, by a hash of the id."),
    });
    let grpc = json!({"service": text("The full name, as shop.v1.Checkout."), "method": text("Any by default.")});
    let properties = json!({
        "headers": map(text_match(), "Request headers."),
        "cookies": map(text_match(), "Cookies."),
        "query": map(text_match(), "Query parameters."),
        "path": text_match(),
        "method": either(json!([method, list(method.clone(), "Methods.")]), "One of these methods."),
        "grpc": object(grpc, &["service"], "A gRPC call."),
        "sourceIP": either(json!([text("A range."), list(text("A range."), "Ranges.")]), "The caller's address."),
        "users": object(users, &[], "Certain users, or a share of them."),
        "strength": percent("The share of the matching requests that goes to the new version; 100 by default."),
    });
    list(object(properties, &[], "All that it says must hold."), "The first rule that fits decides.")
}

fn sticky() -> Value {
    let properties = json!({
        "cookie": text("By a cookie of this name."),
        "header": text("By a request header."),
        "sourceIP": {"const": true, "description": "By the caller's address."},
        "ttl": duration("How long a cookie lives that is issued; none is issued without it."),
        "path": text("The path that the cookie is issued for."),
        "attributes": map(json!({"type": ["string", "null"]}), "Its other attributes, as SameSite: Lax."),
    });
    object(properties, &[], "By what a user stays with the version once given.")
}
