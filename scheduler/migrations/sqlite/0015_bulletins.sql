-- The same as migrations/postgres/0015_bulletins.sql.
--
-- What operators are told of a maintenance is stored among the notices, and delivered as they are. Such a message belongs to no ticket.
-- SQLite changes no column, so tables are written anew: those that refer to others are dropped first, so that nothing ever refers to what
-- is not there.

CREATE TABLE new_notices (
    -- The order within a thread: two notices of one transaction tell of the same moment.
    seq         INTEGER PRIMARY KEY AUTOINCREMENT,
    id          BLOB NOT NULL UNIQUE,
    key         TEXT NOT NULL UNIQUE,
    ticket      BLOB REFERENCES tickets (id),
    maintenance BLOB REFERENCES maintenances (id),
    body        TEXT NOT NULL,
    at          TEXT NOT NULL,
    CHECK ((ticket IS NULL) <> (maintenance IS NULL))
) STRICT;
INSERT INTO new_notices (seq, id, key, ticket, body, at) SELECT seq, id, key, ticket, body, at FROM notices ORDER BY seq;

CREATE TABLE new_deliveries (
    id          INTEGER PRIMARY KEY AUTOINCREMENT,
    notice      BLOB NOT NULL REFERENCES new_notices (id),
    channel     TEXT NOT NULL,
    -- The ticket or the maintenance of the message.
    thread      BLOB NOT NULL,
    -- The message's place in its thread: the order that is kept on the channel.
    notice_seq  INTEGER NOT NULL,
    state       TEXT NOT NULL CHECK (state IN ('pending', 'delivered', 'failed')),
    tries       INTEGER NOT NULL,
    -- From when on the time counts after which it is given up.
    since       TEXT NOT NULL,
    next_try_at TEXT NOT NULL,
    settled_at  TEXT,
    how         TEXT,
    last_error  TEXT,
    -- Addresses of a mail that others have got already; a repeat goes to these only.
    still_to_get TEXT NOT NULL DEFAULT '[]',
    UNIQUE (notice, channel)
) STRICT;
INSERT INTO new_deliveries (id, notice, channel, thread, notice_seq, state, tries, since, next_try_at, settled_at, how, last_error, still_to_get)
SELECT id, notice, channel, ticket, notice_seq, state, tries, since, next_try_at, settled_at, how, last_error, still_to_get FROM deliveries ORDER BY id;

CREATE TABLE new_bounces (
    notice  BLOB NOT NULL REFERENCES new_notices (id),
    address TEXT NOT NULL,
    why     TEXT NOT NULL,
    at      TEXT NOT NULL,
    PRIMARY KEY (notice, address)
) STRICT;
INSERT INTO new_bounces (notice, address, why, at) SELECT notice, address, why, at FROM bounces;

DROP TABLE bounces;
DROP TABLE deliveries;
DROP TABLE notices;
-- What refers to a table goes on doing so under its new name.
ALTER TABLE new_notices RENAME TO notices;
ALTER TABLE new_deliveries RENAME TO deliveries;
ALTER TABLE new_bounces RENAME TO bounces;

CREATE INDEX notices_of_ticket ON notices (ticket, seq);
CREATE INDEX notices_of_maintenance ON notices (maintenance, seq) WHERE maintenance IS NOT NULL;
CREATE INDEX deliveries_of_thread ON deliveries (thread, notice_seq);
CREATE INDEX deliveries_waiting ON deliveries (channel, thread, notice_seq) WHERE state = 'pending';
CREATE INDEX deliveries_due ON deliveries (channel, next_try_at, notice_seq) WHERE state = 'pending';
CREATE INDEX deliveries_dead ON deliveries (id) WHERE state = 'failed';
