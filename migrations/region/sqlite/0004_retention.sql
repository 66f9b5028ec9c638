-- What has to be remembered of events that have outlived their retention.

-- Every event up to here is gone, so a log without events still knows where it ends.
ALTER TABLE tenants ADD COLUMN removed INTEGER NOT NULL DEFAULT 0;

-- Seq and hash of the workspace's last event that is gone: the end of a chain that has no events any more. Leaves of its tree
-- that proofs of other events still need are kept in `tree_nodes`, at level 0.
ALTER TABLE streams ADD COLUMN seq  INTEGER NOT NULL DEFAULT 0;
ALTER TABLE streams ADD COLUMN hash BLOB;
