//! Reads fields out of a document's tree, and goes on when one is wrong, so that all problems come at once.
//!
//! PURE. Owns how a field is asked for and how a missing, unknown, doubled or mistyped one is told. Must not know any
//! kind of document. Every method that cannot give what it was asked for has pushed a problem by then.

use std::collections::{HashMap, HashSet};
use std::rc::Rc;
use std::time::Duration;

use super::diagnostic::quoted;
use super::problems::{Problems, Spot};
use super::tree::{Entry, Mark, Node, Value};
use super::{Settings, value};

/// What is said of fields that other versions may have.
const LATER: &str = "not supported by this version of Serin";

/// What YAML 1.1 merged mappings with.
pub(super) const MERGE_KEY: &str = "<<";

/// A node, and the way that led to it.
#[derive(Debug, Clone)]
pub(super) struct At<'t> {
    pub(super) node: &'t Node,
    /// Where its key is; where it is itself in a list.
    key: Mark,
    /// The field's name; none for an item of a list and for the document.
    name: Option<&'t str>,
    /// As `spec.versions.v1`.
    pub(super) path: String,
}

impl<'t> At<'t> {
    /// The whole document.
    pub(super) fn root(node: &'t Node) -> Self {
        Self { node, key: node.mark, name: None, path: String::new() }
    }

