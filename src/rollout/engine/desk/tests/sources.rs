//! Versions whose endpoints come and go by themselves.

use super::*;

#[tokio::test]
async fn a_source_without_endpoints_refuses_nothing_but_a_list_without_does() {
    let steps = "{setWeight: 5}, {pause: {}}";
    let mut office = Office::open(steps).await;
    office.second((0, 0), (0, 0)).await;
    let emptied = specs("v2", steps).replacen("v1: {endpoints: [127.0.0.1:1]}", "v1: {endpoints: []}", 1);
    office.reads(&emptied).await;
    let diagnostics = office.desk.view().borrow().diagnostics.clone();
    assert!(diagnostics.len() == 1 && diagnostics[0].contains("v1"), "{diagnostics:?}");

    let gone = specs("v2", steps).replacen("v1: {endpoints: [127.0.0.1:1]}", "v1: {registered: {}}", 1);
    office.reads(&gone).await;
    assert_eq!(office.desk.view().borrow().diagnostics, [""; 0]);
    let version = office.desk.world.as_ref().expect("a world").services["a"].versions["v1"].clone();
    assert!(version.source.is_some() && version.endpoints.is_empty(), "{version:?}");
}

#[tokio::test]
async fn endpoints_come_and_go_although_the_newest_specs_are_refused() {
    let steps = "{setWeight: 5}, {pause: {}}";
    let mut office = Office::open(steps).await;
    let registered = specs("v1", steps).replacen("v2: {endpoints: [127.0.0.1:2]}", "v2: {registered: {}}", 1);
    office.reads(&registered).await;
    let endpoints =
        |office: &Office| office.desk.world.as_ref().expect("a world").services["a"].versions["v2"].endpoints.len();
    assert_eq!(endpoints(&office), 0);
    // v1 has all the traffic, and the newest specs have lost it; meanwhile somebody registers for v2.
    let lost = registered.replacen("v1: {endpoints:", "v9: {endpoints:", 1).replacen("version: v1", "version: v9", 1);
    let mut loaded = office.read(&lost);
    let specs = loaded.specs.as_mut().map(std::sync::Arc::make_mut).expect("specs");
    let version = specs.world.services.get_mut("a").and_then(|service| service.versions.get_mut("v2")).expect("v2");
    version.endpoints.push(crate::model::Endpoint::at(([127, 0, 0, 1], 2).into()));
    office.desk.take_specs(loaded, Timestamp::now()).await;
    let diagnostics = office.desk.view().borrow().diagnostics.clone();
    assert!(diagnostics.len() == 1 && diagnostics[0].contains("v1"), "{diagnostics:?}");
    assert_eq!(endpoints(&office), 1);
}
