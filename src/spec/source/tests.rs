#![allow(clippy::unwrap_used)]

use std::os::unix::fs::symlink;

use super::*;

fn names(files: &[SourceFile], root: &Path) -> Vec<String> {
    let strip = |file: &SourceFile| file.path.strip_prefix(&format!("{}/", root.display())).unwrap().to_owned();
    files.iter().map(strip).collect()
}

fn write(root: &Path, name: &str, text: &str) {
    let path = root.join(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}

#[test]
fn yaml_files_are_found_in_order_and_hidden_ones_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    for name in ["b.yaml", "a.yml", "c.txt", "sub/d.yaml", ".hidden.yaml", ".git/x.yaml", "README"] {
        write(dir.path(), name, name);
    }
    let files = read_directory(dir.path()).unwrap();
    assert_eq!(names(&files, dir.path()), ["a.yml", "b.yaml", "sub/d.yaml"]);
    assert_eq!(files[2].bytes, b"sub/d.yaml");
}

#[test]
fn a_mounted_config_map_is_read_once() {
    let dir = tempfile::tempdir().unwrap();
    write(dir.path(), "..2026_01/a.yaml", "first");
    symlink("..2026_01", dir.path().join("..data")).unwrap();
    symlink("..data/a.yaml", dir.path().join("a.yaml")).unwrap();
    let files = read_directory(dir.path()).unwrap();
    assert_eq!(names(&files, dir.path()), ["a.yaml"]);
    assert_eq!(files[0].bytes, b"first");
}

#[test]
fn links_in_circles_end() {
    let dir = tempfile::tempdir().unwrap();
    write(dir.path(), "sub/a.yaml", "a");
    symlink("..", dir.path().join("sub/up")).unwrap();
    symlink("sub", dir.path().join("zub")).unwrap();
    symlink("loop", dir.path().join("loop")).unwrap();
    let files = read_directory(dir.path()).unwrap();
    assert_eq!(files.len(), 1);
}

#[test]
fn nothing_outside_the_tree_is_read() {
    let outside = tempfile::tempdir().unwrap();
    write(outside.path(), "secret.yaml", "secret");
    for (link, target) in [("a.yaml", outside.path().join("secret.yaml")), ("sub", outside.path().to_owned())] {
        let dir = tempfile::tempdir().unwrap();
        symlink(&target, dir.path().join(link)).unwrap();
        let error = read_directory(dir.path()).unwrap_err();
        assert!(matches!(error, SourceError::Outside { .. }), "{error}");
        assert!(error.to_string().contains(link), "{error}");
    }
    // Links that no one would read are nobody's business.
    let dir = tempfile::tempdir().unwrap();
    symlink("/etc/hostname", dir.path().join("notes")).unwrap();
    symlink("/nowhere", dir.path().join("gone")).unwrap();
    assert_eq!(read_directory(dir.path()).unwrap(), []);
}

#[test]
fn a_pipe_is_not_waited_for() {
    let dir = tempfile::tempdir().unwrap();
    let pipe = dir.path().join("pipe.yaml");
    assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    assert!(matches!(read_directory(dir.path()), Err(SourceError::Special { .. })));
    assert!(matches!(read_paths(&[pipe]), Err(SourceError::Special { .. })));
}

#[test]
fn a_huge_file_is_read_up_to_the_limit_only() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("huge.yaml");
    File::create(&path).unwrap().set_len(1 << 34).unwrap();
    let files = read_directory(dir.path()).unwrap();
    assert_eq!(files[0].bytes.len(), MAX_FILE_BYTES + 1);
    assert!(crate::spec::parse(&files, Default::default()).unwrap_err()[0].message.contains("larger than 1 MiB"));
}

#[test]
fn too_many_files_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    for n in 0..=MAX_FILES {
        File::create(dir.path().join(format!("{n}.yaml"))).unwrap();
    }
    assert!(matches!(read_directory(dir.path()), Err(SourceError::TooManyFiles)));
}

#[test]
fn too_many_bytes_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    for n in 0..65 {
        File::create(dir.path().join(format!("{n}.yaml"))).unwrap().set_len(1 << 20).unwrap();
    }
    assert!(matches!(read_directory(dir.path()), Err(SourceError::TooManyBytes)));
}

#[test]
fn named_files_are_read_whatever_their_ending() {
    let dir = tempfile::tempdir().unwrap();
    write(dir.path(), "a.txt", "a");
    write(dir.path(), "sub/b.yaml", "b");
    let paths = [dir.path().join("a.txt"), dir.path().join("sub")];
    assert_eq!(names(&read_paths(&paths).unwrap(), dir.path()), ["a.txt", "sub/b.yaml"]);
    let missing = dir.path().join("missing.yaml");
    let error = read_paths(&[missing]).unwrap_err();
    assert!(error.to_string().contains("missing.yaml"), "{error}");
}
