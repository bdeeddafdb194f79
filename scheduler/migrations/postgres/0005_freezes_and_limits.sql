-- Times in which owners want nothing to happen, and how many of their servers they want rebooted at once.

CREATE TABLE freezes (
    id         UUID PRIMARY KEY,
    owner      TEXT NOT NULL,
    body       TEXT NOT NULL,
    -- Where it came from: written days, a calendar that was handed over, or an address with how fetching it went.
    source     TEXT NOT NULL,
    generation BIGINT NOT NULL,
    created_at TIMESTAMPTZ NOT NULL
);
CREATE INDEX freezes_of_owner ON freezes (owner, created_at, id);

CREATE TABLE limits (
    id         UUID PRIMARY KEY,
    owner      TEXT NOT NULL,
    body       TEXT NOT NULL,
    generation BIGINT NOT NULL,
    created_at TIMESTAMPTZ NOT NULL
);
CREATE INDEX limits_of_owner ON limits (owner, created_at, id);
