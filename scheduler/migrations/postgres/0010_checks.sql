-- What owners want their servers to be looked at for after a move.

CREATE TABLE checks (
    id         UUID PRIMARY KEY,
    owner      TEXT NOT NULL,
    body       TEXT NOT NULL,
    generation BIGINT NOT NULL,
    created_at TIMESTAMPTZ NOT NULL
);
CREATE INDEX checks_of_owner ON checks (owner, created_at, id);
