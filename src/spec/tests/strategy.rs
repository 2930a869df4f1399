//! Strategies and their steps.

use super::*;
use crate::model::{
    AutoPromote, BlueGreen, Holdback, Hook, OnBatchFailure, OnHookFailure, Probe, ProbeKind, Retire, Rolling,
    RollingCanary, Update,
};

fn minutes(n: u64) -> Duration {
    Duration::from_secs(n * 60)
}

fn percent(n: f64) -> Weight {
    Weight::from_percent(n).unwrap()
}

fn canary(steps: &str) -> String {
    format!("strategy: {{canary: {{steps: [{steps}]}}}}")
}

fn steps(text: &str) -> Vec<Step> {
    released(&canary(text)).strategy.steps(4)
}

fn hook(url: &str, name: &str) -> Hook {
    Hook {
        name: name.into(),
        url: url.into(),
        timeout: Duration::from_secs(30),
        retries: 3,
        backoff: Duration::from_secs(1),
        secret: None,
        headers: Default::default(),
        on_failure: OnHookFailure::Revert,
    }
}

fn blue_green(text: &str) -> BlueGreen {
    match released(&format!("strategy: {{blueGreen: {text}}}")).strategy {
        Strategy::BlueGreen(read) => read,
        Strategy::Canary(_) | Strategy::Rolling(_) => panic!("{text}"),
    }
}

fn rolling(text: &str) -> Rolling {
    match released(&format!("strategy: {{rolling: {text}}}")).strategy {
        Strategy::Rolling(read) => read,
        Strategy::Canary(_) | Strategy::BlueGreen(_) => panic!("{text}"),
    }
}

#[test]
fn every_step_reaches_the_model() {
    let full = Hook {
        timeout: minutes(3),
        retries: 0,
        backoff: Duration::from_secs(2),
        secret: Some("ci".into()),
        headers: [("a".to_owned(), "b".to_owned())].into(),
        on_failure: OnHookFailure::Pause,
        ..hook("http://tests/run", "integration")
    };
    let text = "mirror: {percent: 5, duration: 2m}, mirror: {percent: 5}, analyze: {}, mirror: {percent: 0}, \
                hook: 'http://tests/run', match: [], setWeight: 100, watch: {duration: 10m}, \
                hook: {url: 'http://tests/run', name: integration, timeout: 3m, retries: 0, backoff: 2s, secret: ci, \
                headers: {A: b}, onFailure: pause}";
    assert_eq!(
        steps(text),
        [
            Step::Mirror { percent: percent(5.0), duration: Some(minutes(2)) },
            Step::Mirror { percent: percent(5.0), duration: None },
            Step::Analyze { max: minutes(10) },
            Step::Mirror { percent: Weight::ZERO, duration: None },
            Step::Hook(hook("http://tests/run", "tests/run")),
            Step::Match(vec![]),
            Step::SetWeight(Weight::FULL),
            Step::Watch { duration: minutes(10) },
            Step::Hook(full),
        ]
    );
}

#[test]
fn auto_and_a_holdback_reach_the_model() {
    let auto = |from: Option<f64>, to, max, within: Option<u64>| Step::Auto {
        from: from.map(percent),
        to: percent(to),
        max: minutes(max),
        within: within.map(minutes),
    };
    assert_eq!(steps("auto: {}"), [auto(None, 50.0, 10, None)]);
    assert_eq!(steps("auto: {from: 5, to: 20, within: 2h}"), [auto(Some(5.0), 20.0, 10, Some(120))]);
    let both = steps("setWeight: 1, auto: {from: 7, to: 7, analyze: 1h}");
    assert_eq!(both[1], auto(Some(7.0), 7.0, 60, None));
    assert_eq!(steps("setWeight: 5, auto: {}")[1], auto(None, 50.0, 10, None));
    let held = "strategy: {canary: {steps: [setWeight: 5, analyze: {}], holdback: {weight: 10, duration: 1h}}}";
    let steps = released(held).strategy.steps(0);
    assert_eq!(steps[2], Step::Holdback(Holdback { weight: percent(10.0), duration: minutes(60) }));
}

