-- The same as migrations/sqlite/0012_imports.sql.
--
-- Servers of other kinds of hypervisors that are brought here.
CREATE TABLE imports (
    id         UUID PRIMARY KEY,
    server     UUID NOT NULL,
    name       TEXT NOT NULL,
    host       TEXT NOT NULL,
    state      TEXT NOT NULL,
    is_over    BOOLEAN NOT NULL,
    body       TEXT NOT NULL,
    generation BIGINT NOT NULL,
    opened_at  TIMESTAMPTZ NOT NULL,
    updated_at TIMESTAMPTZ NOT NULL
);
CREATE UNIQUE INDEX imports_open ON imports (name) WHERE NOT is_over;
CREATE INDEX imports_name ON imports (name, opened_at);
ALTER TABLE events ADD COLUMN import UUID;
CREATE INDEX events_of_import ON events (import, seq);
