//! YAML text → documents as trees of nodes that know their place.
//!
//! PURE. Owns the syntax: what is not YAML, and how much of it is too much. Must not know what the fields mean, nor guess
//! the type of a scalar: its spelling is kept (`1.10` stays `1.10`), and who reads a field knows what it must be.
//! Invariants: a tree is at most [`MAX_DEPTH`] deep; all trees of one [`Budget`] together have a bounded size, aliases
//! counted as what they stand for.

use std::collections::HashMap;

use granit_parser::{ErrorKind, Event, Marker, Options, Parser, ScalarStyle, ScanError, Span, StrInput};

use super::diagnostic::quoted;

/// How deep collections may be nested.
pub(super) const MAX_DEPTH: usize = 64;
/// The most nodes of one file; a node counts once more for each [`TEXT_PER_NODE`] bytes of its text.
const NODES_PER_FILE: usize = 250_000;
/// The most nodes of a whole set.
const NODES_PER_SET: usize = 2_000_000;
const TEXT_PER_NODE: usize = 64;
/// How many syntax errors of a file are told.
const MAX_FAULTS: usize = 20;

/// A place in a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Mark {
    /// From 1.
    pub(super) line: u32,
    /// In characters, from 1.
    pub(super) column: u32,
    /// In characters; 0 when unknown.
    pub(super) width: u32,
}

impl Mark {
    fn from_span(span: &Span) -> Self {
        let mut mark = Self::from(&span.start);
        if span.start.line() == span.end.line() {
            mark.width = small(span.end.col().saturating_sub(span.start.col()));
        }
        mark
    }
}

impl From<&Marker> for Mark {
    fn from(marker: &Marker) -> Self {
        Self { line: small(marker.line()).max(1), column: small(marker.col()).saturating_add(1), width: 0 }
    }
}

fn small(n: usize) -> u32 {
    u32::try_from(n).unwrap_or(u32::MAX)
}

/// A value of a document.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Node {
    /// Where it is written; for an alias, where its anchor is.
    pub(super) mark: Mark,
    /// Whether it has a YAML tag, as `!!str`.
    pub(super) tagged: bool,
    /// What it is.
    pub(super) value: Value,
}

/// What a node is.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Value {
    /// Text, with escapes resolved.
    Scalar {
        /// As it is written.
        text: String,
        /// Without quotes: may stand for a number, a boolean or nothing.
        plain: bool,
    },
    /// A sequence.
    List(Vec<Node>),
    /// A mapping, in the order of the file, duplicates and all.
    Map(Vec<Entry>),
}

/// A key and its value.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Entry {
    /// Usually text.
    pub(super) key: Node,
    /// What it is set to.
    pub(super) value: Node,
}

impl Node {
    /// Whether nothing is written here: `~`, `null`, or nothing at all.
    pub(super) fn is_null(&self) -> bool {
        matches!(&self.value, Value::Scalar { text, plain: true } if matches!(text.as_str(), "" | "~" | "null" | "Null" | "NULL"))
    }

    /// Its text, if it has any.
    pub(super) fn text(&self) -> Option<&str> {
        match &self.value {
            Value::Scalar { text, .. } if !self.is_null() => Some(text),
            Value::Scalar { .. } | Value::List(_) | Value::Map(_) => None,
        }
    }

    /// The value of a key of a mapping; the first, if there are several.
    pub(super) fn get(&self, key: &str) -> Option<&Node> {
        match &self.value {
            Value::Map(entries) => entries.iter().find(|e| e.key.text() == Some(key)).map(|e| &e.value),
            Value::Scalar { .. } | Value::List(_) => None,
        }
    }

    fn cost(&self) -> usize {
        match &self.value {
            Value::Scalar { text, .. } => 1 + text.len() / TEXT_PER_NODE,
            Value::List(items) => 1 + items.iter().map(Node::cost).sum::<usize>(),
            Value::Map(entries) => 1 + entries.iter().map(|e| e.key.cost() + e.value.cost()).sum::<usize>(),
        }
    }
}

/// Why a document has no tree.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Fault {
    pub(super) mark: Mark,
    pub(super) message: String,
    pub(super) help: Option<String>,
}

/// How much the trees of a set may still grow.
#[derive(Debug)]
pub(super) struct Budget {
    set: usize,
    file: usize,
}

