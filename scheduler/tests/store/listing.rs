//! Long lists, filters, and what is thrown away.

use chrono::TimeDelta;
use drover_policies::channels::ChannelName;
use drover_policies::events::Event;
use drover_policies::ids::{Generation, MigrationId};
use drover_policies::import::{Import, ImportState};
use drover_policies::maintenance::{Maintenance, State as MaintenanceState};
use drover_policies::migration::Migration;
use drover_policies::replica::{Replica, ReplicaState};
use drover_policies::time::Span;
use drover_scheduler::store::{
    Batch, Cursor, EventFilter, Fence, ImportFilter, Keep, MigrationFilter, Only, Order, Purged, Seq,
    Settled, Store, StoryPage, TicketFilter, Tried, Write,
};

use crate::place::{Place, on_both_engines};
use crate::samples::*;
use crate::telling::tried;

on_both_engines![
    pages_are_complete_and_repeat_nothing,
    pages_of_tickets_are_complete_even_where_many_are_of_one_moment,
    migrations_are_found_by_all_that_can_be_asked,
    events_come_in_order_and_only_the_ones_asked_for,
    the_whole_story_is_looked_through_page_by_page,
    moments_sort_in_time_whatever_their_fractions,
    downtimes_are_the_latest_ten_of_each_server,
    history_is_purged_and_what_is_needed_stays,
    imports_are_found_by_name_host_and_state_and_their_story_by_themselves,
];

async fn insert(store: &Store, fence: &Fence, migrations: impl IntoIterator<Item = Migration>) {
    let migrations = migrations.into_iter().map(Write::Insert).collect();
    store.commit(fence, Batch { migrations, ..Batch::new(at(0)) }).await.expect("written");
}

/// Cursors travel as text.
fn sent(cursor: Option<Cursor>) -> Option<Cursor> {
    cursor.map(|cursor| cursor.to_string().parse().expect("it is read as it was written"))
}

async fn pages_are_complete_and_repeat_nothing(place: Place) {
    let (store, fence) = place.open_and_claim().await;
    insert(&store, &fence, (1..=23).map(migration)).await;
    for limit in [1, 5, 22, 23, 24] {
        let mut seen = Vec::new();
        let mut cursor = None;
        loop {
            let page = store
                .migrations_page(&MigrationFilter::default(), cursor.as_ref(), limit)
                .await
                .expect("a page");
            assert!(page.items.len() <= limit as usize);
            seen.extend(page.items.into_iter().map(|found| found.value.number));
            cursor = sent(page.next);
            if cursor.is_none() {
                break;
            }
        }
        assert_eq!(seen, (1001..=1023).rev().collect::<Vec<_>>(), "{limit} at a time");
    }
    // What comes about while somebody pages neither repeats nor hides anything.
    let first = store.migrations_page(&MigrationFilter::default(), None, 3).await.expect("a page");
    insert(&store, &fence, [migration(24)]).await;
    let second =
        store.migrations_page(&MigrationFilter::default(), first.next.as_ref(), 3).await.expect("a page");
    let numbers: Vec<_> = first.items.iter().chain(&second.items).map(|found| found.value.number).collect();
    assert_eq!(numbers, [1023, 1022, 1021, 1020, 1019, 1018]);
    assert!("1023".parse::<Cursor>().is_err());
}