#[test]
fn a_baseline_that_cannot_be_one_is_refused() {
    let canary = |baseline: &str| {
        format!("strategy: {{canary: {{steps: [setWeight: 5]}}}}\n  analysis: {{baseline: {baseline}}}")
    };
    let green = "strategy: {blueGreen: {}}\n  analysis: {baseline: v1}";
    let held = |text: &str| format!("strategy: {{canary: {{steps: [setWeight: 95], holdback: {text}}}}}");
    refused(&[
        (set(SERVICE, &held("{weight: 10, duration: 1h}")), "95% are given before", "hold back less"),
        (set(SERVICE, &held("{weight: 60, duration: 1h}")), "up to 50", "holdback"),
        (set(SERVICE, &held("{weight: 1}")), "`duration` is missing", "holdback"),
        (set(SERVICE, &canary("v9")), "has no version `v9`", "v1"),
        (set(SERVICE, &canary("v2")), "cannot be its own baseline", "leave"),
        (set(SERVICE, green), "no share to compare", "`canary`"),
    ]);
}

#[test]
fn steps_out_of_order_are_refused() {
    let cases = [
        ("analyze: {}", "nothing to analyze", "mirror"),
        ("mirror: {percent: 5, duration: 1m}, analyze: {}", "nothing to analyze", "without a duration"),
        ("mirror: {percent: 5}, mirror: {percent: 0}, analyze: {}", "nothing to analyze", "setWeight"),
        ("mirror: {percent: 0, duration: 1m}", "ends it at once", "remove"),
        ("setWeight: 5, mirror: {percent: 5}", "only before the canary has traffic", "before the first"),
        ("setWeight: 5, watch: {duration: 1m}", "once it has all the traffic", "`setWeight: 100`"),
        ("setWeight: 100, watch: {}", "`duration` is missing", "10m"),
        ("setWeight: 100, analyze: {}", "no baseline", "`watch`"),
        ("setWeight: 5, auto: {from: 1}", "1% follows 5%", "raise"),
        ("setWeight: 50, auto: {}", "50% follows 50%", "raise"),
        ("auto: {within: 0s}", "a duration of nothing", "10s"),
        ("auto: {from: 10, to: 5}", "10% is more than 5%", "at most"),
        ("auto: {to: 100}", "below 100", "proven"),
        ("auto: {}, setWeight: 50", "50% follows 50%", "raise"),
        ("hook: {name: x}", "`url` is missing", "https://"),
        ("hook: 'ftp://x/y'", "`ftp`", "https://"),
        ("hook: {url: 'http://x', headers: {Host: y}}", "Serin's to set", "remove"),
        ("hook: {url: 'http://x', onFailure: abort}", "unknown onFailure", "`revert`"),
        ("hook: {url: 'http://x', retries: 101}", "from 0 to 100", "3"),
    ];
    refused(&cases.map(|(steps, said, help)| (set(SERVICE, &canary(steps)), said, help)));
}

#[test]
fn blue_green_reaches_the_model() {
    assert_eq!(blue_green("{}"), BlueGreen::default());
    let read = blue_green(
        "{preview: {hosts: [preview.example.com], match: [{path: {exact: /x}}]}, prePromotion: [analyze: {max: 5m}], \
         autoPromote: 10m, switch: {over: 5m}, sticky: {sourceIP: true}, postPromotion: [watch: {duration: 1m}], \
         standby: {for: 1h, then: retire, drain: 0s}, hooks: {beforeSwitch: 'http://a/1', afterSwitch: 'http://a/2', \
         beforeRetire: 'http://a/3', retire: 'http://a/4'}}",
    );
    assert_eq!(read.preview.hosts, ["preview.example.com"]);
    assert_eq!(read.preview.rules.len(), 1);
    assert_eq!(read.pre_promotion, [Step::Analyze { max: minutes(5) }]);
    assert_eq!((read.auto_promote, read.switch_over), (AutoPromote::After(minutes(10)), Some(minutes(5))));
    assert_eq!(read.post_promotion, [Step::Watch { duration: minutes(1) }]);
    assert_eq!(read.standby, minutes(60));
    assert_eq!(read.before_switch, Some(hook("http://a/1", "a/1")));
    assert_eq!(read.after_switch, Some(hook("http://a/2", "a/2")));
    let before = Some(hook("http://a/3", "a/3"));
    assert_eq!(read.retire, Some(Retire { drain: Duration::ZERO, before, hook: hook("http://a/4", "a/4") }));
    let words = [("true", AutoPromote::Now), ("false", AutoPromote::ByHand)];
    for (word, read) in words {
        assert_eq!(blue_green(&format!("{{autoPromote: {word}, switch: atomic}}")).auto_promote, read, "{word}");
    }
}

