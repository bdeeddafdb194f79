//! The forms are compared with what their inventors publish: each example is read into our type and must come out of it unchanged, so that no name,
//! type or way of writing a time differs.

use chrono::{DateTime, TimeDelta};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use uuid::Uuid;

use super::*;
use crate::attempt::{Method, Moved};
use crate::blueprint::{Blueprint, Boot, Shaped};
use crate::estimate::expected_reboot;
use crate::ids::{OperationId, TicketId};
use crate::migration::{Attempt, Confirmation, Waiting};
use crate::owners::{Opens, OwnerWindow, Scope};
use crate::placement::Reservation;
use crate::policy::PolicySet;
use crate::samples::{NOON, host_name, owner_id, server_id};
use crate::windows::{Recurrence, Slot};

fn at(text: &str) -> Instant {
    DateTime::parse_from_rfc3339(text).expect("a moment").to_utc()
}

fn same<T: Serialize + DeserializeOwned>(published: &Value) -> T {
    let read: T = serde_json::from_value(published.clone()).expect("the published example is of this shape");
    assert_eq!(&serde_json::to_value(&read).expect("JSON"), published);
    read
}

/// DR-1042: web-1 of acme waits for a reboot migration from 02:00 to 02:20 on the day after the sample's noon.
fn migration() -> Migration {
    Migration {
        id: MigrationId(Uuid::from_u128(0xC706_1BAC_AFDC_4513_B24B_AA5F_13A1_6123)),
        number: 1042,
        maintenance: Some(crate::ids::MaintenanceId(Uuid::from_u128(7))),
        purpose: Purpose::Move,
        reason: "kernel-update".to_owned(),
        server: server_id(1),
        server_name: "web-1".to_owned(),
        owner: Some(owner_id("acme")),
        from: host_name("h1"),
        place: Some(Reservation {
            server: server_id(1),
            host: host_name("h2"),
            owner: Some(owner_id("acme")),
            memory_bytes: 1 << 31,
            vcpus: 2,
            anti_affinity: [].into(),
            affinity: [].into(),
            disks: std::collections::BTreeMap::new(),
            resources: std::collections::BTreeMap::new(),
        }),
        place_why: String::new(),
        method: Method::Reboot,
        why_not_live: Some(WhyNotLive::OwnerForbids),
        state: State::Ready { waits_for: Waiting::Nothing },
        attempts: Vec::new(),
        appointment: Appointment::Proposed { slot: slot() },
        agreed_at: Some(NOON),
        declined: Vec::new(),
        ticket: Some(TicketId(Uuid::from_u128(8))),
        deadline: NOON + TimeDelta::days(7),
        opened_at: NOON,
        validation: Default::default(),
        shaped: None,
        left_off: None,
    }
}

fn slot() -> Slot {
    let start = at("2026-01-06T02:00:00Z");
    Slot { start, end: start + TimeDelta::minutes(20) }
}

fn event_of(migration: &Migration, now: Instant) -> ScheduledEvent {
    let policies = PolicySet::default();
    ScheduledEvent::of(&About {
        migration,
        urgency: &Urgency::Normal,
        estimate: expected_reboot(&policies.general().reboot, &[]),
        rules: &policies.general().owners,
        window: None,
        timezone: chrono_tz::Europe::Madrid,
        now,
    })
}

fn event() -> ScheduledEvent {
    event_of(&migration(), NOON)
}

fn running() -> Migration {
    let operation = OperationId(Uuid::from_u128(9));
    let began_at = slot().start;
    Migration {
        state: State::CuttingOver { operation, phase: Phase::PowerOffSource },
        appointment: Appointment::Running { slot: Some(slot()) },
        attempts: vec![Attempt {
            operation,
            method: Method::Reboot,
            to: host_name("h2"),
            began_at,
            rate: None,
            end: None,
            phases: Vec::new(),
        }],
        ..migration()
    }
}

fn completed() -> Migration {
    let at = slot().start + TimeDelta::minutes(4);
    let moved = Moved { sent_bytes: 0, downtime: None, in_libvirt: None, power_off: None, tail: None };
    Migration {
        state: State::Completed { at, moved, confirmation: Confirmation::default() },
        appointment: Appointment::Done,
        ..running()
    }
}

