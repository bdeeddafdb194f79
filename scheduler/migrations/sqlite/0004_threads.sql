-- The same tables and columns as migrations/postgres/0004_threads.sql, where it is said why they are as they are.

ALTER TABLE tickets ADD COLUMN unanswered_since TEXT;
CREATE INDEX tickets_unanswered ON tickets (opened_at, id) WHERE unanswered_since IS NOT NULL;

CREATE TABLE bounces (
    notice  BLOB NOT NULL REFERENCES notices (id),
    address TEXT NOT NULL,
    why     TEXT NOT NULL,
    at      TEXT NOT NULL,
    PRIMARY KEY (notice, address)
) STRICT;
