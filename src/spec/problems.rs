//! Collects what is wrong while specs are read, and knows the text that it is shown with.
//!
//! PURE. Must not know what the specs mean. Invariant: it holds at most [`PER_FILE`] problems of a file; what is left
//! out is counted and said.

use std::rc::Rc;

use super::diagnostic::{Diagnostic, Excerpt, Related, Severity};
use super::tree::Mark;

/// How many problems of a file are told.
const PER_FILE: usize = 50;
/// How many problems of a set are told.
const PER_SET: usize = 500;

/// A file's text, by lines.
pub(super) struct Text<'s> {
    pub(super) path: &'s str,
    text: &'s str,
    /// Where each line begins, in bytes.
    lines: Vec<usize>,
    /// Problems told, and problems left out.
    told: usize,
    left_out: usize,
}

impl<'s> Text<'s> {
    /// Of a file; empty text where it could not be read as text.
    pub(super) fn new(path: &'s str, text: &'s str) -> Self {
        let bytes = text.as_bytes();
        let breaks = bytes.iter().enumerate().filter(|(at, b)| match b {
            b'\n' => true,
            b'\r' => bytes.get(at + 1) != Some(&b'\n'),
            _ => false,
        });
        let lines = std::iter::once(0).chain(breaks.map(|(at, _)| at + 1)).collect();
        Self { path, text, lines, told: 0, left_out: 0 }
    }

    fn line(&self, number: u32) -> Option<&'s str> {
        let at = (number as usize).checked_sub(1)?;
        let start = *self.lines.get(at)?;
        let end = self.lines.get(at + 1).copied().unwrap_or(self.text.len());
        Some(self.text.get(start..end)?.trim_end_matches(['\n', '\r']))
    }
}

/// A place in a document.
#[derive(Debug, Clone)]
pub(super) struct Spot {
    /// The file's place in the set.
    pub(super) file: usize,
    /// The place in the file; none for the file as a whole.
    pub(super) mark: Option<Mark>,
    /// As ``Release `checkout` ``; empty when unknown.
    pub(super) document: Rc<str>,
    /// The field's path; empty for the document as a whole.
    pub(super) field: String,
}

impl Spot {
    /// Line and column, 0 for the file as a whole.
    pub(super) fn position(&self) -> (u32, u32) {
        self.mark.map_or((0, 0), |mark| (mark.line, mark.column))
    }
}

/// What is wrong so far.
pub(super) struct Problems<'s> {
    files: Vec<Text<'s>>,
    list: Vec<Diagnostic>,
}

impl<'s> Problems<'s> {
    pub(super) fn new(files: Vec<Text<'s>>) -> Self {
        Self { files, list: Vec::new() }
    }

    /// Refuses the set, and says how to mend it.
    pub(super) fn error(&mut self, spot: &Spot, message: impl Into<String>, help: impl Into<String>) {
        self.push(Severity::Error, spot, message.into(), help.into(), Vec::new());
    }

    /// As [`Problems::error`], with other places that have to do with it, each with what is there.
    pub(super) fn error_with(
        &mut self,
        spot: &Spot,
        message: impl Into<String>,
        help: impl Into<String>,
        related: &[(&Spot, String)],
    ) {
        let related = related.iter().map(|(spot, what)| self.related(spot, what)).collect();
        self.push(Severity::Error, spot, message.into(), help.into(), related);
    }

    /// Accepts the set, but says what looks wrong.
    pub(super) fn warning(&mut self, spot: &Spot, message: impl Into<String>, help: impl Into<String>) {
        self.push(Severity::Warning, spot, message.into(), help.into(), Vec::new());
    }

    /// Whether nothing more of this file would be told, so that nothing more need be thought about it.
    pub(super) fn is_full(&self, file: usize) -> bool {
        self.files.get(file).is_none_or(|text| text.told >= PER_FILE)
    }

    fn related(&self, spot: &Spot, what: &str) -> Related {
        let (line, column) = spot.position();
        Related { file: self.path(spot.file).to_owned(), line, column, message: what.to_owned() }
    }

    /// Whether anything was refused until now.
    pub(super) fn has_errors(&self) -> bool {
        self.list.iter().any(|one| one.severity == Severity::Error)
    }

    /// The name of a file.
    pub(super) fn path(&self, file: usize) -> &'s str {
        self.files.get(file).map_or("", |text| text.path)
    }

    fn push(&mut self, severity: Severity, spot: &Spot, message: String, help: String, related: Vec<Related>) {
        let full = self.is_full(spot.file);
        let Some(text) = self.files.get_mut(spot.file) else { return };
        if full && severity == Severity::Error {
            text.left_out += 1;
        }
        if full {
            return;
        }
        text.told += 1;
        let (line, column) = spot.position();
        let excerpt =
            spot.mark.and_then(|mark| text.line(mark.line).map(|line| Excerpt::new(line, mark.column, mark.width)));
        let some = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        self.list.push(Diagnostic {
            severity,
            file: text.path.to_owned(),
            line,
            column,
            document: some(&spot.document),
            field: some(&spot.field),
            message,
            help: some(&help),
            related,
            excerpt,
        });
    }

    /// Everything, by file, line and column; what was left out is counted at each file's end.
    pub(super) fn finish(mut self) -> Vec<Diagnostic> {
        for text in self.files.iter().filter(|text| text.left_out > 0) {
            self.list.push(bare(Severity::Error, text.path, format!("{} more problems in this file", text.left_out)));
        }
        self.list.sort_by(|a, b| place(a).cmp(&place(b)));
        let severity = self.list.iter().map(|d| d.severity).min().unwrap_or(Severity::Warning);
        if self.list.len() > PER_SET {
            // Warnings must not crowd out what the set is refused for.
            self.list.retain(|d| d.severity == severity);
        }
        if self.list.len() > PER_SET {
            let more = self.list.len() - PER_SET;
            self.list.truncate(PER_SET);
            self.list.push(bare(severity, "", format!("{more} more problems in other files")));
        }
        self.list
    }
}

/// What is about a whole file comes after what has a line.
fn place(d: &Diagnostic) -> (&str, u32, u32) {
    (&d.file, if d.line == 0 { u32::MAX } else { d.line }, d.column)
}

fn bare(severity: Severity, file: &str, message: String) -> Diagnostic {
    Diagnostic {
        severity,
        file: file.to_owned(),
        line: 0,
        column: 0,
        document: None,
        field: None,
        message,
        help: None,
        related: Vec::new(),
        excerpt: None,
    }
}
