//! SHELL: where specs come from.
//!
//! Owns reading files, and how much of them. Must not understand what is in them, and must not read anything outside the
//! tree it was pointed at: a symbolic link is followed only where it leads back into the tree (as those of a mounted
//! Kubernetes ConfigMap do), and only regular files are opened.
//!
//! The tree is not expected to be attacked while it is read: a link that is swapped between the check and the opening
//! is followed.

pub mod directory;

use std::collections::HashSet;
use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

pub use directory::DirectorySource;

use super::{Diagnostic, MAX_FILE_BYTES, SourceFile, Specs};

/// The most files of a set.
pub const MAX_FILES: usize = 2_000;
/// The most bytes of a set: 64 MiB.
pub const MAX_TOTAL_BYTES: usize = 64 << 20;
/// The most directory entries that are looked at, specs or not.
const MAX_ENTRIES: usize = 50_000;
/// How deep directories may be nested.
const MAX_DIRECTORY_DEPTH: usize = 32;

/// The newest state of a source of specs.
#[derive(Debug, Clone, Default)]
pub struct Loaded {
    /// The last set without errors; none before there was one.
    pub specs: Option<Arc<Specs>>,
    /// What is wrong with the newest set that could be read; empty when it is the one in `specs`.
    pub diagnostics: Vec<Diagnostic>,
    /// Why the newest state of the source could not be read at all.
    pub read_error: Option<String>,
    /// Grows with each change. 0: nothing was read yet.
    pub generation: u64,
}

impl Loaded {
    /// Everything that keeps the newest set from being the one in `specs`, rendered for people.
    pub fn problems(&self) -> Vec<String> {
        self.read_error.iter().cloned().chain(self.diagnostics.iter().map(Diagnostic::to_string)).collect()
    }
}

/// Why files could not be read. Nothing of them is used then.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// The system refused.
    #[error("cannot read {path}: {source}")]
    Io {
        /// What was to be read.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// A link out of the tree.
    #[error("{path} is a symbolic link out of the directory, to {target}: refused, nothing outside is read")]
    Outside {
        /// The link.
        path: PathBuf,
        /// Where it leads.
        target: PathBuf,
    },
    /// A device, socket or pipe.
    #[error("{path} is neither a file nor a directory")]
    Special {
        /// What it is called.
        path: PathBuf,
    },
    /// More than [`MAX_FILES`].
    #[error("there are more than {MAX_FILES} files of specs")]
    TooManyFiles,
    /// More than [`MAX_TOTAL_BYTES`].
    #[error("the files of specs are larger than 64 MiB together")]
    TooManyBytes,
    /// A tree that is no directory of specs.
    #[error(
        "{path} has more than {MAX_ENTRIES} entries, or is nested more than {MAX_DIRECTORY_DEPTH} deep: is it the right directory?"
    )]
    TooLarge {
        /// The directory that was to be read.
        path: PathBuf,
    },
}

/// Turns an I/O error into one that names the path.
fn at(path: &Path) -> impl FnOnce(io::Error) -> SourceError {
    let path = path.to_owned();
    move |source| SourceError::Io { path, source }
}

/// Reads files, directories (as [`read_directory`] does), and standard input for `-`. A file that is named is read
/// whatever its ending. Blocks.
///
/// # Errors
/// See [`SourceError`].
pub fn read_paths(paths: &[PathBuf]) -> Result<Vec<SourceFile>, SourceError> {
    let mut set = Set::default();
    for path in paths {
        if path.as_os_str() == "-" {
            set.add("<stdin>".to_owned(), io::stdin().lock(), path)?;
            continue;
        }
        let metadata = fs::metadata(path).map_err(at(path))?;
        if metadata.is_dir() {
            set.add_directory(path)?;
        } else {
            set.add_file(path, path)?;
        }
    }
    Ok(set.files)
}

/// Reads all `*.yaml` and `*.yml` files of a directory and its directories, sorted by path. Hidden files and directories
/// (`.git`, `..data`) are left out. Blocks.
///
/// # Errors
/// See [`SourceError`]; a tree that can only be read in part is not read.
pub fn read_directory(root: &Path) -> Result<Vec<SourceFile>, SourceError> {
    let mut set = Set::default();
    set.add_directory(root)?;
    Ok(set.files)
}

