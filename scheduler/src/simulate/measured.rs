//! What is counted while a simulation goes on.

use std::collections::{BTreeMap, HashMap};
use std::hash::{DefaultHasher, Hasher};

use drover_policies::attempt::Method;
use drover_policies::conduct::Changes;
use drover_policies::events::Happened;
use drover_policies::fleet::Fleet;
use drover_policies::ids::{HostName, OwnerId, ServerId};
use drover_policies::maintenance::{Kind, Maintenance, RollingHappened, Stage};
use drover_policies::migration::{Migration, State};
use drover_policies::time::{Instant, Span};

use super::kept::Kept;
use super::links::Peak;
use super::report::{Deadline, Downtime, Ended, Left, Moves, OwnersDowntime, Peaks, Report};
use super::timeline::{Band, Moment, Row, Timeline};

/// How many moments of a maintenance are kept for its curves: of more, every other one is left out.
const MOMENTS: usize = 2000;

pub(super) struct Measured {
    began_at: Instant,
    deadline: Instant,
    kind: Kind,
    servers: usize,
    rows: Vec<Row>,
    moments: Vec<Moment>,
    /// Between two that are kept.
    skipped: usize,
    step: usize,
    moves: Moves,
    moved: HashMap<ServerId, u32>,
    live: Downtime,
    owners: BTreeMap<OwnerId, OwnersDowntime>,
    reboots: Downtime,
    late: Option<(usize, usize)>,
    moving_most: usize,
    no_room: Option<String>,
    story: DefaultHasher,
}

impl Measured {
    pub(super) fn new(maintenance: &Maintenance, fleet: &Fleet) -> Self {
        let cluster = |host: &HostName| {
            fleet.hosts.get(host).map(|host| host.facts.cluster.clone()).unwrap_or_default()
        };
        let row = |host: &HostName| Row {
            host: host.clone(),
            cluster: cluster(host),
            servers: fleet.on(host).count(),
            bands: vec![(maintenance.requested_at, Band::Waits)],
        };
        let rows: Vec<Row> = maintenance.hosts.keys().map(row).collect();
        Self {
            began_at: maintenance.requested_at,
            deadline: maintenance.deadline,
            kind: maintenance.kind(),
            servers: rows.iter().map(|row| row.servers).sum(),
            rows,
            moments: Vec::new(),
            skipped: 0,
            step: 1,
            moves: Moves::default(),
            moved: HashMap::new(),
            live: Downtime::default(),
            owners: BTreeMap::new(),
            reboots: Downtime::default(),
            late: None,
            moving_most: 0,
            no_room: None,
            story: DefaultHasher::new(),
        }
    }

    pub(super) fn over(&self) -> (usize, usize) {
        let over = |row: &&Row| row.band().is_over();
        (self.rows.iter().filter(over).count(), self.rows.len())
    }

    /// What a look has decided.
    pub(super) fn decided(&mut self, changes: &Changes, now: Instant) {
        for event in &changes.events {
            self.story.write_i64(now.timestamp_micros());
            // An event is made of names and figures: there is none that could not be written.
            self.story.write(&serde_json::to_vec(event).unwrap_or_default());
            match &event.what {
                Happened::Rolling { what: RollingHappened::NoneCanBegin { why } } => {
                    self.no_room = Some(why.clone());
                }
                Happened::AttemptFailed { .. } => self.moves.tries_failed += 1,
                Happened::FellBack { .. } => self.moves.fell_back += 1,
                Happened::Arrived { .. } => {}
                _ => {}
            }
        }
        for migration in &changes.migrations {
            // One that is kept for its owner's word for a while has been counted when it was done.
            if let State::Completed { at, moved, .. } = &migration.state
                && *at == now
            {
                self.has_moved(migration, moved.downtime);
            }
        }
    }

    /// A migration is over.
    pub(super) fn is_over(&mut self, migration: &Migration) {
        match &migration.state {
            State::Succeeded { moved, .. } => self.has_moved(migration, moved.downtime),
            State::Avoided { .. } => self.moves.avoided += 1,
            _ => {}
        }
    }

    fn has_moved(&mut self, migration: &Migration, downtime: Option<Span>) {
        let times = self.moved.entry(migration.server).or_default();
        *times += 1;
        self.moves.more_than_once += usize::from(*times == 2);
        let downtime = downtime.unwrap_or_default();
        let of_all = match migration.method {
            Method::Live => {
                self.moves.live += 1;
                &mut self.live
            }
            Method::Reboot => {
                self.moves.reboot += 1;
                &mut self.reboots
            }
        };
        of_all.add(downtime);
        if let Some(owner) = &migration.owner {
            let of = self.owners.entry(owner.clone()).or_insert_with(|| OwnersDowntime::none(owner.clone()));
            of.moves += 1;
            of.reboots += usize::from(migration.method == Method::Reboot);
            of.downtime.add(downtime);
        }
    }

