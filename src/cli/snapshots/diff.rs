//! What differs between two snapshots. PURE.

use super::super::output::{Style, Tone};
use super::super::proxies::short_type;
use super::super::text::{on_one_line, short_version};
use crate::admin::proto::{DiffSnapshotsResponse, ResourceDiff, Snapshot};

/// A heading for each resource that differs, then its unified diff.
pub(super) fn diff(got: &DiffSnapshotsResponse, style: Style) -> String {
    let version =
        |side: &Option<Snapshot>| side.as_ref().map_or("nothing".to_owned(), |s| short_version(&s.version).to_owned());
    let group = got.to.as_ref().or(got.from.as_ref()).map_or("", |snapshot| snapshot.group.as_str());
    let sides = on_one_line(&format!("{group}: {} → {}", version(&got.from), version(&got.to)));
    if got.resources.is_empty() {
        return format!("{sides}: no difference\n");
    }
    style.paint(Tone::Strong, &sides) + "\n" + &resources(&got.resources, style)
}

/// Each after an empty line.
pub(in super::super) fn resources(of: &[ResourceDiff], style: Style) -> String {
    let mut text = String::new();
    for resource in of {
        text += "\n";
        text += &heading(resource, style);
        for line in resource.diff.lines() {
            text += &dressed(line, style);
            text.push('\n');
        }
    }
    text
}

fn heading(of: &ResourceDiff, style: Style) -> String {
    let what = format!("{} {}", short_type(&of.type_url), of.name);
    let (tone, text) = match (of.from_version.as_str(), of.to_version.as_str()) {
        ("", to) => (Tone::Good, format!("+ {what}: added, {}", short_version(to))),
        (from, "") => (Tone::Bad, format!("- {what}: removed, was {}", short_version(from))),
        (from, to) => (Tone::Notable, format!("~ {what}: {} → {}", short_version(from), short_version(to))),
    };
    style.paint(tone, &on_one_line(&text)) + "\n"
}

fn dressed(line: &str, style: Style) -> String {
    let text = on_one_line(line);
    match line.chars().next() {
        Some('+') => style.paint(Tone::Good, &text),
        Some('-') => style.paint(Tone::Bad, &text),
        Some('@') => style.paint(Tone::Faint, &text),
        Some(_) | None => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::xds::ResourceType;

    fn side(version: &str) -> Option<Snapshot> {
        Some(Snapshot { group: "edge".into(), version: version.into(), ..Snapshot::default() })
    }

    fn differs(of: ResourceType, name: &str, versions: [&str; 2], diff: &str) -> ResourceDiff {
        ResourceDiff {
            type_url: of.type_url().into(),
            name: name.into(),
            from_version: versions[0].into(),
            to_version: versions[1].into(),
            diff: diff.into(),
        }
    }

    #[test]
    fn each_resource_has_a_heading() {
        let got = DiffSnapshotsResponse {
            from: side("aaaa"),
            to: side("bbbb"),
            resources: vec![
                differs(ResourceType::Cluster, "checkout/v2", ["", "1111"], ""),
                differs(ResourceType::Cluster, "checkout/v0", ["2222", ""], ""),
                differs(
                    ResourceType::Route,
                    "http",
                    ["3333", "4444"],
                    "@@ -1 +1 @@\n-  \"weight\": 5\n+  \"weight\": 50\n",
                ),
            ],
        };
        let expected = "\
edge: aaaa → bbbb

+ CDS checkout/v2: added, 1111

- CDS checkout/v0: removed, was 2222

~ RDS http: 3333 → 4444
@@ -1 +1 @@
-  \"weight\": 5
+  \"weight\": 50
";
        assert_eq!(diff(&got, Style::PLAIN), expected);
        assert!(diff(&got, Style { colour: true }).contains("\x1b[32m+  \"weight\": 50\x1b[0m\n"));
    }

    #[test]
    fn nothing_differs() {
        let got = DiffSnapshotsResponse { from: side("aaaa"), to: side("aaaa"), resources: Vec::new() };
        assert_eq!(diff(&got, Style::PLAIN), "edge: aaaa → aaaa: no difference\n");
    }
}
