//! Releases as a table. PURE.

use jiff::Timestamp;

use super::super::output::{Cell, Style, Tone, table};
use super::super::text::{age, or_nothing};
use super::{proxies, status, step, weights};
use crate::admin::proto::Release;

const HEADING: [&str; 11] =
    ["NAME", "SERVICE", "STATUS", "STABLE", "CANARY", "STEP", "SET", "ACTUAL", "PROXIES", "AGE", "MESSAGE"];

/// A row per release; `AGE` is that of its rollout.
pub(in crate::cli) fn list(releases: &[Release], now: Timestamp, style: Style) -> String {
    let rows: Vec<[Cell; 11]> = releases.iter().map(|release| row(release, now)).collect();
    table(HEADING, &rows, style)
}

fn row(release: &Release, now: Timestamp) -> [Cell; 11] {
    let (icon, word, tone) = status(release);
    let (set, actual) = weights(release);
    let lagging = release.proxies_in_force < release.proxies;
    [
        release.name.as_str().into(),
        release.service.as_str().into(),
        Cell::toned(format!("{icon} {word}"), tone),
        Cell::toned(or_nothing(&release.stable_version), Tone::Good),
        Cell::toned(or_nothing(&release.canary_version), Tone::Notable),
        step(release).into(),
        set.into(),
        actual.into(),
        if lagging { Cell::toned(proxies(release), Tone::Notable) } else { proxies(release).into() },
        age(release.started_at.as_ref(), now).into(),
        release.message.as_str().into(),
    ]
}

#[cfg(test)]
mod tests {
    use super::super::examples::{healthy, now, progressing};
    use super::*;

    #[test]
    fn a_row_per_release() {
        let text = list(&[healthy(), progressing()], now(), Style::PLAIN);
        let expected = "\
NAME       SERVICE    STATUS          STABLE   CANARY   STEP   SET   ACTUAL   PROXIES   AGE     MESSAGE
cart       cart       ✔ Healthy       v7       -        1/1    -     -        3/3       2h      v7 has all traffic
checkout   checkout   ◌ Progressing   v1       v2       2/4    5%    0%       2/3       3m20s   comparing v2 with v1
";
        assert_eq!(text, expected);
        assert!(!text.contains('\x1b'));
        assert!(list(&[healthy()], now(), Style { colour: true }).contains("\x1b[32m✔ Healthy\x1b[0m"));
    }
}
