//! Resources that say what they are in plain text: name, edition, and what they refer to.

use super::super::{Resource, ResourceType};

/// Which of its forms a resource has.
pub(super) type Edition = u64;

/// A resource with these references.
pub(super) fn resource(of: ResourceType, name: &str, edition: Edition, to: &[(ResourceType, &str)]) -> Resource {
    let references: Vec<String> = to.iter().map(|(t, name)| format!(" {}:{name}", t.short())).collect();
    let body = format!("{name} {edition}{}", references.concat());
    let to = to.iter().map(|(t, name)| (*t, (*name).into())).collect();
    Resource::new(of, name, body.into_bytes(), to).expect("a resource")
}

/// The resource that these bytes say.
pub(super) fn read(of: ResourceType, body: &[u8]) -> Resource {
    let text = std::str::from_utf8(body).expect("a body");
    let mut words = text.split(' ');
    let name = words.next().expect("a name");
    let references = words.skip(1).map(|reference| {
        let (short, name) = reference.split_once(':').expect("a reference");
        let of = ResourceType::ALL.into_iter().find(|t| t.short() == short).expect("a type");
        (of, name.into())
    });
    Resource::new(of, name, body.to_vec(), references.collect()).expect("a resource")
}

/// The edition of a resource.
pub(super) fn edition(resource: &Resource) -> Edition {
    let text = std::str::from_utf8(resource.body()).expect("a body");
    text.split(' ').nth(1).and_then(|edition| edition.parse().ok()).expect("an edition")
}