impl Budget {
    /// For a whole set.
    pub(super) fn new() -> Self {
        Self { set: NODES_PER_SET, file: 0 }
    }

    fn spend(&mut self, cost: usize, mark: Mark) -> Result<(), Fault> {
        let too_many = |whose: &str, limit: usize| Fault {
            mark,
            message: format!("{whose} more than {limit} values, aliases counted as what they stand for"),
            help: Some("write less into it, without aliases of aliases".into()),
        };
        self.file = self.file.checked_sub(cost).ok_or_else(|| too_many("this file has", NODES_PER_FILE))?;
        self.set = self.set.checked_sub(cost).ok_or_else(|| too_many("the files together have", NODES_PER_SET))?;
        Ok(())
    }
}

/// The documents of a file that are YAML, and what is wrong with those that are not. Empty documents are left out.
pub(super) fn documents(text: &str, budget: &mut Budget) -> (Vec<Node>, Vec<Fault>) {
    budget.file = NODES_PER_FILE;
    let mut options = Options::default();
    options.set_emit_comments(false);
    // One more than we allow ourselves, so that our own message comes first wherever it can.
    options.flow_nesting_limit = MAX_DEPTH + 1;
    options.block_nesting_limit = MAX_DEPTH + 1;
    let mut parser = Parser::new_from_str_with_options(text, options);
    let mut builder = Builder::default();
    let mut found = Vec::new();
    let mut faults: Vec<Fault> = Vec::new();
    while let Some(next) = parser.next_event() {
        let fault = match next {
            Ok((event, span)) => match builder.take(event, &span, budget) {
                Ok(Some(document)) if document.is_null() => continue,
                Ok(Some(document)) => {
                    found.push(document);
                    continue;
                }
                Ok(None) => continue,
                Err(fault) => fault,
            },
            Err(error) => explain(&error),
        };
        builder = Builder::default();
        faults.push(fault);
        if faults.len() >= MAX_FAULTS || budget.file == 0 || !goes_on(&mut parser) {
            break;
        }
    }
    (found, faults)
}

/// Skips the rest of a broken document; tells whether another one follows.
fn goes_on<'t>(parser: &mut Parser<'t, StrInput<'t>>) -> bool {
    parser.proceed_next_document().unwrap_or(false)
}

/// Puts the parser's events together.
#[derive(Default)]
struct Builder {
    open: Vec<Open>,
    root: Option<Node>,
    anchors: HashMap<usize, Node>,
}

/// A collection that is not closed yet.
struct Open {
    mark: Mark,
    tagged: bool,
    anchor: usize,
    items: Items,
}

enum Items {
    List(Vec<Node>),
    Map { entries: Vec<Entry>, key: Option<Node> },
}

impl Builder {
    /// Takes the next event; gives a document when one is complete.
    fn take(&mut self, event: Event<'_>, span: &Span, budget: &mut Budget) -> Result<Option<Node>, Fault> {
        let mark = Mark::from_span(span);
        match event {
            Event::Scalar(text, style, anchor, tag) => {
                let value = Value::Scalar { text: text.into_owned(), plain: style == ScalarStyle::Plain };
                let node = Node { mark, tagged: tag.is_some(), value };
                budget.spend(node.cost(), mark)?;
                self.add(node, anchor, budget)?;
            }
            Event::SequenceStart(_, anchor, tag) => {
                self.open(Open { mark, tagged: tag.is_some(), anchor, items: Items::List(Vec::new()) }, budget)?;
            }
            Event::MappingStart(_, anchor, tag) => {
                let items = Items::Map { entries: Vec::new(), key: None };
                self.open(Open { mark, tagged: tag.is_some(), anchor, items }, budget)?;
            }
            Event::SequenceEnd | Event::MappingEnd => self.close(budget)?,
            Event::Alias(anchor) => {
                let node = self.anchors.get(&anchor).ok_or_else(|| Fault {
                    mark,
                    message: "this alias stands within what it stands for".into(),
                    help: Some("write the value out".into()),
                })?;
                budget.spend(node.cost(), mark)?;
                let node = node.clone();
                self.add(node, 0, budget)?;
            }
            Event::DocumentEnd => {
                let root = self.root.take();
                *self = Self::default();
                return Ok(root);
            }
            // Beginnings, and kinds that the options leave out.
            _ => {}
        }
        Ok(None)
    }

