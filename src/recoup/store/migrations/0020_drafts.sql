-- squawk-ignore-file require-concurrent-index-creation
-- (0.1.0 is not released: no table is so large that an index would hold its writers up.)
-- Invoices that are not final yet, mails to customers, and what a billing entity says besides.

SET LOCAL lock_timeout = '1s';
SET LOCAL statement_timeout = '60s';

-- When a draft's grace ends. Null: it is no draft, or one that a person finalizes.
ALTER TABLE invoices ADD COLUMN finalize_at timestamptz;
ALTER TABLE invoices
    ADD CONSTRAINT only_drafts_wait CHECK (finalize_at IS NULL OR status = 'draft') NOT VALID;
CREATE INDEX drafts_to_finalize ON invoices (finalize_at) WHERE finalize_at IS NOT NULL;
GRANT SELECT (finalize_at) ON invoices TO recoup_scout;

-- How a line was asked for, so that a draft can be worked out anew.
ALTER TABLE fees
    ADD COLUMN priced_by_add_on boolean NOT NULL DEFAULT false,  -- false: the ask named its price
    ADD COLUMN named_tax_codes  text[]  NOT NULL DEFAULT '{}';

ALTER TABLE billing_entities
    ADD COLUMN einvoicing        boolean NOT NULL DEFAULT false,
    ADD COLUMN eu_tax_management boolean NOT NULL DEFAULT false,
    ADD COLUMN subscription_invoice_issuing_date_anchor text NOT NULL DEFAULT 'next_period_start',
    ADD COLUMN subscription_invoice_issuing_date_adjustment text NOT NULL
        DEFAULT 'align_with_finalization_date';

-- A mail to a customer, written when it is sent. Where its server took it and its answer was lost
-- it is sent again, under the same Message-ID.
CREATE TABLE mails (
    organization_id uuid        NOT NULL REFERENCES organizations (id),
    id              uuid        NOT NULL,
    kind            text        NOT NULL,  -- what it is about, in the words of email_settings
    object_id       uuid        NOT NULL,  -- the row it is about
    recipients      text[]      NOT NULL CHECK (cardinality(recipients) > 0),
    copies          text[]      NOT NULL DEFAULT '{}',
    blind_copies    text[]      NOT NULL DEFAULT '{}',
    state           text        NOT NULL DEFAULT 'waiting'
                    CHECK (state IN ('waiting', 'sent', 'given_up')),
    tries           integer     NOT NULL DEFAULT 0,
    send_at         timestamptz,           -- null: nothing more to do
    error           text,                  -- why the last try failed, in a word
    created_at      timestamptz NOT NULL,
    ended_at        timestamptz,
    PRIMARY KEY (organization_id, id),
    CHECK ((state = 'waiting') = (send_at IS NOT NULL))
);
CREATE INDEX mails_due ON mails (send_at) WHERE send_at IS NOT NULL;
CREATE INDEX mails_about ON mails (organization_id, object_id, created_at);
CREATE INDEX mails_unsent ON mails (organization_id, created_at, id) WHERE state <> 'sent';

CREATE POLICY own_tenants ON mails TO recoup_app
    USING ((organization_id = ANY ((SELECT recoup_tenants())::uuid[])) IS TRUE)
    WITH CHECK (organization_id = ANY ((SELECT recoup_tenants())::uuid[]));
ALTER TABLE mails ENABLE ROW LEVEL SECURITY;
ALTER TABLE mails FORCE ROW LEVEL SECURITY;
GRANT SELECT, INSERT, UPDATE ON mails TO recoup_app;
CREATE POLICY all_tenants ON mails FOR SELECT TO recoup_scout USING (true);
GRANT SELECT (organization_id, id, send_at) ON mails TO recoup_scout;
