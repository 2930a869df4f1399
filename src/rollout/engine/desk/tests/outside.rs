//! Endpoints on their way and hooks: nothing is done before the proxies know, and no answer is lost.

use super::*;
use crate::rollout::Answer;

fn replacing(version: &str) -> String {
    let before = specs(version, "{setWeight: 5}");
    before
        .replace("v2: {endpoints: [127.0.0.1:2]}", "v2: {endpoints: [127.0.0.1:2, 127.0.0.1:4]}")
        .replace("v1: {endpoints: [127.0.0.1:1]}", "v1: {endpoints: [127.0.0.1:1, 127.0.0.1:3]}")
        .replace("{canary: {steps: [{setWeight: 5}]}}", "{rolling: {batch: 1, drain: 1h, update: running}}")
}

#[tokio::test]
async fn what_the_proxies_are_to_have_is_published_in_the_same_turn() {
    let shelf = Arc::new(Shelf::default());
    let desk = Desk::restore(Arc::clone(&shelf) as Arc<dyn Store>, Cache::new()).expect("an empty store");
    let mut office = Office { desk, shelf, now: Instant::now(), generation: 0 };
    office.reads(&replacing("v1")).await;
    office.reads(&replacing("v2")).await;
    for _ in 0..6 {
        // Turns without a report, which would be kept for itself.
        office.now += Duration::from_millis(250);
        let proxies = [office.proxy()];
        office.desk.observe(&proxies, Duration::from_millis(250), office.now, Timestamp::UNIX_EPOCH).await;
        let plan = office.desk.rollouts["a"].plan();
        assert_eq!(office.desk.plans.get("a"), Some(&plan));
    }
    assert!(!office.desk.rollouts["a"].plan().endpoints.is_empty(), "an endpoint is on its way");
}

#[tokio::test]
async fn an_answer_that_could_not_be_kept_is_taken_in_later() {
    let mut office =
        Office::open("{setWeight: 5}, {hook: {name: tests, url: \"http://127.0.0.1:9/\"}}, {pause: {}}").await;
    for _ in 0..4 {
        office.second((0, 0), (0, 0)).await;
    }
    let asked = office.desk.asked().borrow().clone();
    let (release, call) = asked.into_iter().find(|(release, _)| release == "a").expect("the hook is called");
    office.shelf.fails(true);
    let answer = Answer { key: call.key, attempt: call.attempt, outcome: Ok("fine".into()) };
    office.desk.answered(&release, answer, Timestamp::UNIX_EPOCH).await;
    office.shelf.fails(false);
    office.second((0, 0), (0, 0)).await;
    assert!(
        !office.desk.asked().borrow().iter().any(|(release, _)| release == "a"),
        "it waits for an answer that it had"
    );
}
