-- The same as migrations/postgres/0010_checks.sql.

CREATE TABLE checks (
    id         BLOB PRIMARY KEY,
    owner      TEXT NOT NULL,
    body       TEXT NOT NULL,
    generation INTEGER NOT NULL,
    created_at TEXT NOT NULL
) STRICT;
CREATE INDEX checks_of_owner ON checks (owner, created_at, id);
