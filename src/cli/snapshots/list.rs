//! Snapshots as a table. PURE.

use jiff::Timestamp;

use super::super::output::{Cell, Style, Tone, table};
use super::super::text::{age, short_version};
use crate::admin::proto::Snapshot;
use crate::xds::ResourceType;

const HEADING: [&str; 8] = ["VERSION", "GROUP", "CDS", "EDS", "LDS", "RDS", "AGE", "STATE"];

/// A row per snapshot, with how many resources of each type it has; `AGE` since it was last published.
pub(super) fn list(snapshots: &[Snapshot], now: Timestamp, style: Style) -> String {
    let rows: Vec<[Cell; 8]> = snapshots
        .iter()
        .map(|snapshot| {
            let [cds, eds, lds, rds] = ResourceType::CORE.map(|of| {
                let known = snapshot.types.iter().find(|known| known.type_url == of.type_url());
                Cell::from(known.map_or(0, |known| known.count).to_string())
            });
            [
                short_version(&snapshot.version).into(),
                snapshot.group.as_str().into(),
                cds,
                eds,
                lds,
                rds,
                age(snapshot.published_at.as_ref(), now).into(),
                if snapshot.current { Cell::toned("current", Tone::Good) } else { "".into() },
            ]
        })
        .collect();
    table(HEADING, &rows, style)
}

#[cfg(test)]
mod tests {
    use super::super::super::release::examples::{ago, now};
    use super::*;
    use crate::admin::proto::SnapshotType;

    #[test]
    fn a_row_per_snapshot() {
        let types =
            vec![SnapshotType { type_url: ResourceType::Cluster.type_url().into(), version: "x".into(), count: 12 }];
        let newer = Snapshot {
            group: "edge".into(),
            version: "0123456789abcdef0123456789abcdef".into(),
            published_at: ago(42),
            current: true,
            types,
        };
        let older = Snapshot { version: "f".repeat(32), current: false, ..newer.clone() };
        let expected = "\
VERSION        GROUP   CDS   EDS   LDS   RDS   AGE   STATE
0123456789ab   edge    12    0     0     0     42s   current
ffffffffffff   edge    12    0     0     0     42s
";
        assert_eq!(list(&[newer, older], now(), Style::PLAIN), expected);
    }
}