fn drill() -> Migration {
    let by = Actor::Owner { owner: owner_id("acme") };
    Migration { purpose: Purpose::Drill { duration: Span::minutes(5), by }, place: None, ..migration() }
}

#[test]
fn azures_published_document_is_of_our_shape() {
    let document: azure::Document = same(&json!({"DocumentIncarnation":3,"Events":[{
        "EventId":"C7061BAC-AFDC-4513-B24B-AA5F13A16123","EventType":"Reboot","ResourceType":"VirtualMachine",
        "Resources":["WestNO_0","WestNO_1"],"EventStatus":"Scheduled","NotBefore":"Mon, 19 Sep 2016 18:29:47 GMT",
        "Description":"","EventSource":"Platform","DurationInSeconds":-1}]}));
    assert_eq!(azure::rfc1123(at("2016-09-19T18:29:47Z")), document.events[0].not_before);
    let approval: azure::Approval =
        same(&json!({"StartRequests":[{"EventId":"c7061bac-afdc-4513-b24b-aa5f13a16123"}]}));
    assert_eq!(approval.start_requests[0].migration(), migration().id);
}

#[test]
fn azure_is_told_a_reboot_migration_as_a_redeploy_and_its_time_until_it_begins() {
    let waits = azure::Event::of(&event()).expect("told");
    assert_eq!(
        serde_json::to_value(&waits).expect("JSON"),
        json!({"EventId":"C7061BAC-AFDC-4513-B24B-AA5F13A16123","EventType":"Redeploy","ResourceType":"VirtualMachine",
            "Resources":["web-1"],"EventStatus":"Scheduled","NotBefore":"Tue, 06 Jan 2026 02:00:00 GMT",
            "Description":"web-1 is moved to another host by a restart (DR-1042): kernel-update",
            "EventSource":"Platform","DurationInSeconds":600})
    );
    let runs = azure::Event::of(&event_of(&running(), slot().start)).expect("told");
    assert_eq!((runs.event_status, runs.not_before.as_str()), (azure::EventStatus::Started, ""));
    let over = event_of(&completed(), slot().end);
    assert_eq!(azure::Event::of(&over), None, "what is over is gone");
    let own = azure::Event::for_guest(&over).expect("the guest reads what has restarted it");
    assert_eq!((own.event_status, own.not_before.as_str()), (azure::EventStatus::Completed, ""));
    assert_eq!(
        azure::Event::for_guest(&event()),
        Some(waits),
        "before its end it reads what its owner reads"
    );
}

#[test]
fn one_that_is_left_off_by_its_blueprint_is_off_for_nobody_knows_how_long() {
    let blueprint = Blueprint { boot: Boot::Later, ..Blueprint::default() };
    let shaped = Shaped { blueprint, memory_before: 1, vcpus_before: 1, disks_before: Default::default() };
    let left_off = event_of(&Migration { shaped: Some(shaped), ..migration() }, NOON);
    assert_eq!((event().off_for_s(), left_off.off_for_s()), (Some(600), None));
    let told = azure::Event::of(&left_off).expect("told");
    assert_eq!(told.duration_in_seconds, -1);
    assert!(told.description.contains("left off until you start it"), "{}", told.description);
}

#[test]
fn azures_incarnation_rises_when_the_events_change_and_only_then() {
    let (first, second) =
        (event(), event_of(&Migration { id: MigrationId(Uuid::from_u128(1)), ..migration() }, NOON));
    let one = azure::Document::after(None, [&first]);
    assert_eq!(one.document_incarnation, 1);
    assert_eq!(azure::Document::after(Some(&one), [&first]), one);
    let two = azure::Document::after(Some(&one), [&first, &second]);
    assert_eq!(two.document_incarnation, 2);
    assert_eq!(azure::Document::after(Some(&two), [&second, &first]), two, "another order is no change");
    // What Azure has no field for changes nothing: here, that the owner agreed.
    let by = Actor::Owner { owner: owner_id("acme") };
    let accepted = Migration { appointment: Appointment::Accepted { slot: slot(), by }, ..migration() };
    assert_eq!(azure::Document::after(Some(&one), [&event_of(&accepted, NOON)]), one);
    assert_eq!(azure::Document::after(Some(&two), []).document_incarnation, 3);
}

