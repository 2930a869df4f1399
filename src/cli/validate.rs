//! `serin validate`: everything that is wrong with specs, before they are committed. Needs no server.

use std::path::PathBuf;

use serde::Serialize;

use super::failure::Failure;
use super::output::{Form, json, put, say};
use super::text::plural;
use crate::model::World;
use crate::spec::{Diagnostic, Settings};

/// Check specs without a server
///
/// Reads all paths as one set, as the server would, and prints everything that is wrong, not just the first. Findings
/// go to stderr (with -o json to stdout). Exits with 0 when there are none, with 1 when there are, with 2 when a path
/// cannot be read.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  serin validate ./specs\n  serin validate fleet.yaml services/ -o json")]
pub(super) struct Args {
    /// Files, and directories of *.yaml
    #[arg(required = true, value_name = "PATH")]
    paths: Vec<PathBuf>,
    /// Take raw Envoy configuration (`envoy:`), as a server does that has this flag
    #[arg(long, env = "SERIN_ALLOW_ENVOY_PATCHES")]
    allow_envoy_patches: bool,
    /// The form of the output
    #[arg(short, long, value_name = "FORMAT", default_value = "text")]
    output: Form,
}

/// What `-o json` prints.
#[derive(Debug, Serialize)]
struct Report<'a> {
    valid: bool,
    fleets: usize,
    services: usize,
    releases: usize,
    diagnostics: &'a [Diagnostic],
}

pub(super) fn run(args: &Args) -> Result<(), Failure> {
    let files = crate::spec::source::read_paths(&args.paths).map_err(|e| Failure::Usage(e.to_string()))?;
    let checked =
        crate::spec::parse(&files, Settings { envoy_patches: args.allow_envoy_patches, ..Settings::default() });
    let (world, diagnostics) = match &checked {
        // A set may be valid and still hold what is hardly meant.
        Ok(specs) => (Some(&specs.world), specs.warnings.as_slice()),
        Err(diagnostics) => (None, diagnostics.as_slice()),
    };
    match args.output {
        Form::Json => put(&json(&report(world, diagnostics))?)?,
        Form::Text => {
            diagnostics.iter().for_each(|diagnostic| say(&diagnostic.to_string()));
            match world {
                Some(world) => put(&format!("{}: valid\n", inventory(world)))?,
                None => say(&format!("{}: not valid", plural(diagnostics.len(), "finding"))),
            }
        }
    }
    if world.is_some() { Ok(()) } else { Err(Failure::Told) }
}

fn report<'a>(world: Option<&World>, diagnostics: &'a [Diagnostic]) -> Report<'a> {
    let (fleets, services, releases) =
        world.map_or((0, 0, 0), |w| (w.fleets.len(), w.services.len(), w.releases.len()));
    Report { valid: world.is_some(), fleets, services, releases, diagnostics }
}

fn inventory(world: &World) -> String {
    [(world.fleets.len(), "fleet"), (world.services.len(), "service"), (world.releases.len(), "release")]
        .map(|(number, noun)| plural(number, noun))
        .join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_inventory_counts() {
        assert_eq!(inventory(&World::default()), "0 fleets, 0 services, 0 releases");
        let fleet = |name: &str| crate::model::Fleet {
            name: name.into(),
            nodes: Default::default(),
            listeners: Vec::new(),
            route_configs: Vec::new(),
            config_canary: None,
            poll: None,
        };
        let world = World { fleets: [("a".into(), fleet("a"))].into(), ..World::default() };
        assert_eq!(inventory(&world), "1 fleet, 0 services, 0 releases");
        let json = serde_json::to_value(report(Some(&world), &[])).expect("JSON");
        assert_eq!(
            json,
            serde_json::json!({"valid": true, "fleets": 1, "services": 0, "releases": 0, "diagnostics": []})
        );
    }
}