async fn pages_of_tickets_are_complete_even_where_many_are_of_one_moment(place: Place) {
    let (store, fence) = place.open_and_claim().await;
    insert(&store, &fence, (1..=12).map(migration)).await;
    for (minute, numbers) in [(0, 1..=7), (1, 8..=12)] {
        let batch = Batch { tickets_opened: numbers.map(ticket).collect(), ..Batch::new(at(minute)) };
        store.commit(&fence, batch).await.expect("written");
    }
    let close = Batch { tickets_closed: vec![ticket_id(2), ticket_id(9)], ..Batch::new(at(2)) };
    store.commit(&fence, close).await.expect("written");

    for (filter, expected) in [
        (TicketFilter::default(), vec![12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1]),
        (TicketFilter { owner: Some(owner("acme")), ..TicketFilter::default() }, vec![12, 10, 8, 6, 4, 2]),
        (TicketFilter { only: Only::NotOpen, ..TicketFilter::default() }, vec![9, 2]),
        (TicketFilter { server: Some(server_id(3)), only: Only::Open, ..TicketFilter::default() }, vec![3]),
    ] {
        let mut seen = Vec::new();
        let mut cursor = None;
        loop {
            let page = store.tickets_page(&filter, cursor.as_ref(), 2).await.expect("a page");
            seen.extend(page.items.into_iter().map(|ticket| ticket.id));
            cursor = sent(page.next);
            if cursor.is_none() {
                break;
            }
        }
        assert_eq!(seen, expected.into_iter().map(ticket_id).collect::<Vec<_>>(), "{filter:?}");
    }
    let found = store.ticket_by_number("DR-1009").await.expect("read").expect("it is there");
    assert_eq!((found.opened_at, found.closed_at), (at(1), Some(at(2))));
    assert_eq!(store.ticket(found.id).await.expect("read"), Some(found));
}

async fn migrations_are_found_by_all_that_can_be_asked(place: Place) {
    let (store, fence) = place.open_and_claim().await;
    let batch = Batch { maintenances: vec![Write::Insert(maintenance(1))], ..Batch::new(at(0)) };
    store.commit(&fence, batch).await.expect("written");
    let of_maintenance = Migration { maintenance: Some(maintenance_id(1)), ..migration(3) };
    let elsewhere = Migration { from: host("h9"), place: None, owner: None, ..migration(4) };
    let over = closed(migration(2), minutes(1));
    insert(&store, &fence, [migration(1), over, of_maintenance.clone(), elsewhere]).await;

    let any = MigrationFilter::default;
    for (filter, expected) in [
        (any(), vec![1004, 1003, 1002, 1001]),
        (MigrationFilter { owner: Some(owner("globex")), ..any() }, vec![1003, 1001]),
        (MigrationFilter { server: Some(server_id(2)), ..any() }, vec![1002]),
        (MigrationFilter { host: Some(host("h9")), ..any() }, vec![1004]),
        (MigrationFilter { host: Some(host("h2")), ..any() }, vec![1003, 1002, 1001]),
        (MigrationFilter { maintenance: Some(maintenance_id(1)), ..any() }, vec![1003]),
        (MigrationFilter { state: Some("closed".to_owned()), ..any() }, vec![1002]),
        (MigrationFilter { only: Only::Open, ..any() }, vec![1004, 1003, 1001]),
        (MigrationFilter { only: Only::NotOpen, ..any() }, vec![1002]),
        (MigrationFilter { owner: Some(owner("acme")), only: Only::Open, ..any() }, vec![]),
    ] {
        let page = store.migrations_page(&filter, None, 10).await.expect("a page");
        let numbers: Vec<_> = page.items.iter().map(|found| found.value.number).collect();
        assert_eq!(numbers, expected, "{filter:?}");
    }
    let numbers = |found: Vec<drover_scheduler::store::Versioned<Migration>>| {
        found.iter().map(|found| found.value.number).collect::<Vec<_>>()
    };
    assert_eq!(numbers(store.migrations_open().await.expect("read")), [1001, 1003, 1004]);
    assert_eq!(numbers(store.migrations_not_over().await.expect("read")), [1001, 1003, 1004]);
    assert_eq!(numbers(store.migrations_of(maintenance_id(1)).await.expect("read")), [1003]);
    let of = [4, 2, 1, 9].map(server_id);
    assert_eq!(numbers(store.migrations_open_of(of).await.expect("read")), [1001, 1004]);
    assert!(store.migrations_open_of([]).await.expect("read").is_empty());
    let ids = [3, 2, 9].map(migration_id);
    assert_eq!(numbers(store.migrations_by_id(ids).await.expect("read")), [1002, 1003]);
    let found = store.migration_by_number(1003).await.expect("read").expect("it is there");
    assert_eq!(found.value, of_maintenance);
    assert_eq!(store.migration(MigrationId(maintenance_id(1).0)).await.expect("read"), None);
    let by_number = store.maintenance_by_number(1).await.expect("read");
    assert_eq!(by_number, store.maintenance(maintenance_id(1)).await.expect("read"));
    assert_eq!(by_number.map(|found| found.value), Some(maintenance(1)));
    let page = store.maintenances_page(Only::All, None, 1).await.expect("a page");
    assert_eq!((page.items.len(), page.next), (1, None));
    assert_eq!(store.maintenances_page(Only::NotOpen, None, 1).await.expect("a page").items, []);
}

