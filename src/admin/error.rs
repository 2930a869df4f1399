//! What can go wrong in the administration API, and the one place that maps it to a gRPC status.
//!
//! Invariant: a status message is short enough for an HTTP/2 header, whatever the caller had named.

use tonic::{Code, Status};

use crate::descriptors::DescriptorError;
use crate::endpoints::RegistryError;
use crate::rollout::CommandError;
use crate::store::StoreError;
use crate::xds::ResourceType;

/// Bytes of a status message. It travels in a header, percent-encoded, and clients take headers of 16 KiB.
const MESSAGE_LENGTH: usize = 2048;
/// How many of the things that exist are named to one who asked for something else.
const NAMED: usize = 10;

/// Why a call failed.
#[derive(Debug, thiserror::Error)]
pub(super) enum AdminError {
    #[error(transparent)]
    Command(#[from] CommandError),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("there is no release named {name}: {}", some("the releases are", "there are none", .known))]
    UnknownRelease { name: String, known: Vec<String> },
    #[error("there is no group {group}: {}", some("the groups are", "nothing was published yet", .known))]
    UnknownGroup { group: String, known: Vec<String> },
    #[error("no proxy with the node id {0} is or was connected since the server started")]
    UnknownProxy(String),
    #[error("nothing is intended for {0}: no fleet takes it, or nothing was published for its group yet")]
    NothingIntended(String),
    #[error("no snapshot of {group} is of version {prefix}: {}", some("kept are", "none is kept", .known))]
    UnknownVersion { group: String, prefix: String, known: Vec<String> },
    #[error("version {prefix} of {group} is ambiguous: {}", some("it may be", "", .candidates))]
    AmbiguousVersion { group: String, prefix: String, candidates: Vec<String> },
    #[error("{0:?} is no version: a version is 32 hexadecimal digits, of which the first few are enough")]
    NotAVersion(String),
    #[error("{group} has no current snapshot any more; name a version: {}", some("kept are", "none is kept", .known))]
    NotCurrent { group: String, known: Vec<String> },
    #[error("nothing older than {version} of {group} is kept, so there is nothing to compare it with")]
    NothingBefore { group: String, version: String },
    #[error("{0} is no type that this server serves; it serves {known}", known = type_urls())]
    UnknownType(String),
    #[error("a reason has at most {limit} bytes, this one has {length}")]
    ReasonTooLong { limit: usize, length: usize },
    #[error("{error}: {}", some("there are", "there are none", .known))]
    NotThere { error: RegistryError, known: Vec<String> },
    #[error(transparent)]
    Registry(RegistryError),
    #[error("{0:?} is no address: write IP address and port as the proxies reach it, such as 10.0.0.1:8080")]
    NoAddress(String),
    #[error("{weight} is no weight: it is 1 to {greatest}")]
    NoWeight { weight: u32, greatest: u32 },
    #[error("a zone has at most {longest} bytes, all of them printable, such as eu-1a")]
    NoZone { longest: usize },
    #[error(transparent)]
    Descriptor(#[from] DescriptorError),
    #[error("reading history: {0}")]
    Reader(#[from] tokio::task::JoinError),
}

impl From<RegistryError> for AdminError {
    /// Whoever misspelt a name is told the names there are.
    fn from(error: RegistryError) -> Self {
        match &error {
            RegistryError::UnknownService { known, .. } | RegistryError::UnknownVersion { known, .. } => {
                AdminError::NotThere { known: known.clone(), error }
            }
            RegistryError::NotRegistered { .. }
            | RegistryError::UnknownEndpoint { .. }
            | RegistryError::TooMany { .. }
            | RegistryError::Stopped => AdminError::Registry(error),
        }
    }
}

impl From<AdminError> for Status {
    fn from(error: AdminError) -> Self {
        let code = match &error {
            AdminError::Command(CommandError::NotFound(_))
            | AdminError::UnknownRelease { .. }
            | AdminError::UnknownGroup { .. }
            | AdminError::UnknownProxy(_)
            | AdminError::UnknownVersion { .. }
            | AdminError::NotCurrent { .. }
            | AdminError::NotThere { .. }
            | AdminError::Registry(
                RegistryError::UnknownEndpoint { .. }
                | RegistryError::UnknownService { .. }
                | RegistryError::UnknownVersion { .. },
            )
            | AdminError::NothingBefore { .. } => Code::NotFound,
            AdminError::Command(CommandError::Refused(_)) | AdminError::NothingIntended(_) => Code::FailedPrecondition,
            AdminError::Registry(RegistryError::NotRegistered { .. }) => Code::FailedPrecondition,
            AdminError::Registry(RegistryError::TooMany { .. }) => Code::ResourceExhausted,
            AdminError::Command(CommandError::Store(_) | CommandError::Stopped)
            | AdminError::Store(_)
            | AdminError::Registry(RegistryError::Stopped) => Code::Unavailable,
            AdminError::AmbiguousVersion { .. }
            | AdminError::NotAVersion(_)
            | AdminError::UnknownType(_)
            | AdminError::NoAddress(_)
            | AdminError::NoWeight { .. }
            | AdminError::NoZone { .. }
            | AdminError::ReasonTooLong { .. } => Code::InvalidArgument,
            AdminError::Descriptor(_) | AdminError::Reader(_) => Code::Internal,
        };
        Status::new(code, shortened(error.to_string()))
    }
}

/// Names some of what there is, as the end of a sentence.
fn some(there_are: &str, there_is_none: &str, names: &[String]) -> String {
    let shown = names.iter().take(NAMED).map(String::as_str).collect::<Vec<_>>().join(", ");
    match names.len().saturating_sub(NAMED) {
        _ if names.is_empty() => there_is_none.to_owned(),
        0 => format!("{there_are} {shown}"),
        more => format!("{there_are} {shown} and {more} more"),
    }
}

fn type_urls() -> String {
    ResourceType::CORE.map(ResourceType::type_url).join(", ")
}

/// Keeps the beginning and the end: what a caller named stands in the middle.
fn shortened(message: String) -> String {
    if message.len() <= MESSAGE_LENGTH {
        return message;
    }
    let (mut head, mut tail) = (MESSAGE_LENGTH / 2, message.len() - MESSAGE_LENGTH / 2);
    while !message.is_char_boundary(head) {
        head -= 1;
    }
    while !message.is_char_boundary(tail) {
        tail += 1;
    }
    format!("{} … {}", &message[..head], &message[tail..])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_fits_a_header_whatever_was_named() {
        for name in ["é".repeat(100_000), format!("x{}", "é".repeat(100_000)), "🦀".repeat(700)] {
            let status = Status::from(AdminError::UnknownRelease { name, known: vec!["checkout".into()] });
            assert!(status.message().len() <= MESSAGE_LENGTH + 8, "{}", status.message().len());
            assert!(status.message().starts_with("there is no release") && status.message().ends_with("checkout"));
        }
    }

    #[test]
    fn a_few_names_are_enough() {
        let names: Vec<String> = (0..12).map(|n| format!("r{n}")).collect();
        assert_eq!(some("they are", "none", &[]), "none");
        assert_eq!(some("they are", "none", &names[..2]), "they are r0, r1");
        assert!(some("they are", "none", &names).ends_with("r9 and 2 more"));
    }
}
