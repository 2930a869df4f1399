//! `serin explain`: the server's words for people, its messages for programs.

use crate::{code, err, fake, json, out, run};

#[tokio::test]
async fn why_is_told_in_the_words_of_the_server() {
    let server = fake::start().await;
    let got = run("explain checkout", server).await;
    let expected = "✖ reverted v2 at 1970-01-01T00:00:00.000Z, entry 118\n";
    assert_eq!((code(&got), out(&got).as_str(), err(&got).as_str()), (Some(0), expected, ""));
    assert!(out(&run("explain checkout --at 7", server).await).ends_with("entry 7\n"));
    assert_eq!(out(&run("explain checkout --at 7 -o name", server).await), "7\n");
    let got = json(&run("explain checkout -o json", server).await);
    assert_eq!((&got["decision"]["sequence"], &got["decision"]["kind"]), (&"118".into(), &"reverting".into()));
    assert_eq!(got["decision"]["explanation"]["compared"], "v2 37/412 (9.0%) failed");
}

#[tokio::test]
async fn who_misspells_a_name_is_told() {
    let got = run("explain absent", fake::start().await).await;
    assert_eq!((code(&got), err(&got).as_str()), (Some(4), "error: there is no release named absent\n"));
}
