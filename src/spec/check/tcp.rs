//! What services of connections, not requests, cannot have.

use super::Index;
use crate::model::Protocol;
use crate::spec::decode::{Release, Service, Table, TableKind};
use crate::spec::diagnostic::quoted;
use crate::spec::problems::Problems;

/// Nothing in a connection tells whose it is: a TCP service is the only one of its listener.
pub(super) fn alone(table: &Table, index: &Index<'_>, problems: &mut Problems<'_>) {
    for named in &table.services {
        let Some((service, spot)) = index.services.get(named.name.as_str()) else { continue };
        if service.service.protocol != Protocol::Tcp {
            continue;
        }
        let (title, name) = (&table.title, quoted(&named.name));
        if table.kind == TableKind::RouteConfig {
            let message = format!("{title} cannot route to service {name}, which is TCP: routes are for requests");
            let help = "list it in a listener of the fleet's own";
            problems.error_with(&named.spot, message, help, &[(spot, format!("service {name}"))]);
        } else if let Some(other) = table.services.iter().find(|other| other.name != named.name) {
            let message = format!("{title} has the TCP service {name} and service {}", quoted(&other.name));
            let help = "give it a listener of its own: nothing in a connection tells which of them is meant";
            problems.error_with(&named.spot, message, help, &[(&other.spot, "the other one".to_owned())]);
        }
    }
}

/// A release of a TCP service cannot choose requests.
pub(super) fn no_requests(release: &Release, service: &Service, problems: &mut Problems<'_>) {
    if service.service.protocol != Protocol::Tcp {
        return;
    }
    for (spot, why) in &release.strategy.http {
        let message = format!("{why}, and a TCP service has none");
        problems.error(spot, message, "remove it; a preview's own listener works with TCP");
    }
}
