//! What is wrong with JSON that is to be merged, and where. PURE.

use std::fmt;

/// Where in the JSON something is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// A field, as its key is spelt there.
    Key(String),
    /// An item of a list, from 0.
    Index(usize),
}

/// Something in the JSON that cannot be merged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// The way to it.
    pub path: Vec<Step>,
    /// Whether the key is at fault, and not what it is set to.
    pub at_key: bool,
    /// What is wrong with it.
    pub wrong: Wrong,
    /// What may stand there instead, if that can be listed.
    pub choices: Vec<String>,
}

/// What is wrong with a piece of JSON.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Wrong {
    /// The message has no such field.
    #[error("{message} has no field `{name}`")]
    UnknownField {
        /// As it is spelt.
        name: String,
        /// The message's name.
        message: String,
    },
    /// A field is given in both of its spellings.
    #[error("`{name}` is the same field as `{other}`")]
    Twice {
        /// The one.
        name: String,
        /// The other.
        other: String,
    },
    /// Two fields of which only one can be set.
    #[error("only one of `{name}` and `{other}` can be set")]
    Exclusive {
        /// The one.
        name: String,
        /// The other.
        other: String,
    },
    /// The value is of another type.
    #[error("expected {expected}, found {found}")]
    Mistyped {
        /// What it should be.
        expected: String,
        /// What it is.
        found: String,
    },
    /// An `Any` that does not say what it holds.
    #[error("its `@type` is missing: the type of what is here")]
    Untyped,
    /// An `Any` of something else than Envoy's API.
    #[error("{name} is no message of Envoy's API")]
    UnknownType {
        /// As it is spelt.
        name: String,
    },
    /// The field is not to be merged into.
    #[error("`{name}` cannot be set here: {instead}")]
    Owned {
        /// As it is spelt.
        name: String,
        /// Why not, and what else to do.
        instead: &'static str,
    },
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, step) in self.path.iter().enumerate() {
            match step {
                Step::Key(key) if at == 0 => f.write_str(key)?,
                Step::Key(key) => write!(f, ".{key}")?,
                Step::Index(index) => write!(f, "[{index}]")?,
            }
        }
        write!(f, "{}{}", if self.path.is_empty() { "" } else { ": " }, self.wrong)
    }
}
