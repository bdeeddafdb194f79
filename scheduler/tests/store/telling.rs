//! Messages: one per fact, none lost, none out of order.

use drover_policies::migration::Migration;
use drover_scheduler::store::{Batch, Delivery, Store, Tried, Undelivered, Write};

use crate::place::{Place, on_both_engines};
use crate::samples::*;

on_both_engines![
    a_fact_that_was_told_is_not_told_again_and_the_rest_is_written,
    a_later_message_of_a_ticket_waits_for_the_earlier_one,
    what_was_told_is_known_as_long_as_it_matters,
];

async fn with_tickets(place: &Place) -> (Store, drover_scheduler::store::Fence) {
    let (store, fence) = place.open_and_claim().await;
    let batch = Batch {
        migrations: (1..=2).map(|n| Write::Insert(migration(n))).collect(),
        tickets_opened: (1..=2).map(ticket).collect(),
        ..Batch::new(at(0))
    };
    store.commit(&fence, batch).await.expect("written");
    (store, fence)
}

async fn due(store: &Store, now: i64) -> Vec<drover_policies::ids::NoticeId> {
    let due = store.notices_due(at(now), 10).await.expect("notices");
    due.into_iter().map(|stored| stored.notice.id).collect()
}

async fn a_fact_that_was_told_is_not_told_again_and_the_rest_is_written(place: Place) {
    let (store, fence) = with_tickets(&place).await;
    let first = Batch { notices: vec![notice(1, 1, "proposed")], ..Batch::new(at(0)) };
    assert_eq!(store.commit(&fence, first).await.expect("written").notices, [notice_id(1)]);
    let again = Batch {
        notices: vec![notice(2, 1, "proposed"), notice(3, 1, "reminder"), notice(4, 2, "proposed")],
        events: vec![event(1, "told")],
        ..Batch::new(at(1))
    };
    let committed = store.commit(&fence, again).await.expect("written");
    assert_eq!(committed.notices, [notice_id(3), notice_id(4)]);
    assert_eq!(committed.events.len(), 1);
    let stored = store.notices_of(ticket_id(1)).await.expect("notices");
    let notices: Vec<_> = stored.into_iter().map(|stored| stored.notice).collect();
    assert_eq!(notices, [notice(1, 1, "proposed"), notice(3, 1, "reminder")]);
}

async fn a_later_message_of_a_ticket_waits_for_the_earlier_one(place: Place) {
    let (store, fence) = with_tickets(&place).await;
    // Their ids are against their order on purpose.
    let batch = Batch {
        notices: vec![
            notice(9, 1, "proposed"),
            notice(8, 1, "reminder"),
            notice(7, 1, "started"),
            notice(6, 2, "proposed"),
        ],
        ..Batch::new(at(0))
    };
    store.commit(&fence, batch).await.expect("written");
    assert_eq!(due(&store, -1).await, []);
    assert_eq!(due(&store, 0).await, [notice_id(9), notice_id(6)]);

    let busy = Tried::Retry {
        at: at(10),
        error: "the mail server is busy".to_owned(),
        still_to_get: vec!["grace@example.org".to_owned()],
    };
    store.notice_tried(notice_id(9), &busy, at(0)).await.expect("noted");
    assert_eq!(
        due(&store, 9).await,
        [notice_id(6)],
        "the first waits for its next try, and the second for the first"
    );
    assert_eq!(due(&store, 10).await, [notice_id(6), notice_id(9)]);
    let again = store.notices_due(at(10), 10).await.expect("notices").pop().expect("the one to be repeated");
    assert_eq!(again.still_to_get, ["grace@example.org"], "who has got it is not written to again");
    assert_eq!(store.next_delivery_at().await.expect("read"), Some(at(0)));
    assert_eq!(
        store.undelivered().await.expect("counted"),
        Undelivered { pending: 4, retrying: 1, failed: 0 }
    );

    let arrived = Tried::Delivered { how: "mail to acme@example.org".to_owned() };
    store.notice_tried(notice_id(9), &arrived, at(10)).await.expect("noted");
    assert_eq!(due(&store, 10).await, [notice_id(8), notice_id(6)]);
    store
        .notice_tried(notice_id(8), &Tried::Failed { error: "no address".to_owned() }, at(11))
        .await
        .expect("noted");
    assert_eq!(due(&store, 11).await, [notice_id(7), notice_id(6)]);

    // A late result of a try that was settled otherwise changes nothing.
    store.notice_tried(notice_id(9), &busy, at(12)).await.expect("noted");
    let stored = store.notices_of(ticket_id(1)).await.expect("notices");
    assert_eq!(
        stored[0].delivery,
        Delivery::Delivered { at: at(10), how: "mail to acme@example.org".to_owned() }
    );
    assert_eq!((stored[0].tries, stored[0].last_error.as_deref()), (2, Some("the mail server is busy")));
    assert_eq!(stored[1].delivery, Delivery::Failed { at: at(11) });
    assert_eq!(stored[2].delivery, Delivery::Pending { next_try_at: at(0) });
    assert_eq!(
        store.undelivered().await.expect("counted"),
        Undelivered { pending: 2, retrying: 0, failed: 1 }
    );
}

async fn what_was_told_is_known_as_long_as_it_matters(place: Place) {
    let (store, fence) = with_tickets(&place).await;
    let told = [notice(1, 1, "proposed"), notice(2, 2, "proposed")];
    let keys: Vec<_> = told.iter().map(|notice| notice.key.clone()).collect();
    store.commit(&fence, Batch { notices: told.into(), ..Batch::new(at(0)) }).await.expect("written");
    assert_eq!(store.told().await.expect("read"), keys.iter().cloned().collect());

    let close = |n, over: bool| {
        let (store, fence) = (store.clone(), fence.clone());
        async move {
            let found = store.migration(migration_id(n)).await.expect("read").expect("it is there");
            let value: Migration = if over { closed(found.value, minutes(1)) } else { found.value };
            let batch = Batch {
                migrations: vec![Write::Update(value, found.generation)],
                tickets_closed: vec![ticket_id(n)],
                ..Batch::new(at(1))
            };
            store.commit(&fence, batch).await.expect("written");
        }
    };
    close(1, false).await;
    close(2, true).await;
    assert_eq!(store.told().await.expect("read"), [keys[0].clone()].into());
}
