//! `errors` and `ejections`.

use std::collections::BTreeSet;

use crate::model::{Cause, ClusterSize, EjectionsMetric, ErrorsMetric};
use crate::spec::reader::{At, Reader};
use crate::spec::value;

const CAUSES: &str =
    "list what counts, as in `causes: [answer, timeout, reset]`, or leave it out for every failed request";

pub(super) fn errors(reader: &mut Reader<'_, '_>, at: &At<'_>) -> ErrorsMetric {
    let mut metric = ErrorsMetric::default();
    let Some(mut fields) = reader.map(at, "write `errors: {}` for the defaults") else { return metric };
    let pair = (fields.optional("tolerateRatio"), fields.optional("rejectRatio"));
    let (harmless, cluster) = (fields.optional("harmlessRate"), fields.optional("clusterSize"));
    let (max, causes) = (fields.optional("max"), fields.optional("causes"));
    let dry_run = fields.optional("dryRun");
    fields.finish(reader, &[]);
    let ratios = (&mut metric.tolerate_ratio, &mut metric.reject_ratio);
    super::ratios(reader, at, "error rates", pair, ratios);
    if let Some(share) = harmless.as_ref().and_then(|at| self::harmless(reader, at)) {
        metric.harmless_rate = share;
    }
    if let Some(at) = cluster {
        let help = "write how many errors one cause makes at once, such as `1` or `5`, or `auto`";
        if at.node.text() != Some("auto") {
            let read = reader.number(&at, "a number from 1 to 1000000", help, |n| (1.0..=1e6).contains(&n));
            metric.cluster_size = read.map_or(metric.cluster_size, ClusterSize::Given);
        }
    }
    metric.max = max.and_then(|at| {
        let share = reader.parse(&at, "write `5%` or `0.05`", value::share)?;
        if share > 0.0 && share < 1.0 {
            return Some(share);
        }
        reader.error(&at, "this limit says nothing: it is none of the requests, or all", "write `5%` or `0.05`");
        None
    });
    if let (Some(at), Some(max)) = (&harmless, metric.max.filter(|max| *max < metric.harmless_rate)) {
        let message =
            format!("up to {} it would be harmless, and above {} too much", rate(metric.harmless_rate), rate(max));
        reader.error(at, message, "let `harmlessRate` be at most `max`");
    }
    metric.causes = causes.and_then(|at| self::causes(reader, &at)).unwrap_or(metric.causes);
    metric.dry_run = super::dry_run(reader, dry_run);
    metric
}

/// An error rate that nobody minds: `1` is all of the requests, and hardly meant.
fn harmless(reader: &mut Reader<'_, '_>, at: &At<'_>) -> Option<f64> {
    let help = "write `0.1%` or `0.001`";
    let share = reader.parse(at, help, value::share)?;
    if share < 0.5 {
        return Some(share);
    }
    reader.error(at, format!("{} of the requests may fail, and it would be harmless", rate(share)), help);
    None
}

/// A share as people say it.
fn rate(share: f64) -> String {
    format!("{} %", (share * 1e8).round() / 1e6)
}

fn causes(reader: &mut Reader<'_, '_>, at: &At<'_>) -> Option<BTreeSet<Cause>> {
    let items = reader.list(at, CAUSES)?;
    if items.is_empty() {
        reader.error(at, "with no cause nothing would ever count", CAUSES);
        return None;
    }
    let words = Cause::ALL.map(|cause| (cause.word(), cause));
    let mut causes = BTreeSet::new();
    for at in items {
        let cause = reader.choice(&at, &words, &[])?;
        if !causes.insert(cause) {
            reader.error(&at, format!("`{}` is listed twice", cause.word()), "remove one of them");
        }
    }
    Some(causes)
}

pub(super) fn ejections(reader: &mut Reader<'_, '_>, at: &At<'_>) -> EjectionsMetric {
    let mut metric = EjectionsMetric::default();
    let Some(mut fields) = reader.map(at, "write `ejections: {}` for the defaults") else { return metric };
    let (excess, dry_run) = (fields.optional("maxExcess"), fields.optional("dryRun"));
    fields.finish(reader, &[]);
    if let Some(share) = excess.and_then(|at| reader.parse(&at, "write a share, such as `0.2` or `20%`", value::share))
    {
        metric.max_excess = share;
    }
    metric.dry_run = super::dry_run(reader, dry_run);
    metric
}
