//! What a proxy has acknowledged against what it is to have. PURE.

use super::super::output::{Style, Tone};
use super::super::snapshots::diff::resources;
use super::super::text::on_one_line;
use crate::admin::proto::DiffProxyResponse;

/// A heading for each resource that differs, then its unified diff.
pub(super) fn diff(got: &DiffProxyResponse, style: Style) -> String {
    let name = got.proxy.as_ref().map_or("", |proxy| proxy.id.as_str());
    if got.resources.is_empty() {
        return on_one_line(&format!("{name}: in sync")) + "\n";
    }
    let sides = on_one_line(&format!("{name}: acknowledged → intended"));
    style.paint(Tone::Strong, &sides) + "\n" + &resources(&got.resources, style)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::admin::proto::{Proxy, ResourceDiff};
    use crate::xds::ResourceType;

    #[test]
    fn what_it_lacks_is_told_or_that_it_lacks_nothing() {
        let proxy = Some(Proxy { id: "edge-1".into(), ..Proxy::default() });
        let mut got = DiffProxyResponse { proxy, resources: Vec::new() };
        assert_eq!(diff(&got, Style::PLAIN), "edge-1: in sync\n");
        got.resources.push(ResourceDiff {
            type_url: ResourceType::Route.type_url().into(),
            name: "http".into(),
            from_version: "3333".into(),
            to_version: "4444".into(),
            diff: "@@ -1 +1 @@\n-1\n+2\n".into(),
        });
        let expected = "edge-1: acknowledged → intended\n\n~ RDS http: 3333 → 4444\n@@ -1 +1 @@\n-1\n+2\n";
        assert_eq!(diff(&got, Style::PLAIN), expected);
    }
}
