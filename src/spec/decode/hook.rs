//! Calls to others: hooks, probes of endpoints, and who is told of what happened.

use std::collections::BTreeMap;
use std::time::Duration;

use super::amount::{exactly_one, one_of};
use crate::model::{Hook, OnHookFailure, Probe, ProbeKind, Sink, SinkFormat};
use crate::spec::diagnostic::quoted;
use crate::spec::reader::{At, Fields, Reader};
use crate::spec::value::{self, listed, nearest, web};

const HOOK: &str = "write `hook: {url: \"https://ci.example.com/run\", timeout: 3m}`, or the URL alone";
const URL: &str = "write a URL, such as `https://ci.example.com/run`";
const HEADERS: &str = "write `headers: {x-team: shop}`";
const SECRET: &str = "write the name that the server's operator gave the secret, as in `secret: ci`";
const PROBE: &str = "write `http: {path: /healthz}`, `grpc: {}` or `tcp: {}`";
const HEALTH: &str = "write `health: {http: {path: /healthz}, successes: 3}`";
const SINKS: &str = "list who is told, as in `notify: [{slack: {url: \"https://…\", events: [promoted, reverted]}}]`";
const SINK: &str = "one is `slack: {url: …}` or `webhook: {url: …, secret: …}`";
const EVENTS: &str = "list the events, as in `events: [promoted, reverting]`, or leave it out for all but measurements";

const TIMEOUT: Duration = Duration::from_secs(30);
const RETRIES: u32 = 3;
const BACKOFF: Duration = Duration::from_secs(1);
/// What Serin sets itself.
const OURS: [&str; 5] = ["content-type", "content-length", "transfer-encoding", "host", "idempotency-key"];

/// What the journal has: the kinds of its records. Those that people ask for first come first: a hint names a dozen.
const KNOWN_EVENTS: [&str; 26] = [
    "started",
    "promoted",
    "reverting",
    "reverted",
    "waiting",
    "held",
    "stepBegun",
    "judged",
    "waveBegun",
    "promoting",
    "retired",
    "concluded",
    "adopted",
    "superseded",
    "strategyChanged",
    "replaced",
    "called",
    "answered",
    "triedAgain",
    "retiring",
    "kept",
    "experimentBegun",
    "armStopped",
    "settled",
    "measured",
    "ordered",
];

/// A hook, in full or as its URL.
pub(super) fn hook(reader: &mut Reader<'_, '_>, at: &At<'_>) -> Option<Hook> {
    let named = |url: String| Hook {
        name: web::short_name(&url),
        url,
        timeout: TIMEOUT,
        retries: RETRIES,
        backoff: BACKOFF,
        secret: None,
        headers: BTreeMap::new(),
        on_failure: OnHookFailure::default(),
    };
    if at.node.text().is_some() {
        return reader.parse(at, HOOK, web::url).map(named);
    }
    let mut fields = reader.map(at, HOOK)?;
    let url = fields.required("url", URL);
    let (name, timeout) = (fields.optional("name"), fields.optional("timeout"));
    let (retries, backoff) = (fields.optional("retries"), fields.optional("backoff"));
    let (secret, headers) = (fields.optional("secret"), fields.optional("headers"));
    let on_failure = fields.optional("onFailure");
    fields.finish(reader, &[]);
    let name = name.and_then(|at| reader.parse(&at, "write what people call it", value::printable));
    let timeout = timeout.and_then(|at| reader.duration(&at, false));
    let retries = retries.and_then(|at| reader.whole(&at, 0, 100, "write a number, such as `3`; `0` tries once"));
    let backoff = backoff.and_then(|at| reader.duration(&at, false));
    let secret = secret.and_then(|at| reader.parse(&at, SECRET, value::printable));
    let headers = headers.map(|at| self::headers(reader, &at)).unwrap_or_default();
    let words =
        [("revert", OnHookFailure::Revert), ("pause", OnHookFailure::Pause), ("continue", OnHookFailure::Continue)];
    let on_failure = on_failure.and_then(|at| reader.choice(&at, &words, &[]));
    let hook = named(reader.parse(&url?, URL, web::url)?);
    Some(Hook {
        name: name.unwrap_or(hook.name),
        timeout: timeout.unwrap_or(TIMEOUT),
        retries: retries.unwrap_or(RETRIES),
        backoff: backoff.unwrap_or(BACKOFF),
        secret,
        headers,
        on_failure: on_failure.unwrap_or_default(),
        ..named(hook.url)
    })
}

fn headers(reader: &mut Reader<'_, '_>, at: &At<'_>) -> BTreeMap<String, String> {
    let mut headers = BTreeMap::new();
    let Some(fields) = reader.map(at, HEADERS) else { return headers };
    for (name, at) in fields.all() {
        let value = reader.parse(&at, HEADERS, web::header_value);
        let Some(name) = reader.named(&at, name, web::header_name) else { continue };
        if OURS.contains(&name.as_str()) {
            let spot = reader.at_key(&at);
            reader.error_at(&spot, format!("header {} is Serin's to set", quoted(&name)), "remove it");
        } else if let Some(value) = value {
            headers.insert(name, value);
        }
    }
    headers
}

/// The fields of which one says what endpoints are asked.
pub(super) struct ProbeFields<'t> {
    http: Option<At<'t>>,
    grpc: Option<At<'t>>,
    tcp: Option<At<'t>>,
}

