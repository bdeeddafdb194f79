//! Messages: one per fact, none lost, none out of order.

use drover_policies::channels::{ChannelName, Listener};
use drover_policies::ids::NoticeId;
use drover_policies::maintenance::{Maintenance, State as MaintenanceState};
use drover_policies::migration::Migration;
use drover_scheduler::store::{
    Batch, DeadLetterFilter, Delivery, DeliveryId, Due, Fence, Keep, Post, Settled, Store, StoredDelivery,
    Tried, Undelivered, Write,
};

use crate::place::{Place, on_both_engines};
use crate::samples::*;

on_both_engines![
    a_fact_that_was_told_is_not_told_again_and_the_rest_is_written,
    a_later_message_of_a_ticket_waits_for_the_earlier_one,
    each_channel_keeps_its_own_order_and_waits_for_no_other,
    what_was_given_up_is_listed_and_can_be_tried_again,
    a_channel_that_is_gone_gives_up_all_that_waits_on_it,
    what_a_ticket_is_called_on_a_channel_comes_with_its_next_message,
    how_far_a_channel_was_read_never_goes_back,
    what_was_told_is_known_as_long_as_it_matters,
    what_operators_are_told_of_a_maintenance_is_delivered_like_a_notice_and_to_nobody_else,
    what_operators_were_told_goes_with_its_maintenance_and_not_before_it_has_arrived,
];

const MAIL: ChannelName = ChannelName::Mail;

fn portal() -> ChannelName {
    "webhook:portal".parse().expect("a channel")
}

async fn with_tickets(place: &Place) -> (Store, Fence) {
    let (store, fence) = place.open_and_claim().await;
    let batch = Batch {
        migrations: (1..=2).map(|n| Write::Insert(migration(n))).collect(),
        tickets_opened: (1..=2).map(ticket).collect(),
        ..Batch::new(at(0))
    };
    store.commit(&fence, batch).await.expect("written");
    (store, fence)
}

/// The same with a webhook beside the mail, which hears of acme alone.
async fn with_two_channels(place: &Place) -> (Store, Fence) {
    let (store, fence) = with_tickets(place).await;
    let portal = Listener { owner: Some(owner("acme")), ..Listener::to_all(portal()) };
    (store.with_listeners(vec![Listener::to_all(MAIL), portal]), fence)
}

async fn all_due(store: &Store, channel: &ChannelName, now: i64) -> Vec<Due> {
    store.deliveries_due(channel, at(now), 10).await.expect("deliveries")
}

async fn due(store: &Store, channel: &ChannelName, now: i64) -> Vec<NoticeId> {
    all_due(store, channel, now).await.into_iter().map(|due| due.post.id()).collect()
}

/// Every delivery of a ticket on a channel, in order.
async fn on(store: &Store, channel: &ChannelName, ticket: u32) -> Vec<StoredDelivery> {
    let stored = store.notices_of(ticket_id(ticket)).await.expect("notices");
    let deliveries = stored.into_iter().flat_map(|stored| stored.deliveries);
    deliveries.filter(|delivery| delivery.channel == *channel).collect()
}

async fn id_of(store: &Store, channel: &ChannelName, notice: u32, ticket: u32) -> DeliveryId {
    let stored = store.notices_of(ticket_id(ticket)).await.expect("notices");
    let stored = stored.into_iter().find(|stored| stored.notice.id == notice_id(notice));
    let deliveries = stored.expect("it is there").deliveries.into_iter();
    deliveries
        .filter(|delivery| delivery.channel == *channel)
        .map(|delivery| delivery.id)
        .next()
        .expect("one")
}

/// The end of a try at notice `n` of a ticket.
pub async fn tried(store: &Store, channel: &ChannelName, (n, of): (u32, u32), tried: &Tried, now: i64) {
    let id = id_of(store, channel, n, of).await;
    let settled =
        [Settled { id, ticket: Some(ticket_id(of)), tried: tried.clone(), external: None, text: None }];
    store.deliveries_tried(channel, &settled, at(now)).await.expect("noted");
}

fn arrived() -> Tried {
    Tried::Delivered { how: "mail to acme@example.org".to_owned() }
}

