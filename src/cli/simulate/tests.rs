use clap::Parser;

use super::*;

#[derive(Debug, Parser)]
struct Line {
    #[command(flatten)]
    args: Args,
}

fn args(line: &str) -> Args {
    Line::parse_from(std::iter::once("simulate").chain(line.split_whitespace())).args
}

fn failure(line: &str) -> String {
    run(&args(line)).expect_err("it makes no sense").to_string()
}

fn results(line: &str) -> Vec<Judged> {
    let args = args(line);
    let world = read_world(&args).expect("specs");
    let release = find_release(&world, &args).expect("a release");
    let traffic = read_traffic(&args.traffic).expect("traffic");
    let defect = words::defect(&read_pairs("--defect", &args.defect).expect("pairs")).expect("a defect");
    let story = Story { limit: 7_200, ..Story::new(release, world.services.get(&release.service), &traffic, &defect) };
    play(&story, &args)
}

#[test]
fn an_example_is_played_and_compared() {
    let line = "examples/canary.yaml --traffic rps=1000,errors=0.5% --defect errors=x10 --runs 5 --compare";
    let results = results(line);
    let names: Vec<&str> = results.iter().map(|result| result.judge).collect();
    assert_eq!(names, ["Serin", "Flagger", "Argo Rollouts", "Kayenta"]);
    assert_eq!(results[0].summary.reverted.count, 5, "{:?}", results[0]);
    for peer in &results[1..] {
        assert!(peer.summary.harmed_mean > results[0].summary.harmed_mean, "{peer:?}");
    }
    let text = render("checkout", &results, Style::PLAIN);
    assert!(text.starts_with("checkout: 5 simulated releases.") && text.contains("\nFlagger "), "{text}");
}

#[test]
fn where_most_prove_nothing_is_told_with_what_to_do() {
    // A request now and then proves nothing in any step's time.
    let results = results("examples/canary.yaml --traffic rps=2 --runs 3");
    assert_eq!(results[0].summary.inconclusive.count, 3, "{:?}", results[0]);
    let text = render("checkout", &results, Style::PLAIN);
    let told = "(3 of 3): raise the weight, the step's `max` or `harmlessRate`.\n";
    assert!(text.contains("\nInconclusive most often at step 2, weight ") && text.ends_with(told), "{text}");
    let results = self::results("examples/canary.yaml --traffic rps=1000 --runs 1");
    assert!(!render("checkout", &results, Style::PLAIN).contains("Inconclusive most often"));
}

#[test]
fn a_file_of_traffic_and_one_that_was_recorded() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = |name: &str, text: &str| {
        let path = directory.path().join(name);
        std::fs::write(&path, text).expect("written");
        format!("@{}", path.display())
    };
    let written = read_traffic(&path("traffic.yaml", "rps: 20\nerrors: 1%\nbursts: 5m\n")).expect("traffic");
    assert_eq!((written.rps, written.errors, written.bursts), (20.0, 0.01, 300.0));
    let recorded = read_traffic(&path("was.json", r#"[{"requests": 7}]"#)).expect("traffic");
    assert_eq!(recorded.recorded.len(), 1);
    for (name, text, told) in [("a.yaml", "rps: [1]", "lines of `key: value`"), ("a.json", "{}", "it is neither")] {
        let error = read_traffic(&path(name, text)).expect_err("no traffic").to_string();
        assert!(error.starts_with("--traffic: ") && error.contains(told), "{error}");
    }
}

#[test]
fn what_makes_no_sense_is_told_with_its_cure() {
    for (line, told) in [
        ("examples/canary.yaml --traffic rsp=3", "--traffic: traffic has no `rsp`: did you mean `rps`?"),
        ("examples/canary.yaml --defect errors=3", "--defect: errors=3: `x3` (times the usual)"),
        ("examples/canary.yaml --traffic @nowhere.yaml", "--traffic: nowhere.yaml: "),
        ("examples/canary.yaml --release nothing", "there is no release nothing; there are: "),
        ("examples/canary.yaml --service nothing", "no release is of a service nothing; there are: "),
        ("examples/together.yaml", "which release? --release one of: "),
    ] {
        let error = failure(line);
        assert!(error.starts_with(told), "{error}");
    }
}

#[test]
fn times_are_short() {
    assert_eq!([7, 119, 120, 3_725, 7_260].map(seconds), ["7s", "119s", "2m00s", "62m05s", "2h01m"]);
}
