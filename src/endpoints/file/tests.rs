//! Real files. What is told next is waited for, never how long it takes.

#![allow(clippy::unwrap_used)]

use std::fs;
use std::os::unix::fs::symlink;

use tempfile::TempDir;
use tokio::sync::mpsc;

use super::*;

/// A directory of specs in a tree of its own, and what is told of its file `v1.yaml`.
struct Scene {
    tree: TempDir,
    told: mpsc::Receiver<Result<Vec<Endpoint>, String>>,
}

impl Scene {
    fn start(prepare: impl FnOnce(&Path)) -> Self {
        let tree = TempDir::new().unwrap();
        let specs = tree.path().join("specs");
        fs::create_dir(&specs).unwrap();
        prepare(&specs);
        let (sender, told) = mpsc::channel(8);
        let tell = move |read| {
            let sender = sender.clone();
            async move { sender.send(read).await.is_ok() }
        };
        tokio::spawn(follow(specs.into(), "v1.yaml".into(), tell));
        Self { tree, told }
    }

    /// As one who writes with care does it.
    fn write(&self, text: &str) {
        let file = self.tree.path().join("specs/v1.yaml");
        fs::write(file.with_extension("new"), text).unwrap();
        fs::rename(file.with_extension("new"), file).unwrap();
    }

    async fn next(&mut self) -> Result<Vec<Endpoint>, String> {
        let next = tokio::time::timeout(Duration::from_secs(30), self.told.recv());
        next.await.expect("it must come soon").expect("it goes on")
    }
}

fn one(address: &str) -> Result<Vec<Endpoint>, String> {
    Ok(vec![Endpoint::at(address.parse().unwrap())])
}

#[tokio::test]
async fn what_is_written_is_told_whatever_became_of_it_before() {
    let mut scene = Scene::start(|_| {});
    assert!(scene.next().await.unwrap_err().contains("v1.yaml"), "it is not there yet");
    scene.write("- 10.0.0.1:80");
    assert_eq!(scene.next().await, one("10.0.0.1:80"));
    scene.write("");
    assert!(scene.next().await.unwrap_err().contains("this file lists no endpoints"));
    scene.write("- 10.0.0.2:80");
    assert_eq!(scene.next().await, one("10.0.0.2:80"));
    scene.write("- 10.0.0.2");
    assert!(scene.next().await.unwrap_err().contains("v1.yaml:1:3"), "with its place");
    scene.write(&" ".repeat(spec::MAX_FILE_BYTES + 1));
    assert!(scene.next().await.unwrap_err().contains("larger than 1 MiB"));
}

#[tokio::test]
async fn nothing_outside_the_directory_is_read() {
    let mut scene = Scene::start(|specs| {
        fs::write(specs.with_file_name("outside.yaml"), "- 10.0.0.1:80").unwrap();
        symlink("../outside.yaml", specs.join("v1.yaml")).unwrap();
    });
    let refused = scene.next().await.unwrap_err();
    assert!(refused.contains("symbolic link out of the directory"), "{refused}");
}

#[tokio::test]
async fn a_link_within_the_directory_is_followed_and_a_directory_is_no_list() {
    let mut scene = Scene::start(|specs| {
        fs::write(specs.join("real.json"), r#"["10.0.0.1:80"]"#).unwrap();
        symlink("real.json", specs.join("v1.yaml")).unwrap();
    });
    assert_eq!(scene.next().await, one("10.0.0.1:80"));
    let mut scene = Scene::start(|specs| fs::create_dir(specs.join("v1.yaml")).unwrap());
    assert!(scene.next().await.unwrap_err().contains("is neither a file nor a directory"));
}
