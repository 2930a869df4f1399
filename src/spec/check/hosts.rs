//! Hosts that two services claim, or a service and a preview.

use std::collections::{HashMap, HashSet};

use super::Index;
use crate::spec::decode::{Release, Table};
use crate::spec::diagnostic::quoted;
use crate::spec::problems::{Problems, Spot};

/// Envoy refuses a route configuration that has a domain twice.
pub(super) fn once(table: &Table, index: &Index<'_>, problems: &mut Problems<'_>) {
    let title = &table.title;
    let mut owners: HashMap<String, &str> = HashMap::new();
    let mut seen = HashSet::new();
    for named in table.services.iter().filter(|named| seen.insert(named.name.as_str())) {
        let Some((service, spot)) = index.services.get(named.name.as_str()) else { continue };
        for host in &service.service.hosts {
            match owners.get(&host.to_ascii_lowercase()) {
                Some(owner) if *owner != named.name => {
                    let (owner, name) = (quoted(owner), quoted(&named.name));
                    let message = format!("{title} has host {} of service {owner} and of service {name}", quoted(host));
                    let help = "give each service hosts of its own, or listeners of their own";
                    problems.error_with(&named.spot, message, help, &[(spot, format!("service {name}"))]);
                    break;
                }
                Some(_) => {}
                None => drop(owners.insert(host.to_ascii_lowercase(), &named.name)),
            }
        }
    }
}

/// A preview's hosts are hosts, too: of all tables that its service is in.
pub(super) fn of_previews(index: &Index<'_>, problems: &mut Problems<'_>) {
    let mut owners: HashMap<&str, &Release> = HashMap::new();
    for (release, _) in index.releases.values() {
        if let Some(service) = &release.service {
            owners.entry(&service.name).or_insert(release);
        }
    }
    let mut told: HashSet<(usize, u32, u32)> = HashSet::new();
    for table in index.fleets.values().flat_map(|(fleet, _)| &fleet.tables) {
        let mut taken: HashMap<String, (String, &Spot)> = HashMap::new();
        for named in &table.services {
            let Some((service, spot)) = index.services.get(named.name.as_str()) else { continue };
            let title = format!("a host of service {}", quoted(&named.name));
            let hosts = service.service.hosts.iter().map(|host| host.to_ascii_lowercase());
            taken.extend(hosts.map(|host| (host, (title.clone(), *spot))));
        }
        let mut seen = HashSet::new();
        let services = table.services.iter().filter(|named| seen.insert(named.name.as_str()));
        for (named, release) in services.filter_map(|named| Some((named, owners.get(named.name.as_str())?))) {
            let title = format!("a host of the preview of service {}", quoted(&named.name));
            for (host, spot) in &release.strategy.preview_hosts {
                let key = host.to_ascii_lowercase();
                // A host that stands twice in one list was told where it was read.
                let other = taken.get(&key).filter(|(other, _)| *other != title);
                let (line, column) = spot.position();
                if let Some((what, place)) = other
                    && told.insert((spot.file, line, column))
                {
                    let message = format!("host {} of this preview is {what}, too", quoted(host));
                    let help = "give the preview a host of its own, such as `preview.shop.example.com`";
                    problems.error_with(spot, message, help, &[(place, what.clone())]);
                }
                taken.entry(key).or_insert_with(|| (title.clone(), spot));
            }
        }
    }
}
