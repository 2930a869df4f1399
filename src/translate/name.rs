//! Names of clusters. PURE.
//!
//! A name is `service/version`, with each `.` of the version written as `~`: `checkout/v1~2`. Envoy cuts the names of
//! statistics at dots, and turns `:` into `_` there, so neither may stand in a cluster's name. `/` and `~` occur in no
//! service or version, hence no two versions share a name, and a report's cluster tells the version it speaks of.

/// The cluster of a version. `service` is a DNS label; `version` matches `[A-Za-z0-9][A-Za-z0-9._-]*`: among such,
/// different pairs have different names.
pub fn cluster_name(service: &str, version: &str) -> String {
    format!("{service}/{}", version.replace('.', "~"))
}

/// The service and version whose cluster has this name; `None` for a name that [`cluster_name`] never gives, such as
/// that of the bootstrap's own cluster.
pub fn parse_cluster_name(name: &str) -> Option<(String, String)> {
    let (service, version) = name.split_once('/')?;
    let label = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    let word = |c: char| c.is_ascii_alphanumeric() || matches!(c, '~' | '_' | '-');
    let fits = !service.is_empty()
        && service.chars().all(label)
        && version.starts_with(|c: char| c.is_ascii_alphanumeric())
        && version.chars().all(word);
    fits.then(|| (service.to_owned(), version.replace('~', ".")))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SERVICE: &str = "[a-z0-9]([a-z0-9-]{0,20}[a-z0-9])?";
    const VERSION: &str = "[A-Za-z0-9][A-Za-z0-9._-]{0,20}";

    #[test]
    fn a_name_is_readable() {
        assert_eq!(cluster_name("checkout", "v1"), "checkout/v1");
        assert_eq!(cluster_name("checkout", "1.2.0-rc.1"), "checkout/1~2~0-rc~1");
    }

    #[test]
    fn foreign_names_are_no_versions() {
        for foreign in
            ["", "-", "xds", "checkout", "/v1", "checkout/", "a/b/c", "a/v1.2", "A/v1", "a/~1", "a/v:1", "a/é"]
        {
            assert_eq!(parse_cluster_name(foreign), None, "{foreign}");
        }
    }

    proptest! {
        #[test]
        fn a_name_tells_its_version(service in SERVICE, version in VERSION) {
            let name = cluster_name(&service, &version);
            prop_assert!(!name.contains(['.', ':']), "{name}");
            prop_assert_eq!(parse_cluster_name(&name), Some((service, version)));
        }

        #[test]
        fn no_two_versions_share_a_name(a in (SERVICE, VERSION), b in (SERVICE, VERSION)) {
            prop_assert_eq!(cluster_name(&a.0, &a.1) == cluster_name(&b.0, &b.1), a == b);
        }

        #[test]
        fn what_is_parsed_was_named_so(name in "[a-z-]{1,3}/?[A-Z0-9~._:-]{0,4}") {
            if let Some((service, version)) = parse_cluster_name(&name) {
                prop_assert_eq!(cluster_name(&service, &version), name);
            }
        }
    }
}
