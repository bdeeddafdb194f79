//! Leases, and batches that are written whole or not at all.

use chrono::TimeDelta;
use drover_agent_api::{AbortBecause, Wish};
use drover_policies::host::Standing;
use drover_policies::ids::Generation;
use drover_policies::migration::Migration;
use drover_policies::time::Span;
use drover_scheduler::store::{
    AgentSeen, Batch, Committed, Counter, EventFilter, HostStanding, NewWish, Picture, Role, Seq, Store,
    StoreError, Write,
};

use crate::place::{Place, claim, on_both_engines};
use crate::samples::*;
use drover_policies::import::Import;

on_both_engines![
    a_batch_is_found_again_as_it_was_written,
    a_conflict_leaves_nothing_half_written,
    every_kind_of_write_refuses_what_was_changed_meanwhile,
    who_has_lost_the_lease_writes_nothing,
    of_two_who_claim_a_lease_one_gets_it,
    of_many_who_write_at_once_each_change_happens_once,
    numbers_are_never_given_twice,
    a_picture_is_of_one_moment,
    what_is_read_while_another_writes_is_not_half_of_it,
    of_two_inventories_the_later_one_stays,
    a_repeated_request_finds_its_answer_and_is_not_done_twice,
    tokens_are_found_by_hash_and_stay_revoked,
];

fn is_conflict(result: Result<Committed, StoreError>) -> bool {
    match result {
        Err(StoreError::Conflict { .. }) => true,
        Err(other) => panic!("another error: {other:?}"),
        Ok(_) => false,
    }
}

async fn all_events(store: &Store) -> usize {
    store.events_after(Seq::START, &EventFilter::default(), 1000).await.expect("events").len()
}

async fn a_batch_is_found_again_as_it_was_written(place: Place) {
    let (store, fence) = place.open_and_claim().await;
    let batch = everything();
    let committed = store.commit(&fence, batch.clone()).await.expect("written");
    assert_eq!(
        committed.notices,
        [notice_id(1), notice_id(2), notice_id(3)],
        "the last one is for operators"
    );
    store.close().await;

    let store = place.open().await;
    let picture = store.picture().await.expect("a picture");
    let found = picture.maintenances.first().expect("the maintenance");
    assert_eq!((&found.value, found.generation), (&rolling(1), Generation::FIRST));
    assert_eq!(store.hook_runs(found.value.id, &host("h1")).await.expect("hooks"), [hook_run(2)]);
    assert_eq!(picture.migrations.len(), 1, "the other one is over");
    let of_maintenance = Migration { maintenance: Some(maintenance_id(1)), ..migration(1) };
    assert_eq!(picture.migrations[0].value, of_maintenance);
    assert_eq!(picture.operations.len(), 1, "the other one has ended");
    assert_eq!(picture.operations[0].operation, operation(1, Some(1)).operation);
    assert_eq!(picture.told, [notice(1, 1, "proposed").key].into());
    assert_eq!(picture.windows, batch.windows_put);
    assert_eq!(picture.limits, batch.limits_put);
    assert_eq!(picture.checks, batch.checks_put);
    let blueprints = picture.blueprints.iter().map(|stored| Write::Insert(stored.value.clone()));
    assert_eq!(blueprints.collect::<Vec<_>>(), batch.blueprints);
    let imports = picture.imports.iter().map(|import| Write::Insert(import.value.clone()));
    assert_eq!(imports.collect::<Vec<_>>(), batch.imports);
    let frozen = picture.freezes.iter().map(|freeze| Write::Insert(freeze.value.clone()));
    assert_eq!(frozen.collect::<Vec<_>>(), batch.freezes);
    assert_eq!(picture.history, [(server_id(2), vec![Span::milliseconds(41_500)])].into());
    assert_eq!(picture.next_number, 1003);
    assert_eq!(store.latest_plan(maintenance_id(1)).await.expect("a plan").as_slice(), batch.plans);
    assert_eq!(store.owner(&owner("acme")).await.expect("owner"), Some(contact("acme")));
    assert_eq!(store.tokens(None).await.expect("tokens"), batch.tokens_added);
    let events = store.events_after(Seq::START, &EventFilter::default(), 10).await.expect("events");
    assert_eq!(events, committed.events);
    assert_eq!(events.into_iter().map(|(_, event)| event).collect::<Vec<_>>(), batch.events);
    let ended = store.operation(operation_id(2)).await.expect("read").expect("it is kept");
    assert_eq!(ended.ended_at, Some(at(0)));
}

