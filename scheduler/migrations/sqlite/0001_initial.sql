-- The same tables and columns as migrations/postgres/0001_initial.sql, where it is said why they are as they are; a test compares the two.
--
-- Times are RFC 3339 text in UTC as the driver writes it: with no fraction, or 3 or 6 digits of one. As text it sorts as the times do.

CREATE TABLE counters (
    name  TEXT PRIMARY KEY,
    value INTEGER NOT NULL
) STRICT;
INSERT INTO counters (name, value) VALUES ('maintenance', 0), ('migration', 1000);

CREATE TABLE leases (
    name       TEXT PRIMARY KEY,
    holder     TEXT NOT NULL,
    generation INTEGER NOT NULL,
    expires_at TEXT NOT NULL
) STRICT;

CREATE TABLE hosts (
    name          TEXT PRIMARY KEY,
    standing      TEXT NOT NULL,
    generation    INTEGER NOT NULL,
    inventory     TEXT,
    serial        INTEGER,
    incarnation   INTEGER NOT NULL,
    seen_at       TEXT
) STRICT;

CREATE TABLE maintenances (
    id           BLOB PRIMARY KEY,
    number       INTEGER NOT NULL UNIQUE,
    state        TEXT NOT NULL,
    is_open      INTEGER NOT NULL,
    body         TEXT NOT NULL,
    generation   INTEGER NOT NULL,
    requested_at TEXT NOT NULL,
    updated_at   TEXT NOT NULL
) STRICT;
CREATE INDEX maintenances_open ON maintenances (number) WHERE is_open;

CREATE TABLE plans (
    id          BLOB PRIMARY KEY,
    maintenance BLOB NOT NULL REFERENCES maintenances (id),
    parent      BLOB,
    at          TEXT NOT NULL,
    body        TEXT NOT NULL
) STRICT;
CREATE INDEX plans_of_maintenance ON plans (maintenance, at);

CREATE TABLE migrations (
    id          BLOB PRIMARY KEY,
    number      INTEGER NOT NULL UNIQUE,
    maintenance BLOB REFERENCES maintenances (id),
    server      BLOB NOT NULL,
    server_name TEXT NOT NULL,
    owner       TEXT,
    from_host   TEXT NOT NULL,
    to_host     TEXT,
    method      TEXT NOT NULL,
    state       TEXT NOT NULL,
    is_open     INTEGER NOT NULL,
    is_over     INTEGER NOT NULL,
    -- How long the server was off, in microseconds; only of a reboot migration that is done.
    downtime_us INTEGER,
    body        TEXT NOT NULL,
    generation  INTEGER NOT NULL,
    opened_at   TEXT NOT NULL,
    updated_at  TEXT NOT NULL
) STRICT;
CREATE INDEX migrations_not_over ON migrations (number) WHERE NOT is_over;
CREATE INDEX migrations_of_maintenance ON migrations (maintenance, number);
CREATE INDEX migrations_of_owner ON migrations (owner, number);
CREATE INDEX migrations_of_server ON migrations (server, number);
CREATE INDEX migrations_downtimes ON migrations (server, updated_at) WHERE downtime_us IS NOT NULL;

CREATE TABLE operations (
    id         BLOB PRIMARY KEY,
    host       TEXT NOT NULL,
    migration  BLOB REFERENCES migrations (id),
    generation INTEGER NOT NULL,
    wanted     INTEGER NOT NULL,
    instruction TEXT NOT NULL,
    wish       TEXT NOT NULL,
    begun_at   TEXT NOT NULL,
    ended_at   TEXT
) STRICT;
CREATE INDEX operations_wanted ON operations (host) WHERE wanted;
CREATE INDEX operations_of_migration ON operations (migration);

CREATE TABLE tickets (
    id        BLOB PRIMARY KEY,
    number    TEXT NOT NULL UNIQUE,
    migration BLOB NOT NULL REFERENCES migrations (id),
    owner     TEXT NOT NULL,
    server    BLOB NOT NULL,
    is_open   INTEGER NOT NULL,
    subject   TEXT NOT NULL,
    opened_at TEXT NOT NULL,
    closed_at TEXT
) STRICT;
CREATE INDEX tickets_of_migration ON tickets (migration);
CREATE INDEX tickets_of_owner ON tickets (owner, opened_at, id);
CREATE INDEX tickets_in_order ON tickets (opened_at, id);

CREATE TABLE notices (
    -- The order within a ticket: two notices of one transaction tell of the same moment.
    seq         INTEGER PRIMARY KEY AUTOINCREMENT,
    id          BLOB NOT NULL UNIQUE,
    key         TEXT NOT NULL UNIQUE,
    ticket      BLOB NOT NULL REFERENCES tickets (id),
    body        TEXT NOT NULL,
    at          TEXT NOT NULL,
    delivery    TEXT NOT NULL CHECK (delivery IN ('pending', 'delivered', 'failed')),
    tries       INTEGER NOT NULL,
    next_try_at TEXT NOT NULL,
    settled_at  TEXT,
    how         TEXT,
    last_error  TEXT,
    -- Addresses of a mail that others have got already; a repeat goes to these only.
    still_to_get TEXT NOT NULL DEFAULT '[]'
) STRICT;
CREATE INDEX notices_of_ticket ON notices (ticket, seq);
CREATE INDEX notices_pending ON notices (ticket, seq) WHERE delivery = 'pending';

CREATE TABLE events (
    seq         INTEGER PRIMARY KEY AUTOINCREMENT,
    at          TEXT NOT NULL,
    maintenance BLOB,
    migration   BLOB,
    server      BLOB,
    owner       TEXT,
    host        TEXT,
    kind        TEXT NOT NULL,
    body        TEXT NOT NULL
) STRICT;
CREATE INDEX events_of_maintenance ON events (maintenance, seq);
CREATE INDEX events_of_migration ON events (migration, seq);
CREATE INDEX events_of_server ON events (server, seq);
CREATE INDEX events_of_owner ON events (owner, seq);
CREATE INDEX events_of_host ON events (host, seq);
CREATE INDEX events_at ON events (at);

CREATE TABLE windows (
    id         BLOB PRIMARY KEY,
    owner      TEXT NOT NULL,
    body       TEXT NOT NULL,
    generation INTEGER NOT NULL,
    created_at TEXT NOT NULL
) STRICT;
CREATE INDEX windows_of_owner ON windows (owner, created_at, id);

CREATE TABLE owners (
    id   TEXT PRIMARY KEY,
    body TEXT NOT NULL
) STRICT;

CREATE TABLE tokens (
    hash         TEXT PRIMARY KEY,
    id           BLOB NOT NULL UNIQUE,
    name         TEXT NOT NULL,
    role         TEXT NOT NULL CHECK (role IN ('operator', 'owner', 'agent')),
    subject      TEXT,
    created_at   TEXT NOT NULL,
    last_used_at TEXT,
    revoked_at   TEXT,
    CHECK ((role = 'operator') = (subject IS NULL))
) STRICT;

CREATE TABLE answers (
    principal    TEXT NOT NULL,
    key          TEXT NOT NULL,
    request_hash TEXT NOT NULL,
    status       INTEGER NOT NULL,
    location     TEXT,
    body         TEXT NOT NULL,
    at           TEXT NOT NULL,
    PRIMARY KEY (principal, key)
) STRICT;
CREATE INDEX answers_at ON answers (at);
