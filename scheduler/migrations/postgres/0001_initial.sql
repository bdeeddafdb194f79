-- The same tables and columns as migrations/sqlite/0001_initial.sql; a test compares the two. UUID is BLOB there, TIMESTAMPTZ and
-- JSON are TEXT, BIGINT and BOOLEAN are INTEGER.
--
-- `body`, `inventory`, `instruction`, `wish` and `still_to_get` hold JSON as TEXT on purpose: jsonb refuses U+0000, which a guest's or a client's
-- text may contain, and a fact that can't be stored would stop a whole maintenance. `body::jsonb` reads it where one needs to look inside.

CREATE TABLE counters (
    name  TEXT PRIMARY KEY,
    value BIGINT NOT NULL
);
INSERT INTO counters (name, value) VALUES ('maintenance', 0), ('migration', 1000);

CREATE TABLE leases (
    name       TEXT PRIMARY KEY,
    holder     TEXT NOT NULL,
    generation BIGINT NOT NULL,
    expires_at TIMESTAMPTZ NOT NULL
);

CREATE TABLE hosts (
    name          TEXT PRIMARY KEY,
    standing      TEXT NOT NULL,
    generation    BIGINT NOT NULL,
    inventory     TEXT,
    serial        BIGINT,
    incarnation   BIGINT NOT NULL,
    seen_at       TIMESTAMPTZ
);

CREATE TABLE maintenances (
    id           UUID PRIMARY KEY,
    number       BIGINT NOT NULL UNIQUE,
    state        TEXT NOT NULL,
    is_open      BOOLEAN NOT NULL,
    body         TEXT NOT NULL,
    generation   BIGINT NOT NULL,
    requested_at TIMESTAMPTZ NOT NULL,
    updated_at   TIMESTAMPTZ NOT NULL
);
CREATE INDEX maintenances_open ON maintenances (number) WHERE is_open;

CREATE TABLE plans (
    id          UUID PRIMARY KEY,
    maintenance UUID NOT NULL REFERENCES maintenances (id),
    parent      UUID,
    at          TIMESTAMPTZ NOT NULL,
    body        TEXT NOT NULL
);
CREATE INDEX plans_of_maintenance ON plans (maintenance, at);

CREATE TABLE migrations (
    id          UUID PRIMARY KEY,
    number      BIGINT NOT NULL UNIQUE,
    maintenance UUID REFERENCES maintenances (id),
    server      UUID NOT NULL,
    server_name TEXT NOT NULL,
    owner       TEXT,
    from_host   TEXT NOT NULL,
    to_host     TEXT,
    method      TEXT NOT NULL,
    state       TEXT NOT NULL,
    is_open     BOOLEAN NOT NULL,
    is_over     BOOLEAN NOT NULL,
    -- How long the server was off, in microseconds; only of a reboot migration that is done.
    downtime_us BIGINT,
    body        TEXT NOT NULL,
    generation  BIGINT NOT NULL,
    opened_at   TIMESTAMPTZ NOT NULL,
    updated_at  TIMESTAMPTZ NOT NULL
);
CREATE INDEX migrations_not_over ON migrations (number) WHERE NOT is_over;
CREATE INDEX migrations_of_maintenance ON migrations (maintenance, number);
CREATE INDEX migrations_of_owner ON migrations (owner, number);
CREATE INDEX migrations_of_server ON migrations (server, number);
CREATE INDEX migrations_downtimes ON migrations (server, updated_at) WHERE downtime_us IS NOT NULL;

CREATE TABLE operations (
    id         UUID PRIMARY KEY,
    host       TEXT NOT NULL,
    migration  UUID REFERENCES migrations (id),
    generation BIGINT NOT NULL,
    wanted     BOOLEAN NOT NULL,
    instruction TEXT NOT NULL,
    wish       TEXT NOT NULL,
    begun_at   TIMESTAMPTZ NOT NULL,
    ended_at   TIMESTAMPTZ
);
CREATE INDEX operations_wanted ON operations (host) WHERE wanted;
CREATE INDEX operations_of_migration ON operations (migration);

