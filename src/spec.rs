//! YAML release specs → the validated model.
//!
//! PURE, but for [`source`]. Owns the format that people write: its fields, its defaults, its rules, and what is said of
//! mistakes. Must not know proxies, rollouts or clocks. Nothing is applied by halves: [`parse`] gives a whole [`World`]
//! in which every reference holds, or everything that is wrong, each with its place and its cure.
//!
//! The way of a file: bytes → text → trees that know their place (`tree`) → drafts, one a document (`decode`, by way of
//! `reader`) → checks across all documents (`check`). Each stage goes on past errors, so that all come at once.
//!
//! Limits: a file has at most [`MAX_FILE_BYTES`], is nested at most 64 deep, and has at most 250,000 values with its
//! aliases written out; a set has at most 2,000,000.

mod check;
mod decode;
pub mod diagnostic;
mod listing;
mod problems;
mod reader;
pub mod schema;
pub mod source;
mod tree;
mod value;

use std::collections::BTreeMap;
use std::fmt;

use serde::Serialize;

pub use diagnostic::{Diagnostic, Severity};
pub use listing::endpoints;
pub use source::Loaded;

use crate::model::{PatchTarget, World};
use problems::{Problems, Text};

/// The most bytes of a file: 1 MiB.
pub const MAX_FILE_BYTES: usize = 1 << 20;

/// What specs may ask for here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Settings {
    /// Whether raw Envoy configuration (`envoy:`) is taken. It can do to the proxies whatever Envoy can, so that those
    /// who run the server decide, and not those who write the specs.
    pub envoy_patches: bool,
    /// Whether nobody would know whom to ask for a metric of Prometheus that names no server: each is warned of.
    pub no_prometheus: bool,
}

/// A file of specs, read but not understood.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceFile {
    /// How people are told of it.
    pub path: String,
    /// What is in it. Whoever reads it may stop one byte after [`MAX_FILE_BYTES`].
    pub bytes: Vec<u8>,
}

/// What a document is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub enum Kind {
    /// Proxies.
    Fleet,
    /// Where traffic may go.
    Service,
    /// What should be live.
    Release,
}

impl Kind {
    /// As it is written in `kind:`.
    pub fn name(self) -> &'static str {
        match self {
            Kind::Fleet => "Fleet",
            Kind::Service => "Service",
            Kind::Release => "Release",
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Where a document is written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Origin {
    /// The file.
    pub file: String,
    /// The line of its name or its field, from 1.
    pub line: u32,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.file, self.line)
    }
}

/// Where each document, and each piece of raw configuration in it, is written, for what is found wrong later on.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Origins {
    documents: BTreeMap<(Kind, String), Origin>,
    patches: BTreeMap<(Kind, String, PatchPlace), Origin>,
}

/// Which piece of raw configuration of a document: the name of the listener or route configuration that it stands in,
/// if it stands in one, and what it is merged into.
pub type PatchPlace = (Option<String>, PatchTarget);

impl Origins {
    /// Where a document is written.
    pub fn of(&self, kind: Kind, name: &str) -> Option<&Origin> {
        self.documents.get(&(kind, name.to_owned()))
    }

    /// Where a piece of a document's raw configuration is written.
    pub fn of_patch(&self, kind: Kind, name: &str, place: &PatchPlace) -> Option<&Origin> {
        self.patches.get(&(kind, name.to_owned(), place.clone()))
    }

    /// Where a service is written, as `file:line`.
    pub fn of_service(&self, name: &str) -> Option<String> {
        self.of(Kind::Service, name).map(Origin::to_string)
    }

    /// Where a release is written, as `file:line`.
    pub fn of_release(&self, name: &str) -> Option<String> {
        self.of(Kind::Release, name).map(Origin::to_string)
    }

    /// Where a fleet is written, as `file:line`.
    pub fn of_fleet(&self, name: &str) -> Option<String> {
        self.of(Kind::Fleet, name).map(Origin::to_string)
    }
}

