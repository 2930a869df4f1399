//! How results are printed.

use std::fmt;

/// Something that is promised.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Goal {
    pub(crate) promise: String,
    pub(crate) is_met: bool,
    /// The numbers that say so.
    pub(crate) numbers: String,
}

impl fmt::Display for Goal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let word = if self.is_met { "met    " } else { "NOT met" };
        write!(f, "{word}  {}: {}", self.promise, self.numbers)
    }
}

/// One promise for many rows: met when none is wrong.
pub(crate) fn goal(promise: &str, rows: usize, wrong: &[String]) -> Goal {
    let numbers = match wrong {
        [] => format!("all {rows} rows"),
        wrong => format!("not in {} of {rows} rows: {}", wrong.len(), wrong.join("; ")),
    };
    Goal { promise: promise.to_owned(), is_met: wrong.is_empty(), numbers }
}

/// A heading with its columns.
pub(crate) fn heading(title: &str, columns: &str) {
    println!("\n{title}\n  {columns}");
}

pub(crate) fn percent(share: f64) -> String {
    format!("{:.2} %", share * 100.0)
}

/// `32/77`; `-` for what never was.
pub(crate) fn seconds(median: Option<u64>, p95: Option<u64>) -> String {
    let word = |seconds: Option<u64>| seconds.map_or_else(|| "-".to_owned(), |seconds| seconds.to_string());
    format!("{}/{}", word(median), word(p95))
}
