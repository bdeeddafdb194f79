-- The same as migrations/sqlite/0008_replaced_secrets.sql.
--
-- The secrets that a webhook's present one has replaced, as JSON, the oldest first: each with the moment until which it signs as well.
ALTER TABLE webhooks ADD COLUMN replaced_secrets TEXT NOT NULL DEFAULT '[]';