#[test]
fn blue_green_that_does_not_hold_together_is_refused() {
    let mut cases: Vec<_> = [
        ("{prePromotion: [setWeight: 5]}", "no place here", "`mirror"),
        ("{prePromotion: [analyze: {}]}", "nobody sees", "preview: true"),
        ("{postPromotion: [analyze: {}]}", "no place here", "`watch"),
        ("{preview: {port: 80}}", "a listener of the fleet", "preview: true"),
        ("{preview: {hosts: [Shop.example.com]}}", "a host of service `checkout`", "of its own"),
        ("{preview: {hosts: [a, A]}}", "listed twice", "remove"),
        ("{preview: {hosts: ['http://a']}}", "is a URL", "`a`"),
        ("{autoPromote: maybe}", "unknown autoPromote", "serin promote"),
        ("{switch: slow}", "unknown switch", "`switch: {over: 10m}`"),
        ("{switch: {}}", "`over` is missing", "10m"),
        ("{standby: {for: 1h, then: retire}}", "nothing retires", "hooks"),
        ("{hooks: {retire: 'http://a'}}", "never called", "then: retire"),
        ("{hooks: {beforeRetire: 'http://a'}}", "never called", "then: retire"),
        ("{standby: {for: 1h, drain: 5s}}", "not drained", "then: retire"),
        ("{standby: {then: burn}}", "unknown then", "`keep`"),
    ]
    .map(|(text, said, help)| (set(SERVICE, &format!("strategy: {{blueGreen: {text}}}")), said, help))
    .into();
    let text = "strategy: {blueGreen: {standby: {then: retire}, hooks: {retire: 'http://a'}}}\n  \
                rollback: {window: {revisions: 1}}";
    cases.push((set(SERVICE, text), "a way back is promised", "rollback.window"));
    let both = "strategy: {blueGreen: {}, rolling: {batch: 1}}";
    cases.push((set(SERVICE, both), "exclude each other", "rolling"));
    cases.push((set(SERVICE, "strategy: {}"), "`strategy` needs", "canary"));
    refused(&cases);
}

#[test]
fn rolling_reaches_the_model() {
    let bare = Rolling {
        batch: Portion::Count(2),
        max_unavailable: None,
        drain: Duration::from_secs(30),
        update: Update::Running,
        health: None,
        analyze: None,
        canary: None,
        on_failure: OnBatchFailure::Rollback,
    };
    assert_eq!(rolling("{batch: 2}"), bare);
    let probe = Probe {
        kind: ProbeKind::Http { path: "/healthz".into() },
        successes: 2,
        interval: Duration::from_secs(5),
        timeout: Duration::from_secs(3),
        within: minutes(1),
    };
    let full = Rolling {
        batch: Portion::Percent(25),
        max_unavailable: Some(Portion::Count(1)),
        drain: Duration::ZERO,
        update: Update::Hook(hook("http://agents/u", "agents/u")),
        health: Some(probe.clone()),
        analyze: Some(minutes(5)),
        canary: Some(RollingCanary { batch: Portion::Count(1), analyze: minutes(60) }),
        on_failure: OnBatchFailure::Stop,
    };
    let text = "{batch: 25%, maxUnavailable: 1, drain: 0s, update: {hook: 'http://agents/u'}, health: {http: {path: \
                /healthz}, successes: 2, interval: 5s, timeout: 3s, within: 1m}, analyze: {max: 5m}, canary: {batch: 1, \
                analyze: {max: 1h}}, onFailure: stop}";
    assert_eq!(rolling(text), full);
    for (text, kind) in [
        ("tcp: {}", ProbeKind::Tcp),
        ("grpc: {}", ProbeKind::Grpc { service: String::new() }),
        ("grpc: {service: a.B}", ProbeKind::Grpc { service: "a.B".into() }),
    ] {
        let read = rolling(&format!("{{batch: 1, update: running, health: {{{text}}}}}")).health.unwrap();
        assert_eq!((read.kind, read.successes, read.within), (kind, 3, minutes(2)), "{text}");
    }
}