impl<'t> ProbeFields<'t> {
    pub(super) fn of(fields: &mut Fields<'t>) -> Self {
        Self { http: fields.optional("http"), grpc: fields.optional("grpc"), tcp: fields.optional("tcp") }
    }

    /// What is asked; `within` is where the fields stand.
    pub(super) fn kind(&self, reader: &mut Reader<'_, '_>, within: &Fields<'t>) -> Option<ProbeKind> {
        let given = [("http", self.http.as_ref()), ("grpc", self.grpc.as_ref()), ("tcp", self.tcp.as_ref())];
        if !exactly_one(reader, within, &given, "keep one of them", PROBE) {
            return None;
        }
        if let Some(at) = &self.http {
            let mut fields = reader.map(at, "write `http: {path: /healthz}`")?;
            let path = fields.required("path", "write the path that is asked for, as in `path: /healthz`");
            fields.finish(reader, &[]);
            let path = path.and_then(|at| reader.parse(&at, "write `path: /healthz`", web::path))?;
            return Some(ProbeKind::Http { path });
        }
        if let Some(at) = &self.grpc {
            let help = "write `grpc: {}` for the whole server, or `grpc: {service: shop.v1.Checkout}`";
            let mut fields = reader.map(at, help)?;
            let service = fields.optional("service");
            fields.finish(reader, &[]);
            let empty = |text: &str| if text.is_empty() { Ok(String::new()) } else { web::grpc_name(text) };
            let service = match service {
                None => String::new(),
                Some(at) => reader.parse(&at, help, empty)?,
            };
            return Some(ProbeKind::Grpc { service });
        }
        let mut fields = reader.map(self.tcp.as_ref()?, "write `tcp: {}`")?;
        fields.finish(reader, &[]);
        Some(ProbeKind::Tcp)
    }
}

/// How an endpoint shows that it works.
pub(super) fn probe(reader: &mut Reader<'_, '_>, at: &At<'_>) -> Option<Probe> {
    let mut fields = reader.map(at, HEALTH)?;
    let kind = ProbeFields::of(&mut fields);
    let (successes, interval) = (fields.optional("successes"), fields.optional("interval"));
    let (timeout, within) = (fields.optional("timeout"), fields.optional("within"));
    fields.finish(reader, &[]);
    let kind = kind.kind(reader, &fields);
    let mut duration = |at: Option<&At<'_>>, default| at.map_or(Some(default), |at| reader.duration(at, false));
    let interval = duration(interval.as_ref(), Duration::from_secs(1));
    let timeout = duration(timeout.as_ref(), Duration::from_secs(1));
    let within_time = duration(within.as_ref(), Duration::from_secs(120));
    let help = "write how many good answers in a row are enough, such as `3`";
    let successes = successes.map_or(Some(3), |at| reader.whole(&at, 1, 1_000, help));
    let probe =
        Probe { kind: kind?, successes: successes?, interval: interval?, timeout: timeout?, within: within_time? };
    if probe.interval * (probe.successes - 1) >= probe.within {
        let message = "in that time there cannot be as many good answers in a row as are wanted";
        let spot = within.as_ref().map_or_else(|| reader.at_key(at), |at| reader.at(at));
        reader.error_at(&spot, message, "raise `within`, or lower `successes` or `interval`");
    }
    Some(probe)
}

/// Who is told.
pub(super) fn sinks(reader: &mut Reader<'_, '_>, at: &At<'_>) -> Vec<Sink> {
    let items = reader.list(at, SINKS).unwrap_or_default();
    items.iter().filter_map(|at| sink(reader, at)).collect()
}

fn sink(reader: &mut Reader<'_, '_>, at: &At<'_>) -> Option<Sink> {
    let mut fields = reader.map(at, SINK)?;
    let (slack, webhook) = (fields.optional("slack"), fields.optional("webhook"));
    one_of(reader, &mut fields, "receiver", SINK, &["email", "pagerduty"]);
    let (format, at) = match (slack, webhook) {
        (Some(at), _) => (SinkFormat::Slack, at),
        (None, Some(at)) => (SinkFormat::Webhook, at),
        (None, None) => return None,
    };
    let mut fields = reader.map(&at, SINK)?;
    let (url, events) = (fields.required("url", URL), fields.optional("events"));
    let secret = if format == SinkFormat::Webhook { fields.optional("secret") } else { None };
    fields.finish(reader, &[]);
    let events = events.map(|at| self::events(reader, &at)).unwrap_or_default();
    let secret = secret.and_then(|at| reader.parse(&at, SECRET, value::printable));
    let url = reader.parse(&url?, URL, web::url)?;
    Some(Sink { format, url, secret, events })
}

fn events(reader: &mut Reader<'_, '_>, at: &At<'_>) -> Vec<String> {
    let items = reader.list(at, EVENTS).unwrap_or_default();
    let mut events = Vec::new();
    for at in items {
        let Some(event) = reader.parse(&at, EVENTS, value::printable) else { continue };
        if !KNOWN_EVENTS.contains(&event.as_str()) {
            let help = match nearest(&event, &KNOWN_EVENTS) {
                Some(name) => format!("did you mean `{name}`?"),
                None => format!("there are {}", listed(&KNOWN_EVENTS, "and")),
            };
            reader.warning(&at, format!("the journal has no event {}", quoted(&event)), help);
        }
        events.push(event);
    }
    events
}
