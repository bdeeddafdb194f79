-- The same as migrations/postgres/0014_sessions.sql.

CREATE TABLE sessions (
    hash         TEXT PRIMARY KEY,
    token        BLOB REFERENCES tokens (id),
    ticket       BLOB,
    csrf         TEXT NOT NULL,
    flash        TEXT,
    created_at   TEXT NOT NULL,
    last_used_at TEXT NOT NULL,
    CHECK ((token IS NULL) <> (ticket IS NULL))
) STRICT;
CREATE INDEX sessions_by_use ON sessions (last_used_at);
