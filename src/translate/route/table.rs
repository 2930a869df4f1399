//! A route configuration that is changed in place of its virtual hosts, without being decoded or encoded anew. PURE.

use std::collections::BTreeMap;
use std::sync::Arc;

use imbl::OrdMap;

use super::{Frame, VirtualHostField};
use crate::xds::resource::Reference;
use crate::xds::{Resource, ResourceError, ResourceType};

/// A route configuration, and where its virtual hosts are in it. Cheap to clone.
#[derive(Debug, Clone)]
pub(in crate::translate) struct Table {
    resource: Resource,
    frame: Arc<Frame>,
    /// How long each virtual host is, encoded.
    lengths: Arc<[usize]>,
    /// How many of them name a port.
    with_port: usize,
    /// How many of them refer to what.
    refers_to: OrdMap<Reference, usize>,
}

/// A virtual host that takes another one's place.
pub(in crate::translate) type Change<'a> = (&'a VirtualHostField, &'a VirtualHostField);

impl Table {
    /// The configuration of this name with these virtual hosts, in its frame.
    ///
    /// # Errors
    /// When the name is none.
    pub(in crate::translate) fn new<'a>(
        name: &str,
        frame: Frame,
        fields: impl Iterator<Item = &'a VirtualHostField> + Clone,
    ) -> Result<Self, ResourceError> {
        let lengths: Arc<[usize]> = fields.clone().map(|field| field.bytes.len()).collect();
        let with_port = fields.clone().filter(|field| field.has_port).count();
        let mut refers_to: BTreeMap<Reference, usize> = BTreeMap::new();
        for reference in fields.clone().flat_map(|field| &field.refers_to).chain(&frame.refers_to) {
            *refers_to.entry(reference.clone()).or_default() += 1;
        }
        let after = frame.after(with_port > 0);
        let mut body = Vec::with_capacity(frame.before.len() + lengths.iter().sum::<usize>() + after.len());
        body.extend_from_slice(&frame.before);
        fields.for_each(|field| body.extend_from_slice(&field.bytes));
        body.extend_from_slice(after);
        let refers_to: OrdMap<_, _> = refers_to.into_iter().collect();
        let resource = Resource::new(ResourceType::Route, name, body, refers_to.keys().cloned().collect())?;
        Ok(Self { resource, frame: Arc::new(frame), lengths, with_port, refers_to })
    }

    /// The same with these virtual hosts changed, by their place. Costs a copy of the bytes.
    ///
    /// # Errors
    /// None that the first of its kind did not have.
    pub(in crate::translate) fn with(&self, changes: &BTreeMap<usize, Change<'_>>) -> Result<Self, ResourceError> {
        let (name, old) = (self.resource.name(), self.resource.body());
        let (mut refers_to, mut with_port) = (self.refers_to.clone(), self.with_port);
        for (before, after) in changes.values() {
            with_port = with_port - usize::from(before.has_port) + usize::from(after.has_port);
            for reference in &after.refers_to {
                *refers_to.entry(reference.clone()).or_default() += 1;
            }
            for reference in &before.refers_to {
                match refers_to.get(reference).map_or(0, |count| count - 1) {
                    0 => drop(refers_to.remove(reference)),
                    left => drop(refers_to.insert(reference.clone(), left)),
                }
            }
        }
        let after = self.frame.after(with_port > 0);
        let grown: usize = changes.values().map(|(_, after)| after.bytes.len()).sum();
        let mut body = Vec::with_capacity(old.len() + grown + after.len());
        let mut lengths = self.lengths.to_vec();
        // `copied` is up to where the old bytes are taken over, `at` where the virtual host `place` begins in them.
        let (mut copied, mut at, mut place) = (0, self.frame.before.len(), 0);
        for (&changed, (_, field)) in changes {
            at += self.lengths[place..changed].iter().sum::<usize>();
            body.extend_from_slice(&old[copied..at]);
            body.extend_from_slice(&field.bytes);
            at += self.lengths[changed];
            (copied, place) = (at, changed + 1);
            lengths[changed] = field.bytes.len();
        }
        at += self.lengths[place..].iter().sum::<usize>();
        body.extend_from_slice(&old[copied..at]);
        body.extend_from_slice(after);
        let resource = Resource::new(ResourceType::Route, name, body, refers_to.keys().cloned().collect())?;
        Ok(Self { resource, frame: Arc::clone(&self.frame), lengths: lengths.into(), with_port, refers_to })
    }

    /// The configuration.
    pub(in crate::translate) fn resource(&self) -> &Resource {
        &self.resource
    }
}
