//! `serin replay`: judges again what a journal holds.

mod rehearsal;

use std::path::PathBuf;

use serde::{Deserialize, Deserializer};

use super::client::{ServerArgs, answer};
use super::failure::Failure;
use super::output::put;
use crate::admin::proto::ListReleaseEventsRequest;
use crate::rollout::Record;
use crate::rollout::replay::Replay;

/// Judge again what a release's journal holds, and compare
///
/// Every measurement in the journal is given to a new judge: the evidence must be what was recorded, bit for bit, and each
/// verdict must follow from it. Ends with exit code 1 at the first difference. The judge itself is in the journal with a
/// version's first measurement and every thousandth after it, so a journal whose oldest entries are gone can be judged
/// again from there on.
///
/// With --policy it is judged by the `analysis` of these specs instead: each verdict that this would have come to, and each
/// that there was. Numbers that others measure are those of then.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  serin replay checkout\n  serin events checkout -o json > checkout.json\n  \
                        serin replay checkout --file checkout.json\n  \
                        serin replay checkout --policy specs/")]
pub(super) struct Args {
    /// The release
    name: String,
    /// Only entries with a greater number
    #[arg(long, value_name = "NUMBER", default_value_t = 0, hide_default_value = true)]
    after: u64,
    /// Read the journal from a file, written by `serin events NAME -o json`, and ask no server
    #[arg(long, value_name = "PATH")]
    file: Option<PathBuf>,
    /// Judge by the policy that a release of this name has in these specs (a file, or a directory of *.yaml)
    #[arg(long, value_name = "SPEC")]
    policy: Option<PathBuf>,
    #[command(flatten)]
    server: ServerArgs,
}

/// What the server gives at once at most.
const PAGE: u32 = 1_000;

/// An entry as `serin events -o json` writes it.
#[derive(Debug, Deserialize)]
struct Entry {
    /// 64 bits are text in the JSON of protobuf.
    #[serde(deserialize_with = "number")]
    sequence: u64,
    json: String,
    #[serde(default)]
    release: String,
}

#[derive(Debug, Deserialize)]
struct Journal {
    events: Vec<Entry>,
}

fn number<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
}

pub(super) async fn run(args: Args) -> Result<(), Failure> {
    // A mistake in it is told before the journal is fetched.
    let policy = args.policy.as_ref().map(|path| rehearsal::policy(path, &args.name)).transpose()?;
    let mut playing = Playing::default();
    let mut records = Vec::new();
    let mut take = |entry: &Entry| match &policy {
        None => playing.take(entry),
        Some(_) => {
            records.push((entry.sequence, entry.record()?));
            Ok(())
        }
    };
    match &args.file {
        Some(path) => {
            let doing = |what: &str| format!("{what} {}", path.display());
            let text = std::fs::read(path).map_err(|e| other(e, doing("reading")))?;
            let journal: Journal = serde_json::from_slice(&text)
                .map_err(|e| other(e, doing("this is not what `serin events NAME -o json` writes:")))?;
            let mut events = journal.events;
            events.retain(|entry| entry.sequence > args.after && entry.release == args.name);
            if events.is_empty() {
                let said = format!("{} has no entry of a release named {}", path.display(), args.name);
                return Err(Failure::NotFound(said));
            }
            events.iter().try_for_each(&mut take)?;
        }
        None => {
            let mut client = args.server.releases().await?;
            let mut after = args.after;
            loop {
                let request = ListReleaseEventsRequest { name: args.name.clone(), after, limit: PAGE };
                let page = answer(client.list_release_events(request)).await?.events;
                let newest = page.last().map(|event| event.sequence).filter(|newest| *newest > after);
                let Some(newest) = newest else { break };
                after = newest;
                for event in page {
                    take(&Entry { sequence: event.sequence, json: event.json, release: event.release })?;
                }
            }
        }
    }
    match policy {
        None => playing.end(),
        Some(policy) => rehearsal::run(policy, records),
    }
}

impl Entry {
    fn record(&self) -> Result<Record, Failure> {
        serde_json::from_str(&self.json)
            .map_err(|e| other(e, format!("entry {} is none that this version of Serin knows", self.sequence)))
    }
}

#[derive(Debug, Default)]
struct Playing {
    replay: Replay,
}

impl Playing {
    /// Takes in an entry, and prints a line for each verdict.
    fn take(&mut self, entry: &Entry) -> Result<(), Failure> {
        let sequence = entry.sequence;
        let record = entry.record()?;
        match self.replay.take(sequence, &record) {
            Ok(None) => Ok(()),
            Ok(Some(same)) => put(&format!("{sequence}: {}: {}: the same again\n", same.version, same.said)),
            Err(difference) => {
                put(&format!("{sequence}: {difference}\n"))?;
                put(&self.caveats())?;
                Err(Failure::Told)
            }
        }
    }

    fn end(&self) -> Result<(), Failure> {
        let Replay { measurements, verdicts, skipped, .. } = &self.replay;
        if *measurements == 0 && *skipped > 0 {
            return Err(Failure::Other(anyhow::anyhow!(
                "none of {skipped} measurements can be judged again: the state of the judge that they began with is not in \
                 the journal (it was trimmed, --after left it out, or a Serin wrote it that kept none)"
            )));
        }
        put(&self.caveats())?;
        let many = |count: usize, what: &str| format!("{count} {what}{}", if count == 1 { "" } else { "s" });
        put(&format!("{}, {}: all the same\n", many(*measurements, "measurement"), many(*verdicts, "verdict")))
    }

    /// What a reader must know to make sense of the result.
    fn caveats(&self) -> String {
        let mut text = String::new();
        if let (Some(from), skipped @ 1..) = (self.replay.from, self.replay.skipped) {
            text += &format!(
                "judged again from entry {from} on: the state of the judge before {skipped} measurements is not in the \
                 journal\n"
            );
        }
        if let Some(other) = self.replay.other_analysis {
            let own = crate::rollout::replay::OWN;
            text += &format!(
                "judged by analysis {other}, and this version of Serin is analysis {own}: what differs may come from that\n"
            );
        }
        text
    }
}

fn other(error: impl Into<anyhow::Error>, context: String) -> Failure {
    Failure::Other(error.into().context(context))
}
