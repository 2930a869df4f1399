#![allow(clippy::unwrap_used)]

use std::fs;
use std::os::unix::fs::symlink;

use super::*;

const RESCAN: Duration = Duration::from_millis(100);

fn service(port: u16) -> String {
    format!(
        "apiVersion: serin.dev/v1\nkind: Service\nmetadata: {{name: a}}\nspec: {{hosts: ['*'], versions: {{v1: {{endpoints: ['10.0.0.1:{port}']}}}}}}\n"
    )
}

fn port(loaded: &Loaded) -> Option<u16> {
    let specs = loaded.specs.as_ref()?;
    Some(specs.world.services.get("a")?.versions.get("v1")?.endpoints.first()?.address.port())
}

async fn until(receiver: &mut watch::Receiver<Loaded>, what: impl Fn(&Loaded) -> bool) -> Loaded {
    let waiting = receiver.wait_for(|loaded| what(loaded));
    match tokio::time::timeout(Duration::from_secs(60), waiting).await {
        Ok(loaded) => loaded.unwrap().clone(),
        Err(_) => panic!("never came"),
    }
}

async fn what_was_good_stays(events: bool) {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().join("specs");
    let rescan = if events { Duration::from_secs(1) } else { RESCAN };
    let mut receiver = DirectorySource { root: root.clone(), rescan, settings: Settings::default(), events }.start();

    let missing = until(&mut receiver, |l| l.read_error.is_some()).await;
    assert!(missing.specs.is_none());
    assert_eq!(missing.problems().len(), 1);

    fs::create_dir(&root).unwrap();
    fs::write(root.join("a.yaml"), service(1)).unwrap();
    let first = until(&mut receiver, |l| port(l) == Some(1)).await;
    assert!(first.problems().is_empty(), "{:?}", first.problems());
    assert!(first.generation > missing.generation);

    fs::write(root.join("a.yaml"), service(2)).unwrap();
    until(&mut receiver, |l| port(l) == Some(2)).await;

    fs::write(root.join("b.yaml"), "kind: Fleeet\n").unwrap();
    let broken = until(&mut receiver, |l| !l.diagnostics.is_empty()).await;
    assert_eq!(port(&broken), Some(2), "the last good set");
    assert!(broken.problems().iter().any(|p| p.contains("b.yaml:1:7")), "{:?}", broken.problems());

    fs::remove_file(root.join("b.yaml")).unwrap();
    let mended = until(&mut receiver, |l| l.diagnostics.is_empty()).await;
    assert_eq!(port(&mended), Some(2));

    fs::rename(&root, dir.path().join("away")).unwrap();
    let gone = until(&mut receiver, |l| l.read_error.is_some()).await;
    assert_eq!(port(&gone), Some(2), "the last good set");
    assert!(gone.problems()[0].contains("stay in force"), "{:?}", gone.problems());

    fs::rename(dir.path().join("away"), &root).unwrap();
    let back = until(&mut receiver, |l| l.read_error.is_none()).await;
    assert_eq!(port(&back), Some(2));

    // Another commit of a ConfigMap: one link is swapped.
    fs::remove_file(root.join("a.yaml")).unwrap();
    fs::create_dir(root.join("..1")).unwrap();
    fs::write(root.join("..1/a.yaml"), service(3)).unwrap();
    symlink("..1", root.join("..data")).unwrap();
    symlink("..data/a.yaml", root.join("a.yaml")).unwrap();
    until(&mut receiver, |l| port(l) == Some(3)).await;
    fs::create_dir(root.join("..2")).unwrap();
    fs::write(root.join("..2/a.yaml"), service(4)).unwrap();
    symlink("..2", root.join("..new")).unwrap();
    fs::rename(root.join("..new"), root.join("..data")).unwrap();
    until(&mut receiver, |l| port(l) == Some(4)).await;
}

#[tokio::test]
async fn what_was_good_stays_with_events() {
    what_was_good_stays(true).await;
}

#[tokio::test]
async fn what_was_good_stays_without_events() {
    what_was_good_stays(false).await;
}

#[tokio::test(start_paused = true)]
async fn a_set_that_is_being_written_is_not_judged() {
    let texts = |texts: &'static [&'static str]| {
        let mut reads = texts.iter();
        let mut last = "";
        move || {
            last = reads.next().unwrap_or(&last);
            std::future::ready(Read::new(Ok(vec![SourceFile { path: "a.yaml".into(), bytes: last.into() }])))
        }
    };
    let done = Read::new(Ok(vec![SourceFile { path: "a.yaml".into(), bytes: b"done".to_vec() }])).hash;
    let settled = settle(texts(&["h", "half", "done"]), None).await;
    assert!(matches!(settled, Settled::Changed(read) if read.hash == done));
    let settled = settle(texts(&["done"]), Some(done)).await;
    assert!(matches!(settled, Settled::Unchanged));
    let settled = settle(texts(&["do", "done"]), Some(done)).await;
    assert!(matches!(settled, Settled::Unchanged));
    let mut n = 0_u32;
    let restless = move || {
        n += 1;
        std::future::ready(Read::new(Err(n.to_string())))
    };
    assert!(matches!(settle(restless, None).await, Settled::Restless));
}

#[tokio::test]
async fn it_ends_with_its_receivers() {
    let dir = tempfile::tempdir().unwrap();
    let (sender, receiver) = watch::channel(Loaded::default());
    let source = DirectorySource {
        root: dir.path().to_owned(),
        rescan: Duration::from_secs(3600),
        settings: Settings::default(),
        events: true,
    };
    let task = tokio::spawn(source.run(sender));
    drop(receiver);
    tokio::time::timeout(Duration::from_secs(60), task).await.expect("it ends").unwrap();
}

#[test]
fn reading_is_no_reason_to_read_again() {
    use notify::event::{AccessKind, AccessMode, CreateKind, EventKind};
    for (kind, hint) in [
        (EventKind::Access(AccessKind::Open(AccessMode::Any)), false),
        (EventKind::Access(AccessKind::Close(AccessMode::Read)), false),
        (EventKind::Create(CreateKind::File), true),
        (EventKind::Any, true),
    ] {
        assert_eq!(is_hint(&Ok(notify::Event::new(kind))), hint, "{kind:?}");
    }
    assert!(is_hint(&Err(notify::Error::generic("overflow"))));
}
