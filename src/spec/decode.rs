//! One document's tree → a draft: the model object as far as it could be read, and the places that a check of the whole
//! set will want to point at.
//!
//! PURE. Owns which fields there are, and what each may be. Must not look at other documents. A draft is read on past
//! errors, with whatever stands in for the broken parts: it may only be used once no problem was found in the whole set.

mod amount;
mod config_canary;
mod envoy;
mod fleet;
mod hook;
mod release;
mod service;
mod telemetry;
mod tls;

use std::collections::{BTreeMap, HashMap};
use std::rc::Rc;

pub(super) use service::endpoint;

use super::diagnostic::quoted;
use super::problems::{Problems, Spot};
use super::reader::{At, Reader};
use super::tree::{Fault, Node};
use super::{Kind, PatchPlace, Settings, value};
use crate::model;

/// The only `apiVersion` there is.
const API_VERSION: &str = "serin.dev/v1";
const WRITE_API_VERSION: &str = "write `apiVersion: serin.dev/v1`";

/// A name and where it is written.
#[derive(Debug, Clone)]
pub(super) struct Named {
    pub(super) name: String,
    pub(super) spot: Spot,
}

/// What a document says.
#[derive(Debug)]
pub(super) struct Draft {
    /// `metadata.name`.
    pub(super) name: Named,
    pub(super) body: Body,
}

/// What a document says, by kind.
#[derive(Debug)]
pub(super) enum Body {
    Fleet(Fleet),
    Service(Service),
    Release(Box<Release>),
}

impl Body {
    pub(super) fn patches(&self) -> &[Patch] {
        match self {
            Body::Fleet(fleet) => &fleet.patches,
            Body::Service(service) => &service.patches,
            Body::Release(_) => &[],
        }
    }
}

impl Draft {
    pub(super) fn kind(&self) -> Kind {
        match self.body {
            Body::Fleet(_) => Kind::Fleet,
            Body::Service(_) => Kind::Service,
            Body::Release(_) => Kind::Release,
        }
    }
}

/// A fleet, and where it refers to services.
#[derive(Debug)]
pub(super) struct Fleet {
    pub(super) fleet: model::Fleet,
    /// Where its nodes are chosen.
    pub(super) nodes: Spot,
    pub(super) tables: Vec<Table>,
    pub(super) patches: Vec<Patch>,
}

/// A piece of raw Envoy configuration, and where it is written.
#[derive(Debug)]
pub(super) struct Patch {
    pub(super) place: PatchPlace,
    pub(super) spot: Spot,
}

/// Services that share one list of hosts.
#[derive(Debug)]
pub(super) struct Table {
    pub(super) kind: TableKind,
    /// As ``listener `http` ``.
    pub(super) title: String,
    pub(super) services: Vec<Named>,
}

/// What shares a list of hosts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum TableKind {
    /// A listener.
    Listener,
    /// A listener that shows previews.
    Preview,
    /// A route configuration for a listener of the bootstrap.
    RouteConfig,
}

/// A service, and what a release wants to know of it.
#[derive(Debug)]
pub(super) struct Service {
    pub(super) service: model::Service,
    /// Every version that is written down, and whether its endpoints are, be they right or wrong, or come at run time.
    pub(super) versions: BTreeMap<String, (Spot, bool)>,
    /// Addresses that two versions have: where, and what is said of it.
    pub(super) shared: Vec<(Spot, String)>,
    pub(super) patches: Vec<Patch>,
}

/// A release, and what it refers to.
#[derive(Debug)]
pub(super) struct Release {
    /// None where its parts could not be read.
    pub(super) release: Option<model::Release>,
    pub(super) service: Option<Named>,
    pub(super) version: Option<Named>,
    /// What is noted of its strategy.
    pub(super) strategy: release::strategy::Draft,
    pub(super) depends_on: Vec<Named>,
    pub(super) together: Option<Named>,
    /// The version that is compared with, where it is one of its own.
    pub(super) baseline: Option<Named>,
    /// The versions that are tried.
    pub(super) candidates: Vec<Named>,
}