#[test]
fn awss_published_event_is_of_our_shape() {
    let published: aws::InstanceEvent = same(&json!({"InstanceEventId":"instance-event-0d59937288b749b32",
        "Code":"system-reboot","Description":"The instance is scheduled for a reboot",
        "NotBefore":"2019-03-14T20:00:00.000Z","NotAfter":"2019-03-15T22:00:00.000Z",
        "NotBeforeDeadline":"2019-04-05T11:00:00.000Z"}));
    let ours = aws::InstanceEvent::of(&event()).expect("told");
    assert_eq!(ours.instance_event_id.len(), published.instance_event_id.len());
    assert_eq!((ours.code, ours.not_before.as_deref()), (published.code, Some("2026-01-06T02:00:00.000Z")));
    assert_eq!(ours.not_before_deadline.as_deref(), Some("2026-01-12T12:00:00.000Z"));
    let near = event_of(&migration(), slot().start - TimeDelta::minutes(5));
    assert_eq!(aws::InstanceEvent::of(&near).expect("told").not_before_deadline, None, "too late to move it");
}

#[test]
fn awss_metadata_has_dates_of_its_own_and_marks_what_is_over() {
    let published: Vec<aws::MetadataEvent> =
        same(&json!([{"NotBefore":"21 Jan 2019 09:00:43 GMT","Code":"system-reboot",
        "Description":"scheduled reboot","EventId":"instance-event-0d59937288b749b32",
        "NotAfter":"21 Jan 2019 09:17:23 GMT","State":"active"}]));
    assert_eq!(published[0].state, aws::MetadataState::Active);
    let ours = aws::MetadataEvent::of(&event()).expect("told");
    assert_eq!(
        (ours.not_before.as_str(), ours.state),
        ("06 Jan 2026 02:00:00 GMT", aws::MetadataState::Active)
    );
    let over = aws::MetadataEvent::of(&event_of(&completed(), slot().end)).expect("told");
    assert_eq!(over.state, aws::MetadataState::Completed);
    assert!(over.description.starts_with("[Completed] web-1"), "{}", over.description);
    let now = Migration {
        appointment: Appointment::StartNow { at: NOON, by: Actor::Owner { owner: owner_id("acme") } },
        ..migration()
    };
    assert_eq!(
        aws::MetadataEvent::of(&event_of(&now, NOON)).expect("told").not_after,
        "05 Jan 2026 12:10:00 GMT"
    );
}

#[test]
fn awss_published_window_is_of_our_shape() {
    let window =
        same::<Value>(&json!({"InstanceEventWindowId":"iew-0abcdef1234567890","Name":"myEventWindowName",
        "CronExpression":"* 21-23 * * 2,3",
        "AssociationTarget":{"InstanceIds":[],"Tags":[{"Key":"k2","Value":"v2"}],"DedicatedHostIds":[]},
        "State":"creating","Tags":[]}));
    same::<aws::EventWindow>(&window);
    same::<aws::TimeRange>(
        &json!({"StartWeekDay":"monday","StartHour":2,"EndWeekDay":"wednesday","EndHour":8}),
    );
}

#[test]
fn a_window_of_whole_hours_is_told_to_aws_as_a_range_and_another_as_cron_with_a_duration() {
    let told = |cron: &str, hours: u64, timezone: Tz| {
        let recurrence = Recurrence::new(cron, Span::hours(hours), timezone).expect("a window");
        let scope = Scope::Label { name: "tier".to_owned(), value: "db".to_owned() };
        let window = OwnerWindow { owner: owner_id("acme"), scope, opens: Opens::Recurring { recurrence } };
        aws::EventWindow::of(WindowId(Uuid::from_u128(5)), &window).expect("told")
    };
    let weekly = told("0 22 * * 2,6", 6, chrono_tz::Europe::Madrid);
    assert_eq!(
        serde_json::to_value(&weekly).expect("JSON"),
        json!({"InstanceEventWindowId":"iew-00000000000000005","Name":"0 22 * * 2,6 for 6h",
            "TimeRanges":[{"StartWeekDay":"tuesday","StartHour":22,"EndWeekDay":"wednesday","EndHour":4},
                {"StartWeekDay":"saturday","StartHour":22,"EndWeekDay":"sunday","EndHour":4}],
            "AssociationTarget":{"InstanceIds":[],"Tags":[{"Key":"tier","Value":"db"}],"DedicatedHostIds":[]},
            "State":"active","Tags":[],"TimeZone":"Europe/Madrid"})
    );
    for cron in ["30 22 * * 2", "0 22 1 * *"] {
        let told = told(cron, 2, chrono_tz::UTC);
        assert_eq!((told.cron_expression.as_deref(), told.duration), (Some(cron), Some(Span::hours(2))));
        assert_eq!((told.time_ranges, told.time_zone), (None, None));
    }
}

