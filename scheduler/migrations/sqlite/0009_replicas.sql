-- The same as migrations/postgres/0009_replicas.sql.
--
-- Copies of servers' local disks. One may outlive its migration's end for a while: what it left at silent hosts is cleared away when they are back.
CREATE TABLE replicas (
    id         BLOB PRIMARY KEY,
    migration  BLOB NOT NULL REFERENCES migrations (id),
    server     BLOB NOT NULL,
    from_host  TEXT NOT NULL,
    to_host    TEXT NOT NULL,
    state      TEXT NOT NULL,
    is_gone    INTEGER NOT NULL,
    body       TEXT NOT NULL,
    generation INTEGER NOT NULL,
    opened_at  TEXT NOT NULL,
    updated_at TEXT NOT NULL
) STRICT;
CREATE INDEX replicas_kept ON replicas (opened_at) WHERE NOT is_gone;
CREATE INDEX replicas_migration ON replicas (migration);