    /// How everything stands after a look.
    pub(super) fn stands(&mut self, kept: &Kept, (rate, now): (f64, Instant)) {
        let moving = kept.migrations.values().filter(|migration| migration.is_moving()).count();
        self.moving_most = self.moving_most.max(moving);
        let mut counted = [0_usize; Band::ALL.len()];
        for (row, stage) in self.rows.iter_mut().zip(kept.maintenance.hosts.values()) {
            let band = band_of(stage, self.kind);
            counted[band as usize] += 1;
            if row.band() != band {
                row.bands.push((now, band));
            }
        }
        if self.late.is_none() && now > self.deadline {
            let hosts = self.rows.iter().filter(|row| !row.band().is_over()).count();
            let servers = kept.migrations.values().filter(|migration| migration.is_open()).count();
            self.late = Some((hosts, servers));
        }
        self.skipped += 1;
        if self.skipped >= self.step {
            self.skipped = 0;
            self.moments.push(Moment { at: now, hosts: counted, moving, rate: rate as u64 });
        }
        if self.moments.len() > MOMENTS {
            let mut keep = false;
            self.moments.retain(|_| {
                keep = !keep;
                keep
            });
            self.step *= 2;
        }
    }

    pub(super) fn finish(
        self,
        kept: &Kept,
        (ended, now): (Ended, Instant),
        peak: Peak,
        looks: u64,
    ) -> (Report, Timeline) {
        let at = |band: Band| self.rows.iter().filter(|row| row.band() == band).count();
        let left =
            kept.maintenance.hosts.iter().filter_map(|(host, stage)| left(kept, host, stage, self.kind));
        let mut owners: Vec<OwnersDowntime> = self.owners.into_values().collect();
        owners.sort_by(|one, other| {
            (other.downtime.total, &one.owner).cmp(&(one.downtime.total, &other.owner))
        });
        let late = self.late.unwrap_or((0, 0));
        let report = Report {
            hosts: self.rows.len(),
            servers: self.servers,
            began_at: self.began_at,
            ended_at: now,
            ended,
            done: at(Band::Over),
            skipped: at(Band::Skipped),
            failed: at(Band::Failed),
            moves: self.moves,
            live: self.live,
            reboots: self.reboots,
            owners,
            deadline: Deadline { at: self.deadline, hosts_late: late.0, servers_late: late.1 },
            peaks: Peaks {
                moving: self.moving_most,
                rate: peak.rate as u64,
                flows: peak.flows,
                at_one_host: peak.at_one_host,
            },
            overfull: 0,
            left: left.collect(),
            no_room: self.no_room.filter(|_| ended != Ended::Completed),
            looks,
            story: format!("{:016x}", self.story.finish()),
        };
        let timeline = Timeline {
            began_at: self.began_at,
            ended_at: now,
            deadline: self.deadline,
            rows: self.rows,
            moments: self.moments,
        };
        (report, timeline)
    }
}

fn band_of(stage: &Stage, kind: Kind) -> Band {
    match stage {
        Stage::Waiting => Band::Waits,
        Stage::Giving | Stage::Draining | Stage::Confirming { .. } => Band::Emptied,
        Stage::Drained { .. } if stage.is_over(kind) => Band::Over,
        Stage::Drained { .. } | Stage::Working { .. } => Band::Work,
        Stage::Done { .. } => Band::Over,
        Stage::Skipped { .. } => Band::Skipped,
        Stage::Failed { .. } => Band::Failed,
    }
}

/// What keeps a host that is not over.
fn left(kept: &Kept, host: &HostName, stage: &Stage, kind: Kind) -> Option<Left> {
    if stage.is_over(kind) {
        return None;
    }
    let waits = || {
        let open =
            kept.migrations.values().filter(|migration| migration.from == *host && migration.is_open());
        open.map(|migration| {
            let why = match migration.state.waits_for() {
                Some(waits_for) => format!("waits for {waits_for}"),
                None => migration.state.name().to_owned(),
            };
            format!("{}: {why}", migration.server_name)
        })
        .next()
    };
    let why = match stage {
        Stage::Failed { why, step, .. } => Some(format!("{step}: {why}")),
        Stage::Waiting => kept.maintenance.rolling.waves.of(host).map(|wave| wave.because.to_string()),
        Stage::Giving
        | Stage::Draining
        | Stage::Confirming { .. }
        | Stage::Drained { .. }
        | Stage::Working { .. }
        | Stage::Done { .. }
        | Stage::Skipped { .. } => waits(),
    };
    Some(Left { host: host.clone(), stage: stage.to_string(), why })
}
