//! SHELL: the secrets that requests are signed with. Specs only name them; what they are is given by whoever runs the
//! server, and never shown.

use std::collections::BTreeMap;
use std::env::VarError;
use std::path::{Path, PathBuf};

/// Where the secrets are. They are read anew for each use, so that they can be changed without a restart.
#[derive(Debug, Clone, Default)]
pub struct Secrets {
    files: BTreeMap<String, PathBuf>,
}

/// Why there is no such secret.
#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    /// Nobody gave one of that name.
    #[error("no secret named {0}: start the server with --secret {0}=FILE")]
    Unknown(String),
    /// Its file cannot be read.
    #[error("secret {name}: cannot read {}: {cause}", file.display())]
    Unreadable {
        /// The secret's name.
        name: String,
        /// Its file.
        file: PathBuf,
        /// Why not.
        cause: std::io::Error,
    },
    /// Nothing is in it: a signature with it would prove nothing.
    #[error("secret {0} is empty")]
    Empty(String),
    /// Its environment variable is no text.
    #[error("secret {name}: {variable} is not UTF-8: use --secret {name}=FILE")]
    NotText {
        /// The secret's name.
        name: String,
        /// The environment variable.
        variable: String,
    },
}

impl Secrets {
    /// From the names and files of `--secret NAME=FILE`. Each is read once, so that a wrong path shows at the start.
    ///
    /// # Errors
    /// When a file cannot be read, or is empty.
    pub fn from_flags(flags: impl IntoIterator<Item = (String, PathBuf)>) -> Result<Self, SecretError> {
        let files: BTreeMap<String, PathBuf> = flags.into_iter().collect();
        for (name, file) in &files {
            cut(name, std::fs::read(file).map_err(|cause| unreadable(name, file, cause))?)?;
        }
        Ok(Self { files })
    }

    /// A secret as it is now: from its file, or else from the environment variable `SERIN_SECRET_<NAME>`.
    ///
    /// # Errors
    /// See [`SecretError`].
    pub async fn get(&self, name: &str) -> Result<Vec<u8>, SecretError> {
        if let Some(file) = self.files.get(name) {
            return cut(name, tokio::fs::read(file).await.map_err(|cause| unreadable(name, file, cause))?);
        }
        let variable = variable(name);
        match std::env::var(&variable) {
            Ok(value) => cut(name, value.into_bytes()),
            Err(VarError::NotPresent) => Err(SecretError::Unknown(name.to_owned())),
            Err(VarError::NotUnicode(_)) => Err(SecretError::NotText { name: name.to_owned(), variable }),
        }
    }
}

/// The environment variable of a secret.
fn variable(name: &str) -> String {
    format!("SERIN_SECRET_{}", name.to_uppercase().replace('-', "_"))
}

fn unreadable(name: &str, file: &Path, cause: std::io::Error) -> SecretError {
    SecretError::Unreadable { name: name.to_owned(), file: file.to_owned(), cause }
}

/// Without the line's end that editors and `echo` put behind it.
fn cut(name: &str, mut secret: Vec<u8>) -> Result<Vec<u8>, SecretError> {
    if secret.last() == Some(&b'\n') {
        secret.pop();
        if secret.last() == Some(&b'\r') {
            secret.pop();
        }
    }
    if secret.is_empty() { Err(SecretError::Empty(name.to_owned())) } else { Ok(secret) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn flags(file: &Path) -> [(String, PathBuf); 1] {
        [("ci".to_owned(), file.to_owned())]
    }

    #[tokio::test]
    async fn a_secret_is_read_anew_without_its_line_end() {
        let directory = tempfile::tempdir().expect("a directory");
        let file = directory.path().join("ci");
        std::fs::write(&file, "old\n").expect("written");
        let secrets = Secrets::from_flags(flags(&file)).expect("readable");
        assert_eq!(secrets.get("ci").await.expect("it is there"), b"old");
        std::fs::write(&file, "new\r\n").expect("written");
        assert_eq!(secrets.get("ci").await.expect("it is there"), b"new");
        std::fs::write(&file, "two\n\n").expect("written");
        assert_eq!(secrets.get("ci").await.expect("it is there"), b"two\n");
    }

    #[tokio::test]
    async fn what_is_missing_is_said_with_its_cure() {
        let said = Secrets::default().get("ci").await.expect_err("nobody gave it").to_string();
        assert_eq!(said, "no secret named ci: start the server with --secret ci=FILE");
        let directory = tempfile::tempdir().expect("a directory");
        let file = directory.path().join("ci");
        let said = Secrets::from_flags(flags(&file)).expect_err("no file").to_string();
        assert!(said.starts_with(&format!("secret ci: cannot read {}: ", file.display())), "{said}");
        std::fs::write(&file, "\n").expect("written");
        let said = Secrets::from_flags(flags(&file)).expect_err("nothing in it").to_string();
        assert_eq!(said, "secret ci is empty");
    }

    #[test]
    fn the_environment_names_it_in_its_own_way() {
        assert_eq!(variable("my-ci2"), "SERIN_SECRET_MY_CI2");
    }
}
