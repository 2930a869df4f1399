//! `serin simulate`: a release a thousand times in virtual time, before anybody's request is at stake. Needs no server.

use std::path::PathBuf;

use serde::Serialize;

use super::cores::on_all_cores;
use super::failure::Failure;
use super::output::{Cell, Form, Style, json, put, say, table};
use super::progress::Progress;
use crate::model::{Release, World};
use crate::simulation::defect::Defect;
use crate::simulation::peers::{Argo, Flagger, Kayenta, Peer};
use crate::simulation::story::Story;
use crate::simulation::summary::{Part, Stop, Summary};
use crate::simulation::traffic::Traffic;
use crate::simulation::{recording, words};
use crate::spec::{Diagnostic, Settings};

/// Play a release many times in virtual time
///
/// The machine and the judge are those of the server; the traffic and what is wrong with the canary are made up, from a
/// seed. Prints how often and when it is reverted, advances or waits, and how many users' requests a bad version costs.
#[derive(Debug, clap::Args)]
#[command(after_help = help())]
pub(super) struct Args {
    /// Files, and directories of *.yaml
    #[arg(required = true, value_name = "SPEC")]
    paths: Vec<PathBuf>,
    /// The release to play; needed where there are several
    #[arg(long, value_name = "NAME")]
    release: Option<String>,
    /// The release of this service instead
    #[arg(long, value_name = "NAME", conflicts_with = "release")]
    service: Option<String>,
    /// What is asked: KEY=VALUE,… or @FILE.yaml with the same, or @FILE.json with recorded traffic
    #[arg(long, value_name = "TRAFFIC", default_value = "")]
    traffic: String,
    /// What is wrong with the canary: KEY=VALUE,… or @FILE.yaml; nothing when absent
    #[arg(long, value_name = "DEFECT", default_value = "")]
    defect: String,
    /// How many times
    #[arg(long, value_name = "COUNT", default_value_t = 1000, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    runs: u32,
    /// The first of the seeds: the same seed, the same releases
    #[arg(long, value_name = "NUMBER", default_value_t = 1)]
    seed: u64,
    /// The time from a request to its place in the statistics
    #[arg(long, value_name = "TIME", default_value = "1s")]
    flush: jiff::SignedDuration,
    /// The time from a decision to the proxies' acknowledgement
    #[arg(long, value_name = "TIME", default_value = "100ms")]
    ack: jiff::SignedDuration,
    /// When a release that has not ended counts as held
    #[arg(long, value_name = "TIME", default_value = "24h")]
    limit: jiff::SignedDuration,
    /// How long a bad version that was promoted goes on to cost
    #[arg(long, value_name = "TIME", default_value = "10m")]
    noticed: jiff::SignedDuration,
    /// Set Flagger, Argo Rollouts and Kayenta's judge beside it, at the defaults of their documentation
    #[arg(long)]
    compare: bool,
    /// The form of the output
    #[arg(short, long, value_name = "FORMAT", default_value = "text")]
    output: Form,
    /// Take raw Envoy configuration (`envoy:`), as a server does that has this flag
    #[arg(long, env = "SERIN_ALLOW_ENVOY_PATCHES")]
    allow_envoy_patches: bool,
}

/// What `-o json` prints.
#[derive(Debug, Serialize)]
struct Report<'a> {
    release: &'a str,
    seed: u64,
    traffic: &'a Traffic,
    defect: &'a Defect,
    results: &'a [Judged],
}

/// What one judge came to.
#[derive(Debug, Serialize)]
struct Judged {
    judge: &'static str,
    #[serde(flatten)]
    summary: Summary,
}

fn help() -> String {
    let list = |words: &[(&str, &str)]| -> String {
        words.iter().map(|(word, meaning)| format!("  {word:<14} {meaning}\n")).collect()
    };
    format!(
        "Examples:\n  serin simulate specs/ --release checkout --traffic rps=200,errors=0.5% --defect errors=x3\n  \
         serin simulate checkout.yaml --traffic @traffic.yaml --defect latency=+50ms,share=10% --compare\n  \
         serin events checkout -o json > was.json && serin simulate checkout.yaml --traffic @was.json\n\n\
         Traffic:\n{}\nDefect:\n{}",
        list(words::TRAFFIC),
        list(words::DEFECT)
    )
}

