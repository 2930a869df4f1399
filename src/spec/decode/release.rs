//! `kind: Release`.

mod analysis;
mod blue_green;
mod course;
mod rolling;
mod rule;
mod step;
pub(super) mod strategy;
mod timing;
mod window;

use super::{Named, Release, hook, reference};
use crate::model::{self, AnalysisPolicy};
use crate::spec::reader::{At, Reader};
use crate::spec::value;
pub(in crate::spec::decode) use rule::grpc_method;
use strategy::STRATEGY;

const TOGETHER: &str = "write a word that all releases of the set have, as in `together: spring-sale`";

pub(super) fn decode(reader: &mut Reader<'_, '_>, spec: &At<'_>) -> Option<Release> {
    let mut fields = reader.map(spec, "a Release's spec has `service`, `version` and `strategy`")?;
    let service = fields.required("service", "write which service it releases, as in `service: checkout`");
    let version = fields.required("version", "write the version that should be live, as in `version: v2`");
    let strategy_at = fields.required_unless(&["strategyRef"], "strategy", STRATEGY);
    let (analysis_at, rollback_at) = (fields.optional("analysis"), fields.optional("rollback"));
    let paused = fields.optional("paused");
    let (regions_at, windows_at) = (fields.optional("regions"), fields.optional("windows"));
    let (depends_at, together) = (fields.optional("dependsOn"), fields.optional("together"));
    let (deadline_at, experiment_at) = (fields.optional("progressDeadline"), fields.optional("experiment"));
    let notify_at = fields.optional("notify");
    let help = "make it a version of the service, as in `versions: {v1-new-checkout: {sameAs: v1, featureFlags: \
                {new-checkout: on}}}`, and release that";
    fields.misplaced(reader, "featureFlags", "a Release has no feature flags: a version has", help);
    fields.finish(reader, &["strategyRef"]);
    let service = service.and_then(|at| reference(reader, &at, "write the service's name"));
    let version = version.and_then(|at| reference(reader, &at, "write the version's name"));
    let mut strategy = strategy_at.map(|at| strategy::decode(reader, &at)).unwrap_or_default();
    let baseline_spot = analysis_at.as_ref().and_then(|at| at.field("baseline")).map(|at| reader.at(&at));
    let metrics_at = analysis_at.as_ref().and_then(|at| at.field("metrics"));
    let analysis = analysis_at.map_or_else(AnalysisPolicy::default, |at| analysis::decode(reader, &at));
    if let (Some(at), Some(strategy)) = (&metrics_at, &strategy.strategy) {
        timing::warn(reader, at, strategy, &analysis);
    }
    let baseline = analysis.baseline.clone().zip(baseline_spot).map(|(name, spot)| Named { name, spot });
    let back = rollback_at.and_then(|at| course::rollback(reader, &at)).unwrap_or_default();
    let paused = paused.and_then(|at| reader.boolean(&at)).unwrap_or(false);
    let regions = regions_at.map(|at| course::regions(reader, &at)).unwrap_or_default();
    let windows = windows_at.map(|at| window::decode(reader, &at)).unwrap_or_default();
    let depends_on = depends_at.map(|at| course::depends_on(reader, &at)).unwrap_or_default();
    let together_spot = together.as_ref().map(|at| reader.at(at));
    let together = together.and_then(|at| reader.parse(&at, TOGETHER, value::label));
    let progress_deadline = deadline_at.and_then(|at| course::deadline(reader, &at));
    let experiment = experiment_at.and_then(|at| course::experiment(reader, &at));
    let (experiment, candidates): (_, Vec<Named>) = experiment.map_or((None, Vec::new()), |(e, c)| (Some(e), c));
    let notify = notify_at.map(|at| hook::sinks(reader, &at)).unwrap_or_default();
    if let (Some(retires), Some(window)) = (&strategy.retires, &back.window) {
        let message = "a way back is promised to a version that is thrown away";
        let help = "remove one of them: `rollback.window`, or `then: retire` with its hook";
        reader.error_at_with(retires, message, help, (window, "the way back"));
    }
    let release = match (&service, &version, strategy.strategy.take()) {
        (Some(service), Some(version), Some(strategy)) => Some(model::Release {
            auto_rollback: back.auto,
            on_rejected: back.on_rejected,
            rollback: back.rollback,
            paused,
            regions,
            windows,
            depends_on: depends_on.iter().map(|named| named.name.clone()).collect(),
            together: together.clone(),
            progress_deadline,
            experiment,
            notify,
            ..model::Release::new("", &service.name, &version.name, strategy, analysis)
        }),
        _ => None,
    };
    let together = together.zip(together_spot).map(|(name, spot)| Named { name, spot });
    Some(Release { release, service, version, strategy, depends_on, together, baseline, candidates })
}