/// A set of specs that holds together.
#[derive(Debug, Clone, PartialEq)]
pub struct Specs {
    /// What they say.
    pub world: World,
    /// Where they say it.
    pub origins: Origins,
    /// What is allowed, but looks wrong. All of them are of [`Severity::Warning`].
    pub warnings: Vec<Diagnostic>,
}

/// The specs, or all that is wrong with them (with the warnings among it), by file, line and column. Never empty.
pub type Outcome = Result<Specs, Vec<Diagnostic>>;

/// Reads a whole set of files, as the settings allow. No files, or none with a document, are an empty world, with a warning.
///
/// # Errors
/// Everything that is wrong, at once.
pub fn parse(files: &[SourceFile], settings: Settings) -> Outcome {
    let texts: Vec<Result<&str, Unreadable>> = files.iter().map(text).collect();
    let shown =
        files.iter().zip(&texts).map(|(file, text)| Text::new(&file.path, text.as_ref().map_or("", |text| *text)));
    let mut problems = Problems::new(shown.collect());
    let mut budget = tree::Budget::new();
    let mut drafts = Vec::new();
    let mut complete = true;
    let trees: Vec<_> = texts.into_iter().map(|text| text.map(|text| tree::documents(text, &mut budget))).collect();
    let listings = listing::named(trees.iter().flatten().flat_map(|(documents, _)| documents));
    for (file, tree) in trees.iter().enumerate() {
        let documents = tree.as_ref().map_or(&[][..], |(documents, _)| documents);
        if listing::is_listing(&files[file].path, documents, &listings) {
            continue;
        }
        let faults = match tree {
            Ok((_, faults)) => faults,
            Err(unreadable) => {
                unreadable.tell(file, &mut problems);
                complete = false;
                continue;
            }
        };
        complete &= faults.is_empty();
        for fault in faults {
            decode::tell(file, fault, &mut problems);
        }
        for root in documents {
            match decode::document(&mut problems, file, root, settings) {
                Some(draft) => drafts.push(draft),
                None => complete = false,
            }
        }
    }
    check::check(&drafts, complete, &mut problems);
    let empty = drafts.is_empty();
    let (world, origins) = check::world(drafts, &problems);
    let mut told = problems.finish();
    if told.iter().any(Diagnostic::is_error) {
        return Err(told);
    }
    if empty {
        told.push(nothing(files.len()));
    }
    Ok(Specs { world, origins, warnings: told })
}

/// Why a file's bytes are no text for us.
enum Unreadable {
    TooLarge,
    NotUtf8 { line: usize },
}

impl Unreadable {
    fn tell(&self, file: usize, problems: &mut Problems<'_>) {
        let spot = decode::whole_file(file);
        match self {
            Unreadable::TooLarge => {
                problems.error(&spot, "this file is larger than 1 MiB", "split it into several files")
            }
            Unreadable::NotUtf8 { line } => {
                problems.error(&spot, format!("line {line} is not UTF-8 text"), "save the file as UTF-8");
            }
        }
    }
}

fn text(file: &SourceFile) -> Result<&str, Unreadable> {
    if file.bytes.len() > MAX_FILE_BYTES {
        return Err(Unreadable::TooLarge);
    }
    match std::str::from_utf8(&file.bytes) {
        Ok(text) => Ok(text.strip_prefix('\u{feff}').unwrap_or(text)),
        Err(error) => {
            let before = file.bytes.get(..error.valid_up_to()).unwrap_or_default();
            Err(Unreadable::NotUtf8 { line: 1 + before.iter().filter(|b| **b == b'\n').count() })
        }
    }
}

fn nothing(files: usize) -> Diagnostic {
    let message = match files {
        0 => "there are no specs: no file ending in .yaml or .yml".to_owned(),
        1 => "there are no specs: the one file has no document".to_owned(),
        n => format!("there are no specs: none of the {n} files has a document"),
    };
    Diagnostic {
        severity: Severity::Warning,
        file: String::new(),
        line: 0,
        column: 0,
        document: None,
        field: None,
        message,
        help: Some("write a Fleet and a Service to begin with".into()),
        related: Vec::new(),
        excerpt: None,
    }
}

#[cfg(test)]
mod tests;