pub(super) fn run(args: &Args) -> Result<(), Failure> {
    let world = read_world(args)?;
    let release = &playable(find_release(&world, args)?);
    let traffic = read_traffic(&args.traffic)?;
    let defect = words::defect(&read_pairs("--defect", &args.defect)?)
        .map_err(|error| Failure::Usage(format!("--defect: {error}")))?;
    let story = Story {
        reaction: args.flush.as_secs_f64() + args.ack.as_secs_f64(),
        limit: args.limit.as_secs().max(1) as u64,
        noticed: args.noticed.as_secs().max(0) as u64,
        ..Story::new(release, world.services.get(&release.service), &traffic, &defect)
    };
    let results = play(&story, args);
    put(&match args.output {
        Form::Json => json(&Report {
            release: &release.name,
            seed: args.seed,
            traffic: &traffic,
            defect: &defect,
            results: &results,
        })?,
        Form::Text => render(&release.name, &results, Style::of_stdout()),
    })
}

fn read_world(args: &Args) -> Result<World, Failure> {
    let files = crate::spec::source::read_paths(&args.paths).map_err(|e| Failure::Usage(e.to_string()))?;
    let settings = Settings { envoy_patches: args.allow_envoy_patches, ..Settings::default() };
    let tell = |diagnostics: &[Diagnostic]| diagnostics.iter().for_each(|diagnostic| say(&diagnostic.to_string()));
    match crate::spec::parse(&files, settings) {
        Ok(specs) => {
            tell(&specs.warnings);
            Ok(specs.world)
        }
        Err(diagnostics) => {
            tell(&diagnostics);
            Err(Failure::Told)
        }
    }
}

/// The release without what others measure, which nobody can make up: it is told, and taken to be good.
fn playable(release: &Release) -> Release {
    let mut release = release.clone();
    let measured = std::mem::take(&mut release.analysis.measured);
    if !measured.is_empty() {
        let names: Vec<String> = measured.into_iter().map(|metric| metric.name).collect();
        say(&format!("note: what others measure is not played, and taken to be good: {}", names.join(", ")));
    }
    release
}

fn find_release<'a>(world: &'a World, args: &Args) -> Result<&'a Release, Failure> {
    let names = || world.releases.keys().map(String::as_str).collect::<Vec<_>>().join(", ");
    let found = match (&args.release, &args.service) {
        (Some(name), _) => world.releases.get(name),
        (None, Some(service)) => world.releases.values().find(|release| release.service == *service),
        (None, None) if world.releases.len() == 1 => world.releases.values().next(),
        (None, None) if world.releases.is_empty() => None,
        (None, None) => return Err(Failure::Usage(format!("which release? --release one of: {}", names()))),
    };
    found.ok_or_else(|| match (&args.release, &args.service) {
        _ if world.releases.is_empty() => Failure::NotFound("there is no Release in these specs".to_owned()),
        (Some(name), _) => Failure::NotFound(format!("there is no release {name}; there are: {}", names())),
        (None, Some(of)) => Failure::NotFound(format!("no release is of a service {of}; there are: {}", names())),
        (None, None) => Failure::NotFound("there is no Release in these specs".to_owned()),
    })
}

fn read_traffic(text: &str) -> Result<Traffic, Failure> {
    if let Some(path) = text.strip_prefix('@').filter(|path| path.ends_with(".json")) {
        let recorded = recording::read(&read_file("--traffic", path)?);
        let recorded = recorded.map_err(|error| Failure::Usage(format!("--traffic: {path}: {error}")))?;
        return Ok(Traffic { recorded, ..Traffic::default() });
    }
    words::traffic(&read_pairs("--traffic", text)?).map_err(|error| Failure::Usage(format!("--traffic: {error}")))
}

