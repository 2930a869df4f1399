//! What is wrong with the specs, told so that a person can mend it at once.
//!
//! PURE. Owns the shape and the rendering of a problem: place, message, cure, excerpt. Must not know what specs mean.
//! Invariant: nothing that came from a file is printed without its control characters escaped.

use std::fmt;

use serde::Serialize;

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// The set is refused.
    Error,
    /// The set is accepted, but probably not what was meant.
    Warning,
}

impl Severity {
    fn word(self) -> &'static str {
        match self {
            Severity::Error => "error",
            Severity::Warning => "warning",
        }
    }
}

/// One problem, with its place and its cure.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Diagnostic {
    /// How bad it is.
    pub severity: Severity,
    /// The file; empty when it is about the set as a whole.
    pub file: String,
    /// From 1; 0 when it is about the file as a whole.
    pub line: u32,
    /// In characters, from 1; 0 when it is about the file as a whole.
    pub column: u32,
    /// The document, as ``Release `checkout` ``.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub document: Option<String>,
    /// The field, as `spec.strategy.canary.steps[2].setWeight`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub field: Option<String>,
    /// What is wrong.
    pub message: String,
    /// How to mend it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub help: Option<String>,
    /// Other places that have to do with it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub related: Vec<Related>,
    /// The line in question.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub excerpt: Option<Excerpt>,
}

/// Another place that has to do with a problem.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Related {
    /// The file.
    pub file: String,
    /// From 1.
    pub line: u32,
    /// In characters, from 1.
    pub column: u32,
    /// What is there.
    pub message: String,
}

/// A line of a file with the part that is meant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Excerpt {
    /// The line, shortened to about [`Excerpt::LONGEST`] characters, tabs and control characters replaced.
    pub text: String,
    /// Where the part begins in `text`, in characters from 0.
    pub start: usize,
    /// Its length in characters, at least 1.
    pub width: usize,
}

impl Excerpt {
    /// The most characters that are shown of a line.
    pub const LONGEST: usize = 120;

    /// From a line, the column (from 1) and the width of the part that is meant, in characters.
    pub fn new(line: &str, column: u32, width: u32) -> Self {
        const BEFORE: usize = 60;
        let at = (column as usize).saturating_sub(1);
        let skipped = if at >= Self::LONGEST { at - BEFORE } else { 0 };
        let mut text = String::from(if skipped > 0 { "…" } else { "" });
        let start = at - skipped + usize::from(skipped > 0);
        let mut rest = line.chars().skip(skipped);
        text.extend(rest.by_ref().take(Self::LONGEST).map(printable));
        if rest.next().is_some() {
            text.push('…');
        }
        let room = text.chars().count().saturating_sub(start);
        Self { text, start, width: (width as usize).clamp(1, room.max(1)) }
    }
}

/// A character that a terminal takes as itself: control characters and the marks that reorder text are replaced.
fn printable(c: char) -> char {
    match c {
        '\t' => ' ',
        c if c.is_control() => '\u{fffd}',
        '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}' => '\u{fffd}',
        c => c,
    }
}

/// Text from a file, in backticks, on one line, printable and short.
pub(super) fn quoted(text: &str) -> String {
    const LONGEST: usize = 80;
    let mut shown = String::from("`");
    let mut rest = text.chars();
    for c in rest.by_ref().take(LONGEST) {
        match c {
            '\n' => shown.push_str("\\n"),
            c => shown.push(printable(c)),
        }
    }
    shown.push_str(if rest.next().is_some() { "…`" } else { "`" });
    shown
}

/// Text from outside on one line, printable, whole.
fn clean(text: &str) -> String {
    text.chars().map(printable).collect()
}

impl Diagnostic {
    /// Whether it makes the set refused.
    pub fn is_error(&self) -> bool {
        self.severity == Severity::Error
    }

    /// As text of several lines like a compiler's, with a line break at the end of each.
    pub fn render(&self, colour: bool) -> String {
        let paint = Paint { on: colour, severity: self.severity };
        let gutter = if self.excerpt.is_some() { self.line.to_string().len() } else { 1 };
        let pad = " ".repeat(gutter);
        let mut out = format!("{}\n", paint.title(self.severity.word(), &clean(&self.message)));
        if !self.file.is_empty() {
            out.push_str(&format!("{pad}{} {}", paint.frame("-->"), clean(&self.file)));
            if self.line > 0 {
                out.push_str(&format!(":{}:{}", self.line, self.column));
            }
            out.push('\n');
        }
        if let Some(excerpt) = &self.excerpt {
            let bar = paint.frame("|");
            let number = paint.frame(&self.line.to_string());
            let indent = " ".repeat(excerpt.start);
            let carets = paint.caret(&"^".repeat(excerpt.width));
            out.push_str(&format!("{pad} {bar}\n{number} {bar} {}\n{pad} {bar} {indent}{carets}\n", excerpt.text));
        }
        for note in self.notes() {
            out.push_str(&format!("{pad} {} {note}\n", paint.frame("=")));
        }
        out
    }

