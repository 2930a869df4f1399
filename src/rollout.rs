//! From what is wanted to what is live: the state machine of a release, and the engine that drives it.
//!
//! PURE: [`state`], [`transition`], [`explain`], [`rolling`], [`fleet`], [`peer`], [`call`], [`measure`], [`record`], [`replay`], [`status`], `evidence`, `health`
//! and `recent`: what a rollout is, what an event does to it, where each endpoint of a rolling update stands, what is asked
//! and measured outside, what is written of it, how it is shown, which counts are evidence, how the endpoints are. SHELL: [`engine`],
//! the one owner of all rollouts.
//!
//! Nobody but this module decides. It must not know YAML, Envoy's resources or the wire.

pub mod call;
pub mod command;
pub mod engine;
pub mod evidence;
pub mod explain;
pub mod fleet;
pub mod health;
pub mod measure;
pub mod peer;
pub mod recent;
pub mod record;
pub mod rehearsal;
pub mod replay;
pub mod rolling;
pub mod state;
pub mod status;
pub mod transition;

pub use call::{About, Answer, Call, Question};
pub use command::{Command, CommandError};
pub use explain::{Decision, Present, Told};
pub use fleet::{FleetState, Part, Refusal, Spread};
pub use measure::{MeasureAbout, MeasureRequest, Measured};
pub use peer::{Peer, Standing};
pub use record::Record;
pub use state::{Failed, Progress, Rollout, Scope, Stage, State};
pub use status::{Phase, Recent, ReleaseStatus, ShareStatus};
pub use transition::{Context, Event, Observation, Transition};
