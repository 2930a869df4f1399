use std::time::SystemTime;

use super::super::fixtures::{cluster, loose};
use super::super::{Node, Rejection, Variant};
use super::*;

/// A proxy that asks for everything of one type.
fn proxy(of_type: TypeStatus) -> ProxyStatus {
    let mut of_type = of_type;
    if !of_type.subscription.is_active() {
        of_type.subscription.replace(&[]);
    }
    ProxyStatus {
        node: Arc::new(Node { id: "edge-1".into(), ..Node::default() }),
        group: Some("edge".into()),
        variant: Variant::Sotw,
        address: None,
        connected_at: SystemTime::UNIX_EPOCH,
        disconnected_at: None,
        connects: 1,
        types: Arc::new([(ResourceType::Cluster, of_type)].into()),
    }
}

fn has(held: &[&Resource]) -> TypeStatus {
    let held = held.iter().map(|r| (Arc::clone(r.name()), (*r).clone())).collect();
    TypeStatus { held, ..TypeStatus::default() }
}

fn rejects(resource: &Resource, text: &str) -> ((Arc<str>, super::super::ResourceVersion), Arc<Rejection>) {
    let words = Rejection {
        version: resource.version(),
        resources: vec![resource.name().to_string()],
        text: text.into(),
        at: SystemTime::UNIX_EPOCH,
    };
    ((Arc::clone(resource.name()), resource.version()), Arc::new(words))
}

fn parked(resource: &Resource, node: &str, text: &str) -> Parked {
    Parked { resource: resource.clone(), node: node.into(), text: text.into(), at: SystemTime::UNIX_EPOCH }
}

const AT: SystemTime = SystemTime::UNIX_EPOCH;

#[test]
fn xds_36_each_status_has_its_reason() {
    let [old, new] = [1, 2].map(|edition| cluster("a", edition));
    let snapshot = loose([new.clone()]);
    let nothing = loose([]);
    let sent = |resource: &Resource| TypeStatus { on_its_way: [resource.clone()].into(), ..TypeStatus::default() };
    let said_no = |held: &[&Resource], to: &Resource| TypeStatus {
        rejected: [rejects(to, "no")].into_iter().collect(),
        ..has(held)
    };
    let [by_it, by_other] = ["edge-1", "edge-2"].map(|node| vec![parked(&new, node, "bad")]);
    let rows: [(&str, TypeStatus, &Snapshot, &[Parked], Standing<'_>); 13] = [
        ("it has what it is to have", has(&[&new]), &snapshot, &[], Standing::Synced),
        ("nothing was sent", has(&[]), &snapshot, &[], Standing::NotSent),
        ("sent, and not answered", sent(&new), &snapshot, &[], Standing::Stale),
        ("something older was sent", sent(&old), &snapshot, &[], Standing::Stale),
        ("it has something older", has(&[&old]), &snapshot, &[], Standing::Stale),
        ("it has what is to go", has(&[&old]), &nothing, &[], Standing::Stale),
        ("it said no, and has nothing", said_no(&[], &new), &snapshot, &[], Standing::Rejected { text: "no", at: AT }),
        (
            "it said no, and has the old",
            said_no(&[&old], &new),
            &snapshot,
            &[],
            Standing::Rejected { text: "no", at: AT },
        ),
        ("it said no to an older one", said_no(&[], &old), &snapshot, &[], Standing::NotSent),
        ("it said no once, and yes later", said_no(&[&new], &new), &snapshot, &[], Standing::Synced),
        ("it said no on its last stream", has(&[]), &snapshot, &by_it, Standing::Rejected { text: "bad", at: AT }),
        ("another one said no", has(&[&old]), &snapshot, &by_other, Standing::Stale),
        ("another one said no before", has(&[]), &snapshot, &by_other, Standing::NotSent),
    ];
    for (what, of_type, intended, parked, expected) in rows {
        let proxy = proxy(of_type);
        let compared = compare(&proxy, Some(intended), parked);
        assert_eq!(compared.iter().map(|one| one.standing).collect::<Vec<_>>(), [expected], "{what}");
        let held_back = !matches!(expected, Standing::Rejected { .. }) && !parked.is_empty();
        assert_eq!(compared[0].held_back.is_some(), held_back, "{what}");
    }
}

#[test]
fn only_what_it_asks_for_counts() {
    let snapshot = loose([cluster("a", 1), cluster("b", 1)]);
    let mut of_type = has(&[&cluster("a", 1)]);
    of_type.subscription.replace(&["a".into(), "absent".into()]);
    let proxy = proxy(of_type);
    let seen: Vec<_> = compare(&proxy, Some(&snapshot), &[]).into_iter().map(|one| (one.name, one.standing)).collect();
    assert_eq!(seen, [("a", Standing::Synced), ("absent", Standing::NotSent)]);
}

#[test]
fn where_nothing_is_intended_nothing_is_late() {
    let proxy = proxy(has(&[&cluster("a", 1)]));
    assert_eq!(compare(&proxy, None, &[])[0].standing, Standing::Unknown);
}

#[test]
fn what_was_replaced_is_withheld_no_more() {
    let [old, new] = [1, 2].map(|edition| cluster("a", edition));
    let both = || vec![parked(&old, "edge-1", "bad"), parked(&new, "edge-1", "worse")];
    assert_eq!(withheld(Some(&loose([new.clone()])), both()), [parked(&new, "edge-1", "worse")]);
    assert_eq!(withheld(None, both()), []);
}
