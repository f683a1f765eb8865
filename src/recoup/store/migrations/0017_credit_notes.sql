-- squawk-ignore-file require-concurrent-index-creation, adding-foreign-key-constraint
-- squawk-ignore-file constraint-missing-not-valid, ban-drop-not-null
-- (0.1.0 is not released: no table is so large that an index would hold its writers up.)
-- Credit notes: what is taken off an invoice again, as credit, as money back, or off what is due.

SET LOCAL lock_timeout = '1s';
SET LOCAL statement_timeout = '60s';

CREATE TABLE credit_notes (
    organization_id     uuid             NOT NULL,
    id                  uuid             NOT NULL,
    invoice_id          uuid             NOT NULL,
    customer_id         uuid             NOT NULL,  -- the invoice's, so that a list has an index
    sequential_id       integer          NOT NULL CHECK (sequential_id > 0),  -- within its invoice
    number              text             NOT NULL,
    number_folded       text             GENERATED ALWAYS AS (lower(number)) STORED,
    issuing_date        date             NOT NULL,
    credit_status       text             CHECK (credit_status IN ('available', 'consumed', 'voided')),
    refund_status       text             CHECK (refund_status IN ('pending', 'succeeded', 'failed')),
    reason              text             NOT NULL CHECK (reason IN ('duplicated_charge',
                        'product_unsatisfactory', 'order_change', 'order_cancellation',
                        'fraudulent_charge', 'other')),
    description         text,
    currency            text             NOT NULL,
    total_cents         bigint           NOT NULL CHECK (total_cents > 0),
    sub_total_excluding_taxes_amount_cents bigint NOT NULL,
    taxes_amount_cents  bigint           NOT NULL,
    precise_total_cents numeric          NOT NULL,
    precise_taxes_cents numeric          NOT NULL,
    taxes_rate          double precision NOT NULL,
    credit_cents        bigint           NOT NULL DEFAULT 0 CHECK (credit_cents >= 0),
    refund_cents        bigint           NOT NULL DEFAULT 0 CHECK (refund_cents >= 0),
    offset_cents        bigint           NOT NULL DEFAULT 0 CHECK (offset_cents >= 0),
    balance_cents       bigint           NOT NULL DEFAULT 0,  -- of the credit: what is left of it
    metadata            jsonb,           -- null: none was ever given
    created_at          timestamptz      NOT NULL,
    updated_at          timestamptz      NOT NULL,
    refunded_at         timestamptz,
    voided_at           timestamptz,
    PRIMARY KEY (organization_id, id),
    FOREIGN KEY (organization_id, invoice_id) REFERENCES invoices (organization_id, id),
    FOREIGN KEY (organization_id, customer_id) REFERENCES customers (organization_id, id),
    CHECK (total_cents = credit_cents + refund_cents + offset_cents),
    CHECK (balance_cents BETWEEN 0 AND credit_cents),
    CHECK ((credit_status IS NOT NULL) = (credit_cents > 0)),
    CHECK (credit_status = 'available' OR balance_cents = 0)
);
-- Their numbers are drawn under the lock of the invoice. A lock can be forgotten; this cannot.
CREATE UNIQUE INDEX one_credit_note_per_number ON credit_notes
    (organization_id, invoice_id, sequential_id);
CREATE INDEX credit_notes_newest_first ON credit_notes
    (organization_id, issuing_date DESC, created_at DESC, id);
CREATE INDEX credit_notes_of_customer ON credit_notes
    (organization_id, customer_id, issuing_date DESC, created_at DESC, id);

CREATE TABLE credit_note_items (
    organization_id      uuid        NOT NULL,
    id                   uuid        NOT NULL,
    credit_note_id       uuid        NOT NULL,
    fee_id               uuid        NOT NULL,
    position             integer     NOT NULL,  -- as asked, from 0
    amount_cents         bigint      NOT NULL CHECK (amount_cents >= 0),  -- before taxes
    precise_amount_cents numeric     NOT NULL,
    amount_currency      text        NOT NULL,
    created_at           timestamptz NOT NULL,
    PRIMARY KEY (organization_id, id),
    FOREIGN KEY (organization_id, credit_note_id) REFERENCES credit_notes (organization_id, id),
    FOREIGN KEY (organization_id, fee_id) REFERENCES fees (organization_id, id)
);
CREATE INDEX items_of_credit_note ON credit_note_items (organization_id, credit_note_id, position);
CREATE INDEX credit_note_items_of_fee ON credit_note_items (organization_id, fee_id);

CREATE TABLE credit_note_applied_taxes (
    organization_id   uuid             NOT NULL,
    id                uuid             NOT NULL,
    credit_note_id    uuid             NOT NULL,
    tax_id            uuid             NOT NULL,
    tax_name          text             NOT NULL,  -- the tax as it was when the invoice was made
    tax_code          text             NOT NULL,
    tax_rate          double precision NOT NULL,
    tax_description   text,
    base_amount_cents bigint           NOT NULL,  -- what it is taken of
    amount_cents      bigint           NOT NULL,
    amount_currency   text             NOT NULL,
    created_at        timestamptz      NOT NULL,
    PRIMARY KEY (organization_id, id),
    FOREIGN KEY (organization_id, credit_note_id) REFERENCES credit_notes (organization_id, id),
    FOREIGN KEY (organization_id, tax_id) REFERENCES taxes (organization_id, id)
);
CREATE INDEX taxes_of_credit_note ON credit_note_applied_taxes (organization_id, credit_note_id);

-- A refund pays back either what belongs to no invoice, or what a credit note says.
ALTER TABLE refunds
    ALTER COLUMN contradiction_id DROP NOT NULL,
    ADD COLUMN credit_note_id uuid,
    ADD FOREIGN KEY (organization_id, credit_note_id) REFERENCES credit_notes (organization_id, id),
    ADD CONSTRAINT refund_has_a_reason
        CHECK (contradiction_id IS NOT NULL OR credit_note_id IS NOT NULL);
-- The same part of a note is never on its way back twice out of one charge.
CREATE UNIQUE INDEX one_refund_per_credit_note_and_payment ON refunds
    (organization_id, credit_note_id, payment_id) WHERE credit_note_id IS NOT NULL;
CREATE OR REPLACE TRIGGER refuse_change_of_sent
    BEFORE UPDATE OF payment_id, contradiction_id, credit_note_id, amount_cents, currency,
                     provider_account_id, provider_payment_id, request, sent_at ON refunds
    FOR EACH ROW WHEN (OLD.state <> 'ready') EXECUTE FUNCTION refuse_change_of_sent();

-- Two more accounts in the books: what customers may still use, and what is to go back to them.
ALTER TABLE ledger_entries
    -- squawk-ignore ban-drop-constraint
    DROP CONSTRAINT ledger_entries_account_check,
    ADD CONSTRAINT ledger_entries_account_check CHECK (account IN ('receivable', 'revenue',
        'at_provider', 'paid_by_hand', 'unapplied', 'reversed', 'refunded', 'customer_credit',
        'to_refund')) NOT VALID;

DO $$
DECLARE tenant_table text;
BEGIN
    FOREACH tenant_table IN ARRAY ARRAY[
        'credit_notes', 'credit_note_items', 'credit_note_applied_taxes'
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
-- A note and its lines are documents: what they say of amounts is never changed.
REVOKE UPDATE ON credit_note_items, credit_note_applied_taxes FROM recoup_app;
