//! `JUDGEMENT.md` tells the truth: every template of a query is in its table, as it is written, measured and limited.

use std::fs;
use std::path::Path;

use serin::model::TEMPLATES;

#[test]
fn every_template_is_in_the_table_as_it_is() {
    let text = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("JUDGEMENT.md")).expect("JUDGEMENT.md");
    let lines = text.lines().skip_while(|line| !line.starts_with("| Template |")).skip(2);
    let rows: Vec<&str> = lines.take_while(|line| line.starts_with('|')).collect();
    let row = |one: &serin::model::Template| {
        format!("| `{}` | `{}` | {} | {} |", one.name, one.limit.word(), one.unit, one.about)
    };
    let expected: Vec<String> = TEMPLATES.iter().map(row).collect();
    assert_eq!(rows, expected, "the table should be\n{}", expected.join("\n"));
}
