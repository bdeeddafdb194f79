-- The same as migrations/postgres/0017_taken_tickets.sql.

ALTER TABLE tickets ADD COLUMN taken_by TEXT;
ALTER TABLE tickets ADD COLUMN taken_at TEXT;

CREATE INDEX tickets_taken ON tickets (taken_by, opened_at, id) WHERE taken_by IS NOT NULL;
