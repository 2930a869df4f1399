//! `windows`: times at which nobody wants a release to move.

use jiff::civil::{Date, Time};
use jiff::tz::TimeZone;

use crate::model::{DenyWindow, When};
use crate::spec::diagnostic::quoted;
use crate::spec::reader::{At, Reader};
use crate::spec::value::{self, Refused, nearest};

const WINDOWS: &str =
    "list them, as in `windows: [{deny: {days: [fri], from: \"16:00\", to: \"08:00\"}, timeZone: UTC}]`";
const DENY: &str =
    "write `deny: {days: [fri], from: \"16:00\", to: \"08:00\"}` or `deny: {from: 2026-12-20, to: 2027-01-02}`";
const MOMENT: &str = "write a time, such as `16:00`, or a date, such as `2026-12-20`";
const ZONE: &str = "write a time zone by its name, as in `timeZone: Europe/Berlin`, or `timeZone: UTC`";
const DAYS: [(&str, i8); 7] = [("mon", 1), ("tue", 2), ("wed", 3), ("thu", 4), ("fri", 5), ("sat", 6), ("sun", 7)];

pub(super) fn decode(reader: &mut Reader<'_, '_>, at: &At<'_>) -> Vec<DenyWindow> {
    let items = reader.list(at, WINDOWS).unwrap_or_default();
    items.iter().filter_map(|at| window(reader, at)).collect()
}

fn window(reader: &mut Reader<'_, '_>, at: &At<'_>) -> Option<DenyWindow> {
    let mut fields = reader.map(at, WINDOWS)?;
    let (deny, zone, reason) =
        (fields.required("deny", DENY), fields.required("timeZone", ZONE), fields.optional("reason"));
    fields.finish(reader, &["allow"]);
    let when = deny.and_then(|at| when(reader, &at));
    let reason = reason.and_then(|at| reader.parse(&at, "write why, as in `reason: weekend`", value::printable));
    let time_zone = zone.and_then(|at| reader.parse(&at, ZONE, time_zone))?;
    Some(DenyWindow { time_zone, when: when?, reason })
}

fn time_zone(text: &str) -> Result<String, Refused> {
    if text.len() <= 64 && TimeZone::get(text).is_ok() {
        return Ok(text.to_owned());
    }
    let known: Vec<String> = jiff::tz::db().available().map(|name| name.to_string()).collect();
    let names: Vec<&str> = known.iter().map(String::as_str).collect();
    let help = nearest(text, &names).map_or_else(|| ZONE.to_owned(), |name| format!("did you mean `{name}`?"));
    Err(Refused { message: format!("nobody knows time zone {}", quoted(text)), help })
}

/// A time of the day, or a day.
enum Moment {
    Time(Time),
    Date(Date),
}

fn moment(text: &str) -> Result<Moment, Refused> {
    let refused = |message: String, help: &str| Err(Refused { message, help: help.to_owned() });
    if text == "24:00" {
        return refused("`24:00` is the next day's `00:00`".into(), "write `00:00`");
    }
    // Only plain forms: what else the parsers take would be read as something else by people.
    let is_plain = text.bytes().all(|b| b.is_ascii_digit() || matches!(b, b':' | b'-'));
    let time = text.parse::<Time>().ok().filter(|_| is_plain && matches!(text.len(), 5 | 8) && text.contains(':'));
    let date = text.parse::<Date>().ok().filter(|_| is_plain && text.len() == 10);
    match (time, date) {
        (Some(time), _) => Ok(Moment::Time(time)),
        (None, Some(date)) => Ok(Moment::Date(date)),
        (None, None) => refused(format!("{} is neither a time nor a date", quoted(text)), MOMENT),
    }
}

fn when(reader: &mut Reader<'_, '_>, at: &At<'_>) -> Option<When> {
    let mut fields = reader.map(at, DENY)?;
    let (days_at, from_at, to_at) =
        (fields.optional("days"), fields.required("from", MOMENT), fields.required("to", MOMENT));
    fields.finish(reader, &[]);
    let days = days_at.as_ref().map(|at| days(reader, at));
    let (from_at, to_at) = (from_at?, to_at?);
    let from = reader.parse(&from_at, MOMENT, moment);
    let to = reader.parse(&to_at, MOMENT, moment);
    match (from?, to?) {
        (Moment::Time(from), Moment::Time(to)) => {
            Some(When::Weekly { days: days.unwrap_or_else(|| (1..=7).collect()), from, to })
        }
        (Moment::Date(from), Moment::Date(to)) => {
            if let Some(at) = &days_at {
                let spot = reader.at_key(at);
                reader.error_at(&spot, "dates are what they are: `days` belongs to times", "remove it");
            }
            if to < from {
                let first = reader.at(&from_at);
                let help = "swap them: both days belong to the window";
                reader.error_with(&to_at, "this window ends before it begins", help, (&first, "its beginning"));
            }
            Some(When::Dates { from, to })
        }
        (Moment::Time(_), Moment::Date(_)) | (Moment::Date(_), Moment::Time(_)) => {
            let help = "let both be times, or both be dates";
            reader.error(&to_at, "this window begins at a time and ends on a date, or the other way round", help);
            None
        }
    }
}

fn days(reader: &mut Reader<'_, '_>, at: &At<'_>) -> Vec<i8> {
    let help = "list the days on which it begins, as in `days: [mon, tue]`, or leave it out for all";
    let items = reader.list(at, help).unwrap_or_default();
    if items.is_empty() && !at.node.is_null() {
        reader.error(at, "a window on no day denies nothing", help);
    }
    let mut found = Vec::new();
    for at in items {
        let Some(day) = reader.choice(&at, &DAYS, &[]) else { continue };
        if found.contains(&day) {
            reader.error(&at, "this day is listed twice", "remove one of them");
        } else {
            found.push(day);
        }
    }
    found.sort_unstable();
    found
}