async fn a_conflict_leaves_nothing_half_written(place: Place) {
    let (store, fence) = place.open_and_claim().await;
    store.commit(&fence, everything()).await.expect("written");
    let before = store.picture().await.expect("a picture");
    let events = all_events(&store).await;

    // Everything in it could be written, but for the last: the host's standing is not in that generation.
    let stale = HostStanding { host: host("h1"), standing: Standing::Open };
    let batch = Batch {
        migrations: vec![Write::Insert(migration(7))],
        standings: vec![Write::Update(stale, Generation(9))],
        operations_ended: vec![operation_id(1)],
        events: vec![event(7, "never")],
        ..Batch::new(at(1))
    };
    assert!(is_conflict(store.commit(&fence, batch).await));
    assert_eq!(store.picture().await.expect("a picture"), before);
    assert_eq!(all_events(&store).await, events);
}

async fn every_kind_of_write_refuses_what_was_changed_meanwhile(place: Place) {
    let (store, fence) = place.open_and_claim().await;
    store.commit(&fence, everything()).await.expect("written");
    let first = Generation::FIRST;
    let of_maintenance = Migration { maintenance: Some(maintenance_id(1)), ..migration(1) };
    let wish = NewWish {
        operation: operation_id(1),
        read_at: first,
        wish: Wish::Abort { because: AbortBecause::Asked },
    };
    let changes = Batch {
        maintenances: vec![Write::Update(maintenance(1), first)],
        migrations: vec![Write::Update(of_maintenance.clone(), first)],
        replicas: vec![Write::Update(replica(1, 1), first)],
        imports: vec![Write::Update(import(1), first)],
        standings: vec![Write::Update(HostStanding { host: host("h1"), standing: Standing::Open }, first)],
        operations_wished: vec![wish.clone()],
        ..Batch::new(at(1))
    };
    store.commit(&fence, changes.clone()).await.expect("nobody else has changed them");
    let wanted = store.operations_wanted_of(&host("h1")).await.expect("read");
    assert_eq!(wanted[0].operation.generation, Generation(2));
    assert_eq!(wanted[0].operation.wish, wish.wish);

    // Now each of them alone is stale, or there already.
    let nothing = Batch::new(at(2));
    let stale = [
        Batch { maintenances: changes.maintenances, ..nothing.clone() },
        Batch { migrations: changes.migrations, ..nothing.clone() },
        Batch { replicas: changes.replicas, ..nothing.clone() },
        Batch { replicas: vec![Write::Insert(replica(1, 1))], ..nothing.clone() },
        Batch { imports: changes.imports, ..nothing.clone() },
        Batch { imports: vec![Write::Insert(import(1))], ..nothing.clone() },
        // Two of one name are not open at the same time, whoever has looked when.
        Batch {
            imports: vec![Write::Insert(Import { description: import(1).description, ..import(2) })],
            ..nothing.clone()
        },
        Batch { standings: changes.standings, ..nothing.clone() },
        Batch { operations_wished: changes.operations_wished, ..nothing.clone() },
        Batch { operations_ended: vec![operation_id(2)], ..nothing.clone() },
        Batch { maintenances: vec![Write::Insert(maintenance(1))], ..nothing.clone() },
        Batch {
            migrations: vec![Write::Insert(Migration { number: 1001, ..migration(5) })],
            ..nothing.clone()
        },
        Batch { operations_begun: vec![operation(1, None)], ..nothing.clone() },
        Batch { tickets_opened: vec![ticket(1)], ..nothing.clone() },
        Batch { plans: vec![plan(1, 1, 0)], ..nothing.clone() },
        Batch { windows_put: vec![window(1, "globex")], ..nothing.clone() },
        Batch { limits_put: vec![limit(1, "globex")], ..nothing.clone() },
        Batch { checks_put: vec![check(1, "globex")], ..nothing.clone() },
        Batch { blueprints: vec![Write::Insert(blueprint(1))], ..nothing.clone() },
        Batch { blueprints: vec![Write::Update(blueprint(1), Generation(2))], ..nothing.clone() },
        Batch { blueprints: vec![Write::Update(blueprint(2), first)], ..nothing.clone() },
        Batch { blueprints_removed: vec![(server_id(1), Generation(2))], ..nothing.clone() },
        Batch { blueprints_removed: vec![(server_id(2), first)], ..nothing.clone() },
        Batch { freezes: vec![Write::Insert(freeze(1, "acme"))], ..nothing.clone() },
        Batch { freezes: vec![Write::Update(freeze(1, "globex"), first)], ..nothing.clone() },
        Batch { freezes: vec![Write::Update(freeze(1, "acme"), Generation(2))], ..nothing.clone() },
        Batch { freezes: vec![Write::Update(freeze(2, "acme"), first)], ..nothing.clone() },
        Batch { tokens_added: vec![token(1, Role::Operator)], ..nothing.clone() },
        Batch { answer: Some(answer("key-1")), ..nothing.clone() },
    ];
    for batch in stale {
        assert!(is_conflict(store.commit(&fence, batch.clone()).await), "{batch:?}");
    }
}

