-- What outlasts a single call: a device that is being deleted, and one whose events go somewhere else than before.

-- 1 from the moment when somebody deletes the device until nothing is kept of it in its region any more; then the row goes too.
-- It opens no session, and is shown to nobody.
ALTER TABLE devices ADD COLUMN is_leaving BIGINT NOT NULL DEFAULT 0;
-- When it came into its present workspace; null if it has always been there.
ALTER TABLE devices ADD COLUMN moved_at BIGINT;

-- Deletions that were not finished, looked for now and then.
CREATE INDEX devices_leaving ON devices (id) WHERE is_leaving = 1;
