//! The table in small: its machinery works, and no row of equal versions is beyond its risk.

use crate::{Scale, advances, delays, nulls, peers};

const SMALL: Scale = Scale { releases: 60, looks: 300, seed: 1 };

#[test]
fn no_row_of_equal_versions_is_beyond_its_risk() {
    let rows = nulls::all();
    assert!(rows.len() >= 8);
    let beyond: Vec<String> = rows
        .iter()
        .map(|row| (row.name, row.false_reverts(0.05, SMALL)))
        .filter(|(_, part)| part.interval.0 > 0.05)
        .map(|(name, part)| format!("{name}: {} of {}", part.count, SMALL.releases))
        .collect();
    assert!(beyond.is_empty(), "{beyond:?}");
}

#[test]
fn bad_versions_are_found_about_as_soon_as_the_reference_says() {
    let cases = delays::all();
    assert_eq!(cases.len(), 35);
    for case in
        cases.iter().filter(|case| ["errors x5, w = 10 %", "errors x10, w = 50 %"].contains(&case.name.as_str()))
    {
        let summary = case.simulate(SMALL);
        assert_eq!(summary.reverted.count, SMALL.releases, "{}", case.name);
        assert!(summary.reverted.median_seconds.is_some_and(|median| median <= 6), "{}: {summary:?}", case.name);
        assert!(summary.harmed_median > 0, "{}", case.name);
    }
}

#[test]
fn a_version_that_is_twice_as_bad_does_not_advance() {
    let (bad, good) = (advances::simulate(2.0, SMALL), advances::simulate(1.0, SMALL));
    assert!(bad.advanced.interval.0 <= 0.05, "{bad:?}");
    assert!(good.advanced.share > 0.9, "{good:?}");
}

#[test]
fn peers_are_tuned_to_the_same_risk_and_cost_more() {
    let scale = Scale { releases: 10, ..SMALL };
    let group = peers::all().swap_remove(0);
    let (good, bad) = (Default::default(), serin::simulation::defect::Defect::errors(10.0));
    let null = group.shown(&good, scale);
    let tuned = group.tuned(&null, 1);
    assert_eq!((tuned.len(), group.at_defaults().len()), (3, 3));
    let (shown, serin) = (group.shown(&bad, scale), group.serin(&bad, scale));
    for setup in &tuned {
        assert!(setup.summary(&null).reverted.count <= 1, "{}", setup.how);
        let cost = setup.summary(&shown).harmed_mean;
        assert!(cost > serin.harmed_mean, "{cost} {serin:?}");
    }
}
