-- The same as migrations/postgres/0003_webhooks.sql.
--
-- Where owners' programs want to hear of their tickets. The secret is stored as it is: a signature can't be made from a hash.

CREATE TABLE webhooks (
    id           BLOB PRIMARY KEY,
    owner        TEXT NOT NULL,
    url          TEXT NOT NULL,
    secret       TEXT NOT NULL,
    -- The kinds of messages that it hears; none for all.
    kinds        TEXT NOT NULL,
    created_at   TEXT NOT NULL,
    disabled_at  TEXT,
    disabled_why TEXT
) STRICT;
CREATE INDEX webhooks_of_owner ON webhooks (owner, created_at, id);
