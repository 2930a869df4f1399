//! One snapshot with its resources. PURE.

use serde::Serialize;

use super::super::failure::Failure;
use super::super::json::Shown;
use super::super::output::{Cell, Style, table};
use super::super::proxies::short_type;
use super::super::text::short_version;
use crate::admin::proto::{GetSnapshotResponse, Resource};

/// A snapshot as JSON, with its resources written out: the API gives each as a text.
#[derive(Serialize)]
pub(super) struct Whole {
    snapshot: Option<Shown>,
    resources: Vec<Part>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Part {
    type_url: String,
    name: String,
    version: String,
    resource: serde_json::Value,
}

impl Whole {
    /// Of an answer in which JSON was asked for.
    ///
    /// # Errors
    /// When a resource's text is no JSON.
    pub(super) fn of(got: &GetSnapshotResponse) -> Result<Self, Failure> {
        let resources: Result<Vec<Part>, Failure> = got.resources.iter().map(part).collect();
        Ok(Self { snapshot: got.snapshot.as_ref().map(Shown::of), resources: resources? })
    }
}

fn part(of: &Resource) -> Result<Part, Failure> {
    let resource = serde_json::from_str(&of.json).map_err(|e| {
        Failure::Other(anyhow::Error::new(e).context(format!("the server's JSON of {} {}", of.type_url, of.name)))
    })?;
    Ok(Part { type_url: of.type_url.clone(), name: of.name.clone(), version: of.version.clone(), resource })
}

/// A row per resource.
pub(super) fn list(resources: &[Resource], style: Style) -> String {
    let rows: Vec<[Cell; 3]> = resources
        .iter()
        .map(|of| [short_type(&of.type_url).into(), of.name.as_str().into(), short_version(&of.version).into()])
        .collect();
    table(["TYPE", "NAME", "VERSION"], &rows, style)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::admin::proto::Snapshot;
    use crate::xds::ResourceType;

    fn resource(json: &str) -> Resource {
        Resource {
            type_url: ResourceType::Route.type_url().into(),
            name: "http".into(),
            version: "0123456789abcdef".into(),
            resource: None,
            json: json.into(),
        }
    }

    #[test]
    fn resources_are_written_out() {
        let got = GetSnapshotResponse {
            snapshot: Some(Snapshot { group: "edge".into(), ..Snapshot::default() }),
            resources: vec![resource(r#"{"name": "http", "validate_clusters": false}"#)],
        };
        let json = serde_json::to_value(Whole::of(&got).expect("whole")).expect("JSON");
        assert_eq!(json["snapshot"]["group"], "edge");
        assert_eq!(json["resources"][0]["version"], "0123456789abcdef");
        assert_eq!(json["resources"][0]["resource"]["validate_clusters"], false);
        assert_eq!(
            list(&got.resources, Style::PLAIN),
            "TYPE   NAME   VERSION\n\
             RDS    http   0123456789ab\n"
        );
    }

    #[test]
    fn a_broken_text_is_an_error() {
        let got = GetSnapshotResponse { snapshot: None, resources: vec![resource("{")] };
        let failure = Whole::of(&got).err().expect("no JSON");
        assert!(failure.to_string().contains("RouteConfiguration http"), "{failure}");
    }
}
