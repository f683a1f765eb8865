-- squawk-ignore-file require-concurrent-index-creation
-- (0.1.0 is not released: no table is so large that an index would hold its writers up.)
-- Comparing a provider's list with ours, and charging nothing after a restore until that is done.

SET LOCAL lock_timeout = '1s';
SET LOCAL statement_timeout = '60s';

-- One row, of no tenant: by what the database knows itself again. A restored one does not.
CREATE TABLE database_signs (
    only_one          boolean     PRIMARY KEY DEFAULT true CHECK (only_one),
    system_identifier text        NOT NULL,  -- of the cluster: another one after a dump and restore
    timeline          text        NOT NULL,  -- a new one after a recovery to a point in time
    database_oid      bigint      NOT NULL,  -- another one after a dump into a new database
    folder            text        NOT NULL,  -- of the embedded cluster; a copied one is another
    beat_at           timestamptz NOT NULL   -- only grows; processes keep the last one they saw
);
GRANT SELECT, INSERT, UPDATE ON database_signs TO recoup_app;

CREATE TABLE quarantines (
    organization_id      uuid        NOT NULL,
    id                   uuid        NOT NULL,
    provider_account_id  uuid        NOT NULL,
    because              text        NOT NULL,
    compare_since        timestamptz NOT NULL,  -- what was charged from here on may be unknown here
    began_at             timestamptz NOT NULL,
    released_at          timestamptz,
    released_because     text,
    PRIMARY KEY (organization_id, id),
    FOREIGN KEY (organization_id, provider_account_id)
        REFERENCES provider_accounts (organization_id, id),
    CHECK ((released_at IS NULL) = (released_because IS NULL))
);
CREATE UNIQUE INDEX one_quarantine_per_account ON quarantines
    (organization_id, provider_account_id) WHERE released_at IS NULL;

CREATE TABLE reconciliations (
    organization_id      uuid        NOT NULL,
    id                   uuid        NOT NULL,
    provider_account_id  uuid        NOT NULL,
    state                text        NOT NULL DEFAULT 'listing'
                         CHECK (state IN ('listing', 'complete', 'cannot_list')),
    since                timestamptz NOT NULL,
    before               timestamptz NOT NULL,
    next_page            text,       -- where the provider's list goes on, for whoever goes on
    listed               integer     NOT NULL DEFAULT 0,
    foreign_charges      integer     NOT NULL DEFAULT 0,  -- on the list, and not made by us
    began_at             timestamptz NOT NULL,
    ended_at             timestamptz,
    PRIMARY KEY (organization_id, id),
    FOREIGN KEY (organization_id, provider_account_id)
        REFERENCES provider_accounts (organization_id, id),
    CHECK ((state = 'listing') = (ended_at IS NULL))
);
CREATE UNIQUE INDEX one_reconciliation_per_account ON reconciliations
    (organization_id, provider_account_id) WHERE state = 'listing';
CREATE INDEX reconciliations_newest_first ON reconciliations
    (organization_id, provider_account_id, began_at DESC);

CREATE TABLE reconciliation_charges (  -- which of our attempts the provider's list has named
    organization_id    uuid NOT NULL,
    reconciliation_id  uuid NOT NULL,
    payment_id         uuid NOT NULL,
    PRIMARY KEY (organization_id, reconciliation_id, payment_id),
    FOREIGN KEY (organization_id, reconciliation_id)
        REFERENCES reconciliations (organization_id, id),
    FOREIGN KEY (organization_id, payment_id) REFERENCES payments (organization_id, id)
);

CREATE TABLE reconciliation_findings (
    organization_id      uuid        NOT NULL,
    id                   uuid        NOT NULL,  -- made from what it says, so each is there once
    provider_account_id  uuid        NOT NULL,
    what                 text        NOT NULL
                         CHECK (what IN ('unknown_here', 'unknown_there', 'unreadable')),
    idempotency_key      text        NOT NULL,
    charge_known_as      text,       -- the provider's id; such a charge need not be a row of ours
    amount_cents         bigint      NOT NULL,
    currency             text        NOT NULL,
    detail               text        NOT NULL DEFAULT '',  -- why it could not be mended, in a word
    found_at             timestamptz NOT NULL,
    resolved_at          timestamptz,
    resolved_because     text,
    PRIMARY KEY (organization_id, id),
    FOREIGN KEY (organization_id, provider_account_id)
        REFERENCES provider_accounts (organization_id, id),
    CHECK ((resolved_at IS NULL) = (resolved_because IS NULL))
);
CREATE INDEX open_findings ON reconciliation_findings (organization_id, provider_account_id)
    WHERE resolved_at IS NULL;
CREATE INDEX payments_of_account ON payments (organization_id, provider_account_id, sent_at)
    WHERE sent_at IS NOT NULL;

DO $$
DECLARE tenant_table text;
BEGIN
    FOREACH tenant_table IN ARRAY ARRAY[
        'quarantines', 'reconciliations', 'reconciliation_charges', 'reconciliation_findings'
    ] LOOP
        EXECUTE format('CREATE POLICY own_tenants ON %I TO recoup_app
            USING ((organization_id = ANY ((SELECT recoup_tenants())::uuid[])) IS TRUE)
            WITH CHECK (organization_id = ANY ((SELECT recoup_tenants())::uuid[]))', tenant_table);
        EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', tenant_table);
        EXECUTE format('ALTER TABLE %I FORCE ROW LEVEL SECURITY', tenant_table);
        EXECUTE format('GRANT SELECT, INSERT, UPDATE ON %I TO recoup_app', tenant_table);
    END LOOP;
END
$$;
GRANT DELETE ON reconciliation_charges TO recoup_app;

CREATE POLICY all_tenants ON quarantines FOR SELECT TO recoup_scout USING (true);
GRANT SELECT (organization_id, provider_account_id, began_at, released_at) ON quarantines
    TO recoup_scout;
CREATE POLICY all_tenants ON reconciliation_findings FOR SELECT TO recoup_scout USING (true);
GRANT SELECT (organization_id, id, resolved_at) ON reconciliation_findings TO recoup_scout;
