//! Where first, after whom, by when, and which way back.

use super::*;
use crate::model::{
    Candidate, DenyWindow, Experiment, OnDeadline, ProgressDeadline, RetryPolicy, Rollback, Sink, SinkFormat, Wave,
    When,
};

fn with(part: &str) -> String {
    format!("{STEPS}\n  {part}")
}

#[test]
fn the_course_of_a_release_reaches_the_model() {
    let bare = released(STEPS);
    assert_eq!(bare, Release::new("checkout", "checkout", "v2", bare.strategy.clone(), AnalysisPolicy::default()));

    let regions = |names: &[&str]| Wave::Regions(names.iter().map(|name| (*name).to_owned()).collect());
    let waves = released(&with("regions: [[eu], us, [ap, sa], all]")).regions;
    assert_eq!(waves, [regions(&["eu"]), regions(&["us"]), regions(&["ap", "sa"]), Wave::All]);

    let hours = |n: u64| Duration::from_secs(n * 3600);
    let deadline = |after, action| Some(ProgressDeadline { after, action });
    assert_eq!(released(&with("progressDeadline: 1h")).progress_deadline, deadline(hours(1), OnDeadline::Hold));
    let text = with("progressDeadline: {after: 2h, onDeadline: revert}");
    assert_eq!(released(&text).progress_deadline, deadline(hours(2), OnDeadline::Revert));

    let text = with("rollback: {window: {revisions: 3}, over: 30s, retry: {limit: 2}}");
    let retry = Some(RetryPolicy { limit: 2, backoff: Duration::from_secs(600) });
    assert_eq!(released(&text).rollback, Rollback { window: 3, over: Some(Duration::from_secs(30)), retry });
    assert_eq!(released(&with("together: spring-sale")).together.as_deref(), Some("spring-sale"));

    let text = "[{slack: {url: 'https://a/x', events: [promoted]}}, {webhook: {url: 'http://b', secret: ops}}]";
    let sink = |format, url: &str, secret: Option<&str>, events: &[&str]| Sink {
        format,
        url: url.into(),
        secret: secret.map(str::to_owned),
        events: events.iter().map(|event| (*event).to_owned()).collect(),
    };
    let sinks = [
        sink(SinkFormat::Slack, "https://a/x", None, &["promoted"]),
        sink(SinkFormat::Webhook, "http://b", Some("ops"), &[]),
    ];
    assert_eq!(released(&with(&format!("notify: {text}"))).notify, sinks);
}

#[test]
fn windows_are_times_of_days_or_dates() {
    let time = |text: &str| text.parse().unwrap();
    let date = |text: &str| text.parse().unwrap();
    let weekly = |days: &[i8], from, to| When::Weekly { days: days.into(), from: time(from), to: time(to) };
    for (text, when) in [
        ("{days: [sat, fri], from: '16:00', to: '08:00'}", weekly(&[5, 6], "16:00", "08:00")),
        ("{from: 16:00, to: 23:59:30}", weekly(&[1, 2, 3, 4, 5, 6, 7], "16:00", "23:59:30")),
        ("{from: 2026-12-20, to: 2027-01-02}", When::Dates { from: date("2026-12-20"), to: date("2027-01-02") }),
    ] {
        let text = with(&format!("windows: [{{deny: {text}, timeZone: Europe/Berlin, reason: rest}}]"));
        let window = DenyWindow { time_zone: "Europe/Berlin".into(), when, reason: Some("rest".into()) };
        assert_eq!(released(&text).windows, [window], "{text}");
    }
    let zone = "timeZone: UTC";
    let cases = [
        ("{deny: {from: 1600, to: '08:00'}", "neither a time nor a date", "16:00"),
        ("{deny: {from: '16:00', to: '24:00'}", "next day", "`00:00`"),
        ("{deny: {from: '16:00', to: 2027-01-02}", "begins at a time", "both"),
        ("{deny: {from: 2027-01-03, to: 2027-01-02}", "ends before it begins", "swap"),
        ("{deny: {days: [mon], from: 2026-12-20, to: 2027-01-02}", "`days` belongs to times", "remove"),
        ("{deny: {days: [], from: '16:00', to: '08:00'}", "no day", "days: [mon"),
        ("{deny: {days: [mon, mon], from: '16:00', to: '08:00'}", "twice", "remove"),
        ("{deny: {days: [monday], from: '16:00', to: '08:00'}", "`monday`", "`mon`"),
        ("{deny: {from: '16:00'}", "`to` is missing", "time"),
        ("{reason: rest", "`deny` is missing", "deny"),
    ];
    let mut cases: Vec<_> = cases
        .map(|(text, said, help)| (set(SERVICE, &with(&format!("windows: [{text}, {zone}}}]"))), said, help))
        .into();
    let text = |zone: &str| set(SERVICE, &with(&format!("windows: [{{deny: {{from: '1:00', to: '08:00'}}{zone}}}]")));
    let text = |zone: &str| text(zone).replace("'1:00'", "'01:00'");
    cases.push((text(""), "`timeZone` is missing", "Europe/Berlin"));
    cases.push((text(", timeZone: Europe/Berln"), "nobody knows time zone", "Europe/Berlin"));
    refused(&cases);
}

