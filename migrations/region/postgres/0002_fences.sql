-- The highest fence under which anybody wrote for a tenant. 1 is the lowest that there is: an owner that never changed.
ALTER TABLE tenants ADD COLUMN fence BIGINT NOT NULL DEFAULT 1;
