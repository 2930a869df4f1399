//! A resolver of our own in virtual time; the system's for one name that every system knows.

#![allow(clippy::unwrap_used)]

use std::collections::VecDeque;
use std::sync::Mutex;

use tokio::sync::mpsc;
use tokio::time::Instant;

use super::*;

/// An answer, and how long it takes.
type Answer = (Duration, io::Result<Vec<SocketAddr>>);

fn scripted(answers: Vec<Answer>) -> Resolver {
    let answers = Arc::new(Mutex::new(VecDeque::from(answers)));
    Arc::new(move |_, _| {
        let next = answers.lock().unwrap().pop_front();
        Box::pin(async move {
            let Some((after, answer)) = next else { return std::future::pending().await };
            sleep(after).await;
            answer
        })
    })
}

/// The first things that are told, and when, in seconds.
async fn told(answers: Vec<Answer>, count: usize) -> Vec<(u64, Result<Vec<Endpoint>, String>)> {
    let start = Instant::now();
    let (sender, mut receiver) = mpsc::channel(8);
    let tell = move |read| {
        let sender = sender.clone();
        async move { sender.send((start.elapsed().as_secs(), read)).await.is_ok() }
    };
    tokio::spawn(follow(scripted(answers), ("checkout".into(), 80), Duration::from_secs(10), tell));
    let mut all = Vec::new();
    for _ in 0..count {
        all.push(receiver.recv().await.unwrap());
    }
    all
}

fn address(last: u8) -> SocketAddr {
    ([10, 0, 0, last], 80).into()
}

#[tokio::test(start_paused = true)]
async fn it_is_looked_up_each_interval_and_each_address_told_once_in_order() {
    let found = |numbers: &[u8]| (Duration::ZERO, Ok(numbers.iter().map(|n| address(*n)).collect()));
    let told = told(vec![found(&[3, 1, 3]), found(&[2])], 2).await;
    let expected = |numbers: &[u8]| Ok(numbers.iter().map(|n| Endpoint::at(address(*n))).collect());
    assert_eq!(told, [(0, expected(&[1, 3])), (10, expected(&[2]))]);
}

#[tokio::test(start_paused = true)]
async fn failures_say_why_and_late_answers_still_count() {
    let failed = (Duration::ZERO, Err(io::Error::other("no such host")));
    let late = (Duration::from_secs(8), Ok(vec![address(1)]));
    let told = told(vec![failed, (Duration::ZERO, Ok(vec![])), late], 4).await;
    let expected = [
        (0, Err("checkout: no such host".to_owned())),
        (10, Err("checkout has no addresses".to_owned())),
        (25, Err("checkout: no answer in 5 s".to_owned())),
        (28, Ok(vec![Endpoint::at(address(1))])),
    ];
    assert_eq!(told, expected);
}

#[tokio::test]
async fn the_system_knows_localhost() {
    let found = understand("localhost", system()("localhost".into(), 8080).await).unwrap();
    assert!(found.iter().all(|one| one.address.ip().is_loopback() && one.address.port() == 8080), "{found:?}");
}
