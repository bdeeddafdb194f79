-- The same as migrations/sqlite/0009_replicas.sql.
--
-- Copies of servers' local disks. One may outlive its migration's end for a while: what it left at silent hosts is cleared away when they are back.
CREATE TABLE replicas (
    id         UUID PRIMARY KEY,
    migration  UUID NOT NULL REFERENCES migrations (id),
    server     UUID NOT NULL,
    from_host  TEXT NOT NULL,
    to_host    TEXT NOT NULL,
    state      TEXT NOT NULL,
    is_gone    BOOLEAN NOT NULL,
    body       TEXT NOT NULL,
    generation BIGINT NOT NULL,
    opened_at  TIMESTAMPTZ NOT NULL,
    updated_at TIMESTAMPTZ NOT NULL
);
CREATE INDEX replicas_kept ON replicas (opened_at) WHERE NOT is_gone;
CREATE INDEX replicas_migration ON replicas (migration);
