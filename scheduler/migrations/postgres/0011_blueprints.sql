-- What servers shall look like at their next launch.

CREATE TABLE blueprints (
    server     UUID PRIMARY KEY,
    body       TEXT NOT NULL,
    set_by     TEXT NOT NULL,
    generation BIGINT NOT NULL,
    updated_at TIMESTAMPTZ NOT NULL
);