#[test]
fn rolling_that_cannot_be_is_refused() {
    let cases = [
        ("{}", "`batch` is missing", "25%"),
        ("{batch: 100%}", "no part of the endpoints", "blueGreen"),
        ("{batch: 0}", "no part of the endpoints", "at least `1`"),
        ("{batch: some}", "not a number of endpoints", "25%"),
        ("{batch: 1, update: now}", "unknown update", "`running`"),
        ("{batch: 1, update: {hook: 'http://a', registration: {}}}", "exclude each other", "keep one"),
        ("{batch: 1, update: {registration: {}}}", "do not register", "registered: {}"),
        ("{batch: 1, health: {}}", "`health` needs `http`", "tcp"),
        ("{batch: 1, health: {http: {path: x}}}", "no leading slash", "`/x`"),
        ("{batch: 1, health: {tcp: {}, successes: 10, interval: 10s, within: 1m}}", "cannot be as many", "raise"),
        ("{batch: 1, canary: {}}", "`batch` is missing", "2"),
        ("{batch: 1, onFailure: revert}", "unknown onFailure", "`rollback`"),
    ];
    refused(&cases.map(|(text, said, help)| (set(SERVICE, &format!("strategy: {{rolling: {text}}}")), said, help)));
}

#[test]
fn versions_that_are_put_in_each_others_place_share_addresses() {
    let same = SERVICE.replace("10.0.1.1", "10.0.0.1");
    assert_eq!(accept(&set(&same, "strategy: {rolling: {batch: 1, analyze: {}}}")).warnings, []);
    let told = accept(&set(&same, STEPS)).warnings;
    assert!(told[0].message.contains("serves version `v1` and `v2`"), "{told:?}");
}

#[test]
fn a_version_that_nobody_looks_at_is_warned_of() {
    let says = "nothing looks at a new version before it has all the traffic";
    for (strategy, warns) in [
        ("{blueGreen: {}}", true),
        ("{blueGreen: {postPromotion: [watch: {duration: 1m}]}}", false),
        ("{canary: {steps: [setWeight: 5]}}", true),
        ("{canary: {steps: [setWeight: 5, analyze: {}]}}", false),
        ("{rolling: {batch: 1}}", true),
        ("{rolling: {batch: 1, health: {tcp: {}}}}", false),
    ] {
        let told = accept(&set(SERVICE, &format!("strategy: {strategy}"))).warnings;
        assert_eq!(told.iter().any(|one| one.message == says), warns, "{strategy}: {told:?}");
    }
}

#[test]
fn a_metric_that_nobody_is_asked_for_is_warned_of() {
    let settings = |no_prometheus| Settings { envoy_patches: false, no_prometheus };
    let told = |metric: &str, settings| {
        let text = set(SERVICE, &format!("{STEPS}\n  analysis: {{metrics: [errors: {{}}, prometheus: {metric}]}}"));
        let told = parse(&[file("a.yaml", text.as_str())], settings).expect("specs").warnings;
        told.iter().any(|one| one.message.starts_with("no Prometheus is known to ask"))
    };
    assert!(told("{query: up, max: 1}", settings(true)));
    assert!(!told("{query: up, max: 1}", settings(false)));
    assert!(!told("{query: up, max: 1, address: 'http://prometheus:9090'}", settings(true)));
}
