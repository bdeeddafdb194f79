//! Bulletins of every kind.

use drover_policies::bulletins::{
    Bulletin, End, FailedHost, Left, MaintenanceSummary, Says, Servers, SlowHost, Tally,
};
use drover_policies::ids::{BadName, HostName, MaintenanceId};
use drover_policies::maintenance::Kind;

use super::{Actor, Contact, Language, Links, NoticeId, Reminders, Span, TimeDelta, Uuid, now, operators};

/// A bulletin with its readers.
#[derive(Debug, Clone)]
pub struct BulletinSample {
    /// Unlike all others, those of notices among them: the kind, and what is special about this one.
    pub name: &'static str,
    /// What is told.
    pub bulletin: Bulletin,
    /// To whom.
    pub contact: Contact,
    /// The links of the installation.
    pub links: Links,
}

/// All of them, at least one for each of [`Says::KINDS`].
///
/// # Errors
/// None in practice: the samples' hosts have usable names.
pub fn bulletins() -> Result<Vec<BulletinSample>, BadName> {
    let failed = |host: &str, why: &str| -> Result<FailedHost, BadName> {
        Ok(FailedHost { host: HostName::new(host)?, step: "hook maintain".to_owned(), why: why.to_owned() })
    };
    let slow = |host: &str, stage: &str, hours: u64| -> Result<SlowHost, BadName> {
        Ok(SlowHost { host: HostName::new(host)?, stage: stage.to_owned(), since: Span::hours(hours) })
    };
    let one = failed("h3", "exit code 3")?;
    let two = vec![one.clone(), failed("h7", "nothing has been heard of its agent for 15m (return_within)")?];
    let by = Actor::Operator { name: "night-shift".to_owned() };
    let tally = Tally {
        done: 9,
        skipped: 1,
        failed: two.clone(),
        left: 0,
        took: Span::minutes(1210),
        servers: Some(Servers { live: 212, by_reboot: 4, need_person: 1 }),
    };
    let well = Tally {
        done: 12,
        skipped: 0,
        failed: Vec::new(),
        servers: Some(Servers { live: 3, by_reboot: 0, need_person: 0 }),
        ..tally.clone()
    };
    let given_up =
        Tally { done: 2, skipped: 0, failed: vec![one.clone()], left: 9, servers: None, ..tally.clone() };
    let over = |end, tally| Says::Over { end, tally };
    let obstacles = vec!["h4: db-1 can't leave: it has a device of its host".to_owned()];
    let many = (0..25).map(|n| failed(&format!("h{n}"), "exit code 3")).collect::<Result<_, _>>()?;
    Ok(vec![
        sample("maintenance_awaits_approval", Says::AwaitsApproval { obstacles: Vec::new() })?,
        sample("maintenance_awaits_approval_in_part", Says::AwaitsApproval { obstacles })?,
        sample("maintenance_begun", Says::Begun { by: by.clone() })?,
        of_one_host(sample("maintenance_begun_by_program", Says::Begun { by: Actor::Drover })?),
        sample("maintenance_hosts_failed", Says::HostsFailed { failed: vec![one], wave: 2, stopped: false })?,
        sample(
            "maintenance_hosts_failed_and_stopped",
            Says::HostsFailed { failed: two, wave: 2, stopped: true },
        )?,
        sample("maintenance_many_hosts_failed", Says::HostsFailed { failed: many, wave: 2, stopped: true })?,
        sample(
            "maintenance_stopped",
            Says::Stopped {
                why: "h5 has no room left for its servers: 24 GiB of memory are missing".to_owned(),
            },
        )?,
        sample("maintenance_takes_long", Says::TakesLong { hosts: vec![slow("h2", "draining", 5)?] })?,
        sample(
            "maintenance_several_take_long",
            Says::TakesLong { hosts: vec![slow("h2", "draining", 5)?, slow("h6", "hook maintain", 4)?] },
        )?,
        sample("maintenance_deadline_near", Says::DeadlineNear { left: Left::Hosts { count: 4 } })?,
        of_one_host(sample(
            "maintenance_deadline_near_of_drain",
            Says::DeadlineNear { left: Left::Servers { count: 1 } },
        )?),
        sample("maintenance_late", Says::Late { expected: Some(now() + TimeDelta::days(9)) })?,
        sample("maintenance_overdue", Says::Late { expected: None })?,
        sample("maintenance_completed", over(End::Completed, well.clone()))?,
        of_one_host(sample("maintenance_drained", over(End::Completed, Tally { done: 1, ..well }))?),
        sample("maintenance_failed", over(End::Failed, tally))?,
        sample("maintenance_cancelled", over(End::Cancelled { by }, given_up.clone()))?,
        sample("maintenance_cancelled_by_program", over(End::Cancelled { by: Actor::Drover }, given_up))?,
    ])
}

fn sample(name: &'static str, says: Says) -> Result<BulletinSample, BadName> {
    Ok(BulletinSample {
        name,
        bulletin: Bulletin {
            id: NoticeId(Uuid::from_u128(0x2b)),
            key: format!("sample:{name}"),
            maintenance: MaintenanceSummary {
                id: MaintenanceId(Uuid::from_u128(0xa)),
                number: "MT-12".to_owned(),
                kind: Kind::Patch,
                reason: "kernel update".to_owned(),
                hosts: 12,
                host: Some(HostName::new("h1")?),
                deadline: now() + TimeDelta::days(7),
            },
            says,
            at: now(),
        },
        contact: Contact {
            owner: operators(),
            name: String::new(),
            mail: vec!["night-shift@cloud.example".to_owned()],
            timezone: chrono_tz::UTC,
            language: Language::default(),
            reminders: Reminders::Wanted,
        },
        links: Links {
            maintenance: Some("https://cloud.example/maintenances/{number}".to_owned()),
            ..Links::default()
        },
    })
}

/// The same of a drain of one host, in an installation without pages whose operators sit in Brazil.
fn of_one_host(mut sample: BulletinSample) -> BulletinSample {
    sample.bulletin.maintenance.hosts = 1;
    sample.bulletin.maintenance.kind = Kind::Drain;
    sample.contact.timezone = chrono_tz::Tz::America__Sao_Paulo;
    sample.links = Links::default();
    sample
}
