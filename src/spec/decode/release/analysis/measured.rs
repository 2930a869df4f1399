//! `prometheus` and `webhook`: numbers that others measure.

use std::time::Duration;

use crate::model::{MeasuredMetric, MetricSource, TEMPLATES, Template, placeholders};
use crate::spec::decode::amount::exactly_one;
use crate::spec::reader::{At, Fields, Reader};
use crate::spec::value::{self, web};

const PROMETHEUS: &str = "write `prometheus: {query: \"…\", max: 0.5}`, or `prometheus: {template: …, max: 0.5}`";
const WEBHOOK: &str = "write `webhook: {url: \"https://checks.example.com/errors\", max: 0.5}`";
const LIMITS: &str = "add `max: 0.5`, or `min: 0.99`, or both";
const LIMIT: &str = "write a number, such as `0.5`";
const PATH: &str = "write where the number is in the answer, as in `path: data.errors.0.rate`";
const SECRET: &str = "write the name that the server's operator gave the secret, as in `secret: ci`";

const INTERVAL: Duration = Duration::from_secs(30);
const TIMEOUT: Duration = Duration::from_secs(10);
/// As in Argo Rollouts.
const ERROR_LIMIT: u32 = 4;

/// What both have.
struct Common<'t> {
    name: Option<At<'t>>,
    limits: [Option<At<'t>>; 2],
    interval: Option<At<'t>>,
    delay: Option<At<'t>>,
    timeout: Option<At<'t>>,
    counts: [Option<At<'t>>; 3],
    dry_run: Option<At<'t>>,
}

impl<'t> Common<'t> {
    fn of(fields: &mut Fields<'t>) -> Self {
        Self {
            name: fields.optional("name"),
            limits: [fields.optional("min"), fields.optional("max")],
            interval: fields.optional("interval"),
            delay: fields.optional("initialDelay"),
            timeout: fields.optional("timeout"),
            counts: ["count", "failureLimit", "consecutiveErrorLimit"].map(|name| fields.optional(name)),
            dry_run: fields.optional("dryRun"),
        }
    }

    fn read(
        self,
        reader: &mut Reader<'_, '_>,
        at: &At<'_>,
        name: &str,
        source: MetricSource,
        limits: &str,
    ) -> Option<MeasuredMetric> {
        let named = self.name.and_then(|at| own_name(reader, &at));
        let is_limited = self.limits.iter().any(Option::is_some);
        let mut limit =
            |at: Option<At<'t>>| at.and_then(|at| Some((reader.number(&at, "a number", LIMIT, |_| true)?, at)));
        let [min, max] = self.limits.map(&mut limit);
        if !is_limited {
            let spot = reader.at_key(at);
            reader.error_at(&spot, "no limit says which numbers are good", limits);
        }
        if let (Some((min, _)), Some((max, at))) = (&min, &max)
            && min > max
        {
            reader.error(at, format!("no number is at least {min} and at most {max}"), "let `min` be below `max`");
        }
        let mut time = |at: Option<At<'t>>, zero| at.and_then(|at| Some((reader.duration(&at, zero)?, at)));
        let (interval, delay) = (time(self.interval, false), time(self.delay, true));
        let timeout = time(self.timeout, false);
        if let Some((interval, at)) = interval.as_ref().filter(|(interval, _)| *interval < Duration::from_secs(1)) {
            reader.error(at, format!("{} ms is too short an interval", interval.as_millis()), "write at least `1s`");
        }
        let [count, failures, errors] = self.counts;
        let mut whole = |at: Option<At<'_>>, least| {
            at.and_then(|at| reader.whole(&at, least, 1_000_000, "write a number, such as `3`"))
        };
        Some(MeasuredMetric {
            name: named.unwrap_or_else(|| name.to_owned()),
            source,
            min: min.map(|(min, _)| min),
            max: max.map(|(max, _)| max),
            interval: interval.map_or(INTERVAL, |(interval, _)| interval),
            initial_delay: delay.map_or(Duration::ZERO, |(delay, _)| delay),
            timeout: timeout.map_or(TIMEOUT, |(timeout, _)| timeout),
            count: whole(count, 1).unwrap_or(1),
            failure_limit: whole(failures, 0).unwrap_or_default(),
            consecutive_error_limit: whole(errors, 0).unwrap_or(ERROR_LIMIT),
            dry_run: super::dry_run(reader, self.dry_run),
        })
    }
}

