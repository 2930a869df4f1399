//! PURE: what a sink wants to know, and in which form.

use bytes::Bytes;
use serde_json::{Value, json};

use crate::model::{Sink, SinkFormat};
use crate::store::JournalEntry;

/// Whether a sink is told of entries of a kind.
pub(super) fn is_wanted(sink: &Sink, kind: &str) -> bool {
    if sink.events.is_empty() { kind != "measured" } else { sink.events.iter().any(|wanted| wanted == kind) }
}

/// The body of the request, in JSON.
pub(super) fn body(format: SinkFormat, release: &str, service: &str, entry: &JournalEntry) -> Bytes {
    let JournalEntry { sequence, at, kind, message, json } = entry;
    let body = match format {
        SinkFormat::Webhook => json!({
            "release": release,
            "service": service,
            "seq": sequence,
            "at": at,
            "kind": kind,
            "message": message,
            "event": serde_json::from_str::<Value>(json).unwrap_or_default(),
        }),
        SinkFormat::Slack => json!({"text": format!("{} *{}*: {}", icon(kind), escaped(release), escaped(message))}),
    };
    body.to_string().into()
}

/// What lets a reader see at a glance how it goes.
fn icon(kind: &str) -> char {
    match kind {
        "adopted" | "promoted" | "settled" => '✔',
        "reverting" | "armStopped" => '✖',
        "reverted" => '↩',
        "held" | "waiting" => '⏸',
        "started" | "stepBegun" | "waveBegun" | "experimentBegun" | "promoting" => '▶',
        "judged" | "measured" | "concluded" => '⚖',
        "superseded" | "strategyChanged" => '✎',
        "replaced" => '⇄',
        "called" => '→',
        "answered" => '←',
        "triedAgain" => '↻',
        "retiring" => '⏏',
        "retired" => '∅',
        "kept" => '⚓',
        "ordered" => '☞',
        _ => '•',
    }
}

/// The three characters that mean something in Slack's text (<https://api.slack.com/reference/surfaces/formatting>).
fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(kind: &str, message: &str, json: &str) -> JournalEntry {
        let at = jiff::Timestamp::from_second(1_700_000_000).expect("a time");
        JournalEntry { sequence: 7, at, kind: kind.into(), message: message.into(), json: json.into() }
    }

    fn said(format: SinkFormat, entry: &JournalEntry) -> Value {
        serde_json::from_slice(&body(format, "checkout", "shop", entry)).expect("JSON")
    }

    #[test]
    fn a_webhook_is_told_all_that_the_journal_has() {
        let event = entry("promoted", "v2 is stable", r#"{"kind":"promoted","version":"v2"}"#);
        let expected = json!({
            "release": "checkout", "service": "shop", "seq": 7, "at": "2023-11-14T22:13:20Z",
            "kind": "promoted", "message": "v2 is stable", "event": {"kind": "promoted", "version": "v2"},
        });
        assert_eq!(said(SinkFormat::Webhook, &event), expected);
    }

    #[test]
    fn people_get_one_line_that_cannot_be_more_than_text() {
        let event = entry("reverting", "p95 > 200 ms & <!channel>", "{}");
        let expected = json!({"text": "✖ *checkout*: p95 &gt; 200 ms &amp; &lt;!channel&gt;"});
        assert_eq!(said(SinkFormat::Slack, &event), expected);
        assert_eq!(said(SinkFormat::Slack, &entry("promoted", "v2", "{}")), json!({"text": "✔ *checkout*: v2"}));
    }

    #[test]
    fn every_kind_of_the_journal_has_an_icon() {
        let unknown =
            serde_json::from_value::<crate::rollout::Record>(json!({"kind": "none"})).expect_err("no such kind");
        let told = unknown.to_string();
        let kinds: Vec<&str> = told.split('`').skip(3).step_by(2).collect();
        assert!(kinds.contains(&"adopted") && kinds.contains(&"reverted"), "{told}");
        for kind in kinds {
            assert_ne!(icon(kind), '•', "{kind}");
        }
    }

    #[test]
    fn measurements_are_told_only_when_they_are_asked_for() {
        let sink = |events: &[&str]| Sink {
            format: SinkFormat::Webhook,
            url: "http://chat.test/".into(),
            secret: None,
            events: events.iter().map(|&event| event.to_owned()).collect(),
        };
        let wanted = |events: &[&str]| ["measured", "promoted", "held"].map(|kind| is_wanted(&sink(events), kind));
        assert_eq!(wanted(&[]), [false, true, true]);
        assert_eq!(wanted(&["measured"]), [true, false, false]);
        assert_eq!(wanted(&["held", "promoted"]), [false, true, true]);
    }
}
