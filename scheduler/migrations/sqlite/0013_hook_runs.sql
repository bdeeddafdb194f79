-- The same as migrations/postgres/0013_hook_runs.sql.

CREATE TABLE hook_runs (
    operation   BLOB PRIMARY KEY,
    maintenance BLOB NOT NULL REFERENCES maintenances (id),
    host        TEXT NOT NULL,
    body        TEXT NOT NULL,
    ended_at    TEXT NOT NULL
) STRICT;
CREATE INDEX hook_runs_of_host ON hook_runs (maintenance, host, ended_at);
