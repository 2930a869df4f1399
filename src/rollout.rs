//! From what is wanted to what is live: the state machine of a release, and the engine that drives it.
//!
//! PURE: [`state`], [`transition`], [`fleet`], [`record`], [`status`], `evidence` and `recent`: what a rollout is, what an event
//! does to it, what is written of it, how it is shown, which counts are evidence. SHELL: [`engine`], the one owner of
//! all rollouts.
//!
//! Nobody but this module decides. It must not know YAML, Envoy's resources or the wire.

pub mod command;
pub mod engine;
pub mod evidence;
pub mod fleet;
pub mod recent;
pub mod record;
pub mod state;
pub mod status;
pub mod transition;

pub use command::{Command, CommandError};
pub use fleet::{FleetState, Part, Refusal, Spread};
pub use record::Record;
pub use state::{Progress, Rollout, Stage, State};
pub use status::{Phase, Recent, ReleaseStatus, ShareStatus};
pub use transition::{Event, Observation, Transition};
