//! SHELL: HTTP towards the outside: one request at a time, what it is signed with, and what came of it in words.
//!
//! Must not know whom it asks, nor what an answer means. Secrets are named by specs, and what they are is never shown.

pub mod client;
pub mod post;
pub mod secrets;
pub mod signature;
pub mod tally;

pub use self::client::{Client, Page};
pub use self::post::Post;
pub use self::secrets::{SecretError, Secrets};
pub use self::tally::Tally;
