-- When a campaign asked somebody last is what its requests say: a row of `dunnings` may be gone.

SET LOCAL lock_timeout = '1s';
SET LOCAL statement_timeout = '60s';

-- squawk-ignore ban-drop-column
ALTER TABLE dunnings DROP COLUMN last_attempt_at;

-- All who are late are looked at after a campaign has changed: in pieces, by a job.
CREATE TABLE dunning_wakes (
    organization_id   uuid        PRIMARY KEY REFERENCES organizations (id),
    after_customer_id uuid        NOT NULL DEFAULT '00000000-0000-0000-0000-000000000000',
    only_missing      boolean     NOT NULL DEFAULT false,  -- whoever has a row stays as they are
    asked_at          timestamptz NOT NULL
);
CREATE POLICY own_tenants ON dunning_wakes TO recoup_app
    USING ((organization_id = ANY ((SELECT recoup_tenants())::uuid[])) IS TRUE)
    WITH CHECK (organization_id = ANY ((SELECT recoup_tenants())::uuid[]));
CREATE POLICY all_tenants ON dunning_wakes FOR SELECT TO recoup_scout USING (true);
ALTER TABLE dunning_wakes ENABLE ROW LEVEL SECURITY;
ALTER TABLE dunning_wakes FORCE ROW LEVEL SECURITY;
GRANT SELECT, INSERT, UPDATE, DELETE ON dunning_wakes TO recoup_app;
GRANT SELECT (organization_id, asked_at) ON dunning_wakes TO recoup_scout;

CREATE POLICY all_tenants ON dunning_campaigns FOR SELECT TO recoup_scout USING (true);
GRANT SELECT (organization_id) ON dunning_campaigns TO recoup_scout;
