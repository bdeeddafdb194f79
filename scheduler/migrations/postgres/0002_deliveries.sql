-- The same as migrations/sqlite/0002_deliveries.sql.
--
-- A message goes to several channels. What becomes of it on each is a row of its own, written in the transaction of the message.

CREATE TABLE deliveries (
    id          BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    notice      UUID NOT NULL REFERENCES notices (id),
    channel     TEXT NOT NULL,
    ticket      UUID NOT NULL REFERENCES tickets (id),
    -- The message's place in its ticket: the order that is kept on the channel.
    notice_seq  BIGINT NOT NULL,
    state       TEXT NOT NULL CHECK (state IN ('pending', 'delivered', 'failed')),
    tries       BIGINT NOT NULL,
    -- From when on the time counts after which it is given up.
    since       TIMESTAMPTZ NOT NULL,
    next_try_at TIMESTAMPTZ NOT NULL,
    settled_at  TIMESTAMPTZ,
    how         TEXT,
    last_error  TEXT,
    -- Addresses of a mail that others have got already; a repeat goes to these only.
    still_to_get TEXT NOT NULL DEFAULT '[]',
    UNIQUE (notice, channel)
);

INSERT INTO deliveries (notice, channel, ticket, notice_seq, state, tries, since, next_try_at, settled_at, how, last_error, still_to_get)
SELECT id, 'mail', ticket, seq, delivery, tries, at, next_try_at, settled_at, how, last_error, still_to_get FROM notices ORDER BY seq;

CREATE INDEX deliveries_of_ticket ON deliveries (ticket, notice_seq);
CREATE INDEX deliveries_waiting ON deliveries (channel, ticket, notice_seq) WHERE state = 'pending';
CREATE INDEX deliveries_due ON deliveries (channel, next_try_at, notice_seq) WHERE state = 'pending';
CREATE INDEX deliveries_dead ON deliveries (id) WHERE state = 'failed';

DROP INDEX notices_pending;
ALTER TABLE notices DROP COLUMN delivery;
ALTER TABLE notices DROP COLUMN tries;
ALTER TABLE notices DROP COLUMN next_try_at;
ALTER TABLE notices DROP COLUMN settled_at;
ALTER TABLE notices DROP COLUMN how;
ALTER TABLE notices DROP COLUMN last_error;
ALTER TABLE notices DROP COLUMN still_to_get;

-- What a ticket is called on a channel that has tickets of its own.
CREATE TABLE channel_tickets (
    channel  TEXT NOT NULL,
    ticket   UUID NOT NULL REFERENCES tickets (id),
    external TEXT NOT NULL,
    PRIMARY KEY (channel, ticket)
);
CREATE INDEX channel_tickets_of_ticket ON channel_tickets (ticket);