    pub(super) fn child(&self, entry: &'t Entry, name: &'t str) -> At<'t> {
        At { node: &entry.value, key: entry.key.mark, name: Some(name), path: join(&self.path, name) }
    }

    /// A field of it, when it is fields; nothing is told of it.
    pub(super) fn field(&self, name: &'t str) -> Option<At<'t>> {
        let Value::Map(entries) = &self.node.value else { return None };
        entries.iter().find(|entry| entry.key.text() == Some(name)).map(|entry| self.child(entry, name))
    }

    pub(super) fn item(&self, index: usize, node: &'t Node) -> At<'t> {
        At { node, key: node.mark, name: None, path: format!("{}[{index}]", self.path) }
    }

    /// The field's name as it is shown.
    pub(super) fn shown(&self) -> String {
        self.name.map_or_else(|| "this item".to_owned(), quoted)
    }

    fn value_mark(&self) -> Mark {
        match &self.node.value {
            Value::Scalar { .. } if !self.node.is_null() => self.node.mark,
            Value::Scalar { .. } | Value::List(_) | Value::Map(_) => self.key,
        }
    }
}

/// The path of a field. Names come from files: they may be of any length and have dots.
fn join(path: &str, name: &str) -> String {
    let short: String = name.chars().take(64).collect();
    let simple = short.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-'));
    match (path, simple) {
        ("", true) => short,
        (path, true) => format!("{path}.{short}"),
        (path, false) => format!("{path}[\"{short}\"]"),
    }
}

/// Reads one document.
pub(super) struct Reader<'p, 's> {
    problems: &'p mut Problems<'s>,
    file: usize,
    /// As ``Release `checkout` ``, once known.
    document: Rc<str>,
    pub(super) settings: Settings,
}

impl<'p, 's> Reader<'p, 's> {
    pub(super) fn new(problems: &'p mut Problems<'s>, file: usize, settings: Settings) -> Self {
        Self { problems, file, document: Rc::from(""), settings }
    }

    /// From now on, problems are told of this document.
    pub(super) fn entitle(&mut self, document: &str) {
        self.document = Rc::from(document);
    }

    fn spot(&self, mark: Mark, field: &str) -> Spot {
        Spot { file: self.file, mark: Some(mark), document: Rc::clone(&self.document), field: field.to_owned() }
    }

    /// Where the value is written.
    pub(super) fn at(&self, at: &At<'_>) -> Spot {
        self.spot(at.value_mark(), &at.path)
    }

    /// Where the field's name is written.
    pub(super) fn at_key(&self, at: &At<'_>) -> Spot {
        self.spot(at.key, &at.path)
    }

    /// Refuses a value.
    pub(super) fn error(&mut self, at: &At<'_>, message: impl Into<String>, help: impl Into<String>) {
        let spot = self.at(at);
        self.problems.error(&spot, message, help);
    }

    /// Refuses what is at a place.
    pub(super) fn error_at(&mut self, spot: &Spot, message: impl Into<String>, help: impl Into<String>) {
        self.problems.error(spot, message, help);
    }

    /// Refuses a value because of another one.
    pub(super) fn error_with(&mut self, at: &At<'_>, message: impl Into<String>, help: &str, other: (&Spot, &str)) {
        let spot = self.at(at);
        self.problems.error_with(&spot, message, help, &[(other.0, other.1.to_owned())]);
    }

    /// As [`Reader::error_with`], for what is at a place.
    pub(super) fn error_at_with(&mut self, spot: &Spot, message: impl Into<String>, help: &str, other: (&Spot, &str)) {
        self.problems.error_with(spot, message, help, &[(other.0, other.1.to_owned())]);
    }

    /// A name that the user chose, as `parse` takes it: the key of `at`.
    pub(super) fn named<T>(
        &mut self,
        at: &At<'_>,
        name: &str,
        parse: impl FnOnce(&str) -> Result<T, value::Refused>,
    ) -> Option<T> {
        match parse(name) {
            Ok(value) => Some(value),
            Err(refused) => {
                let spot = self.at_key(at);
                self.error_at(&spot, refused.message, refused.help);
                None
            }
        }
    }

    /// Accepts a field, but says what looks wrong.
    pub(super) fn warning(&mut self, at: &At<'_>, message: impl Into<String>, help: impl Into<String>) {
        let spot = self.at_key(at);
        self.problems.warning(&spot, message, help);
    }

    /// A mapping's fields. `example` is the cure for anything else: what could be written instead.
    pub(super) fn map<'t>(&mut self, at: &At<'t>, example: &str) -> Option<Fields<'t>> {
        let Value::Map(entries) = &at.node.value else {
            self.mistyped(at, "fields", example);
            return None;
        };
        self.refuse_tag(at);
        let mut seen: HashMap<&str, Mark> = HashMap::new();
        for entry in entries {
            match entry.key.text() {
                Some(name) => match seen.get(name) {
                    Some(first) => self.doubled(at, name, entry.key.mark, *first),
                    None => drop(seen.insert(name, entry.key.mark)),
                },
                None => {
                    let spot = self.spot(entry.key.mark, &at.path);
                    self.problems.error(&spot, "a field's name is text", "");
                }
            }
        }
        Some(Fields {
            at: at.clone(),
            entries,
            known: Vec::new(),
            told: Vec::new(),
            strange: false,
            missing: Vec::new(),
        })
    }

    fn doubled(&mut self, at: &At<'_>, name: &str, again: Mark, first: Mark) {
        let path = join(&at.path, name);
        let (again, first) = (self.spot(again, &path), self.spot(first, &path));
        self.problems.error_with(
            &again,
            format!("field {} is given twice", quoted(name)),
            "keep one of them",
            &[(&first, "the first one".to_owned())],
        );
    }

    /// A list's items.
    pub(super) fn list<'t>(&mut self, at: &At<'t>, example: &str) -> Option<Vec<At<'t>>> {
        let Value::List(items) = &at.node.value else {
            self.mistyped(at, "a list", example);
            return None;
        };
        self.refuse_tag(at);
        Some(items.iter().enumerate().map(|(index, node)| at.item(index, node)).collect())
    }

    /// Any text, quoted or not.
    pub(super) fn text<'t>(&mut self, at: &At<'t>, example: &str) -> Option<&'t str> {
        match at.node.text() {
            Some(text) => self.refuse_tag(at).then_some(text),
            None => {
                self.mistyped(at, "text", example);
                None
            }
        }
    }

    /// Text as `parse` takes it; what `parse` says otherwise is the message and the help.
    pub(super) fn parse<'t, T>(
        &mut self,
        at: &At<'t>,
        example: &str,
        parse: impl FnOnce(&'t str) -> Result<T, value::Refused>,
    ) -> Option<T> {
        match parse(self.text(at, example)?) {
            Ok(value) => Some(value),
            Err(refused) => {
                self.error(at, refused.message, refused.help);
                None
            }
        }
    }

    /// A number within `within`, which `means` says in words.
    pub(super) fn number(
        &mut self,
        at: &At<'_>,
        means: &str,
        example: &str,
        within: impl FnOnce(f64) -> bool,
    ) -> Option<f64> {
        let text = self.text(at, example)?;
        if matches!(at.node.value, Value::Scalar { plain: false, .. }) {
            self.error(at, format!("{} is text in quotes; this is a number", quoted(text)), "remove the quotes");
            return None;
        }
        match text.parse::<f64>().ok().filter(|n| n.is_finite()) {
            Some(number) if within(number) => Some(number),
            Some(_) => {
                self.error(at, format!("{} is {means}, not {}", at.shown(), quoted(text)), example);
                None
            }
            None => {
                self.error(at, format!("expected a number, found {}", quoted(text)), example);
                None
            }
        }
    }

    /// A whole number from `least` to `most`.
    pub(super) fn whole(&mut self, at: &At<'_>, least: u32, most: u32, help: &str) -> Option<u32> {
        let means = if most == u32::MAX {
            format!("a whole number of at least {least}")
        } else {
            format!("a whole number from {least} to {most}")
        };
        let within = |n: f64| n.fract() == 0.0 && (f64::from(least)..=f64::from(most)).contains(&n);
        self.number(at, &means, help, within).map(|n| n as u32)
    }

    /// `true` or `false`.
    pub(super) fn boolean(&mut self, at: &At<'_>) -> Option<bool> {
        match self.text(at, "write `true` or `false`")? {
            "true" => Some(true),
            "false" => Some(false),
            other => {
                let help = match other.to_ascii_lowercase().as_str() {
                    "yes" | "on" | "y" | "true" => "write `true`",
                    "no" | "off" | "n" | "false" => "write `false`",
                    _ => "write `true` or `false`",
                };
                self.error(at, format!("expected true or false, found {}", quoted(other)), help);
                None
            }
        }
    }

    /// One of a few words. `later` are words that other versions may take.
    pub(super) fn choice<T: Copy>(&mut self, at: &At<'_>, words: &[(&str, T)], later: &[&str]) -> Option<T> {
        let names: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
        let all = value::listed(&names, "or");
        let text = self.text(at, &format!("write one of {all}"))?;
        if let Some((_, chosen)) = words.iter().find(|(word, _)| *word == text) {
            return Some(*chosen);
        }
        if later.contains(&text) {
            self.error(
                at,
                format!("{} {} is {LATER}", at.name.unwrap_or("value"), quoted(text)),
                format!("it may be {all}"),
            );
            return None;
        }
        let help = match value::nearest(text, &names) {
            Some(name) => format!("did you mean `{name}`? It may be {all}"),
            None => format!("it may be {all}"),
        };
        self.error(at, format!("unknown {} {}", at.name.unwrap_or("value"), quoted(text)), help);
        None
    }

    /// A length of time with its unit; `zero` tells whether none at all will do.
    pub(super) fn duration(&mut self, at: &At<'_>, zero: bool) -> Option<Duration> {
        self.parse(at, value::DURATION_EXAMPLES, |text| value::duration(text, zero))
    }

    /// Tells whether there is none.
    pub(super) fn refuse_tag(&mut self, at: &At<'_>) -> bool {
        if at.node.tagged {
            self.error(at, "YAML tags (`!…`) have no meaning here", "remove the tag");
        }
        !at.node.tagged
    }

    pub(super) fn merge_key(&mut self, at: &At<'_>) {
        let spot = self.at_key(at);
        let help = "write the fields out, or alias the whole value";
        self.problems.error(&spot, "merge keys (`<<`) are no longer part of YAML", help);
    }

    fn mistyped(&mut self, at: &At<'_>, expected: &str, example: &str) {
        if at.node.is_null() {
            self.error(at, format!("{} is empty", at.shown()), example);
            return;
        }
        let found = match &at.node.value {
            Value::Scalar { text, .. } => format!("text {}", quoted(text)),
            Value::List(_) => "a list".to_owned(),
            Value::Map(_) => "fields".to_owned(),
        };
        self.error(at, format!("expected {expected}, found {found}"), example);
    }
}