fn failed() -> Tried {
    Tried::Failed { error: "no address".to_owned() }
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
    let before = store.story_before(&notice(3, 1, "reminder")).await.expect("notices");
    assert_eq!(before, [notice(1, 1, "proposed")]);
    assert_eq!(store.story_before(&notice(4, 2, "proposed")).await.expect("notices"), []);
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
    assert_eq!(due(&store, &MAIL, -1).await, []);
    assert_eq!(due(&store, &MAIL, 0).await, [notice_id(9), notice_id(6)]);

    let busy = Tried::Retry {
        at: at(10),
        error: "the mail server is busy".to_owned(),
        still_to_get: vec!["grace@example.org".to_owned()],
    };
    tried(&store, &MAIL, (9, 1), &busy, 0).await;
    assert_eq!(
        due(&store, &MAIL, 9).await,
        [notice_id(6)],
        "the first waits for its next try, and the second for the first"
    );
    assert_eq!(due(&store, &MAIL, 10).await, [notice_id(6), notice_id(9)]);
    let again = all_due(&store, &MAIL, 10).await.pop().expect("the one to be repeated");
    assert_eq!(again.still_to_get, ["grace@example.org"], "who has got it is not written to again");
    assert_eq!((again.tries, again.since), (1, at(0)));
    assert_eq!(store.next_delivery_at().await.expect("read"), Some(at(0)));
    let counted = |pending, retrying, failed| [Undelivered { channel: MAIL, pending, retrying, failed }];
    assert_eq!(store.undelivered().await.expect("counted"), counted(4, 1, 0));

    tried(&store, &MAIL, (9, 1), &arrived(), 10).await;
    assert_eq!(due(&store, &MAIL, 10).await, [notice_id(8), notice_id(6)]);
    tried(&store, &MAIL, (8, 1), &failed(), 11).await;
    assert_eq!(due(&store, &MAIL, 11).await, [notice_id(7), notice_id(6)]);

    // A late result of a try that was settled otherwise changes nothing.
    tried(&store, &MAIL, (9, 1), &busy, 12).await;
    let stored = on(&store, &MAIL, 1).await;
    assert_eq!(
        stored[0].state,
        Delivery::Delivered { at: at(10), how: "mail to acme@example.org".to_owned() }
    );
    assert_eq!((stored[0].tries, stored[0].last_error.as_deref()), (2, Some("the mail server is busy")));
    assert_eq!(stored[1].state, Delivery::Failed { at: at(11) });
    assert_eq!(stored[2].state, Delivery::Pending { next_try_at: at(0) });
    assert_eq!(store.undelivered().await.expect("counted"), counted(2, 0, 1));
}

async fn each_channel_keeps_its_own_order_and_waits_for_no_other(place: Place) {
    let (store, fence) = with_two_channels(&place).await;
    let notices = vec![notice(1, 1, "proposed"), notice(2, 1, "reminder"), notice(3, 2, "proposed")];
    store.commit(&fence, Batch { notices, ..Batch::new(at(0)) }).await.expect("written");
    // Ticket 1 is of globex, of whom the portal does not hear; mail hears of both.
    assert_eq!(due(&store, &MAIL, 0).await, [notice_id(1), notice_id(3)]);
    assert_eq!(due(&store, &portal(), 0).await, [notice_id(3)]);

    let down = Tried::Retry { at: at(30), error: "no answer".to_owned(), still_to_get: Vec::new() };
    tried(&store, &portal(), (3, 2), &down, 0).await;
    let late = Batch { notices: vec![notice(4, 2, "reminder")], ..Batch::new(at(1)) };
    store.commit(&fence, late).await.expect("written");
    tried(&store, &MAIL, (3, 2), &arrived(), 1).await;
    assert_eq!(
        due(&store, &MAIL, 1).await,
        [notice_id(1), notice_id(4)],
        "mail goes on while the portal is away"
    );
    assert_eq!(due(&store, &portal(), 29).await, [], "and what came later does not overtake there");
    assert_eq!(due(&store, &portal(), 30).await, [notice_id(3)]);
    let waiting = store.channels_waiting().await.expect("read");
    assert_eq!(waiting, [(MAIL, at(0)), (portal(), at(30))]);
}

