#![allow(clippy::unwrap_used)]

use proptest::prelude::*;

use super::*;

fn read(text: &str) -> (Vec<Node>, Vec<Fault>) {
    documents(text, &mut Budget::new())
}

/// As JSON, every scalar as its text.
fn json(node: &Node) -> serde_json::Value {
    match &node.value {
        Value::Scalar { text, .. } => text.as_str().into(),
        Value::List(items) => items.iter().map(json).collect(),
        Value::Map(entries) => serde_json::Value::Object(
            entries.iter().map(|e| (e.key.text().unwrap_or_default().to_owned(), json(&e.value))).collect(),
        ),
    }
}

#[test]
fn spelling_and_places_are_kept() {
    let (documents, faults) = read("# …\na: 1.10\nb: [\"x\\ty\", no]\n---\nc: |\n  text\n");
    assert_eq!(faults, []);
    assert_eq!(json(&documents[0]), serde_json::json!({"a": "1.10", "b": ["x\ty", "no"]}));
    assert_eq!(json(&documents[1]), serde_json::json!({"c": "text\n"}));
    let b = documents[0].get("b").unwrap();
    let Value::List(items) = &b.value else { panic!("{b:?}") };
    assert_eq!(items[0].mark, Mark { line: 3, column: 5, width: 6 });
    assert_eq!(items[1].mark, Mark { line: 3, column: 13, width: 2 });
    assert_eq!(documents[1].get("c").unwrap().mark.line, 6);
}

#[test]
fn aliases_stand_for_their_anchors() {
    let (documents, faults) = read("a: &x {k: v}\nb: *x\nc: &y 1\nd: [*y, *y]\n");
    assert_eq!(faults, []);
    assert_eq!(json(&documents[0]), serde_json::json!({"a": {"k": "v"}, "b": {"k": "v"}, "c": "1", "d": ["1", "1"]}));
    let (documents, faults) = read("a: &x [*x]\n---\nb: *x\n---\nc: 1\n");
    assert_eq!(documents.len(), 1, "{documents:?}");
    assert_eq!(faults.len(), 2, "{faults:?}");
}

#[test]
fn an_error_does_not_hide_other_documents() {
    let (documents, faults) = read("a: [\n---\nb: 1\n---\nc: }\n---\nd: 2\n...\n---\n\"e\n---\nf: 3\n");
    let found: Vec<_> = documents.iter().map(json).collect();
    assert_eq!(found, [serde_json::json!({"b": "1"}), serde_json::json!({"d": "2"}), serde_json::json!({"f": "3"})]);
    assert_eq!(faults.len(), 3, "{faults:?}");
}

#[test]
fn depth_has_a_limit() {
    for (open, close) in [("[", "]"), ("{a: ", "}")] {
        let nested = |depth: usize| format!("{}1{}", open.repeat(depth), close.repeat(depth));
        assert_eq!(read(&nested(MAX_DEPTH)).1, []);
        for depth in [MAX_DEPTH + 1, 10_000, 200_000] {
            let (documents, faults) = read(&nested(depth));
            assert!(documents.is_empty());
            assert!(faults[0].message.contains("64 levels"), "{depth}: {faults:?}");
        }
    }
    let block: String = (0..500).map(|n| format!("{}a:\n", " ".repeat(n))).collect();
    assert!(read(&block).1[0].message.contains("64 levels"));
    let dashes = format!("{}x", "- ".repeat(10_000));
    assert!(read(&dashes).1[0].message.contains("64 levels"));
}

#[test]
fn aliases_of_aliases_have_a_limit() {
    let mut bomb = String::from("a0: &a0 [x,x,x,x,x,x,x,x,x,x]\n");
    for n in 1..30 {
        let all = vec![format!("*a{}", n - 1); 10].join(",");
        bomb.push_str(&format!("a{n}: &a{n} [{all}]\n"));
    }
    let (_, faults) = read(&bomb);
    assert!(faults[0].message.contains("more than 250000 values"), "{faults:?}");
    // Few values, but long ones.
    let long = format!("a: &a {}\nb: [{}]\n", "x".repeat(500_000), vec!["*a"; 100_000].join(","));
    let (_, faults) = read(&long);
    assert!(faults[0].message.contains("more than 250000 values"), "{faults:?}");
}

#[test]
fn a_set_has_a_limit_of_its_own() {
    let mut budget = Budget::new();
    let file = format!("[{}]", "1,".repeat(200_000));
    let results: Vec<bool> = (0..12).map(|_| documents(&file, &mut budget).1.is_empty()).collect();
    assert_eq!(results.iter().filter(|ok| **ok).count(), 9);
    assert!(!results[11]);
}

/// YAML that another parser reads as well.
fn yaml() -> impl Strategy<Value = serde_json::Value> {
    let leaf = prop_oneof![
        "[a-z][a-zA-Z0-9 .:-]{0,8}".prop_map(serde_json::Value::from),
        // YAML 1.1 broke lines at more characters than 1.2 does.
        "\\PC{0,12}".prop_map(|text| text.replace(['\u{2028}', '\u{2029}'], "").into()),
        Just(serde_json::Value::from("line\nbreaks\n\n and \"quotes\" ")),
    ];
    leaf.prop_recursive(4, 32, 5, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(serde_json::Value::from),
            prop::collection::btree_map("[a-zA-Z][a-z0-9_-]{0,6}", inner, 0..5)
                .prop_map(|map| serde_json::Value::Object(map.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn what_others_write_is_read_as_it_was_meant(value in yaml()) {
        for text in [
            serde_yaml::to_string(&value).unwrap(),
            serde_saphyr::to_string(&value).unwrap(),
            serde_json::to_string(&value).unwrap(),
        ] {
            let (documents, faults) = read(&text);
            prop_assert_eq!(&faults, &[], "{}", text);
            let read: Vec<_> = documents.iter().map(json).collect();
            prop_assert_eq!(&read, std::slice::from_ref(&value), "{}", text);
        }
    }

    #[test]
    fn no_text_panics(text in "[\\[\\]{}:,*&!|>'\"#%@`\\-? \n\t\ra-c\u{feff}\u{85}\u{2028}…~<.]{0,200}") {
        let (documents, faults) = read(&text);
        for mark in documents.iter().map(|d| d.mark).chain(faults.iter().map(|f| f.mark)) {
            prop_assert!(mark.line >= 1 && mark.column >= 1);
        }
    }
}
