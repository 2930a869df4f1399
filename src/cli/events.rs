//! `serin events`: the journal of a release.

mod follow;

use super::client::{ClientArgs, answer};
use super::failure::Failure;
use super::json::Shown;
use super::output::{Cell, Format, Style, Tone, json, put, table, yaml};
use super::text::moment;
use crate::admin::proto::{ListReleaseEventsRequest, ListReleaseEventsResponse};

/// Show the journal of a release: every event, verdict and decision, oldest first
///
/// The table leaves out the measurements, of which there is one a second; --all and the other forms show them. With
/// --follow it goes on with each entry as soon as it is kept (with -o json an object per line), through restarts of the
/// server too.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  serin events checkout\n  serin events checkout --after 120 --limit 20\n  \
                        serin events checkout --follow\n  \
                        serin events checkout -o json | jq '.events[].json | fromjson'")]
pub(super) struct Args {
    /// The release
    name: String,
    /// Only entries with a greater number
    #[arg(long, value_name = "NUMBER", default_value_t = 0, hide_default_value = true)]
    after: u64,
    /// At most this many, from the oldest on
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u32).range(1..))]
    limit: Option<u32>,
    /// Go on with what comes
    #[arg(short, long, conflicts_with = "limit")]
    follow: bool,
    /// Show every measurement, too
    #[arg(long)]
    all: bool,
    #[command(flatten)]
    client: ClientArgs,
}

/// What the server gives at once at most.
const PAGE: u32 = 1_000;

pub(super) async fn run(args: Args) -> Result<(), Failure> {
    if args.follow {
        let follow = follow::Follow { name: args.name, after: args.after, all: args.all, output: args.client.output };
        return follow.run(&args.client.server).await;
    }
    let mut client = args.client.server.releases().await?;
    let mut journal = ListReleaseEventsResponse::default();
    let mut after = args.after;
    let mut left = args.limit.unwrap_or(u32::MAX);
    while left > 0 {
        let request = ListReleaseEventsRequest { name: args.name.clone(), after, limit: left.min(PAGE) };
        let page = answer(client.list_release_events(request)).await?.events;
        // Numbers that do not ascend would never end.
        let Some(newest) = page.last().map(|event| event.sequence).filter(|newest| *newest > after) else { break };
        after = newest;
        left = left.saturating_sub(u32::try_from(page.len()).unwrap_or(u32::MAX));
        journal.events.extend(page);
    }
    if args.client.output == Format::Table && !args.all {
        journal.events.retain(|event| event.kind != "measured");
    }
    put(&render(&journal, args.client.output, Style::of_stdout())?)
}

fn render(journal: &ListReleaseEventsResponse, output: Format, style: Style) -> Result<String, Failure> {
    match output {
        Format::Table => Ok(lines(journal, style)),
        Format::Json => json(&Shown::of(journal)),
        Format::Yaml => yaml(&Shown::of(journal)),
        Format::Name => Ok(journal.events.iter().map(|event| format!("{}\n", event.sequence)).collect()),
    }
}

fn lines(journal: &ListReleaseEventsResponse, style: Style) -> String {
    let rows: Vec<[Cell; 4]> = journal
        .events
        .iter()
        .map(|event| {
            [
                event.sequence.to_string().into(),
                Cell::toned(moment(event.at.as_ref()), Tone::Faint),
                event.kind.as_str().into(),
                event.message.as_str().into(),
            ]
        })
        .collect();
    table(["NO", "AT", "KIND", "MESSAGE"], &rows, style)
}

#[cfg(test)]
mod tests {
    use super::super::release::examples::ago;
    use super::*;
    use crate::admin::proto::ReleaseEvent;

    #[test]
    fn a_line_per_entry() {
        let event = |sequence, kind: &str, message: &str| ReleaseEvent {
            sequence,
            at: ago(60),
            kind: kind.into(),
            message: message.into(),
            json: "{}".into(),
            release: "checkout".into(),
        };
        let events = vec![event(9, "started", "v1 to v2"), event(10, "stepBegun", "setWeight 5%\nnow")];
        let journal = ListReleaseEventsResponse { events };
        let text = render(&journal, Format::Table, Style::PLAIN).expect("text");
        let expected = "\
NO   AT                         KIND        MESSAGE
9    1970-01-12T13:45:40.000Z   started     v1 to v2
10   1970-01-12T13:45:40.000Z   stepBegun   setWeight 5% now
";
        assert_eq!(text, expected);
        assert_eq!(render(&journal, Format::Name, Style::PLAIN).expect("names"), "9\n10\n");
    }
}