/// Reads one file below a directory, whatever its ending. Blocks.
///
/// # Errors
/// See [`SourceError`]: what is not there, leads out of the directory, or is no file, is not read.
pub fn read_below(root: &Path, path: &str) -> Result<SourceFile, SourceError> {
    let path = root.join(path);
    let inside = root.canonicalize().map_err(at(root))?;
    let real = path.canonicalize().map_err(at(&path))?;
    if !real.starts_with(&inside) {
        return Err(SourceError::Outside { path, target: real });
    }
    let mut set = Set::default();
    set.add_file(&path, &real)?;
    Ok(set.files.remove(0))
}

/// The files so far.
#[derive(Default)]
struct Set {
    files: Vec<SourceFile>,
    bytes: usize,
    /// By canonical path: what is reached in two ways is read once.
    seen: HashSet<PathBuf>,
}

impl Set {
    fn add(&mut self, name: String, reader: impl Read, path: &Path) -> Result<(), SourceError> {
        if self.files.len() >= MAX_FILES {
            return Err(SourceError::TooManyFiles);
        }
        let mut bytes = Vec::new();
        reader.take(MAX_FILE_BYTES as u64 + 1).read_to_end(&mut bytes).map_err(at(path))?;
        self.bytes += bytes.len();
        if self.bytes > MAX_TOTAL_BYTES {
            return Err(SourceError::TooManyBytes);
        }
        self.files.push(SourceFile { path: name, bytes });
        Ok(())
    }

    /// Opens `real`, which is where `path` leads. Opening a pipe would wait for its writer: only files are opened.
    fn add_file(&mut self, path: &Path, real: &Path) -> Result<(), SourceError> {
        if !fs::metadata(real).map_err(at(path))?.is_file() {
            return Err(SourceError::Special { path: path.to_owned() });
        }
        let canonical = real.canonicalize().map_err(at(path))?;
        if !self.seen.insert(canonical) {
            return Ok(());
        }
        let file = File::open(real).map_err(at(path))?;
        self.add(path.display().to_string(), file, path)
    }

    fn add_directory(&mut self, root: &Path) -> Result<(), SourceError> {
        let inside = root.canonicalize().map_err(at(root))?;
        let mut found: Vec<(PathBuf, PathBuf)> = Vec::new();
        let mut open = vec![(root.to_owned(), inside.clone(), 0)];
        let mut entries = 0;
        while let Some((path, real, depth)) = open.pop() {
            if !self.seen.insert(real.clone()) {
                continue;
            }
            for entry in fs::read_dir(&real).map_err(at(&path))? {
                entries += 1;
                if entries > MAX_ENTRIES || depth > MAX_DIRECTORY_DEPTH {
                    return Err(SourceError::TooLarge { path: root.to_owned() });
                }
                let name = entry.map_err(at(&path))?.file_name();
                match look(&path.join(&name), &real.join(&name), &inside)? {
                    Entry::Ignored => {}
                    Entry::File(real) => found.push((path.join(&name), real)),
                    Entry::Directory(real) => open.push((path.join(&name), real, depth + 1)),
                }
            }
        }
        found.sort();
        for (path, real) in found {
            self.add_file(&path, &real)?;
        }
        Ok(())
    }
}

/// What an entry of a directory is to us, and where it really is.
enum Entry {
    Ignored,
    File(PathBuf),
    Directory(PathBuf),
}

fn look(path: &Path, real: &Path, inside: &Path) -> Result<Entry, SourceError> {
    if path.file_name().is_none_or(|name| name.as_encoded_bytes().starts_with(b".")) {
        return Ok(Entry::Ignored);
    }
    let named_so = path.extension().is_some_and(|end| end == OsStr::new("yaml") || end == OsStr::new("yml"));
    let metadata = fs::symlink_metadata(real).map_err(at(path))?;
    if !metadata.is_symlink() {
        return Ok(match (metadata.is_dir(), named_so) {
            (true, _) => Entry::Directory(real.to_owned()),
            (false, true) => Entry::File(real.to_owned()),
            (false, false) => Entry::Ignored,
        });
    }
    let target = match real.canonicalize() {
        Ok(target) => target,
        // A link to nowhere is of no interest unless it stands for a file of specs.
        Err(_) if !named_so => return Ok(Entry::Ignored),
        Err(source) => return Err(SourceError::Io { path: path.to_owned(), source }),
    };
    let is_directory = target.is_dir();
    if !is_directory && !named_so {
        return Ok(Entry::Ignored);
    }
    if !target.starts_with(inside) {
        return Err(SourceError::Outside { path: path.to_owned(), target });
    }
    Ok(if is_directory { Entry::Directory(target) } else { Entry::File(target) })
}

#[cfg(test)]
mod tests;
