//! Drills are kept like migrations and counted nowhere; documents are shown one after the other.

use drover_policies::migration::{Migration, Purpose, State};
use drover_policies::notices::Actor;
use drover_policies::time::Span;
use drover_policies::upcoming::azure::{Document, Event, EventSource, EventStatus, EventType};
use drover_scheduler::store::{Batch, MigrationFilter, Only, Purposes, Write};

use crate::place::{Place, on_both_engines};
use crate::samples::*;

on_both_engines![
    drills_are_listed_only_when_they_are_asked_for,
    drills_are_counted_by_owner_and_time,
    of_two_that_show_the_next_document_at_once_one_reads_anew,
];

fn drill(n: u32) -> Migration {
    let by = Actor::Owner { owner: owner("acme") };
    Migration { purpose: Purpose::Drill { duration: Span::minutes(5), by }, place: None, ..migration(n) }
}

async fn drills_are_listed_only_when_they_are_asked_for(place: Place) {
    let (store, fence) = place.open_and_claim().await;
    let over = Migration { state: State::Rehearsed { began_at: at(1), at: at(2) }, ..drill(3) };
    let migrations = vec![Write::Insert(migration(1)), Write::Insert(drill(2)), Write::Insert(over.clone())];
    store.commit(&fence, Batch { migrations, ..Batch::new(at(0)) }).await.expect("written");
    for (purposes, found) in [
        (Purposes::Moves, vec![1001]),
        (Purposes::Drills, vec![1003, 1002]),
        (Purposes::All, vec![1003, 1002, 1001]),
    ] {
        let filter = MigrationFilter { purposes, ..MigrationFilter::default() };
        let page = store.migrations_page(&filter, None, 10).await.expect("a page");
        assert_eq!(
            page.items.iter().map(|read| read.value.number).collect::<Vec<_>>(),
            found,
            "{purposes:?}"
        );
    }
    let filter =
        MigrationFilter { only: Only::Open, purposes: Purposes::Drills, ..MigrationFilter::default() };
    assert_eq!(store.migrations_page(&filter, None, 10).await.expect("a page").items.len(), 1);
    let open = store.migrations_open().await.expect("read");
    assert_eq!(
        open.iter().map(|read| read.value.number).collect::<Vec<_>>(),
        [1001],
        "no drill is in the way"
    );
    // The conductor goes on with drills, too, until they are over.
    let all = store.migrations_not_over().await.expect("read");
    assert_eq!(all.iter().map(|read| read.value.number).collect::<Vec<_>>(), [1001, 1002]);
    assert_eq!(store.migration(over.id).await.expect("read").expect("it is there").value, over);
    assert!(store.reboot_downtimes().await.expect("read").is_empty());
}

async fn drills_are_counted_by_owner_and_time(place: Place) {
    let (store, fence) = place.open_and_claim().await;
    let nobodys = Migration { owner: None, ..drill(6) };
    let migrations = [drill(2), drill(4), drill(5), migration(8), nobodys].map(Write::Insert).into();
    store.commit(&fence, Batch { migrations, ..Batch::new(at(0)) }).await.expect("written");
    let count = |name: Option<&'static str>, since| {
        let (store, owner) = (&store, name.map(owner));
        async move { store.drills_since(owner.as_ref(), at(since)).await.expect("counted") }
    };
    assert_eq!((count(Some("acme"), 0).await, count(Some("globex"), 0).await), (2, 1));
    assert_eq!((count(None, 0).await, count(Some("nobody"), 0).await), (1, 0));
    assert_eq!(count(Some("acme"), 1).await, 0, "they were opened before");
}

async fn of_two_that_show_the_next_document_at_once_one_reads_anew(place: Place) {
    let store = place.open().await;
    assert_eq!(store.document("acme").await.expect("read"), None);
    let first = Document::empty();
    assert!(store.show_document("acme", None, &first, at(0)).await.expect("written"));
    assert!(!store.show_document("acme", None, &first, at(0)).await.expect("written"), "somebody was first");
    let event = Event {
        event_id: "C7061BAC-AFDC-4513-B24B-AA5F13A16123".to_owned(),
        event_type: EventType::Redeploy,
        resource_type: "VirtualMachine".to_owned(),
        resources: vec!["web 'quoted' ü".to_owned()],
        event_status: EventStatus::Scheduled,
        not_before: "Mon, 19 Sep 2016 18:29:47 GMT".to_owned(),
        description: String::new(),
        event_source: EventSource::Platform,
        duration_in_seconds: -1,
    };
    let second = Document::succeeding(Some(&first), vec![event]);
    let other = Document { document_incarnation: 2, events: Vec::new() };
    assert!(store.show_document("acme", Some(&first), &second, at(1)).await.expect("written"));
    assert!(!store.show_document("acme", Some(&first), &other, at(1)).await.expect("written"));
    assert_eq!(store.document("acme").await.expect("read"), Some(second));
    assert_eq!(store.document("acme/1").await.expect("read"), None, "each name has its own");
}