async fn who_has_lost_the_lease_writes_nothing(place: Place) {
    let (one, old) = place.open_and_claim().await;
    one.commit(&old, everything()).await.expect("written");
    let two = place.open().await;
    assert_eq!(claim(&two, "second", 5).await, None, "it has not expired");
    let new = claim(&two, "second", 11).await.expect("it has expired");
    let before = one.picture().await.expect("a picture");

    let refused =
        one.commit(&old, Batch { migrations: vec![Write::Insert(migration(7))], ..Batch::new(at(12)) }).await;
    assert!(matches!(refused, Err(StoreError::Fenced { .. })), "{refused:?}");
    assert!(matches!(one.renew(&old, at(100)).await, Err(StoreError::Fenced { .. })));
    one.release(&old, at(12)).await.expect("giving back what is gone is no error");
    assert_eq!(one.picture().await.expect("a picture"), before);

    let batch = Batch { migrations: vec![Write::Insert(migration(8))], ..Batch::new(at(12)) };
    two.commit(&new, batch).await.expect("the new holder writes");
    two.release(&new, at(13)).await.expect("released");
    let late = two.commit(&new, Batch::new(at(13))).await;
    assert!(matches!(late, Err(StoreError::Fenced { .. })), "what was given back lets nothing in: {late:?}");
    assert!(claim(&one, "first", 13).await.is_some(), "what was given back is free at once");
}

async fn of_two_who_claim_a_lease_one_gets_it(place: Place) {
    let (one, two) = (place.open().await, place.open().await);
    for round in 0..20 {
        let now = round * 60;
        let (first, second) = tokio::join!(claim(&one, "first", now), claim(&two, "second", now));
        let winner = match (&first, &second) {
            (Some(fence), None) | (None, Some(fence)) => fence.clone(),
            both => panic!("round {round}: {both:?}"),
        };
        let held = one.lease("scheduler").await.expect("read").expect("it is held");
        assert_eq!(held.generation, winner.generation);
        one.renew(&winner, at(now + 30)).await.expect("the winner keeps it");
    }
    let now = 20 * 60;
    let before = claim(&one, "first", now).await.expect("free again");
    let after = claim(&one, "first", now).await.expect("who comes back by the same name need not wait");
    assert!(after.generation > before.generation);
    assert!(matches!(one.commit(&before, Batch::new(at(now))).await, Err(StoreError::Fenced { .. })));
}

