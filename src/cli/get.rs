//! `serin get`: releases as they are, as they change, until they are as wished.

use std::time::Duration;

use jiff::Timestamp;

use super::client::{ClientArgs, answer, present};
use super::failure::Failure;
use super::json::Shown;
use super::output::{Format, Style, json, put, yaml};
use super::text::parse_duration;
use super::{release, watch};
use crate::admin::proto::{GetReleaseRequest, ListReleasesRequest, ListReleasesResponse, Release};

/// Show releases
///
/// All of them as a table, or the named one in full. With --watch it shows each change: on a terminal it redraws,
/// elsewhere it prints a line per change (with -o json an object per line).
///
/// With --until it watches until the release is as wished. `healthy` ends with exit code 3 as soon as the release is
/// degraded; `settled` with 0 when it is healthy and with 3 when it is degraded; `degraded` with 0 when it is degraded.
/// A release that will be tried again by itself is not degraded yet; one whose former version is on its way out, or whose
/// experiment goes on, is not healthy yet.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  serin get\n  serin get checkout -w\n  serin get checkout -o json | jq .actualWeight\n\n  \
                        # In CI, after the commit that asks for v2:\n  \
                        serin get checkout --until healthy --of v2 --timeout 30m"
)]
pub(super) struct Args {
    /// The release; all when none is named
    name: Option<String>,
    /// Show each change
    #[arg(short, long)]
    watch: bool,
    /// Watch until the release is so
    #[arg(long, value_name = "STATE", requires = "name")]
    until: Option<Goal>,
    /// With --until: no state counts before the spec in force asks for this version
    #[arg(long, value_name = "VERSION", requires = "until")]
    of: Option<String>,
    /// With --until: give up after this long (exit code 5)
    #[arg(long, value_name = "DURATION", requires = "until", value_parser = parse_duration)]
    timeout: Option<Duration>,
    #[command(flatten)]
    client: ClientArgs,
}

/// What `--until` waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Goal {
    /// The wanted version has all traffic.
    Healthy,
    /// The wanted version was reverted.
    Degraded,
    /// One or the other.
    Settled,
}

pub(super) async fn run(args: Args) -> Result<(), Failure> {
    let form = Form { output: args.client.output, style: Style::of_stdout() };
    if args.watch || args.until.is_some() {
        let until = args.until.map(|goal| watch::Until { goal, of: args.of });
        let deadline = args.timeout.map(|timeout| (tokio::time::Instant::now() + timeout, timeout));
        return watch::run(&args.client.server, args.name, until, deadline, form).await;
    }
    let mut client = args.client.server.releases().await?;
    let text = match args.name {
        Some(name) => {
            let got = answer(client.get_release(GetReleaseRequest { name })).await?;
            form.one(&present(got.release, "release")?, Timestamp::now())?
        }
        None => form.all(&answer(client.list_releases(ListReleasesRequest {})).await?, Timestamp::now())?,
    };
    put(&text)
}

/// How releases are written.
#[derive(Debug, Clone, Copy)]
pub(super) struct Form {
    /// The form.
    pub(super) output: Format,
    /// How it may be dressed.
    pub(super) style: Style,
}

impl Form {
    /// One release in full.
    ///
    /// # Errors
    /// What cannot be written as JSON.
    pub(super) fn one(self, release: &Release, now: Timestamp) -> Result<String, Failure> {
        match self.output {
            Format::Table => Ok(release::tree(release, now, self.style)),
            Format::Json => json(&Shown::of(release)),
            Format::Yaml => yaml(&Shown::of(release)),
            Format::Name => Ok(format!("{}\n", release.name)),
        }
    }

    /// All releases.
    ///
    /// # Errors
    /// What cannot be written as JSON.
    pub(super) fn all(self, releases: &ListReleasesResponse, now: Timestamp) -> Result<String, Failure> {
        match self.output {
            Format::Table => Ok(release::list(&releases.releases, now, self.style)),
            Format::Json => json(&Shown::of(releases)),
            Format::Yaml => yaml(&Shown::of(releases)),
            Format::Name => Ok(releases.releases.iter().map(|r| format!("{}\n", r.name)).collect()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::release::examples::{healthy, now, progressing};
    use super::*;

    fn form(output: Format) -> Form {
        Form { output, style: Style::PLAIN }
    }

    #[test]
    fn one_is_an_object_and_all_are_a_list() {
        let one = form(Format::Json).one(&progressing(), now()).expect("JSON");
        let one: serde_json::Value = serde_json::from_str(&one).expect("JSON");
        assert_eq!((&one["name"], &one["actualWeight"]), (&"checkout".into(), &0.0.into()));
        let both = ListReleasesResponse { releases: vec![healthy(), progressing()] };
        let all: serde_json::Value =
            serde_json::from_str(&form(Format::Json).all(&both, now()).expect("JSON")).expect("JSON");
        assert_eq!(all["releases"][1], one);
        let yaml: serde_json::Value =
            serde_yaml::from_str(&form(Format::Yaml).all(&both, now()).expect("YAML")).expect("YAML");
        assert_eq!(yaml["releases"][1]["phase"], "PHASE_PROGRESSING");
        assert_eq!(form(Format::Name).all(&both, now()).expect("names"), "cart\ncheckout\n");
        let none = form(Format::Json).all(&ListReleasesResponse::default(), now()).expect("JSON");
        assert_eq!(none, "{\n  \"releases\": []\n}\n");
    }
}
