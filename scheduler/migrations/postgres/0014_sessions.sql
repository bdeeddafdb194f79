-- Who is signed in on the pages, by a token or by the link in a ticket's mail. Only a hash of what the browser has is kept.
-- A ticket is no reference: it may be purged, and the session is worthless then.

CREATE TABLE sessions (
    hash         TEXT PRIMARY KEY,
    token        UUID REFERENCES tokens (id),
    ticket       UUID,
    csrf         TEXT NOT NULL,
    flash        TEXT,
    created_at   TIMESTAMPTZ NOT NULL,
    last_used_at TIMESTAMPTZ NOT NULL,
    CHECK ((token IS NULL) <> (ticket IS NULL))
);
CREATE INDEX sessions_by_use ON sessions (last_used_at);