pub(super) fn prometheus(reader: &mut Reader<'_, '_>, at: &At<'_>) -> Option<MeasuredMetric> {
    let mut fields = reader.map(at, PROMETHEUS)?;
    let (address, secret) = (fields.optional("address"), fields.optional("secret"));
    let (query, template) = (fields.optional("query"), fields.optional("template"));
    let common = Common::of(&mut fields);
    fields.finish(reader, &[]);
    let choices = [("query", query.as_ref()), ("template", template.as_ref())];
    exactly_one(reader, &fields, &choices, PROMETHEUS, PROMETHEUS);
    if address.is_none() && reader.settings.no_prometheus {
        let help = "add `address: http://prometheus:9090`, or start `serin serve --prometheus URL`";
        reader.warning(at, "no Prometheus is known to ask, so this is never measured, and nothing advances", help);
    }
    let address = address.map(|at| reader.parse(&at, "write `http://prometheus:9090`", web::url));
    let secret = secret.and_then(|at| reader.parse(&at, SECRET, value::printable));
    let mut limits = LIMITS.to_owned();
    let (name, query) = match (query, template) {
        (Some(at), _) => ("prometheus", filled(reader, &at, PROMETHEUS)?),
        (None, Some(at)) => {
            let known: Vec<(&str, &Template)> = TEMPLATES.iter().map(|template| (template.name, template)).collect();
            let template = reader.choice(&at, &known, &[])?;
            limits = format!("add `{}: …` ({})", template.limit.word(), template.unit);
            (template.name, template.query.to_owned())
        }
        (None, None) => return None,
    };
    let source = MetricSource::Prometheus { address: address.flatten(), query, secret };
    common.read(reader, at, name, source, &limits)
}

/// What people call it, and nothing else is called.
fn own_name(reader: &mut Reader<'_, '_>, at: &At<'_>) -> Option<String> {
    let name = reader.parse(at, "write what people call it", value::label)?;
    if ["errors", "latency", "ejections"].contains(&name.as_str()) {
        reader.error(at, format!("`{name}` is what Serin itself counts"), "give it another name");
        return None;
    }
    Some(name)
}

/// A text whose places can all be filled in.
fn filled(reader: &mut Reader<'_, '_>, at: &At<'_>, help: &str) -> Option<String> {
    let text = reader.text(at, help)?;
    if text.trim().is_empty() {
        reader.error(at, "this query is empty", help);
        return None;
    }
    if let Err(message) = placeholders(text) {
        reader.error(at, message, "write one of these, or take the braces out");
        return None;
    }
    Some(text.to_owned())
}

/// The names and numbers on the way to a number in JSON.
fn steps(reader: &mut Reader<'_, '_>, at: &At<'_>) -> Option<Vec<String>> {
    let path = reader.parse(at, PATH, value::printable)?;
    if path.split('.').any(|step| step.is_empty() || step == "$" || step.contains(['[', ']'])) {
        reader.error(at, "a path is names and numbers with dots between them", PATH);
        return None;
    }
    Some(path.split('.').map(str::to_owned).collect())
}

pub(super) fn webhook(reader: &mut Reader<'_, '_>, at: &At<'_>) -> Option<MeasuredMetric> {
    let mut fields = reader.map(at, WEBHOOK)?;
    let url = fields.required("url", WEBHOOK);
    let (path, secret) = (fields.optional("path"), fields.optional("secret"));
    let common = Common::of(&mut fields);
    fields.finish(reader, &[]);
    let path = path.and_then(|at| steps(reader, &at)).unwrap_or_default();
    let secret = secret.and_then(|at| reader.parse(&at, SECRET, value::printable));
    let url_at = url?;
    let url = reader.parse(&url_at, WEBHOOK, web::url)?;
    if url_at.node.text().is_some_and(|text| text.contains("{{")) {
        let help = "remove `{{…}}`: the release, its versions and the window are in the body that is sent";
        reader.error(&url_at, "nothing is filled in in a URL", help);
    }
    common.read(reader, at, "webhook", MetricSource::Webhook { url, path, secret }, LIMITS)
}