async fn what_was_given_up_is_listed_and_can_be_tried_again(place: Place) {
    let (store, fence) = with_two_channels(&place).await;
    let notices = vec![notice(1, 1, "proposed"), notice(2, 1, "reminder"), notice(3, 2, "proposed")];
    store.commit(&fence, Batch { notices, ..Batch::new(at(0)) }).await.expect("written");
    for (channel, n, of) in [(MAIL, 1, 1), (MAIL, 2, 1), (MAIL, 3, 2), (portal(), 3, 2)] {
        tried(&store, &channel, (n, of), &failed(), 5).await;
    }
    let page = |filter: DeadLetterFilter| {
        let store = store.clone();
        async move {
            let page = store.dead_letters_page(&filter, None, 10).await.expect("a page");
            assert_eq!(store.dead_letters(&filter).await.expect("counted"), page.items.len() as u64);
            let letters = page.items.into_iter();
            letters.map(|letter| (letter.channel, letter.post.id())).collect::<Vec<_>>()
        }
    };
    let (all, of_mail, of_acme) = (
        DeadLetterFilter::default(),
        DeadLetterFilter { channel: Some(MAIL), ..DeadLetterFilter::default() },
        DeadLetterFilter { owner: Some(owner("acme")), ..DeadLetterFilter::default() },
    );
    assert_eq!(page(all.clone()).await.len(), 4);
    assert_eq!(
        page(of_mail.clone()).await,
        [(MAIL, notice_id(3)), (MAIL, notice_id(2)), (MAIL, notice_id(1))]
    );
    assert_eq!(page(of_acme).await, [(portal(), notice_id(3)), (MAIL, notice_id(3))]);
    let first = store.dead_letters_page(&all, None, 3).await.expect("a page");
    let rest = store.dead_letters_page(&all, first.next.as_ref(), 3).await.expect("a page");
    assert_eq!((first.items.len(), rest.items.len(), rest.next), (3, 1, None));

    let one = DeadLetterFilter { id: Some(id_of(&store, &MAIL, 2, 1).await), ..DeadLetterFilter::default() };
    store.commit(&fence, Batch { replays: vec![one], ..Batch::new(at(60)) }).await.expect("replayed");
    let due_again = all_due(&store, &MAIL, 60).await;
    assert_eq!(due_again.iter().map(|due| due.post.id()).collect::<Vec<_>>(), [notice_id(2)]);
    assert_eq!((due_again[0].tries, due_again[0].since), (0, at(60)), "it has its whole time again");
    store.commit(&fence, Batch { replays: vec![of_mail], ..Batch::new(at(61)) }).await.expect("replayed");
    assert_eq!(due(&store, &MAIL, 61).await, [notice_id(1), notice_id(3)], "in their order");
    assert_eq!(page(all).await, [(portal(), notice_id(3))], "the other channel's are left");
}

async fn a_channel_that_is_gone_gives_up_all_that_waits_on_it(place: Place) {
    let (store, fence) = with_two_channels(&place).await;
    let notices = vec![notice(3, 2, "proposed"), notice(4, 2, "reminder")];
    store.commit(&fence, Batch { notices, ..Batch::new(at(0)) }).await.expect("written");
    tried(&store, &portal(), (3, 2), &arrived(), 0).await;
    assert_eq!(store.give_up_channel(&portal(), "it is gone", at(1)).await.expect("given up"), 1);
    let states: Vec<_> = on(&store, &portal(), 2).await.into_iter().map(|delivery| delivery.state).collect();
    assert!(matches!(states[..], [Delivery::Delivered { .. }, Delivery::Failed { .. }]), "{states:?}");
    assert_eq!(due(&store, &MAIL, 1).await, [notice_id(3)]);
}

async fn what_a_ticket_is_called_on_a_channel_comes_with_its_next_message(place: Place) {
    let (store, fence) = with_two_channels(&place).await;
    let notices = vec![notice(3, 2, "proposed"), notice(4, 2, "reminder")];
    store.commit(&fence, Batch { notices, ..Batch::new(at(0)) }).await.expect("written");
    let told = |n, external: &str| {
        let (store, external) = (store.clone(), external.to_owned());
        async move {
            let id = id_of(&store, &portal(), n, 2).await;
            let tried = arrived();
            let settled =
                [Settled { id, ticket: Some(ticket_id(2)), tried, external: Some(external), text: None }];
            store.deliveries_tried(&portal(), &settled, at(0)).await.expect("noted");
        }
    };
    assert_eq!(all_due(&store, &portal(), 0).await[0].external, None);
    told(3, "77").await;
    assert_eq!(all_due(&store, &portal(), 0).await[0].external.as_deref(), Some("77"));
    told(4, "78").await;
    let external = store.external_ticket(&portal(), ticket_id(2)).await.expect("read");
    assert_eq!(external.as_deref(), Some("77"), "the first name stays");
    assert_eq!(all_due(&store, &MAIL, 0).await[0].external, None, "each channel has its own");
    let called = |channel, name| {
        let store = store.clone();
        async move { store.ticket_called(&channel, name).await.expect("read") }
    };
    assert_eq!(called(portal(), "77").await, Some(ticket_id(2)));
    assert_eq!((called(portal(), "78").await, called(MAIL, "77").await), (None, None));
}

