use super::*;
use crate::telemetry::Focus;

#[tokio::test]
async fn proxies_are_listened_to_for_what_is_on_its_way_and_nothing_else() {
    let shelf = Arc::new(Shelf::default());
    let mut desk = Desk::restore(Arc::clone(&shelf) as Arc<dyn Store>, Cache::new()).expect("an empty store");
    let focus = Focus::default();
    let wanted = || ["a/v1", "a/v2", "b/v1", "c/v1"].map(|cluster| focus.wants(cluster));
    assert_eq!(wanted(), [true; 4], "before anybody has asked for anything");
    desk.listen(focus.clone());
    let mut office = Office { desk, shelf, now: Instant::now(), generation: 0 };
    office.reads(&specs("v1", "{setWeight: 5}, {pause: {}}")).await;
    for _ in 0..5 {
        office.second((0, 0), (0, 0)).await;
    }
    assert_eq!(wanted(), [false; 4], "all is at rest");
    office.reads(&specs("v2", "{setWeight: 5}, {pause: {}}")).await;
    assert_eq!(wanted(), [true, true, true, false]);
    assert_eq!(office.desk.hearing.since("a/v1"), None);
    office.second((0, 0), (0, 0)).await;
    assert!(office.desk.hearing.since("a/v1").is_some(), "what was told before says nothing of it");
}