async fn events_come_in_order_and_only_the_ones_asked_for(place: Place) {
    let (store, fence) = place.open_and_claim().await;
    let mut written = Vec::new();
    for round in 0..3 {
        let events = (1..=4).map(|n| event(n, &format!("{round}"))).collect();
        written.extend(
            store.commit(&fence, Batch { events, ..Batch::new(at(0)) }).await.expect("written").events,
        );
    }
    let mut read = Vec::new();
    while let page = store
        .events_after(read.last().map_or(Seq::START, |(seq, _)| *seq), &EventFilter::default(), 5)
        .await
        .expect("events")
        && !page.is_empty()
    {
        read.extend(page);
    }
    assert_eq!(read, written);
    assert_eq!(store.latest_event().await.expect("read"), written[11].0);

    let any = EventFilter::default;
    for (filter, count) in [
        (EventFilter { owner: Some(owner("acme")), ..any() }, 6),
        (EventFilter { migration: Some(migration_id(1)), ..any() }, 3),
        (EventFilter { server: Some(server_id(2)), host: Some(host("h1")), ..any() }, 3),
        (EventFilter { host: Some(host("h2")), ..any() }, 0),
        (EventFilter { maintenance: Some(maintenance_id(1)), ..any() }, 0),
    ] {
        let found = store.events_after(Seq::START, &filter, 100).await.expect("events");
        assert_eq!(found.len(), count, "{filter:?}");
        assert!(found.iter().all(|(_, event)| filter.owner.is_none() || event.owner == filter.owner));
    }
}

async fn imports_are_found_by_name_host_and_state_and_their_story_by_themselves(place: Place) {
    let (store, fence) = place.open_and_claim().await;
    let over = |n: u32| Import { state: ImportState::Cancelled { at: at(9) }, ..import(n) };
    // The name of the first one is taken again once it is over.
    let again = Import { description: import(1).description, ..import(3) };
    let of_import = Event { import: Some(import(2).id), migration: None, ..event(2, "told") };
    let batch = Batch {
        imports: [over(1), import(2), again.clone()].map(Write::Insert).into(),
        events: vec![event(1, "other"), of_import.clone()],
        ..Batch::new(at(0))
    };
    store.commit(&fence, batch).await.expect("written");
    let found = async |filter: ImportFilter| -> Vec<_> {
        let found = store.imports(&filter).await.expect("read");
        found.into_iter().map(|found| found.value.id).collect()
    };
    let any = ImportFilter::default;
    assert_eq!(found(any()).await, [1, 2, 3].map(|n| import(n).id));
    assert_eq!(found(ImportFilter { only: Only::Open, ..any() }).await, [2, 3].map(|n| import(n).id));
    assert_eq!(found(ImportFilter { only: Only::NotOpen, ..any() }).await, [import(1).id]);
    assert_eq!(found(ImportFilter { host: Some(host("h2")), ..any() }).await, []);
    assert_eq!(found(ImportFilter { state: Some("cancelled".to_owned()), ..any() }).await, [import(1).id]);
    let named = store.import_named("legacy-1").await.expect("read").expect("it is there");
    assert_eq!(named.value, again, "the latest of a name");
    assert_eq!(store.import(import(2).id).await.expect("read").expect("it is there").value, import(2));

    let filter = EventFilter { import: Some(import(2).id), ..EventFilter::default() };
    let told = store.events_after(Seq::START, &filter, 10).await.expect("events");
    assert_eq!(told.into_iter().map(|(_, event)| event).collect::<Vec<_>>(), [of_import]);

    let keep = Keep { history_since: at(1_000), answers_since: at(1_000), sessions_since: at(1_000) };
    assert_eq!(store.purge(keep).await.expect("purged").imports, 1, "those that are not over stay");
    assert_eq!(found(any()).await, [2, 3].map(|n| import(n).id));
}

