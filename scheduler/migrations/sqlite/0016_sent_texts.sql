-- The same as migrations/postgres/0016_sent_texts.sql.

ALTER TABLE deliveries ADD COLUMN text TEXT;

CREATE INDEX events_of_kind ON events (kind, seq);
