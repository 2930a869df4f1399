//! SHELL: which proxy belongs to which fleet, as the specs in force say.

use std::sync::{Arc, PoisonError, RwLock};

use tokio::sync::watch;

use crate::model::World;
use crate::rollout::engine::Worlds;
use crate::translate::group_of;
use crate::xds::{Grouping, Node};

/// Sorts proxies into the groups of the specs in force.
struct Fleets {
    world: RwLock<Option<Arc<World>>>,
    generation: watch::Sender<u64>,
}

/// A grouping that follows the specs for as long as there is an engine.
pub(super) fn follow(mut worlds: Worlds) -> Arc<dyn Grouping> {
    let world = RwLock::new(worlds.borrow_and_update().clone());
    let fleets = Arc::new(Fleets { world, generation: watch::Sender::new(0) });
    let following = Arc::clone(&fleets);
    tokio::spawn(async move {
        while worlds.changed().await.is_ok() {
            let world = worlds.borrow_and_update().clone();
            *following.world.write().unwrap_or_else(PoisonError::into_inner) = world;
            following.generation.send_modify(|generation| *generation += 1);
        }
    });
    fleets
}

impl Grouping for Fleets {
    fn group_of(&self, node: &Node) -> Option<Arc<str>> {
        let world = self.world.read().unwrap_or_else(PoisonError::into_inner).clone()?;
        group_of(&world, node).map(|group| group.name().into())
    }

    fn changes(&self) -> watch::Receiver<u64> {
        self.generation.subscribe()
    }
}
