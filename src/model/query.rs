//! Texts with places that are filled in when something is measured: `{{canary}}` and others.

/// What may stand between `{{` and `}}` in the text of a [`super::MetricSource`].
pub const PLACEHOLDERS: [&str; 7] =
    ["service", "release", "canary", "baseline", "canaryCluster", "baselineCluster", "window"];

/// The names of the places in a text, in their order.
///
/// # Errors
/// When one is not closed, or is none of [`PLACEHOLDERS`]: which, and what there is.
pub fn placeholders(text: &str) -> Result<Vec<&str>, String> {
    let mut names = Vec::new();
    for part in parts(text) {
        match part {
            Part::Text(_) => {}
            Part::Place(name) if PLACEHOLDERS.contains(&name) => names.push(name),
            Part::Place(name) => {
                let known = PLACEHOLDERS.map(|name| format!("{{{{{name}}}}}")).join(", ");
                return Err(format!("`{{{{{name}}}}}` is filled in by nothing: there are {known}"));
            }
            Part::Open(rest) => {
                let shown: String = rest.chars().take(30).collect();
                return Err(format!("`{shown}` opens a place that no `}}}}` closes"));
            }
        }
    }
    Ok(names)
}

/// The text with its places filled in. What `value` does not know stays as it is written.
pub fn fill_in<'v>(text: &str, value: impl Fn(&str) -> Option<&'v str>) -> String {
    let mut filled = String::with_capacity(text.len());
    for part in parts(text) {
        match part {
            Part::Text(text) | Part::Open(text) => filled.push_str(text),
            Part::Place(name) => match value(name) {
                Some(value) => filled.push_str(value),
                None => filled.push_str(&format!("{{{{{name}}}}}")),
            },
        }
    }
    filled
}

enum Part<'t> {
    Text(&'t str),
    /// What is named between the braces.
    Place(&'t str),
    /// From braces that are not closed to the end.
    Open(&'t str),
}

fn parts(mut rest: &str) -> Vec<Part<'_>> {
    let mut parts = Vec::new();
    while let Some(at) = rest.find("{{") {
        parts.push(Part::Text(&rest[..at]));
        let Some(end) = rest[at..].find("}}") else {
            parts.push(Part::Open(&rest[at..]));
            return parts;
        };
        parts.push(Part::Place(rest[at + 2..at + end].trim()));
        rest = &rest[at + end + 2..];
    }
    parts.push(Part::Text(rest));
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_found_and_filled_in() {
        let text = r#"rate(rq{cluster="{{ canaryCluster }}"}[{{window}}])"#;
        assert_eq!(placeholders(text), Ok(vec!["canaryCluster", "window"]));
        let value = |name: &str| match name {
            "canaryCluster" => Some("checkout/v2"),
            "window" => Some("60s"),
            _ => None,
        };
        assert_eq!(fill_in(text, value), r#"rate(rq{cluster="checkout/v2"}[60s])"#);
        assert_eq!(fill_in("{{canary}} {{", value), "{{canary}} {{");
        assert_eq!(placeholders("up{job=\"a\"} > {1}"), Ok(Vec::new()));
    }

    #[test]
    fn what_nothing_fills_in_is_named() {
        let unknown = placeholders("{{canary}} {{namespace}}").expect_err("nothing fills it in");
        assert!(unknown.starts_with("`{{namespace}}` is filled in by nothing: there are {{service}}, "), "{unknown}");
        assert_eq!(placeholders("x{{canary"), Err("`{{canary` opens a place that no `}}` closes".into()));
        assert!(placeholders("{{}}").is_err());
    }
}
