-- What was sent, as it went out: the words of a mail depend on templates and on the language of the day.

ALTER TABLE deliveries ADD COLUMN text TEXT;

-- The story is looked through by kind, over all that is kept of it.
CREATE INDEX events_of_kind ON events (kind, seq);