async fn of_many_who_write_at_once_each_change_happens_once(place: Place) {
    let (store, fence) = place.open_and_claim().await;
    store
        .commit(&fence, Batch { migrations: vec![Write::Insert(migration(1))], ..Batch::new(at(0)) })
        .await
        .expect("written");
    let other = place.open().await;
    let writer = |store: Store, fence, name: u32| async move {
        for round in 0..10 {
            loop {
                let found = store.migration(migration_id(1)).await.expect("read").expect("it is there");
                let text = format!("{}+", found.value.place_why);
                let changed = Migration { place_why: text, ..found.value };
                let batch = Batch {
                    migrations: vec![Write::Update(changed, found.generation)],
                    events: vec![event(1, &format!("{name}/{round}"))],
                    ..Batch::new(at(1))
                };
                if !is_conflict(store.commit(&fence, batch).await) {
                    break;
                }
            }
        }
    };
    let writers = (0..4).map(|n| {
        let store = if n % 2 == 0 { store.clone() } else { other.clone() };
        tokio::spawn(writer(store, fence.clone(), n))
    });
    for writer in writers.collect::<Vec<_>>() {
        writer.await.expect("it comes to its end");
    }
    let found = store.migration(migration_id(1)).await.expect("read").expect("it is there");
    assert_eq!(found.value.place_why, format!("{}{}", migration(1).place_why, "+".repeat(40)));
    assert_eq!(found.generation, Generation(41));
    assert_eq!(all_events(&store).await, 40);
}

async fn numbers_are_never_given_twice(place: Place) {
    let (store, fence) = place.open_and_claim().await;
    assert_eq!(store.next_number(Counter::Maintenance).await.expect("a number"), 1);
    assert_eq!(store.next_number(Counter::Migration).await.expect("a number"), 1001);
    let batch = Batch {
        maintenances: vec![Write::Insert(maintenance(1)), Write::Insert(maintenance(2))],
        migrations: vec![Write::Insert(migration(3)), Write::Insert(migration(1))],
        ..Batch::new(at(0))
    };
    store.commit(&fence, batch).await.expect("written");
    assert_eq!(store.next_number(Counter::Maintenance).await.expect("a number"), 3);
    assert_eq!(store.next_number(Counter::Migration).await.expect("a number"), 1004);
}

async fn a_picture_is_of_one_moment(place: Place) {
    let (store, fence) = place.open_and_claim().await;
    let writing = async {
        for n in 1..=40 {
            let batch = Batch {
                migrations: vec![Write::Insert(migration(n))],
                operations_begun: vec![operation(n, Some(n))],
                windows_put: vec![window(n, "acme")],
                ..Batch::new(at(0))
            };
            store.commit(&fence, batch).await.expect("written");
        }
    };
    let other = place.open().await;
    let reading = async {
        loop {
            let Picture { migrations, operations, windows, next_number, .. } =
                other.picture().await.expect("a picture");
            let count = migrations.len();
            assert_eq!((operations.len(), windows.len(), next_number as usize), (count, count, 1001 + count));
            if count == 40 {
                break;
            }
        }
    };
    tokio::join!(writing, reading);
}

/// Single reads too: a reader never sees a batch of two events by its first one only.
async fn what_is_read_while_another_writes_is_not_half_of_it(place: Place) {
    let (store, fence) = place.open_and_claim().await;
    let writing = async {
        for n in 1..=40 {
            let batch = Batch { events: vec![event(n, "one"), event(n, "two")], ..Batch::new(at(0)) };
            store.commit(&fence, batch).await.expect("written");
        }
    };
    let other = place.open().await;
    let reading = async {
        let mut seen = Vec::new();
        while seen.len() < 80 {
            let after = seen.last().map_or(Seq::START, |(seq, _)| *seq);
            seen.extend(other.events_after(after, &EventFilter::default(), 1000).await.expect("events"));
            assert!(seen.len().is_multiple_of(2), "{}", seen.len());
        }
        assert!(seen.is_sorted_by(|(one, _), (two, _)| one < two));
    };
    tokio::join!(writing, reading);
}