#[test]
fn gces_published_answer_is_of_our_shape() {
    same::<gce::UpcomingMaintenance>(
        &json!({"can_reschedule":"true","latest_window_start_time":"2025-03-01T00:00:00Z",
        "maintenance_reasons":["PLANNED_UPDATE"],"maintenance_status":"PENDING","type":"SCHEDULED",
        "window_start_time":"2025-02-20T02:00:00Z","window_end_time":"2025-02-20T06:00:00Z"}),
    );
    assert_eq!(
        serde_json::to_value(gce::UpcomingMaintenance::first([&event()])).expect("JSON"),
        json!({"can_reschedule":"true","latest_window_start_time":"2026-01-12T11:50:00Z",
            "maintenance_reasons":["PLANNED_UPDATE"],"maintenance_status":"PENDING","type":"SCHEDULED",
            "window_start_time":"2026-01-06T02:00:00Z","window_end_time":"2026-01-06T02:20:00Z"})
    );
}

#[test]
fn gce_is_told_of_an_event_a_minute_before_it_begins() {
    let told =
        |seconds| gce::MaintenanceEvent::of([&event()], slot().start - TimeDelta::seconds(seconds)).as_str();
    assert_eq!((told(61), told(60)), ("NONE", "TERMINATE_ON_HOST_MAINTENANCE"));
    let live = Migration {
        method: Method::Live,
        why_not_live: None,
        state: State::Preflight { operation: OperationId(Uuid::from_u128(9)) },
        ..running()
    };
    let live = event_of(&live, NOON);
    assert_eq!(gce::MaintenanceEvent::of([&live], NOON).as_str(), "MIGRATE_ON_HOST_MAINTENANCE");
    assert_eq!(gce::MaintenanceEvent::of([&event_of(&completed(), NOON)], NOON).as_str(), "NONE");
}

/// The client's sample, with the three words that the description has otherwise (`type`, `description`, `maintenance_policy_set`) as there.
#[test]
fn linodes_published_item_is_of_our_shape() {
    let item = json!({"entity":{"id":1234,"label":"Linode #1234","type":"linode","url":"/linodes/1234"},
        "reason":"Scheduled upgrade to faster NVMe hardware.","type":"cold_migration",
        "maintenance_policy_set":"linode/migrate","description":"scheduled","source":"platform",
        "not_before":"2025-03-25T10:00:00","start_time":"2025-03-25T12:00:00",
        "complete_time":"2025-03-25T14:00:00","when":"2025-03-25T09:00:00","status":"scheduled"});
    same::<linode::Page>(&json!({"data":[item],"page":1,"pages":1,"results":1}));
    let done = linode::Maintenance::of(&event_of(&completed(), slot().end)).expect("told");
    assert_eq!(
        serde_json::to_value(&done).expect("JSON"),
        json!({"entity":{"id":1,"label":"web-1","type":"linode","url":format!("/v1/servers/{}", server_id(1))},
            "reason":"kernel-update","type":"cold_migration","maintenance_policy_set":"linode/power_off_on",
            "description":"scheduled","source":"platform","not_before":"2026-01-06T02:00:00",
            "start_time":"2026-01-06T02:00:00","complete_time":"2026-01-06T02:04:00","when":"2026-01-06T02:00:00",
            "status":"completed"})
    );
}

