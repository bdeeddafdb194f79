-- The same as migrations/postgres/0011_blueprints.sql.

CREATE TABLE blueprints (
    server     BLOB PRIMARY KEY,
    body       TEXT NOT NULL,
    set_by     TEXT NOT NULL,
    generation INTEGER NOT NULL,
    updated_at TEXT NOT NULL
) STRICT;