    fn notes(&self) -> Vec<String> {
        let place = match (&self.field, &self.document) {
            (Some(field), Some(document)) => Some(format!("field: {} of {}", clean(field), clean(document))),
            (Some(field), None) => Some(format!("field: {}", clean(field))),
            (None, Some(document)) => Some(format!("in: {}", clean(document))),
            (None, None) => None,
        };
        let help = self.help.as_ref().map(|help| format!("help: {}", clean(help)));
        let related = self
            .related
            .iter()
            .map(|r| format!("see: {}:{}:{}: {}", clean(&r.file), r.line, r.column, clean(&r.message)));
        place.into_iter().chain(help).chain(related).collect()
    }
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.render(false))
    }
}

/// Terminal colours, or none.
struct Paint {
    on: bool,
    severity: Severity,
}

impl Paint {
    fn with(&self, code: &str, text: &str) -> String {
        if self.on { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }

    fn severity_code(&self) -> &'static str {
        match self.severity {
            Severity::Error => "1;31",
            Severity::Warning => "1;33",
        }
    }

    fn title(&self, word: &str, message: &str) -> String {
        format!("{}{}", self.with(self.severity_code(), word), self.with("1", &format!(": {message}")))
    }

    fn frame(&self, text: &str) -> String {
        self.with("1;34", text)
    }

    fn caret(&self, text: &str) -> String {
        self.with(self.severity_code(), text)
    }
}

/// All of them for a terminal: each after a blank line, and a last line that counts them. Empty for none.
pub fn report(diagnostics: &[Diagnostic], colour: bool) -> String {
    if diagnostics.is_empty() {
        return String::new();
    }
    let mut out = String::new();
    for diagnostic in diagnostics {
        out.push_str(&diagnostic.render(colour));
        out.push('\n');
    }
    out.push_str(&summary(diagnostics));
    out.push('\n');
    out
}

/// As `3 errors and 1 warning in 2 files`.
pub fn summary(diagnostics: &[Diagnostic]) -> String {
    let errors = diagnostics.iter().filter(|d| d.is_error()).count();
    let warnings = diagnostics.len() - errors;
    let mut files: Vec<&str> = diagnostics.iter().map(|d| d.file.as_str()).filter(|f| !f.is_empty()).collect();
    files.sort_unstable();
    files.dedup();
    let count = |n: usize, word: &str| format!("{n} {word}{}", if n == 1 { "" } else { "s" });
    let mut said = match (errors, warnings) {
        (0, 0) => return "no problems".to_owned(),
        (errors, 0) => count(errors, "error"),
        (0, warnings) => count(warnings, "warning"),
        (errors, warnings) => format!("{} and {}", count(errors, "error"), count(warnings, "warning")),
    };
    if !files.is_empty() {
        said.push_str(&format!(" in {}", count(files.len(), "file")));
    }
    said
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_excerpt_points_at_the_part_that_is_meant() {
        for (line, column, width, text, start, shown_width) in [
            ("abc: def", 6, 3, "abc: def", 5, 3),
            ("abc: def", 6, 99, "abc: def", 5, 3),
            ("abc:", 5, 0, "abc:", 4, 1),
            ("\tx\x1b[31m", 2, 1, " x\u{fffd}[31m", 1, 1),
            ("", 1, 1, "", 0, 1),
        ] {
            let excerpt = Excerpt::new(line, column, width);
            assert_eq!((excerpt.text.as_str(), excerpt.start, excerpt.width), (text, start, shown_width), "{line:?}");
        }
    }

    #[test]
    fn a_long_line_is_cut_around_the_part_that_is_meant() {
        let line = format!("{}HERE{}", "a".repeat(500), "b".repeat(500));
        let excerpt = Excerpt::new(&line, 501, 4);
        let shown: String = excerpt.text.chars().skip(excerpt.start).take(excerpt.width).collect();
        assert_eq!(shown, "HERE");
        assert!(excerpt.text.chars().count() <= Excerpt::LONGEST + 2, "{}", excerpt.text);
    }

    #[test]
    fn colour_changes_nothing_but_colour() {
        let diagnostic = Diagnostic {
            severity: Severity::Error,
            file: "a.yaml".into(),
            line: 12,
            column: 3,
            document: Some("Fleet `edge`".into()),
            field: Some("spec".into()),
            message: "wrong".into(),
            help: Some("right".into()),
            related: vec![Related { file: "b.yaml".into(), line: 1, column: 2, message: "there".into() }],
            excerpt: Some(Excerpt::new("  spec:", 3, 4)),
        };
        let plain = "\
error: wrong
  --> a.yaml:12:3
   |
12 |   spec:
   |   ^^^^
   = field: spec of Fleet `edge`
   = help: right
   = see: b.yaml:1:2: there
";
        assert_eq!(diagnostic.to_string(), plain);
        let mut bare = String::new();
        let mut coloured = diagnostic.render(true);
        assert!(coloured.contains("\x1b[1;31m"));
        while let Some(at) = coloured.find('\x1b') {
            bare.push_str(&coloured[..at]);
            let end = at + coloured[at..].find('m').expect("the end of the escape") + 1;
            coloured = coloured.split_off(end);
        }
        assert_eq!(bare + &coloured, plain);
    }

    #[test]
    fn names_from_files_cannot_command_a_terminal() {
        assert_eq!(quoted("a\x1b[2J\u{202e}b\nc"), "`a\u{fffd}[2J\u{fffd}b\\nc`");
        assert_eq!(quoted(&"x".repeat(200)).chars().count(), 83);
    }
}
