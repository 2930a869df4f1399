//! Replays what the fuzzers kept: inputs that reach every branch that was ever reached, and those that once failed.

use std::path::Path;

fn replay(target: &str, run: fn(&[u8])) {
    let kept = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(target);
    let mut inputs = 0;
    for entry in std::fs::read_dir(&kept).expect("the corpus is in the tree") {
        let path = entry.expect("an entry").path();
        println!("{}", path.display());
        run(&std::fs::read(&path).expect("an input"));
        inputs += 1;
    }
    assert!(inputs > 0, "{} is empty", kept.display());
}

#[test]
fn bodies_of_requests() {
    replay("frames", serin_fuzz::frames::run);
}

#[test]
fn stories_of_a_client_and_a_server() {
    replay("story", serin_fuzz::story::run);
}
