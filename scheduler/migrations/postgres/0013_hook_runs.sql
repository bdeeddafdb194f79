-- Hooks of hosts that have ended, with what they wrote.

CREATE TABLE hook_runs (
    operation   UUID PRIMARY KEY,
    maintenance UUID NOT NULL REFERENCES maintenances (id),
    host        TEXT NOT NULL,
    body        TEXT NOT NULL,
    ended_at    TIMESTAMPTZ NOT NULL
);
CREATE INDEX hook_runs_of_host ON hook_runs (maintenance, host, ended_at);