/// SQLite compares moments as text: with none, three or six digits of a fraction.
async fn moments_sort_in_time_whatever_their_fractions(place: Place) {
    let (store, fence) = place.open_and_claim().await;
    let moments: Vec<_> =
        [0, 1, 999, 1_000, 1_001, 500_000, 500_001, 999_999, 1_000_000, 1_500_000, 60_000_000]
            .into_iter()
            .map(|microseconds| at(0) + TimeDelta::microseconds(microseconds))
            .collect();
    let windows_put = moments
        .iter()
        .rev()
        .zip(1..)
        .map(|(at, n)| drover_scheduler::store::StoredWindow { created_at: *at, ..window(n, "acme") })
        .collect();
    store.commit(&fence, Batch { windows_put, ..Batch::new(at(0)) }).await.expect("written");
    let read = store.windows_of(&owner("acme")).await.expect("windows");
    assert_eq!(read.into_iter().map(|window| window.created_at).collect::<Vec<_>>(), moments);
    assert_eq!(store.windows_of(&owner("globex")).await.expect("windows"), []);
}

async fn downtimes_are_the_latest_ten_of_each_server(place: Place) {
    let (store, fence) = place.open_and_claim().await;
    let mut migrations: Vec<_> = (1..=12)
        .map(|n| closed(Migration { server: server_id(1), ..migration(n) }, Span::seconds(u64::from(n))))
        .collect();
    migrations.push(closed(
        Migration { method: drover_policies::attempt::Method::Live, ..migration(20) },
        minutes(1),
    ));
    migrations.push(migration(21));
    insert(&store, &fence, migrations).await;
    let history = store.reboot_downtimes().await.expect("downtimes");
    let expected: Vec<_> = (3..=12).rev().map(Span::seconds).collect();
    assert_eq!(history, [(server_id(1), expected)].into());
}

