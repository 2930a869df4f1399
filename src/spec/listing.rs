//! Files that list endpoints, beside the specs whose services name them.
//!
//! PURE. Owns what such a file may say: one list, in YAML or JSON, of what `endpoints:` in a spec may list, too.

use std::collections::BTreeSet;
use std::path::Path;

use super::decode::{self, doubles};
use super::problems::{Problems, Text};
use super::reader::{At, Reader};
use super::tree::{self, Budget, Node, Value};
use super::{Diagnostic, Settings, SourceFile, text};
use crate::model::Endpoint;

const LISTING: &str = "write a list of addresses, as in `[10.0.0.1:8080, {address: 10.0.0.2:8080, zone: eu-1a}]`";

/// Reads a file that lists endpoints.
///
/// # Errors
/// Everything that is wrong, at once; a list without endpoints is wrong, too: it is more likely to be half-written than meant.
pub fn endpoints(file: &SourceFile) -> Result<Vec<Endpoint>, Vec<Diagnostic>> {
    let read = text(file);
    let mut problems = Problems::new(vec![Text::new(&file.path, read.as_ref().map_or("", |text| *text))]);
    let mut found = Vec::new();
    match read {
        Err(unreadable) => unreadable.tell(0, &mut problems),
        Ok(text) => {
            let (documents, faults) = tree::documents(text, &mut Budget::new());
            let none = documents.is_empty() && faults.is_empty();
            for fault in &faults {
                decode::tell(0, fault, &mut problems);
            }
            match documents.as_slice() {
                [] if none => problems.error(&decode::whole_file(0), "this file lists no endpoints", LISTING),
                [] => {}
                [list] => found = listed(&mut problems, list),
                [_, second, ..] => {
                    let mut reader = Reader::new(&mut problems, 0, Settings::default());
                    reader.error(&At::root(second), "this file has several documents", "keep one list");
                }
            }
        }
    }
    let told = problems.finish();
    if told.iter().any(Diagnostic::is_error) { Err(told) } else { Ok(found) }
}

fn listed(problems: &mut Problems<'_>, list: &Node) -> Vec<Endpoint> {
    let mut reader = Reader::new(problems, 0, Settings::default());
    let at = At::root(list);
    let Some(items) = reader.list(&at, LISTING) else { return Vec::new() };
    if items.is_empty() {
        reader.error(&at, "this file lists no endpoints", LISTING);
    }
    let read = |at: At<'_>| Some((decode::endpoint(&mut reader, &at)?, reader.at(&at)));
    let endpoints: Vec<_> = items.into_iter().filter_map(read).collect();
    for ((endpoint, spot), (_, first)) in doubles(&endpoints, |(endpoint, _)| Some(endpoint.address.to_string())) {
        let message = format!("endpoint `{}` is listed twice", endpoint.address);
        problems.error_with(spot, message, "remove one of them", &[(first, "the first one".to_owned())]);
    }
    endpoints.into_iter().map(|(endpoint, _)| endpoint).collect()
}

/// The files that services name in their specs, as they name them.
pub(super) fn named<'t>(documents: impl Iterator<Item = &'t Node>) -> BTreeSet<&'t str> {
    let versions = documents.filter_map(|document| match &document.get("spec")?.get("versions")?.value {
        Value::Map(versions) => Some(versions),
        Value::List(_) | Value::Scalar { .. } => None,
    });
    versions.flatten().filter_map(|version| version.value.get("file")?.text()).collect()
}

/// Whether a file is one of those, so that it is no file of specs.
pub(super) fn is_listing(path: &str, documents: &[Node], named: &BTreeSet<&str>) -> bool {
    let is_spec = documents.iter().any(|document| document.get("apiVersion").is_some());
    !is_spec && named.iter().any(|name| Path::new(path).ends_with(name))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spec::parse;

    fn file(path: &str, text: &str) -> SourceFile {
        SourceFile { path: path.into(), bytes: text.into() }
    }

    fn refused(text: &str) -> String {
        let told = endpoints(&file("v1.yaml", text)).expect_err(text);
        told.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
    }

    #[test]
    fn yaml_and_json_list_what_a_spec_lists() {
        let yaml = "- 10.0.0.1:8080\n- {address: '[::1]:80', zone: eu-1a, weight: 2}\n";
        let json = r#"["10.0.0.1:8080", {"address": "[::1]:80", "zone": "eu-1a", "weight": 2}]"#;
        let second =
            Endpoint { zone: Some("eu-1a".into()), weight: 2, ..Endpoint::at("[::1]:80".parse().expect("an address")) };
        let expected = [Endpoint::at("10.0.0.1:8080".parse().expect("an address")), second];
        assert_eq!(endpoints(&file("v1.yaml", yaml)).expect("a list"), expected);
        assert_eq!(endpoints(&file("v1.json", json)).expect("a list"), expected);
    }

    #[test]
    fn what_is_wrong_is_told_with_its_place() {
        for (text, said) in [
            ("", "this file lists no endpoints"),
            ("[]", "this file lists no endpoints"),
            ("- 10.0.0.1:8080\n- 10.0.0.1", "v1.yaml:2:3"),
            ("- 10.0.0.1:80\n- 10.0.0.1:80", "endpoint `10.0.0.1:80` is listed twice"),
            ("endpoints: [10.0.0.1:80]", "write a list of addresses"),
            ("[10.0.0.1:80]\n---\n[10.0.0.2:80]", "this file has several documents"),
            ("[10.0.0.1:80", "v1.yaml:1"),
        ] {
            assert!(refused(text).contains(said), "{text}: {}", refused(text));
        }
        let large = file("v1.yaml", &" ".repeat(crate::spec::MAX_FILE_BYTES + 1));
        assert!(endpoints(&large).expect_err("too large")[0].message.contains("larger than 1 MiB"));
    }

    #[test]
    fn a_file_that_a_service_names_is_no_spec_whatever_is_wrong_with_it() {
        let spec = "apiVersion: serin.dev/v1\nkind: Service\nmetadata: {name: a}\nspec: {hosts: ['*'], versions: \
                    {v1: {file: endpoints/v1.yaml}}}\n";
        let parse =
            |name: &str, text: &str| parse(&[file("specs/a.yaml", spec), file(name, text)], Settings::default());
        for text in ["- 10.0.0.1:80", "[", "", "nonsense"] {
            let specs = parse("specs/endpoints/v1.yaml", text).unwrap_or_else(|told| panic!("{text}: {told:?}"));
            assert_eq!(specs.world.services.len(), 1);
        }
        assert!(parse("specs/endpoints/v2.yaml", "- 10.0.0.1:80").is_err(), "nobody named that one");
        let named_so = parse("specs/endpoints/v1.yaml", "apiVersion: serin.dev/v1\nkind: Servcie\n");
        assert!(named_so.is_err(), "what says that it is a spec is read as one");
    }
}
