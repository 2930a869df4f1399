//! PURE: why specs that can be read are not applied, and where that is to be mended.

use crate::spec::{Kind, Origin, Origins, Specs};
use crate::translate::{Document, TranslateError};

/// Why a set of valid specs is not applied.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// A version with traffic would vanish.
    #[error(
        "service {service} has lost version {version}, which release {release} needs \
         (it has traffic, or traffic returns to it); put it back, or first release another version"
    )]
    VersionVanished {
        /// The service.
        service: String,
        /// The version.
        version: String,
        /// The release.
        release: String,
    },
    /// A version with traffic would have nowhere to send it.
    #[error(
        "version {version} of service {service} has lost its last endpoint, and release {release} needs it \
         (it has traffic, or traffic returns to it); put one back, or first release another version"
    )]
    VersionEmptied {
        /// The service.
        service: String,
        /// The version.
        version: String,
        /// The release.
        release: String,
    },
    /// The configuration cannot be built.
    #[error("{0}")]
    Translate(#[from] TranslateError),
    /// There is nothing left of them: a directory that is not mounted looks like that, or one that is being replaced.
    #[error("the specs are empty; the last ones stay in force (to give up all that they say, leave one document)")]
    Emptied,
    /// The decision could not be kept. It is tried again.
    #[error("the store cannot keep it: {0}")]
    NotKept(String),
}

/// Where it is written: the raw configuration that is to blame, or else the document.
fn fault_at(origins: &Origins, error: &TranslateError) -> Option<String> {
    let (kind, name) = match error.document() {
        Document::Fleet(fleet) => (Kind::Fleet, fleet),
        Document::Service(service) => (Kind::Service, service),
    };
    let patch = match error {
        TranslateError::Patch { within, target, .. } => origins.of_patch(kind, name, &(within.clone(), *target)),
        _ => None,
    };
    patch.or_else(|| origins.of(kind, name)).map(Origin::to_string)
}

/// A refusal with the place of the document it is about.
pub(super) fn blame(specs: Option<&Specs>, refusal: &Refusal) -> String {
    let place = match refusal {
        Refusal::VersionVanished { service, .. } | Refusal::VersionEmptied { service, .. } => {
            specs.and_then(|s| s.origins.of_service(service))
        }
        Refusal::Translate(error) => specs.and_then(|s| fault_at(&s.origins, error)),
        Refusal::Emptied | Refusal::NotKept(_) => None,
    };
    place.map_or_else(|| refusal.to_string(), |place| format!("{place}: {refusal}"))
}
