//! Texts that many clusters of a proxy have in common, each kept once. PURE.

use std::collections::HashSet;
use std::sync::Arc;

/// Names of routes, and flags.
#[derive(Debug, Default)]
pub(super) struct Names {
    kept: HashSet<Arc<str>>,
}

impl Names {
    pub(super) fn get(&mut self, name: &str) -> Arc<str> {
        if let Some(known) = self.kept.get(name) {
            return Arc::clone(known);
        }
        let new: Arc<str> = name.into();
        self.kept.insert(Arc::clone(&new));
        new
    }

    /// Forgets those that nobody has any more.
    pub(super) fn tidy(&mut self) {
        self.kept.retain(|name| Arc::strong_count(name) > 1);
    }
}