    fn open(&mut self, collection: Open, budget: &mut Budget) -> Result<(), Fault> {
        budget.spend(1, collection.mark)?;
        if self.open.len() >= MAX_DEPTH {
            return Err(too_deep(collection.mark));
        }
        self.open.push(collection);
        Ok(())
    }

    fn close(&mut self, budget: &mut Budget) -> Result<(), Fault> {
        let Some(Open { mark, tagged, anchor, items }) = self.open.pop() else { return Ok(()) };
        let value = match items {
            Items::List(items) => Value::List(items),
            Items::Map { entries, .. } => Value::Map(entries),
        };
        self.add(Node { mark, tagged, value }, anchor, budget)
    }

    fn add(&mut self, node: Node, anchor: usize, budget: &mut Budget) -> Result<(), Fault> {
        if anchor != 0 {
            budget.spend(node.cost(), node.mark)?;
            self.anchors.insert(anchor, node.clone());
        }
        match self.open.last_mut().map(|open| &mut open.items) {
            None => self.root = Some(node),
            Some(Items::List(items)) => items.push(node),
            Some(Items::Map { entries, key }) => match key.take() {
                None => *key = Some(node),
                Some(key) => entries.push(Entry { key, value: node }),
            },
        }
        Ok(())
    }
}

fn too_deep(mark: Mark) -> Fault {
    Fault { mark, message: format!("nested more than {MAX_DEPTH} levels deep"), help: None }
}

/// The parser's words where they are plain, better ones for what people often run into.
fn explain(error: &ScanError) -> Fault {
    let mark = Mark::from(error.marker());
    let (message, help) = match error.kind() {
        ErrorKind::RecursionLimitExceeded => return too_deep(mark),
        ErrorKind::UnknownAnchor => (
            "this alias has no anchor".to_owned(),
            "define it earlier in the same document as `&name`, or quote the `*`",
        ),
        ErrorKind::TabInIndentation | ErrorKind::TabInBlockIndentation | ErrorKind::TabNotAllowed => {
            ("a tab in the indentation".to_owned(), "YAML is indented by spaces only")
        }
        ErrorKind::UnexpectedCharacter { character } if character.is_control() => (
            format!("the character U+{:04X} cannot stand here", u32::from(*character)),
            "remove it, or write it as an escape in double quotes",
        ),
        ErrorKind::UnexpectedCharacter { character } => {
            (format!("no value can begin with {}", quoted(&character.to_string())), "put the value in quotes")
        }
        ErrorKind::MappingValueNotAllowed | ErrorKind::InvalidColonPlacement => (
            "a `:` where no field can begin".to_owned(),
            "check the indentation, or quote the value if the `:` belongs to it",
        ),
        ErrorKind::UnclosedQuotedScalar => ("this quote is never closed".to_owned(), "close it"),
        ErrorKind::UnclosedFlowCollection { open } => (format!("this `{open}` is never closed"), "close it"),
        ErrorKind::SimpleKeyExpected | ErrorKind::InvalidSimpleKey => {
            ("text where a field is expected".to_owned(), "write `name: value`, with a space after the `:`")
        }
        ErrorKind::ExpectedBlockMappingKey | ErrorKind::ExpectedBlockSequenceEntry | ErrorKind::InvalidIndentation => (
            "this line belongs neither to what is before it nor begins anything new".to_owned(),
            "check the indentation of this line and of those before it",
        ),
        ErrorKind::ExpectedFlowMappingSeparator => (
            "expected `,` or `}` here".to_owned(),
            "close the `{` that is open, or quote the value if the `:` belongs to it",
        ),
        ErrorKind::ExpectedFlowSequenceSeparator => {
            ("expected `,` or `]` here".to_owned(), "close the `[` that is open, or quote the value")
        }
        ErrorKind::InvalidQuotedScalarIndent | ErrorKind::DocumentIndicatorInQuotedScalar => {
            ("a text in quotes that began earlier cannot go on here".to_owned(), "is its closing quote missing?")
        }
        other => return Fault { mark, message: format!("not valid YAML: {other}"), help: None },
    };
    Fault { mark, message, help: Some(help.into()) }
}

#[cfg(test)]
mod tests;