/// `KEY=VALUE,…`, or those of a file.
fn read_pairs(flag: &str, text: &str) -> Result<Vec<(String, String)>, Failure> {
    let Some(path) = text.strip_prefix('@') else {
        return words::pairs(text).map_err(|error| Failure::Usage(format!("{flag}: {error}")));
    };
    let wrong = |why: String| Failure::Usage(format!("{flag}: {path}: {why}"));
    let mapping: serde_yaml::Mapping = serde_yaml::from_str(&read_file(flag, path)?).map_err(|error| {
        wrong(format!("lines of `key: value` are expected, as in `serin simulate --help`: {error}"))
    })?;
    let scalar = |value: &serde_yaml::Value| match value {
        serde_yaml::Value::String(text) => Some(text.clone()),
        serde_yaml::Value::Number(number) => Some(number.to_string()),
        _ => None,
    };
    let pairs = mapping.iter().map(|(key, value)| {
        let pair = scalar(key).zip(scalar(value));
        pair.ok_or_else(|| wrong("it must be lines of `key: value`, with a word or a number for each".to_owned()))
    });
    pairs.collect()
}

fn read_file(flag: &str, path: &str) -> Result<String, Failure> {
    std::fs::read_to_string(path).map_err(|error| Failure::Usage(format!("{flag}: {path}: {error}")))
}

fn play(story: &Story<'_>, args: &Args) -> Vec<Judged> {
    let seed = |run: usize| args.seed.wrapping_add(run as u64);
    let runs = args.runs as usize;
    let progress = Progress::on_stderr(if args.compare { 4 * runs } else { runs });
    let outcomes = on_all_cores(runs, |run| {
        let outcome = story.play(seed(run));
        progress.step("Serin");
        outcome
    });
    let mut results = vec![Judged { judge: "Serin", summary: Summary::of(&outcomes) }];
    if args.compare {
        let latency = story.release.analysis.latency.is_some();
        let max_p99 = latency.then_some(500.0);
        let peers: [&(dyn Fn() -> Box<dyn Peer> + Sync); 3] = [
            &|| Box::new(Flagger { max_p99, ..Flagger::default() }),
            &|| Box::new(Argo { max_p99, ..Argo::default() }),
            &|| Box::new(Kayenta { with_latency: latency, ..Kayenta::default() }),
        ];
        for fresh in peers {
            let judge = fresh().name();
            let outcomes = on_all_cores(runs, |run| {
                let outcome = story.play_peer(fresh().as_mut(), seed(run));
                progress.step(judge);
                outcome
            });
            results.push(Judged { judge, summary: Summary::of(&outcomes) });
        }
    }
    results
}

fn render(release: &str, results: &[Judged], style: Style) -> String {
    let runs = results.first().map_or(0, |first| first.summary.runs);
    let part = |part: &Part| -> Cell {
        let (Some(median), Some(p95)) = (part.median_seconds, part.p95_seconds) else { return "-".into() };
        format!("{:.1}% ({} / {})", part.share * 100.0, seconds(median), seconds(p95)).into()
    };
    let rows: Vec<[Cell; 6]> = results
        .iter()
        .map(|Judged { judge, summary }| {
            [
                (*judge).into(),
                part(&summary.reverted),
                part(&summary.advanced),
                part(&summary.inconclusive),
                part(&summary.held),
                format!("{:.0} ({} / {})", summary.harmed_mean, summary.harmed_median, summary.harmed_p95).into(),
            ]
        })
        .collect();
    let heading = ["JUDGE", "REVERTED", "PROMOTED", "INCONCLUSIVE", "HELD", "BAD REQUESTS"];
    let inconclusive = results.first().map_or_else(String::new, |first| stopped(&first.summary));
    format!(
        "{release}: {runs} simulated releases. In brackets: when (median / 95th percentile). Bad requests: those of users \
         that\nfailed or were slow by the canary's defect, for each release on average (median / 95th \
         percentile).\n\n{}{inconclusive}",
        table(heading, &rows, style)
    )
}

/// At which step most of those wait that proved nothing in time, and what could be done about it.
fn stopped(summary: &Summary) -> String {
    let Some(Stop { step, weight, count }) = summary.inconclusive_at else { return String::new() };
    let all = summary.inconclusive.count;
    format!(
        "\nInconclusive most often at step {step}, weight {weight} ({count} of {all}): raise the weight, the step's `max` \
         or `harmlessRate`.\n"
    )
}

/// `90s` as people say it.
fn seconds(seconds: u64) -> String {
    match seconds {
        0..120 => format!("{seconds}s"),
        120..7_200 => format!("{}m{:02}s", seconds / 60, seconds % 60),
        _ => format!("{}h{:02}m", seconds / 3_600, seconds / 60 % 60),
    }
}

#[cfg(test)]
mod tests;