/// The fields of a mapping. Those that are asked for are known; [`Fields::finish`] refuses the others, and tells what is
/// missing: a field whose name is misspelt is told once, not twice.
#[derive(Debug)]
pub(super) struct Fields<'t> {
    pub(super) at: At<'t>,
    entries: &'t [Entry],
    known: Vec<&'static str>,
    /// Refused already.
    told: Vec<&'static str>,
    /// Whether there are fields that nobody asked for: what is missing may be one of them.
    pub(super) strange: bool,
    /// Required fields that are not given, and what to write.
    missing: Vec<(&'static str, &'static str)>,
}

impl<'t> Fields<'t> {
    /// A field that may be left out.
    pub(super) fn optional(&mut self, name: &'static str) -> Option<At<'t>> {
        self.known.push(name);
        let entry = self.entries.iter().find(|e| e.key.text() == Some(name))?;
        Some(self.at.child(entry, name))
    }

    /// A field that must be given; `help` says what to write.
    pub(super) fn required(&mut self, name: &'static str, help: &'static str) -> Option<At<'t>> {
        let found = self.optional(name);
        if found.is_none() {
            self.missing.push((name, help));
        }
        found
    }

    /// A field that must be given unless one of the others is.
    pub(super) fn required_unless(
        &mut self,
        others: &[&str],
        name: &'static str,
        help: &'static str,
    ) -> Option<At<'t>> {
        if others.iter().any(|other| self.at.node.get(other).is_some()) {
            self.optional(name)
        } else {
            self.required(name, help)
        }
    }

    /// Refuses a field that belongs elsewhere; `help` says where.
    pub(super) fn misplaced(&mut self, reader: &mut Reader<'_, '_>, name: &'static str, message: &str, help: &str) {
        let Some(entry) = self.entries.iter().find(|e| e.key.text() == Some(name)) else { return };
        let spot = reader.at_key(&self.at.child(entry, name));
        reader.error_at(&spot, message, help);
        self.told.push(name);
    }

    /// Every field, for mappings from names that the user chooses. Doubled ones come once.
    pub(super) fn all(&self) -> Vec<(&'t str, At<'t>)> {
        let mut seen = HashSet::new();
        let named = self.entries.iter().filter_map(|entry| Some((entry.key.text()?, entry)));
        named.filter(|(name, _)| seen.insert(*name)).map(|(name, entry)| (name, self.at.child(entry, name))).collect()
    }

    /// Refuses the fields that nobody asked for, and tells the missing ones. `later` are fields that other versions may
    /// have.
    pub(super) fn finish(&mut self, reader: &mut Reader<'_, '_>, later: &[&str]) {
        for (name, at) in self.all() {
            if self.known.contains(&name) || self.told.contains(&name) {
                continue;
            }
            self.strange = true;
            let spot = reader.at_key(&at);
            if later.contains(&name) {
                let help = format!("remove it; known here: {}", value::listed(&self.known, "and"));
                reader.problems.error(&spot, format!("field `{name}` is {LATER}"), help);
            } else if name == MERGE_KEY {
                reader.merge_key(&at);
            } else {
                let help = match value::nearest(name, &self.known) {
                    Some(known) => {
                        self.missing.retain(|(missing, _)| *missing != known);
                        format!("did you mean `{known}`?")
                    }
                    None => format!("known here: {}", value::listed(&self.known, "and")),
                };
                reader.problems.error(&spot, format!("unknown field {}", quoted(name)), help);
            }
        }
        for (name, help) in std::mem::take(&mut self.missing) {
            let message = match self.at.name {
                None => format!("field `{name}` is missing"),
                Some(parent) => format!("field `{name}` is missing from {}", quoted(parent)),
            };
            let mut spot = reader.at_key(&self.at);
            spot.field = join(&spot.field, name);
            reader.problems.error(&spot, message, help);
        }
    }
}
