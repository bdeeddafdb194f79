-- The same as migrations/sqlite/0004_threads.sql.

-- Since when an owner's words wait for an operator's answer; nothing when none do. Written with the messages, so that the list of
-- these tickets need not read every message.
ALTER TABLE tickets ADD COLUMN unanswered_since TIMESTAMPTZ;
CREATE INDEX tickets_unanswered ON tickets (opened_at, id) WHERE unanswered_since IS NOT NULL;

-- Addresses for which a mail came back after the mail server had taken it: the delivery itself is long settled by then.
CREATE TABLE bounces (
    notice  UUID NOT NULL REFERENCES notices (id),
    address TEXT NOT NULL,
    why     TEXT NOT NULL,
    at      TIMESTAMPTZ NOT NULL,
    PRIMARY KEY (notice, address)
);