/// Reads a document. None when it could not be told what it is; then a problem has been pushed.
pub(super) fn document(problems: &mut Problems<'_>, file: usize, root: &Node, settings: Settings) -> Option<Draft> {
    let mut reader = Reader::new(problems, file, settings);
    let reader = &mut reader;
    entitle(reader, root);
    let at = At::root(root);
    let mut fields = reader.map(&at, "a document has the fields `apiVersion`, `kind`, `metadata` and `spec`")?;
    let version = fields.required("apiVersion", WRITE_API_VERSION);
    let kind_at = fields.required("kind", "write `kind: Fleet`, `kind: Service` or `kind: Release`");
    let metadata = fields.required("metadata", "write `metadata: {name: …}`");
    let spec = fields.required("spec", "add `spec:` with the fields of its kind");
    if !version.is_none_or(|at| is_ours(reader, &at)) {
        return None;
    }
    fields.finish(reader, &["status"]);
    let kind = kind_at.and_then(|at| kind(reader, &at));
    let name = metadata.and_then(|at| self::metadata(reader, &at));
    let (kind, spec) = (kind?, spec?);
    let (name, body) = match kind {
        Kind::Fleet => (name, Body::Fleet(fleet::decode(reader, &spec)?)),
        Kind::Service => (name, Body::Service(service::decode(reader, &spec)?)),
        Kind::Release => (name, Body::Release(Box::new(release::decode(reader, &spec)?))),
    };
    let name = name?;
    Some(Draft { body: named(body, &name.name), name })
}

/// The model's objects carry their names.
fn named(mut body: Body, name: &str) -> Body {
    match &mut body {
        Body::Fleet(draft) => name.clone_into(&mut draft.fleet.name),
        Body::Service(draft) => name.clone_into(&mut draft.service.name),
        Body::Release(draft) => {
            if let Some(release) = &mut draft.release {
                name.clone_into(&mut release.name);
            }
        }
    }
    body
}

/// Lets problems say which document they are of, even if it is broken.
fn entitle(reader: &mut Reader<'_, '_>, root: &Node) {
    let kind = root.get("kind").and_then(Node::text);
    let name = root.get("metadata").and_then(|metadata| metadata.get("name")).and_then(Node::text);
    let kind = kind.map(|kind| kind.chars().take(64).collect::<String>());
    match (kind, name) {
        (Some(kind), Some(name)) => reader.entitle(&format!("{kind} {}", quoted(name))),
        (Some(kind), None) => reader.entitle(&format!("this {kind}")),
        (None, _) => {}
    }
}

/// Whether the document is meant for us.
fn is_ours(reader: &mut Reader<'_, '_>, at: &At<'_>) -> bool {
    match reader.text(at, WRITE_API_VERSION) {
        None | Some(API_VERSION) => true,
        Some(other) if other.starts_with("serin") => {
            reader.error(at, format!("unknown apiVersion {}", quoted(other)), WRITE_API_VERSION);
            true
        }
        Some(other) => {
            let help = format!("keep it elsewhere, or {WRITE_API_VERSION}");
            reader.error(at, format!("this is not a Serin document: its apiVersion is {}", quoted(other)), help);
            false
        }
    }
}

fn kind(reader: &mut Reader<'_, '_>, at: &At<'_>) -> Option<Kind> {
    let kinds = [Kind::Fleet, Kind::Service, Kind::Release].map(|kind| (kind.name(), kind));
    reader.choice(at, &kinds, &["Strategy"])
}

fn metadata(reader: &mut Reader<'_, '_>, at: &At<'_>) -> Option<Named> {
    let mut fields = reader.map(at, "write `metadata: {name: …}`")?;
    let name = fields.required("name", "give it a name, as in `metadata: {name: checkout}`");
    fields.finish(reader, &["labels", "annotations", "namespace"]);
    let at = name?;
    // A wrong name is still the name that other documents refer to.
    let text = reader.text(&at, "write a name, such as `checkout`")?;
    reader.parse(&at, "", value::label);
    Some(Named { name: text.to_owned(), spot: reader.at(&at) })
}

/// A reference to a document by name.
fn reference(reader: &mut Reader<'_, '_>, at: &At<'_>, example: &str) -> Option<Named> {
    let name = reader.text(at, example)?.to_owned();
    Some(Named { name, spot: reader.at(at) })
}

/// Finds what is named twice: gives each later one with the first one.
pub(super) fn doubles<T>(items: &[T], key: impl Fn(&T) -> Option<String>) -> Vec<(&T, &T)> {
    let mut first = HashMap::new();
    let mut found = Vec::new();
    for item in items {
        let Some(key) = key(item) else { continue };
        match first.get(&key) {
            Some(earlier) => found.push((item, *earlier)),
            None => {
                first.insert(key, item);
            }
        }
    }
    found
}

/// Tells why a document of a file has no tree.
pub(super) fn tell(file: usize, fault: &Fault, problems: &mut Problems<'_>) {
    let spot = Spot { mark: Some(fault.mark), ..whole_file(file) };
    problems.error(&spot, fault.message.as_str(), fault.help.clone().unwrap_or_default());
}

/// For problems of a file as a whole.
pub(super) fn whole_file(file: usize) -> Spot {
    Spot { file, mark: None, document: Rc::from(""), field: String::new() }
}
