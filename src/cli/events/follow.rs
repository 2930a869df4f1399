//! `serin events --follow`: the journal as it grows.

use super::super::client::ServerArgs;
use super::super::failure::Failure;
use super::super::json::Shown;
use super::super::output::{Format, json_line, put, say, yaml};
use super::super::text::{moment, on_one_line};
use super::super::watch::{RETRY, is_for_good};
use crate::admin::proto::{ReleaseEvent, WatchReleaseEventsRequest};

/// What is followed, and how far it was.
pub(super) struct Follow {
    /// The release.
    pub(super) name: String,
    /// The last entry that was shown.
    pub(super) after: u64,
    /// Measurements, too.
    pub(super) all: bool,
    /// The form.
    pub(super) output: Format,
}

impl Follow {
    /// Follows until there is no sense in it: it goes on after the last entry when the server comes back.
    pub(super) async fn run(mut self, server: &ServerArgs) -> Result<(), Failure> {
        let mut client = server.releases().await?;
        let mut is_told = false;
        loop {
            let request = WatchReleaseEventsRequest { names: vec![self.name.clone()], after: self.after };
            let lost = match client.watch_release_events(request).await {
                Err(status) => status,
                Ok(answers) => {
                    let mut answers = answers.into_inner();
                    loop {
                        match answers.message().await {
                            Ok(Some(answer)) => {
                                is_told = false;
                                self.show(&answer.events)?;
                            }
                            Ok(None) => break tonic::Status::unavailable("it ended the stream"),
                            Err(status) => break status,
                        }
                    }
                }
            };
            if is_for_good(lost.code()) {
                return Err(lost.into());
            }
            if !std::mem::replace(&mut is_told, true) {
                say(&format!("lost the server, trying to reach it again: {}", lost.message()));
            }
            tokio::time::sleep(RETRY).await;
        }
    }

    fn show(&mut self, events: &[ReleaseEvent]) -> Result<(), Failure> {
        let mut text = String::new();
        for event in events {
            text += &line(event, self.output, self.all)?;
            self.after = event.sequence;
        }
        if text.is_empty() { Ok(()) } else { put(&text) }
    }
}

/// One entry. The columns of the table are those of the longest kinds there are.
fn line(event: &ReleaseEvent, output: Format, all: bool) -> Result<String, Failure> {
    match output {
        Format::Table if event.kind == "measured" && !all => Ok(String::new()),
        Format::Table => {
            let (at, kind) = (moment(event.at.as_ref()), on_one_line(&event.kind));
            Ok(format!("{:<6} {at}   {kind:<15}   {}\n", event.sequence, on_one_line(&event.message)))
        }
        Format::Json => json_line(&Shown::of(event)),
        Format::Yaml => Ok(format!("---\n{}", yaml(&Shown::of(event))?)),
        Format::Name => Ok(format!("{}\n", event.sequence)),
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::release::examples::ago;
    use super::*;

    #[test]
    fn an_entry_is_a_line() {
        let event = |kind: &str| ReleaseEvent {
            sequence: 12,
            at: ago(60),
            kind: kind.into(),
            message: "setWeight 5%\nnow".into(),
            json: "{}".into(),
            release: "checkout".into(),
        };
        let told = |kind, output, all| line(&event(kind), output, all).expect("printable");
        let expected = "12     1970-01-12T13:45:40.000Z   stepBegun         setWeight 5% now\n";
        assert_eq!(told("stepBegun", Format::Table, false), expected);
        assert_eq!(told("measured", Format::Table, false), "");
        assert_ne!(told("measured", Format::Table, true), "");
        assert_eq!(told("measured", Format::Name, false), "12\n");
        assert!(told("stepBegun", Format::Yaml, false).starts_with("---\nsequence: "));
        let json = told("stepBegun", Format::Json, false);
        assert_eq!((json.lines().count(), json.ends_with('\n')), (1, true));
    }
}
