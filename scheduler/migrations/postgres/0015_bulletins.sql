-- The same as migrations/sqlite/0015_bulletins.sql.
--
-- What operators are told of a maintenance is stored among the notices, and delivered as they are. Such a message belongs to no ticket.

ALTER TABLE notices ALTER COLUMN ticket DROP NOT NULL;
ALTER TABLE notices ADD COLUMN maintenance UUID REFERENCES maintenances (id);
ALTER TABLE notices ADD CHECK ((ticket IS NULL) <> (maintenance IS NULL));
CREATE INDEX notices_of_maintenance ON notices (maintenance, seq) WHERE maintenance IS NOT NULL;

-- The ticket or the maintenance of the message.
ALTER TABLE deliveries DROP CONSTRAINT deliveries_ticket_fkey;
ALTER TABLE deliveries RENAME COLUMN ticket TO thread;
ALTER INDEX deliveries_of_ticket RENAME TO deliveries_of_thread;
