//! `configCanary` of a Fleet.

use std::time::Duration;

use crate::model::{ConfigCanary, Portion};
use crate::spec::reader::{At, Reader};
use crate::spec::value::{self, Refused};

const CANARY: &str =
    "write how many proxies go first, as in `configCanary: {proxies: 1}` or `{proxies: 10%, quiet: 10s}`";
const PROXIES: &str = "write a number of proxies, such as `2`, or a percentage, such as `10%`";
const ALL: &str = "leave `configCanary` out to give new configuration to all at once";

pub(super) fn decode(reader: &mut Reader<'_, '_>, at: &At<'_>) -> Option<ConfigCanary> {
    let mut fields = reader.map(at, CANARY)?;
    let proxies = fields.required("proxies", PROXIES);
    let quiet_at = fields.optional("quiet");
    let max_at = fields.optional("max5xx");
    fields.finish(reader, &[]);
    let quiet = quiet_at.map_or(Some(Duration::ZERO), |at| reader.duration(&at, true));
    let help = "write how many answers of class 5xx the first proxies may give in the quiet time, such as `0`";
    let max_5xx = max_at.as_ref().and_then(|at| reader.whole(at, 0, u32::MAX, help)).unwrap_or_default();
    if let Some(at) = max_at.filter(|_| quiet == Some(Duration::ZERO)) {
        reader.warning(&at, "there is no quiet time in which answers are counted", "add it, as in `quiet: 10s`");
    }
    let proxies = proxies.and_then(|at| reader.parse(&at, PROXIES, portion))?;
    Some(ConfigCanary { proxies, quiet: quiet?, max_5xx })
}

/// From `2` or `10%`.
fn portion(text: &str) -> Result<Portion, Refused> {
    value::portion(text, "proxies", PROXIES, ALL)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn some_of_the_proxies_are_a_number_or_a_percentage() {
        for (text, read) in [("1", Portion::Count(1)), ("40", Portion::Count(40)), ("10%", Portion::Percent(10))] {
            assert_eq!(portion(text), Ok(read), "{text}");
            assert_eq!(read.to_string(), text);
        }
        for (text, said) in [
            ("0", "no part"),
            ("0%", "no part"),
            ("100%", "no part"),
            ("0.5", "not a number"),
            ("2.5%", "from 1 to 99"),
            ("101%", "from 1 to 99"),
            ("-1", "not a number"),
            ("all", "not a number"),
            ("", "not a number"),
        ] {
            let refused = portion(text).expect_err(text);
            assert!(refused.message.contains(said), "{text}: {refused:?}");
        }
    }
}
