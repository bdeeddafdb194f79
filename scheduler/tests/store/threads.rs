//! Whose turn it is in a ticket, and mails that came back.

use drover_policies::notices::{Actor, Notice, Tells, Via};
use drover_policies::time::Instant;
use drover_scheduler::store::{
    Batch, Keep, LastWord, Store, StoreError, StoredBounce, Taken, TakenTicket, TicketFilter, Write,
};

use crate::place::{Place, on_both_engines};
use crate::samples::*;

on_both_engines![
    an_owners_words_wait_until_an_operator_answers,
    of_two_who_take_a_ticket_at_once_one_finds_that_the_other_has_it,
    a_mail_that_came_back_twice_is_noted_once_and_goes_with_its_ticket,
];

fn written(n: u32, by: Actor, when: i64) -> Notice {
    let tells = Tells::Written { by, text: "hello".to_owned(), via: Via::Mail };
    Notice { tells, at: at(when), ..notice(n, 1, &format!("written/{n}")) }
}

async fn unanswered(store: &Store) -> Vec<Option<Instant>> {
    let filter = TicketFilter { last_word: LastWord::Owners, ..TicketFilter::default() };
    let page = store.tickets_page(&filter, None, 10).await.expect("tickets");
    page.items.into_iter().map(|ticket| ticket.unanswered_since).collect()
}

async fn an_owners_words_wait_until_an_operator_answers(place: Place) {
    let (store, fence) = place.open_and_claim().await;
    let opened = Batch {
        migrations: (1..=2).map(|n| Write::Insert(migration(n))).collect(),
        tickets_opened: (1..=2).map(ticket).collect(),
        ..Batch::new(at(0))
    };
    store.commit(&fence, opened).await.expect("written");
    assert_eq!(unanswered(&store).await, []);
    let owners = || Actor::Owner { owner: owner("acme") };
    for (n, by, waits) in [
        (1, owners(), vec![Some(at(1))]),
        // Since the first word that was not answered.
        (2, owners(), vec![Some(at(1))]),
        (3, operator(), vec![]),
        (4, Actor::Drover, vec![]),
        (5, owners(), vec![Some(at(5))]),
        // A repeat of an answer is not another one.
        (3, operator(), vec![Some(at(5))]),
    ] {
        let batch = Batch { notices: vec![written(n, by, i64::from(n))], ..Batch::new(at(i64::from(n))) };
        store.commit(&fence, batch).await.expect("written");
        assert_eq!(unanswered(&store).await, waits, "{n}");
    }
}

async fn of_two_who_take_a_ticket_at_once_one_finds_that_the_other_has_it(place: Place) {
    let (store, fence) = place.open_and_claim().await;
    let opened = Batch {
        migrations: (1..=2).map(|n| Write::Insert(migration(n))).collect(),
        tickets_opened: (1..=2).map(ticket).collect(),
        ..Batch::new(at(0))
    };
    store.commit(&fence, opened).await.expect("written");
    let name = |name: &str| Some(name.to_owned());
    let take = async |from: Option<String>, by: Option<String>, when| {
        let taken = TakenTicket { ticket: ticket_id(1), from, by };
        store.commit(&fence, Batch { tickets_taken: vec![taken], ..Batch::new(at(when)) }).await
    };
    take(None, name("ada"), 1).await.expect("it was nobody's");
    let second = take(None, name("bob"), 2).await;
    assert!(matches!(second, Err(StoreError::Conflict { .. })), "{second:?}");
    take(name("ada"), name("bob"), 3).await.expect("it was hers");
    let of = async |by: &str| {
        let filter = TicketFilter { taken_by: name(by), ..TicketFilter::default() };
        let page = store.tickets_page(&filter, None, 10).await.expect("tickets");
        page.items.into_iter().map(|ticket| ticket.taken).collect::<Vec<_>>()
    };
    assert_eq!(of("ada").await, []);
    assert_eq!(of("bob").await, [Some(Taken { by: "bob".to_owned(), at: at(3) })]);
    take(name("bob"), None, 4).await.expect("it was his");
    let found = store.ticket(ticket_id(1)).await.expect("read").expect("it is there");
    assert_eq!(found.taken, None);
}

async fn a_mail_that_came_back_twice_is_noted_once_and_goes_with_its_ticket(place: Place) {
    let (store, fence) = place.open_and_claim().await;
    let batch = Batch {
        migrations: vec![Write::Insert(migration(1))],
        tickets_opened: vec![ticket(1)],
        notices: vec![notice(1, 1, "accepted")],
        ..Batch::new(at(0))
    };
    store.commit(&fence, batch).await.expect("written");
    for (why, when) in [("no such user", 1), ("still no such user", 2)] {
        store.note_bounce(notice_id(1), "ada@acme.example", why, at(when)).await.expect("noted");
    }
    let noted = StoredBounce {
        notice: notice_id(1),
        address: "ada@acme.example".to_owned(),
        why: "no such user".to_owned(),
        at: at(1),
    };
    assert_eq!(store.bounces_of(ticket_id(1)).await.expect("bounces"), [noted]);
    assert_eq!(store.bounces_of(ticket_id(2)).await.expect("bounces"), []);
    assert_eq!(store.bounced_since(at(1)).await.expect("addresses"), ["ada@acme.example"]);
    assert_eq!(store.bounced_since(at(2)).await.expect("addresses"), Vec::<String>::new());
    // A foreign key would refuse to let the message go.
    store
        .purge(Keep { history_since: at(1_000_000), answers_since: at(0), sessions_since: at(0) })
        .await
        .expect("purged");
}
