//! Shares of traffic, and fields of which exactly one is to be given.

use crate::model::Weight;
use crate::spec::diagnostic::quoted;
use crate::spec::reader::{At, Fields, Reader};
use crate::spec::value;

/// A percentage within `within`, which `means` says in words.
pub(super) fn percent(
    reader: &mut Reader<'_, '_>,
    at: &At<'_>,
    means: &str,
    help: &str,
    within: impl FnOnce(f64) -> bool,
) -> Option<Weight> {
    let text = reader.text(at, help)?;
    if let Some(number) = text.strip_suffix('%').filter(|n| n.parse::<f64>().is_ok()) {
        let message = format!("{} has a sign: weights are percentages anyway", quoted(text));
        reader.error(at, message, format!("write `{number}`"));
        return None;
    }
    let percent = reader.number(at, means, help, within)?;
    match Weight::from_percent(percent) {
        Ok(weight) => Some(weight),
        Err(error) => {
            reader.error(at, error.to_string(), "round it to two decimals");
            None
        }
    }
}

/// Ends the reading of fields of which one is to be given, which tells what is meant. `later` are those of other
/// versions. Tells whether it is one.
pub(super) fn one_of(
    reader: &mut Reader<'_, '_>,
    fields: &mut Fields<'_>,
    what: &str,
    help: &str,
    later: &[&str],
) -> bool {
    fields.finish(reader, later);
    let all = fields.all();
    let given: Vec<&str> = all.iter().map(|(name, _)| *name).collect();
    match given.as_slice() {
        [] => reader.error(&fields.at, format!("this {what} is empty"), help),
        [_] => return true,
        [_, second, ..] => {
            let message = format!("a {what} is one thing, and this one is {}", value::listed(&given, "and"));
            let spot = all.iter().find(|(name, _)| name == second).map(|(_, at)| reader.at_key(at));
            let spot = spot.unwrap_or_else(|| reader.at_key(&fields.at));
            reader.error_at(&spot, message, format!("begin {} on a line of its own with a dash", quoted(second)));
        }
    }
    false
}

/// Tells whether exactly one of some fields is given: `help` is the cure for several, `none` for none. For fields whose
/// reading has ended.
pub(super) fn exactly_one(
    reader: &mut Reader<'_, '_>,
    within: &Fields<'_>,
    fields: &[(&str, Option<&At<'_>>)],
    help: &str,
    none: &str,
) -> bool {
    let given: Vec<(&str, &At<'_>)> = fields.iter().filter_map(|(name, at)| Some((*name, (*at)?))).collect();
    match given.as_slice() {
        [_] => true,
        [] => {
            if !within.strange {
                let names: Vec<&str> = fields.iter().map(|(name, _)| *name).collect();
                let message = format!("{} needs {}", within.at.shown(), value::listed(&names, "or"));
                let spot = reader.at_key(&within.at);
                reader.error_at(&spot, message, none);
            }
            false
        }
        [(first, one), (second, other), ..] => {
            let (spot, first_spot) = (reader.at_key(other), reader.at_key(one));
            let message = format!("{} and {} exclude each other", quoted(first), quoted(second));
            reader.error_at_with(&spot, message, help, (&first_spot, "the first one"));
            false
        }
    }
}