async fn of_two_inventories_the_later_one_stays(place: Place) {
    let (store, fence) = place.open_and_claim().await;
    let h1 = host("h1");
    let tell = |incarnation, serial: Option<u64>, now| {
        let (store, h1) = (store.clone(), h1.clone());
        async move {
            store
                .agent_seen(&h1, incarnation, serial.map(inventory).as_ref(), at(now))
                .await
                .expect("taken in")
        }
    };
    assert_eq!(tell(1, None, 0).await, AgentSeen::Current { serial: None });
    assert_eq!(tell(1, Some(2), 1).await, AgentSeen::Current { serial: Some(2) });
    assert_eq!(
        tell(1, Some(1), 2).await,
        AgentSeen::Current { serial: Some(2) },
        "an earlier one comes late"
    );
    let found = store.host(&h1).await.expect("read").expect("it is there");
    assert_eq!(found.inventory, Some(inventory(2)));
    assert_eq!(found.standing.value, Standing::Open);

    // What is wished of it is changed beside what its agent tells.
    let cordoned = Standing::Cordoned { reason: "disk".to_owned(), since: at(2) };
    let standing = Write::Update(
        HostStanding { host: h1.clone(), standing: cordoned.clone() },
        found.standing.generation,
    );
    store.commit(&fence, Batch { standings: vec![standing], ..Batch::new(at(2)) }).await.expect("written");

    // A new incarnation counts anew, and its first call asks for everything; the last known picture stays until then.
    assert_eq!(tell(2, None, 3).await, AgentSeen::Current { serial: None });
    assert_eq!(store.host(&h1).await.expect("read").and_then(|host| host.inventory), Some(inventory(2)));
    assert_eq!(tell(2, Some(1), 4).await, AgentSeen::Current { serial: Some(1) });
    assert_eq!(tell(1, Some(9), 5).await, AgentSeen::Replaced { by: 2 });
    let found = store.hosts().await.expect("read").pop().expect("it is there");
    assert_eq!((found.inventory, found.incarnation, found.seen_at), (Some(inventory(1)), 2, Some(at(4))));
    assert_eq!((found.standing.value, found.standing.generation), (cordoned, Generation(2)));
}

async fn a_repeated_request_finds_its_answer_and_is_not_done_twice(place: Place) {
    let (store, fence) = place.open_and_claim().await;
    let request = Batch {
        maintenances: vec![Write::Insert(maintenance(1))],
        answer: Some(answer("once")),
        ..Batch::new(at(0))
    };
    store.commit(&fence, request).await.expect("done");
    let again = Batch {
        maintenances: vec![Write::Insert(maintenance(2))],
        answer: Some(answer("once")),
        ..Batch::new(at(1))
    };
    assert!(is_conflict(store.commit(&fence, again).await));
    assert_eq!(store.answer("operator ada", "once").await.expect("read"), Some(answer("once")));
    assert_eq!(store.answer("operator bob", "once").await.expect("read"), None, "a key is its caller's own");
    assert_eq!(store.maintenances_open().await.expect("read").len(), 1);
}

async fn tokens_are_found_by_hash_and_stay_revoked(place: Place) {
    let store = place.open().await;
    let agent = token(1, Role::Agent(host("h1")));
    store.add_token(&agent).await.expect("added");
    assert!(matches!(store.add_token(&agent).await, Err(StoreError::Conflict { .. })));
    store.token_used(agent.id, at(5) + TimeDelta::microseconds(1)).await.expect("noted");
    store.token_used(agent.id, at(5)).await.expect("an earlier use, noted late");
    store.revoke_token(agent.id, at(6)).await.expect("revoked");
    store.revoke_token(agent.id, at(7)).await.expect("revoking twice is revoking");
    let found = store.token_by_hash(&agent.hash).await.expect("read").expect("it is there");
    assert_eq!(found.last_used_at, Some(at(5) + TimeDelta::microseconds(1)));
    assert_eq!(found.revoked_at, Some(at(6)));
    assert_eq!(store.token_by_hash("none").await.expect("read"), None);
    let unknown = token(2, Role::Operator).id;
    assert!(matches!(store.revoke_token(unknown, at(8)).await, Err(StoreError::Conflict { .. })));
}

#[tokio::test]
async fn an_address_that_names_no_database_is_refused_without_its_password() {
    for (given, shown) in [
        ("", ""),
        (":memory:", ":memory:"),
        ("sqlite::memory:", "sqlite::memory:"),
        ("sqlite://", "sqlite://"),
        ("mysql://drover:secret@db/drover", "mysql://drover@db/drover"),
    ] {
        match Store::open(given).await {
            Err(StoreError::BadUrl { given }) => assert_eq!(given, shown),
            other => panic!("{given:?}: {other:?}"),
        }
    }
}
