-- squawk-ignore-file require-concurrent-index-creation
-- (0.1.0 is not released: no table is so large that an index would hold its writers up.)
-- How many calls a provider account has in hand, and whether it answers; shared by all processes.

SET LOCAL lock_timeout = '1s';
SET LOCAL statement_timeout = '60s';

-- Until when a ready attempt is held back. Null: it may be sent at once.
ALTER TABLE payments ADD COLUMN send_at timestamptz;
GRANT SELECT (send_at) ON payments TO recoup_scout;
CREATE INDEX payments_held_back ON payments (organization_id, provider_account_id)
    WHERE state = 'ready' AND send_at IS NOT NULL;

CREATE TABLE provider_health (
    organization_id      uuid             NOT NULL,
    provider_account_id  uuid             NOT NULL,
    tokens               double precision CHECK (tokens >= 0),
    refilled_at          timestamptz,     -- null: nobody has called yet
    slow_until           timestamptz,     -- it has said that it is called too often
    outages_in_a_row     integer          NOT NULL DEFAULT 0,
    first_outage_at      timestamptz,
    times_opened         integer          NOT NULL DEFAULT 0,
    open_until           timestamptz,     -- it is left alone until then; null: it answers
    probing_until        timestamptz,
    PRIMARY KEY (organization_id, provider_account_id),
    FOREIGN KEY (organization_id, provider_account_id)
        REFERENCES provider_accounts (organization_id, id),
    CHECK ((tokens IS NULL) = (refilled_at IS NULL))
);

CREATE POLICY own_tenants ON provider_health TO recoup_app
    USING ((organization_id = ANY ((SELECT recoup_tenants())::uuid[])) IS TRUE)
    WITH CHECK (organization_id = ANY ((SELECT recoup_tenants())::uuid[]));
ALTER TABLE provider_health ENABLE ROW LEVEL SECURITY;
ALTER TABLE provider_health FORCE ROW LEVEL SECURITY;
GRANT SELECT, INSERT, UPDATE ON provider_health TO recoup_app;
CREATE POLICY all_tenants ON provider_health FOR SELECT TO recoup_scout USING (true);
GRANT SELECT (organization_id, provider_account_id, open_until, slow_until) ON provider_health
    TO recoup_scout;