#[test]
fn a_course_that_leads_nowhere_is_refused() {
    let cases = [
        ("regions: []", "no wave", "leave `regions` out"),
        ("regions: [[eu]]", "last wave must be `all`", "add `all`"),
        ("regions: [all, [eu], all]", "no region is left", "last"),
        ("regions: [[eu], [us, eu], all]", "in two places", "first"),
        ("regions: [[], all]", "reaches nobody", "eu-west"),
        ("regions: [[all], all]", "wave of its own", "brackets"),
        ("dependsOn: [payments]", "no release `payments`", "`checkout`"),
        ("dependsOn: [checkout]", "on itself", "another"),
        ("together: Spring Sale", "cannot be a name", "`spring-sale`"),
        ("progressDeadline: {onDeadline: hold}", "`after` is missing", "30m"),
        ("progressDeadline: 0s", "nothing at all", "unit"),
        ("rollback: {window: {revisions: 0}}", "from 1 to 1000", "revisions: 3"),
        ("rollback: {window: 3}", "expected fields", "revisions: 3"),
        ("rollback: {over: 5}", "no unit", "`5s`"),
        ("rollback: {retry: {}}", "`limit` is missing", "limit: 2"),
        ("notify: [{slack: {events: [promoted]}}]", "`url` is missing", "https://"),
        ("notify: [{slack: {url: 'https://a', secret: b}}]", "unknown field `secret`", "events"),
        ("notify: [{}]", "empty", "slack"),
        ("featureFlags: {a: on}", "a version has", "sameAs: v1"),
    ];
    refused(&cases.map(|(part, said, help)| (set(SERVICE, &with(part)), said, help)));
    let told = accept(&set(SERVICE, &with("notify: [{webhook: {url: 'https://a', events: [promotd]}}]"))).warnings;
    assert!(told[0].help.as_deref().unwrap().contains("`promoted`"), "{told:?}");
    let rest =
        "waveBegun, replaced, called, answered, triedAgain, retiring, retired, kept, experimentBegun, armStopped";
    let spec = with(&format!("notify: [{{webhook: {{url: 'https://a', events: [{rest}, concluded]}}}}]"));
    assert!(accept(&set(SERVICE, &spec)).warnings.is_empty());
}

const FOUR: &str = "{hosts: [shop.example.com], versions: {v1: {endpoints: ['10.0.0.1:80']}, v2: {endpoints: ['10.0.1.1:80']}, \
                    v3: {endpoints: ['10.0.2.1:80']}, v4: {endpoints: []}}}";

#[test]
fn an_experiment_leaves_something_to_the_live_version() {
    let with = |text: &str| format!("{STEPS}\n  experiment: {{name: colours, candidates: {text}, duration: 1h}}");
    let read = accept(&set(FOUR, &with("{v1: 5, v3: 2.5}"))).world.releases["checkout"].experiment.clone();
    let candidate =
        |version: &str, percent| Candidate { version: version.into(), weight: Weight::from_percent(percent).unwrap() };
    let candidates = vec![candidate("v1", 5.0), candidate("v3", 2.5)];
    assert_eq!(read, Some(Experiment { name: "colours".into(), candidates, duration: Duration::from_secs(3600) }));
    let cases = [
        ("{}", "at least one candidate", "v2a"),
        ("{v1: 50, v3: 50}", "leave nothing", "less than 100"),
        ("{v1: 0}", "above 0", "5"),
        ("{v2: 5}", "the wanted one", "other versions"),
        ("{v33: 5}", "no version `v33`", "`v3`"),
        ("{v4: 5}", "no endpoints", "add"),
    ];
    refused(&cases.map(|(text, said, help)| (set(FOUR, &with(text)), said, help)));
}

#[test]
fn releases_do_not_wait_in_circles() {
    let text = |releases: &[(&str, &str)]| {
        let names: Vec<&str> = releases.iter().map(|(name, _)| *name).collect();
        let mut text = format!(
            "apiVersion: serin.dev/v1\nkind: Fleet\nmetadata: {{name: edge}}\nspec: {{routeConfigs: [{{name: r, services: [{}]}}]}}\n",
            names.join(",")
        );
        for (name, part) in releases {
            text.push_str(&format!(
                "---\napiVersion: serin.dev/v1\nkind: Service\nmetadata: {{name: {name}}}\nspec: {{hosts: [{name}], \
                 versions: {{v2: {{endpoints: ['10.0.0.1:80']}}}}}}\n---\napiVersion: serin.dev/v1\nkind: Release\n\
                 metadata: {{name: {name}}}\nspec:\n  service: {name}\n  version: v2\n  {STEPS}\n  {part}\n"
            ));
        }
        text
    };
    let world = accept(&text(&[("a", "dependsOn: [b, c]"), ("b", "dependsOn: [c]"), ("c", "")])).world;
    assert_eq!(world.releases["a"].depends_on, ["b", "c"]);
    let wait = ("the release waits for", "remove one");
    refused(&[
        (text(&[("a", "dependsOn: [b]"), ("b", "dependsOn: [c]"), ("c", "dependsOn: [a]")]), wait.0, wait.1),
        (
            text(&[("a", "{together: t, dependsOn: [b]}"), ("b", "together: t")])
                .replace("{together: t, dependsOn: [b]}", "together: t\n  dependsOn: [b]"),
            wait.0,
            "together",
        ),
        (
            text(&[("a", "together: t"), ("b", "together: t\n  dependsOn: [c]"), ("c", "dependsOn: [a]")]),
            wait.0,
            wait.1,
        ),
        (text(&[("a", "dependsOn: [b, b]"), ("b", "")]), "listed twice", "remove"),
    ]);
}
