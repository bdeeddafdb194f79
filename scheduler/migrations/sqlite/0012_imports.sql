-- The same as migrations/postgres/0012_imports.sql.
--
-- Servers of other kinds of hypervisors that are brought here.
CREATE TABLE imports (
    id         BLOB PRIMARY KEY,
    server     BLOB NOT NULL,
    name       TEXT NOT NULL,
    host       TEXT NOT NULL,
    state      TEXT NOT NULL,
    is_over    INTEGER NOT NULL,
    body       TEXT NOT NULL,
    generation INTEGER NOT NULL,
    opened_at  TEXT NOT NULL,
    updated_at TEXT NOT NULL
) STRICT;
CREATE UNIQUE INDEX imports_open ON imports (name) WHERE NOT is_over;
CREATE INDEX imports_name ON imports (name, opened_at);
ALTER TABLE events ADD COLUMN import BLOB;
CREATE INDEX events_of_import ON events (import, seq);