CREATE TABLE tickets (
    id        UUID PRIMARY KEY,
    number    TEXT NOT NULL UNIQUE,
    migration UUID NOT NULL REFERENCES migrations (id),
    owner     TEXT NOT NULL,
    server    UUID NOT NULL,
    is_open   BOOLEAN NOT NULL,
    subject   TEXT NOT NULL,
    opened_at TIMESTAMPTZ NOT NULL,
    closed_at TIMESTAMPTZ
);
CREATE INDEX tickets_of_migration ON tickets (migration);
CREATE INDEX tickets_of_owner ON tickets (owner, opened_at, id);
CREATE INDEX tickets_in_order ON tickets (opened_at, id);

CREATE TABLE notices (
    -- The order within a ticket: two notices of one transaction tell of the same moment.
    seq         BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    id          UUID NOT NULL UNIQUE,
    key         TEXT NOT NULL UNIQUE,
    ticket      UUID NOT NULL REFERENCES tickets (id),
    body        TEXT NOT NULL,
    at          TIMESTAMPTZ NOT NULL,
    delivery    TEXT NOT NULL CHECK (delivery IN ('pending', 'delivered', 'failed')),
    tries       BIGINT NOT NULL,
    next_try_at TIMESTAMPTZ NOT NULL,
    settled_at  TIMESTAMPTZ,
    how         TEXT,
    last_error  TEXT,
    -- Addresses of a mail that others have got already; a repeat goes to these only.
    still_to_get TEXT NOT NULL DEFAULT '[]'
);
CREATE INDEX notices_of_ticket ON notices (ticket, seq);
CREATE INDEX notices_pending ON notices (ticket, seq) WHERE delivery = 'pending';

CREATE TABLE events (
    seq         BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at          TIMESTAMPTZ NOT NULL,
    maintenance UUID,
    migration   UUID,
    server      UUID,
    owner       TEXT,
    host        TEXT,
    kind        TEXT NOT NULL,
    body        TEXT NOT NULL
);
CREATE INDEX events_of_maintenance ON events (maintenance, seq);
CREATE INDEX events_of_migration ON events (migration, seq);
CREATE INDEX events_of_server ON events (server, seq);
CREATE INDEX events_of_owner ON events (owner, seq);
CREATE INDEX events_of_host ON events (host, seq);
CREATE INDEX events_at ON events (at);

CREATE TABLE windows (
    id         UUID PRIMARY KEY,
    owner      TEXT NOT NULL,
    body       TEXT NOT NULL,
    generation BIGINT NOT NULL,
    created_at TIMESTAMPTZ NOT NULL
);
CREATE INDEX windows_of_owner ON windows (owner, created_at, id);

CREATE TABLE owners (
    id   TEXT PRIMARY KEY,
    body TEXT NOT NULL
);

CREATE TABLE tokens (
    hash         TEXT PRIMARY KEY,
    id           UUID NOT NULL UNIQUE,
    name         TEXT NOT NULL,
    role         TEXT NOT NULL CHECK (role IN ('operator', 'owner', 'agent')),
    subject      TEXT,
    created_at   TIMESTAMPTZ NOT NULL,
    last_used_at TIMESTAMPTZ,
    revoked_at   TIMESTAMPTZ,
    CHECK ((role = 'operator') = (subject IS NULL))
);

CREATE TABLE answers (
    principal    TEXT NOT NULL,
    key          TEXT NOT NULL,
    request_hash TEXT NOT NULL,
    status       BIGINT NOT NULL,
    location     TEXT,
    body         TEXT NOT NULL,
    at           TIMESTAMPTZ NOT NULL,
    PRIMARY KEY (principal, key)
);
CREATE INDEX answers_at ON answers (at);
