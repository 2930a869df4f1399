//! Where results go: stdout for data, stderr for words. Owns the forms of output, the colours and the tables; must not
//! know what is shown.
//!
//! Invariant: a reader that has gone is never a panic.

use std::io::{IsTerminal, Write};

use serde::Serialize;

use super::failure::Failure;

/// The form of the output.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub(super) enum Format {
    /// For people.
    #[default]
    Table,
    /// The API's messages in the proto3 JSON mapping.
    Json,
    /// The same as YAML.
    Yaml,
    /// Names only, one a line.
    Name,
}

/// The form of a report, which is no message of the API.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Form {
    /// For people.
    Text,
    /// An object.
    Json,
}

/// How a text may be dressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Style {
    /// Whether escape sequences are welcome.
    pub(super) colour: bool,
}

/// What colours mean here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Tone {
    /// Healthy, stable, in force.
    Good,
    /// The canary, and what waits.
    Notable,
    /// Degraded, rejected.
    Bad,
    /// On its way.
    Busy,
    /// Not the point.
    Faint,
    /// A heading.
    Strong,
}

impl Style {
    /// Without escapes.
    #[cfg(test)]
    pub(super) const PLAIN: Style = Style { colour: false };

    /// As stdout is: nothing but text unless it is a terminal that understands more, and nobody set `NO_COLOR`.
    pub(super) fn of_stdout() -> Self {
        let refused = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        Self { colour: is_clever_terminal() && !refused }
    }

    /// The text in a tone.
    pub(super) fn paint(self, tone: Tone, text: &str) -> String {
        let code = match tone {
            Tone::Good => "32",
            Tone::Notable => "33",
            Tone::Bad => "31",
            Tone::Busy => "36",
            Tone::Faint => "2",
            Tone::Strong => "1",
        };
        if self.colour { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }
}

/// Whether stdout is a terminal that can be drawn on.
pub(super) fn is_clever_terminal() -> bool {
    std::io::stdout().is_terminal() && std::env::var_os("TERM").is_none_or(|term| term != "dumb")
}

/// Writes data to stdout and flushes it.
///
/// # Errors
/// [`Failure::Closed`] when nobody reads it.
pub(super) fn put(text: &str) -> Result<(), Failure> {
    let mut out = std::io::stdout().lock();
    out.write_all(text.as_bytes())?;
    out.flush()?;
    Ok(())
}

/// Says something on stderr; when that is gone too, nobody wants to know.
pub(super) fn say(text: &str) {
    let _ = writeln!(std::io::stderr().lock(), "{text}");
}

/// As JSON for people and programs, with a line break at the end.
///
/// # Errors
/// What cannot be written as JSON (a time out of range).
pub(super) fn json(value: &impl Serialize) -> Result<String, Failure> {
    let text = serde_json::to_string_pretty(value).map_err(|e| Failure::Other(e.into()))?;
    Ok(text + "\n")
}

/// As JSON on one line.
///
/// # Errors
/// As [`json`].
pub(super) fn json_line(value: &impl Serialize) -> Result<String, Failure> {
    let text = serde_json::to_string(value).map_err(|e| Failure::Other(e.into()))?;
    Ok(text + "\n")
}

/// As YAML.
///
/// # Errors
/// As [`json`].
pub(super) fn yaml(value: &impl Serialize) -> Result<String, Failure> {
    serde_yaml::to_string(value).map_err(|e| Failure::Other(e.into()))
}

/// A cell of a table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Cell {
    text: String,
    tone: Option<Tone>,
}

impl Cell {
    /// In a tone.
    pub(super) fn toned(text: impl Into<String>, tone: Tone) -> Self {
        Self { tone: Some(tone), ..Self::from(text.into()) }
    }
}

impl From<String> for Cell {
    fn from(text: String) -> Self {
        Self { text: super::text::on_one_line(&text), tone: None }
    }
}

impl From<&str> for Cell {
    fn from(text: &str) -> Self {
        Self::from(text.to_owned())
    }
}

/// Rows in aligned columns, three spaces apart, under a heading; no spaces at the ends of lines.
pub(super) fn table<const N: usize>(heading: [&str; N], rows: &[[Cell; N]], style: Style) -> String {
    let heading = heading.map(|text| Cell::toned(text, Tone::Strong));
    let width = |cell: &Cell| cell.text.chars().count();
    let mut widths = heading.each_ref().map(width);
    for row in rows {
        for (widest, cell) in widths.iter_mut().zip(row) {
            *widest = (*widest).max(width(cell));
        }
    }
    let mut text = String::new();
    for row in std::iter::once(&heading).chain(rows) {
        let last = row.iter().rposition(|cell| !cell.text.is_empty()).unwrap_or(0);
        for (column, cell) in row.iter().enumerate().take(last + 1) {
            text += &cell.tone.map_or_else(|| cell.text.clone(), |tone| style.paint(tone, &cell.text));
            if column < last {
                text += &" ".repeat(widths[column] - width(cell) + 3);
            }
        }
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_aligned_by_what_is_seen() {
        let rows = [
            [Cell::from("a"), Cell::toned("✔ ü", Tone::Good), Cell::from("x")],
            [Cell::from("long"), Cell::from("-"), Cell::from("")],
        ];
        let heading = ["N", "STATUS", "MESSAGE"];
        assert_eq!(
            table(heading, &rows, Style::PLAIN),
            "N      STATUS   MESSAGE\n\
             a      ✔ ü      x\n\
             long   -\n"
        );
        let coloured = table(heading, &rows, Style { colour: true });
        assert!(coloured.contains("\x1b[32m✔ ü\x1b[0m      x\n"), "{coloured:?}");
    }

    #[test]
    fn a_cell_cannot_leave_its_place() {
        let rows = [[Cell::from("a\nb\x1b[2J")]];
        assert_eq!(table(["N"], &rows, Style::PLAIN), "N\na b\u{fffd}[2J\n");
    }
}
