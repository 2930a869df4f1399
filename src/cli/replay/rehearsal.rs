//! `serin replay --policy`: what another policy would have said.

use std::path::{Path, PathBuf};

use crate::cli::failure::Failure;
use crate::cli::output::{put, say};
use crate::model::AnalysisPolicy;
use crate::rollout::Record;
use crate::rollout::rehearsal::{Rehearsal, Tally, unmeasured};
use crate::spec::Settings;

/// The policy that a release has in specs. Raw Envoy configuration has nothing to do with it, and is let pass.
pub(super) fn policy(path: &Path, release: &str) -> Result<AnalysisPolicy, Failure> {
    let files = crate::spec::source::read_paths(&[PathBuf::from(path)]).map_err(|e| Failure::Usage(e.to_string()))?;
    let specs =
        crate::spec::parse(&files, Settings { envoy_patches: true, no_prometheus: false }).map_err(|diagnostics| {
            diagnostics.iter().for_each(|diagnostic| say(&diagnostic.to_string()));
            Failure::Told
        })?;
    match specs.world.releases.get(release) {
        Some(release) => Ok(release.analysis.clone()),
        None => {
            let names: Vec<&str> = specs.world.releases.keys().map(String::as_str).collect();
            let there = if names.is_empty() { "none".to_owned() } else { names.join(", ") };
            Err(Failure::NotFound(format!("{} has no release {release}; there are: {there}", path.display())))
        }
    }
}

/// Judges all entries by it, and tells each verdict.
pub(super) fn run(mut policy: AnalysisPolicy, entries: Vec<(u64, Record)>) -> Result<(), Failure> {
    let (sequences, records): (Vec<u64>, Vec<Record>) = entries.into_iter().unzip();
    let missing: Vec<String> = unmeasured(&policy, &records).into_iter().map(str::to_owned).collect();
    if !missing.is_empty() {
        say(&format!(
            "note: the journal has no number of these, and they are taken to be good: {}",
            missing.join(", ")
        ));
        policy.measured.retain(|metric| !missing.contains(&metric.name));
    }
    let mut rehearsal = Rehearsal::new(policy);
    for (sequence, record) in sequences.iter().zip(&records) {
        for line in rehearsal.take(record) {
            put(&format!("{sequence}: {line}\n"))?;
        }
    }
    if rehearsal.measurements == 0 {
        let why = if rehearsal.skipped > 0 { "with its beginning" } else { "at all" };
        return Err(Failure::Other(anyhow::anyhow!("the journal has no measurement {why}: there is nothing to judge")));
    }
    if rehearsal.skipped > 0 {
        put(&format!(
            "{} measurements before were left out: their beginning is not in the journal\n",
            rehearsal.skipped
        ))?;
    }
    let count = |Tally { passes, failures }: Tally| format!("{passes} passed, {failures} failed");
    let [by_this, as_it_was] = rehearsal.tallies.map(count);
    put(&format!(
        "{} measurements: by this policy {by_this}; as it was {as_it_was}\nFrom the first difference on it would have had \
         other traffic; the counts are those of then\n",
        rehearsal.measurements
    ))
}