#[test]
fn linodes_pages_are_counted_from_one_and_an_empty_list_has_one() {
    let item = linode::Maintenance::of(&event()).expect("told");
    let page = linode::Page::cut(vec![item; 5], 3, 2);
    assert_eq!((page.data.len(), page.page, page.pages, page.results), (1, 3, 3, 5));
    let empty = linode::Page::cut(Vec::new(), 1, 100);
    assert_eq!((empty.data.len(), empty.pages, empty.results), (0, 1, 0));
}

#[test]
fn oracles_event_has_every_published_field_and_nothing_else() {
    let ours = serde_json::to_value(oci::InstanceMaintenanceEvent::from(&event())).expect("JSON");
    let mut published = [
        "id",
        "displayName",
        "instanceId",
        "compartmentId",
        "maintenanceCategory",
        "maintenanceReason",
        "instanceAction",
        "alternativeResolutionActions",
        "timeWindowStart",
        "startWindowDuration",
        "estimatedDuration",
        "timeHardDueDate",
        "canReschedule",
        "lifecycleState",
        "lifecycleDetails",
        "createdBy",
        "correlationToken",
        "canDeleteLocalStorage",
        "additionalDetails",
        "timeCreated",
        "timeStarted",
        "timeFinished",
    ];
    published.sort_unstable();
    assert_eq!(ours.as_object().expect("an object").keys().collect::<Vec<_>>(), published);
    assert_eq!(ours["instanceAction"], "REBOOT_MIGRATION");
    assert_eq!(
        (&ours["startWindowDuration"], &ours["estimatedDuration"]),
        (&json!("PT20M"), &json!("PT10M"))
    );
    assert_eq!(
        (&ours["lifecycleState"], &ours["maintenanceCategory"]),
        (&json!("SCHEDULED"), &json!("MANDATORY"))
    );
}

#[test]
fn rackspaces_key_is_there_only_while_a_time_is_known() {
    let told = |migration: &Migration| rackspace::Metadata::of([&event_of(migration, NOON)]).metadata;
    assert_eq!(told(&migration())[rackspace::REBOOT_WINDOW], "2026-01-06T02:00:00Z;2026-01-06T02:20:00Z");
    let untimed = Migration { appointment: Appointment::Unscheduled, ..migration() };
    assert!(told(&untimed).is_empty() && told(&completed()).is_empty());
}

#[test]
fn a_drill_says_so_in_every_form_and_pretends_no_reserved_place() {
    let drill = event_of(&drill(), NOON);
    assert!(drill.drill && drill.dest_reserved_until.is_none());
    assert_eq!(drill.source, Source::User);
    assert!(azure::Event::of(&drill).expect("told").description.starts_with("DRILL"));
    assert!(aws::InstanceEvent::of(&drill).expect("told").description.starts_with("DRILL"));
    assert_eq!(gce::UpcomingMaintenance::of(&drill).expect("told").drill.as_deref(), Some("true"));
    assert_eq!(linode::Maintenance::of(&drill).expect("told").reason, "[DRILL] kernel-update");
    assert_eq!(oci::InstanceMaintenanceEvent::from(&drill).display_name, "[DRILL] DR-1042");
    assert_eq!(rackspace::Metadata::of([&drill]).metadata[rackspace::DRILL], "true");
}

#[test]
fn an_event_walks_from_pending_to_its_end_as_its_migration_does() {
    let by = Actor::Owner { owner: owner_id("acme") };
    let with = |appointment| EventState::of(&Migration { appointment, ..migration() });
    assert_eq!(with(Appointment::Unscheduled), EventState::Pending);
    assert_eq!(with(Appointment::Proposed { slot: slot() }), EventState::Notified);
    assert_eq!(with(Appointment::Rescheduled { slot: slot(), by: by.clone() }), EventState::Scheduled);
    assert_eq!(with(Appointment::StartNow { at: NOON, by }), EventState::Starting);
    assert_eq!(EventState::of(&running()), EventState::Running);
    assert_eq!(EventState::of(&completed()), EventState::Completed);
    assert_eq!(
        EventState::of(&Migration { state: State::Cancelled { at: NOON }, ..migration() }),
        EventState::Canceled
    );
}

#[test]
fn the_record_names_no_host() {
    let text = serde_json::to_string(&event()).expect("JSON");
    assert!(!text.contains("h1") && !text.contains("h2"), "{text}");
}
