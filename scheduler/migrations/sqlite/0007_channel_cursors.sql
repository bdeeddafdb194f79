-- The same as migrations/postgres/0007_channel_cursors.sql.
--
-- How far a channel has been read from which replies come.

CREATE TABLE channel_cursors (
    channel TEXT PRIMARY KEY,
    -- In the other end's own count.
    read_to INTEGER NOT NULL
) STRICT;

-- Replies are found by what their ticket is called there.
CREATE INDEX channel_tickets_external ON channel_tickets (channel, external);