async fn how_far_a_channel_was_read_never_goes_back(place: Place) {
    let (store, _) = place.open_and_claim().await;
    assert_eq!(store.read_to(&ChannelName::Rt).await.expect("read"), None);
    for (noted, holds) in [(7, 7), (41, 41), (9, 41)] {
        store.note_read_to(&ChannelName::Rt, noted).await.expect("noted");
        assert_eq!(store.read_to(&ChannelName::Rt).await.expect("read"), Some(holds));
    }
    assert_eq!(store.read_to(&portal()).await.expect("read"), None, "each channel has its own");
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

/// Operators' own webhook, which hears of everything.
fn desk() -> ChannelName {
    "webhook:desk".parse().expect("a channel")
}

async fn with_a_desk(place: &Place) -> (Store, Fence) {
    let (store, fence) = with_two_channels(place).await;
    let portal = Listener { owner: Some(owner("acme")), ..Listener::to_all(portal()) };
    let over = Listener {
        kinds: ["maintenance_over".to_owned()].into(),
        ..Listener::to_all("webhook:over".parse().expect("a channel"))
    };
    let rt = Listener::to_all(ChannelName::Rt);
    let all = vec![Listener::to_all(MAIL), portal, Listener::to_all(desk()), over, rt];
    (store.with_listeners(all), fence)
}

async fn what_operators_are_told_of_a_maintenance_is_delivered_like_a_notice_and_to_nobody_else(
    place: Place,
) {
    let (store, fence) = with_a_desk(&place).await;
    let batch = Batch {
        maintenances: vec![Write::Insert(maintenance(1))],
        notices: vec![notice(3, 2, "proposed")],
        bulletins: vec![bulletin(21, "begun"), bulletin(22, "late")],
        ..Batch::new(at(0))
    };
    let committed = store.commit(&fence, batch).await.expect("written").notices;
    assert_eq!(committed, [notice_id(3), notice_id(21), notice_id(22)]);
    assert_eq!(due(&store, &MAIL, 0).await, [notice_id(3), notice_id(21)], "they are a thread of their own");
    assert_eq!(due(&store, &desk(), 0).await, [notice_id(3), notice_id(21)]);
    assert_eq!(due(&store, &portal(), 0).await, [notice_id(3)], "an owner's program hears of no maintenance");
    assert_eq!(due(&store, &ChannelName::Rt, 0).await, [notice_id(3)], "it belongs into no ticket");
    let others = "webhook:over".parse().expect("a channel");
    assert_eq!(due(&store, &others, 0).await, [], "it wants to hear of another kind");
    let again = Batch { bulletins: vec![bulletin(23, "begun")], ..Batch::new(at(1)) };
    assert_eq!(store.commit(&fence, again).await.expect("written").notices, [], "that has been told");
    assert_eq!(store.told().await.expect("read").len(), 1, "what owners were told is what tickets go by");

    let first = all_due(&store, &MAIL, 0).await.pop().expect("the bulletin");
    assert_eq!(first.post, Post::Bulletin(Box::new(bulletin(21, "begun"))));
    let given_up =
        |due: Due| [Settled { id: due.id, ticket: None, tried: failed(), external: None, text: None }];
    store.deliveries_tried(&MAIL, &given_up(first), at(2)).await.expect("noted");
    let letters =
        store.dead_letters_page(&DeadLetterFilter::default(), None, 10).await.expect("a page").items;
    assert_eq!(letters.iter().map(|letter| letter.post.number()).collect::<Vec<_>>(), ["MT-1"]);
    let of_acme = DeadLetterFilter { owner: Some(owner("acme")), ..DeadLetterFilter::default() };
    assert_eq!(store.dead_letters(&of_acme).await.expect("counted"), 0, "no owner is told of it");
    assert_eq!(due(&store, &MAIL, 2).await, [notice_id(3), notice_id(22)], "the next one goes");
    let replay = DeadLetterFilter { id: Some(letters[0].id), ..DeadLetterFilter::default() };
    store.commit(&fence, Batch { replays: vec![replay], ..Batch::new(at(3)) }).await.expect("replayed");
    assert_eq!(due(&store, &MAIL, 3).await, [notice_id(3), notice_id(21)]);
}

async fn what_operators_were_told_goes_with_its_maintenance_and_not_before_it_has_arrived(place: Place) {
    let (store, fence) = place.open_and_claim().await;
    let store = store.with_listeners(vec![Listener::to_all(MAIL)]);
    let over = Maintenance { state: MaintenanceState::Completed { at: at(1) }, ..maintenance(1) };
    let batch = Batch {
        maintenances: vec![Write::Insert(over)],
        bulletins: vec![bulletin(21, "over")],
        ..Batch::new(at(1))
    };
    store.commit(&fence, batch).await.expect("written");
    let keep = Keep { history_since: at(60), answers_since: at(60), sessions_since: at(60) };
    assert_eq!(store.purge(keep).await.expect("purged").maintenances, 0, "the mail has not been delivered");
    let waiting = all_due(&store, &MAIL, 1).await.pop().expect("the bulletin");
    let settled = [Settled { id: waiting.id, ticket: None, tried: arrived(), external: None, text: None }];
    store.deliveries_tried(&MAIL, &settled, at(2)).await.expect("noted");
    assert_eq!(store.purge(keep).await.expect("purged").maintenances, 1);
    assert_eq!(store.undelivered().await.expect("counted"), []);
}
