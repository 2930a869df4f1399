//! `telemetry` of a Fleet.

use std::time::Duration;

use super::doubles;
use crate::model::Poll;
use crate::spec::diagnostic::quoted;
use crate::spec::reader::{At, Reader};
use crate::spec::value::{Refused, web};

const TELEMETRY: &str = "write `telemetry: {poll: {admin: [\"http://10.0.0.7:9901\"], interval: 1s}}`, or leave it out where \
                         the proxies' bootstrap sends their statistics";
const ADMIN: &str = "list the proxies' admin interfaces, as in `admin: [\"http://10.0.0.7:9901\"]`";
/// More often than this is a burden to the proxies.
const SHORTEST: Duration = Duration::from_millis(100);

pub(super) fn decode(reader: &mut Reader<'_, '_>, at: &At<'_>) -> Option<Poll> {
    let mut fields = reader.map(at, TELEMETRY)?;
    let poll = fields.required("poll", TELEMETRY);
    fields.finish(reader, &[]);
    let mut fields = reader.map(&poll?, TELEMETRY)?;
    let (admin_at, interval_at) = (fields.required("admin", ADMIN), fields.optional("interval"));
    fields.finish(reader, &[]);
    let interval = interval_at.as_ref().map_or(Some(Duration::from_secs(1)), |at| reader.duration(at, false));
    if let Some(at) = interval_at.filter(|_| interval.is_some_and(|interval| interval < SHORTEST)) {
        reader.error(&at, "this is more often than proxies should be asked", "write `100ms` or longer");
    }
    let admin_at = admin_at?;
    let items = reader.list(&admin_at, ADMIN)?;
    if items.is_empty() {
        reader.error(&admin_at, "this list is empty: nobody is asked", ADMIN);
    }
    let admin: Vec<(String, At<'_>)> =
        items.into_iter().filter_map(|at| Some((reader.parse(&at, ADMIN, interface)?, at))).collect();
    for ((url, at), (_, first)) in doubles(&admin, |(url, _)| Some(url.clone())) {
        let first = reader.at(first);
        reader.error_with(
            at,
            format!("{} is listed twice", quoted(url)),
            "remove one of them",
            (&first, "the first one"),
        );
    }
    Some(Poll { admin: admin.into_iter().map(|(url, _)| url).collect(), interval: interval? })
}

/// Where an admin interface is: a URL without a path.
fn interface(text: &str) -> Result<String, Refused> {
    let url = web::url(text)?;
    let url = url.strip_suffix('/').unwrap_or(&url);
    let after = url.split_once("://").map_or(url, |(_, rest)| rest);
    match after.split_once(['/', '?', '#']) {
        Some((host, _)) => Err(Refused {
            message: format!("{} is a page, not the admin interface", quoted(text)),
            help: format!("write where it listens, as in {}", quoted(&format!("http://{host}"))),
        }),
        None => Ok(url.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_admin_interface_is_a_url_without_a_path() {
        for (text, url) in [
            ("http://10.0.0.7:9901", Some("http://10.0.0.7:9901")),
            ("http://10.0.0.7:9901/", Some("http://10.0.0.7:9901")),
            ("https://[::1]:9901", Some("https://[::1]:9901")),
            ("http://10.0.0.7:9901/stats", None),
            ("http://10.0.0.7:9901?usedonly", None),
            ("10.0.0.7:9901", None),
            ("ftp://10.0.0.7", None),
        ] {
            assert_eq!(interface(text).ok().as_deref(), url, "{text}");
        }
    }
}