async fn history_is_purged_and_what_is_needed_stays(place: Place) {
    let (store, fence) = place.open_and_claim().await;
    store.commit(&fence, everything()).await.expect("written");
    let long_after = Keep { history_since: at(1_000), answers_since: at(1_000), sessions_since: at(1_000) };

    // Migration 2 is over, but its last message has not been delivered.
    let purged = store.purge(long_after).await.expect("purged");
    assert_eq!(purged, Purged { events: 2, answers: 1, ..Purged::default() });
    let arrived = Tried::Delivered { how: "mail".to_owned() };
    tried(&store, &ChannelName::Mail, (2, 2), &arrived, 1).await;
    assert_eq!(store.purge(long_after).await.expect("purged"), Purged { migrations: 1, ..Purged::default() });
    assert_eq!(store.migration(migration_id(2)).await.expect("read"), None);
    assert_eq!(store.ticket(ticket_id(2)).await.expect("read"), None);
    assert_eq!(store.notices_of(ticket_id(1)).await.expect("read").len(), 1, "what goes on stays");

    // A maintenance goes with its last migration when its operators have been told, and no number comes again.
    let told = store.deliveries_due(&ChannelName::Mail, at(1), 10).await.expect("deliveries");
    let bulletin = told.into_iter().find(|due| due.post.id() == notice_id(3)).expect("it waits");
    let settled =
        [Settled { id: bulletin.id, ticket: None, tried: arrived.clone(), external: None, text: None }];
    store.deliveries_tried(&ChannelName::Mail, &settled, at(1)).await.expect("noted");
    let migration = store.migration(migration_id(1)).await.expect("read").expect("it is there");
    let maintenance = store.maintenance(maintenance_id(1)).await.expect("read").expect("it is there");
    let over = Batch {
        maintenances: vec![Write::Update(
            Maintenance { state: MaintenanceState::Completed { at: at(5) }, ..maintenance.value },
            maintenance.generation,
        )],
        migrations: vec![Write::Update(closed(migration.value, minutes(1)), migration.generation)],
        operations_ended: vec![operation_id(1)],
        tickets_closed: vec![ticket_id(1)],
        ..Batch::new(at(5))
    };
    store.commit(&fence, over).await.expect("written");
    let failed = Tried::Failed { error: "no such user".to_owned() };
    tried(&store, &ChannelName::Mail, (1, 1), &failed, 5).await;
    let too_early = Keep { history_since: at(5), ..long_after };
    assert_eq!(store.purge(too_early).await.expect("purged"), Purged::default());
    // What its replica has left somewhere is to be cleared away first.
    assert_eq!(store.purge(long_after).await.expect("purged"), Purged::default());
    let gone = Replica { state: ReplicaState::Gone { at: at(5) }, ..replica(1, 1) };
    let replicas = vec![Write::Update(gone, Generation::FIRST)];
    store.commit(&fence, Batch { replicas, ..Batch::new(at(5)) }).await.expect("written");
    let purged = store.purge(long_after).await.expect("purged");
    assert_eq!(purged, Purged { migrations: 1, maintenances: 1, ..Purged::default() });
    let picture = store.picture().await.expect("a picture");
    assert_eq!((picture.maintenances.len(), picture.migrations.len(), picture.next_number), (0, 0, 1003));
    assert_eq!(picture.windows.len(), 1);
}

async fn the_whole_story_is_looked_through_page_by_page(place: Place) {
    let (store, fence) = place.open_and_claim().await;
    let mut events: Vec<Event> = (1..=23).map(|n| event(1, &format!("told {n}."))).collect();
    events.push(event(2, "50% off_by\\one"));
    events.push(Event { what: drover_policies::events::Happened::HostEmpty, ..event(2, "") });
    store.commit(&fence, Batch { events, ..Batch::new(at(0)) }).await.expect("written");

    let page = |skip, order| StoryPage { order, skip, take: 10, ..StoryPage::default() };
    let seen = |found: Vec<(Seq, Event)>| found.into_iter().map(|(seq, _)| seq.0).collect::<Vec<_>>();
    for (order, all) in
        [(Order::NewestFirst, (1..=25).rev().collect::<Vec<i64>>()), (Order::OldestFirst, (1..=25).collect())]
    {
        let mut pages = Vec::new();
        for skip in [0, 10, 20, 30] {
            let (found, total) = store.events_page(&page(skip, order)).await.expect("a page");
            assert_eq!(total, 25, "of all pages together");
            pages.extend(seen(found));
        }
        assert_eq!(pages, all, "{order:?}");
    }
    let of = |kind: &str, text: &str| StoryPage {
        kind: kind.to_owned(),
        text: text.to_owned(),
        take: 100,
        ..StoryPage::default()
    };
    // What is typed is looked for as it stands: nothing in it means anything else to the database.
    for (kind, text, total) in [
        ("host_empty", "", 1),
        ("failed", "", 24),
        ("", "TOLD 7.", 1),
        ("host_empty", "told", 0),
        ("", "50% off_by", 1),
        ("", "%", 1),
        ("", "told_", 0),
        ("", "' OR 1=1 --", 0),
        ("' OR '1'='1", "", 0),
    ] {
        let (found, counted) = store.events_page(&of(kind, text)).await.expect("a page");
        assert_eq!((found.len(), counted), (total, total as u64), "{kind:?} {text:?}");
    }
    assert_eq!(store.event_kinds().await.expect("kinds"), ["failed", "host_empty"]);
}
