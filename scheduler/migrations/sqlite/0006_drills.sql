-- The same as migrations/postgres/0006_drills.sql.
--
-- A drill is told and asked like a migration and is none: whatever counts migrations leaves it out by this.
ALTER TABLE migrations ADD COLUMN purpose TEXT NOT NULL DEFAULT 'move' CHECK (purpose IN ('move', 'drill'));
CREATE INDEX migrations_drills ON migrations (opened_at) WHERE purpose = 'drill';

-- The document of scheduled events that was shown last to whoever asks for it by this name: its incarnation rises when the events are others, and
-- only then, so that must be remembered.
CREATE TABLE documents (
    name        TEXT PRIMARY KEY,
    incarnation INTEGER NOT NULL,
    body        TEXT NOT NULL,
    changed_at  TEXT NOT NULL
) STRICT;
