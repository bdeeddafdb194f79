-- The same as migrations/postgres/0005_freezes_and_limits.sql.

CREATE TABLE freezes (
    id         BLOB PRIMARY KEY,
    owner      TEXT NOT NULL,
    body       TEXT NOT NULL,
    -- Where it came from: written days, a calendar that was handed over, or an address with how fetching it went.
    source     TEXT NOT NULL,
    generation INTEGER NOT NULL,
    created_at TEXT NOT NULL
) STRICT;
CREATE INDEX freezes_of_owner ON freezes (owner, created_at, id);

CREATE TABLE limits (
    id         BLOB PRIMARY KEY,
    owner      TEXT NOT NULL,
    body       TEXT NOT NULL,
    generation INTEGER NOT NULL,
    created_at TEXT NOT NULL
) STRICT;
CREATE INDEX limits_of_owner ON limits (owner, created_at, id);
