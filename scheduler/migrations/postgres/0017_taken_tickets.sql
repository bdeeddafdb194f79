-- The same as migrations/sqlite/0017_taken_tickets.sql.
--
-- Which operator looks after a ticket, by the name of his token, and since when; both are there or neither.

ALTER TABLE tickets ADD COLUMN taken_by TEXT;
ALTER TABLE tickets ADD COLUMN taken_at TIMESTAMPTZ;

CREATE INDEX tickets_taken ON tickets (taken_by, opened_at, id) WHERE taken_by IS NOT NULL;
