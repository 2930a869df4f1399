//! What a sink can ask for is what the journal has.

use serin::rollout::Record;
use serin::spec::{self, Settings, SourceFile};

const SPECS: &str = include_str!("../../examples/notify.yaml");
const ASKED: &str = "[promoted, reverting, waiting]";

/// What is said of a sink that asks for these.
fn told(events: &str) -> Vec<String> {
    assert!(SPECS.contains(ASKED));
    let bytes = SPECS.replace(ASKED, &format!("[{events}]")).into_bytes();
    let specs = spec::parse(&[SourceFile { path: "notify.yaml".into(), bytes }], Settings::default());
    specs.expect("what is unknown is a warning").warnings.iter().map(ToString::to_string).collect()
}

#[test]
fn specs_know_every_kind_of_the_journal_and_no_other() {
    // Both say what there is when they are told of something that there is not.
    let unknown = serde_json::from_str::<Record>(r#"{"kind": "xxxxxxxxxx"}"#).expect_err("no such kind").to_string();
    let kinds: Vec<&str> = unknown.split('`').skip(3).step_by(2).collect();
    assert!(kinds.contains(&"adopted") && kinds.contains(&"reverted"), "{unknown}");
    assert_eq!(told(&kinds.join(", ")), [""; 0]);
    let told = told("xxxxxxxxxx");
    let (_, known) = told[0].split_once("there are ").expect("it names them");
    let named = known.split('`').skip(1).step_by(2).count();
    let more = known.split(" and ").last().and_then(|end| end.split(' ').next()).and_then(|more| more.parse().ok());
    assert_eq!(named + more.unwrap_or(0), kinds.len(), "{known}");
}
