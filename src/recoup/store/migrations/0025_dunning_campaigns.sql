-- squawk-ignore-file require-concurrent-index-creation, adding-foreign-key-constraint
-- squawk-ignore-file constraint-missing-not-valid
-- (0.1.0 is not released: no table is so large that an index would hold its writers up.)
-- Dunning campaigns: what is asked for how often of customers who are late, and how far that came.

SET LOCAL lock_timeout = '1s';
SET LOCAL statement_timeout = '60s';

CREATE TABLE dunning_campaigns (
    organization_id       uuid        NOT NULL REFERENCES organizations (id),
    id                    uuid        NOT NULL,
    code                  text        NOT NULL,
    name                  text        NOT NULL,
    description           text,
    bcc_emails            text[]      NOT NULL DEFAULT '{}',
    days_between_attempts integer     NOT NULL CHECK (days_between_attempts > 0),
    max_attempts          integer     NOT NULL CHECK (max_attempts > 0),
    terms_changed_at      timestamptz NOT NULL,  -- days, attempts or thresholds: counting begins anew
    created_at            timestamptz NOT NULL,
    updated_at            timestamptz NOT NULL,
    PRIMARY KEY (organization_id, id),
    CONSTRAINT one_dunning_campaign_code UNIQUE (organization_id, code)
);
CREATE INDEX dunning_campaigns_newest_first ON dunning_campaigns
    (organization_id, created_at DESC, id);

CREATE TABLE dunning_thresholds (
    organization_id     uuid   NOT NULL,
    dunning_campaign_id uuid   NOT NULL,
    currency            text   NOT NULL,
    amount_cents        bigint NOT NULL CHECK (amount_cents >= 0),  -- of what is due, not of totals
    PRIMARY KEY (organization_id, dunning_campaign_id, currency),
    FOREIGN KEY (organization_id, dunning_campaign_id)
        REFERENCES dunning_campaigns (organization_id, id) ON DELETE CASCADE
);

-- Null: none. A customer's own wins over that of its billing entity.
ALTER TABLE billing_entities
    ADD COLUMN applied_dunning_campaign_id uuid,
    ADD FOREIGN KEY (organization_id, applied_dunning_campaign_id)
        REFERENCES dunning_campaigns (organization_id, id);
ALTER TABLE customers
    ADD COLUMN exclude_from_dunning_campaign boolean NOT NULL DEFAULT false,
    ADD COLUMN applied_dunning_campaign_id uuid,
    ADD FOREIGN KEY (organization_id, applied_dunning_campaign_id)
        REFERENCES dunning_campaigns (organization_id, id);
CREATE INDEX billing_entities_of_dunning_campaign ON billing_entities
    (organization_id, applied_dunning_campaign_id) WHERE applied_dunning_campaign_id IS NOT NULL;
CREATE INDEX customers_of_dunning_campaign ON customers
    (organization_id, applied_dunning_campaign_id) WHERE applied_dunning_campaign_id IS NOT NULL;
CREATE INDEX overdue_invoices_of_customer ON invoices (organization_id, customer_id)
    WHERE payment_overdue;

-- A late customer whom a campaign applies to: when the clock looks next, and what counts so far.
-- Who is not late has no row. That of a campaign is no foreign key: it may be gone before the row.
CREATE TABLE dunnings (
    organization_id     uuid        NOT NULL,
    customer_id         uuid        NOT NULL,
    dunning_campaign_id uuid,        -- whose attempts are counted; null: nobody has looked yet
    terms_changed_at    timestamptz, -- and under which of its terms
    last_attempt_at     timestamptz,
    finished_at         timestamptz, -- when it was told that nothing more is tried
    look_at             timestamptz NOT NULL,
    PRIMARY KEY (organization_id, customer_id),
    FOREIGN KEY (organization_id, customer_id) REFERENCES customers (organization_id, id)
);
CREATE INDEX dunnings_to_look_at ON dunnings (look_at);
CREATE INDEX dunnings_of_campaign ON dunnings (organization_id, dunning_campaign_id);

CREATE TABLE dunning_counters (
    organization_id uuid        NOT NULL,
    customer_id     uuid        NOT NULL,
    currency        text        NOT NULL,
    attempts        integer     NOT NULL CHECK (attempts > 0),
    counted_since   timestamptz NOT NULL,  -- the first of them
    PRIMARY KEY (organization_id, customer_id, currency),
    FOREIGN KEY (organization_id, customer_id) REFERENCES customers (organization_id, id)
);

-- Null where a caller asked. No foreign key: what a deleted campaign asked for stays asked for.
ALTER TABLE payment_requests
    ADD COLUMN dunning_campaign_id uuid,
    ADD COLUMN reminder_copies     text[];  -- who reads along in blind copy; null: no mail, if it fails

DO $$
DECLARE tenant_table text;
BEGIN
    FOREACH tenant_table IN ARRAY ARRAY['dunning_campaigns', 'dunning_thresholds', 'dunnings',
                                        'dunning_counters'] LOOP
        EXECUTE format('CREATE POLICY own_tenants ON %I TO recoup_app
            USING ((organization_id = ANY ((SELECT recoup_tenants())::uuid[])) IS TRUE)
            WITH CHECK (organization_id = ANY ((SELECT recoup_tenants())::uuid[]))', tenant_table);
        EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', tenant_table);
        EXECUTE format('ALTER TABLE %I FORCE ROW LEVEL SECURITY', tenant_table);
        EXECUTE format('GRANT SELECT, INSERT, UPDATE, DELETE ON %I TO recoup_app', tenant_table);
    END LOOP;
END
$$;
CREATE POLICY all_tenants ON dunnings FOR SELECT TO recoup_scout USING (true);
GRANT SELECT (organization_id, customer_id, look_at) ON dunnings TO recoup_scout;
