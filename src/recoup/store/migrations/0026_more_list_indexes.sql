-- squawk-ignore-file require-concurrent-index-creation, require-concurrent-index-deletion
-- squawk-ignore-file adding-field-with-default, adding-not-nullable-field
-- squawk-ignore-file constraint-missing-not-valid, adding-foreign-key-constraint
-- (0.1.0 is not released: no table is so large that an index or a column would hold anybody up.)
-- The rest of the lists that read an index and not the table (docs/decisions/0018).

SET LOCAL lock_timeout = '1s';
SET LOCAL statement_timeout = '60s';

-- Two facts of the invoice, so that a list of notes need not look at each invoice. They stand still:
-- a note is of an invoice that is issued. The migrating role may be held back by row-level
-- security, which is forced: not while it copies them.
ALTER TABLE credit_notes
    ADD COLUMN billing_entity_id uuid,
    ADD COLUMN self_billed       boolean;
ALTER TABLE invoices NO FORCE ROW LEVEL SECURITY;
ALTER TABLE credit_notes NO FORCE ROW LEVEL SECURITY;
UPDATE credit_notes n SET billing_entity_id = i.billing_entity_id, self_billed = i.self_billed
  FROM invoices i WHERE (i.organization_id, i.id) = (n.organization_id, n.invoice_id);
ALTER TABLE credit_notes FORCE ROW LEVEL SECURITY;
ALTER TABLE invoices FORCE ROW LEVEL SECURITY;
ALTER TABLE credit_notes
    ALTER COLUMN billing_entity_id SET NOT NULL,
    ALTER COLUMN self_billed SET NOT NULL,
    ADD FOREIGN KEY (organization_id, billing_entity_id)
        REFERENCES billing_entities (organization_id, id);

-- The order of the list, and what its filters look at.
DROP INDEX credit_notes_newest_first;
CREATE INDEX credit_notes_newest_first ON credit_notes
    (organization_id, issuing_date DESC, created_at DESC, id)
    INCLUDE (credit_status, refund_status, reason, currency, total_cents, credit_cents,
             refund_cents, offset_cents, billing_entity_id, self_billed, customer_id, invoice_id,
             number_folded);

-- Few of a tenant's refunds are open, and only while they are is an entry written: for those that
-- wait for a person, and the oldest.
CREATE INDEX refunds_open ON refunds (organization_id, created_at DESC, id)
    WHERE ended_at IS NULL;

-- Open ones and resolved ones apart. Resolving writes the indexes anyway: one has the open alone.
DROP INDEX findings_newest_first;
CREATE INDEX findings_newest_first ON reconciliation_findings
    (organization_id, found_at DESC, id) INCLUDE (resolved_at);

-- What customers are listed by and no index could hold: free text is cut to 800 bytes of the 2,700
-- that an entry may have.
ALTER TABLE customers
    ADD COLUMN has_tax_number boolean
        GENERATED ALWAYS AS (coalesce(tax_identification_number, '') <> '') STORED,
    ADD COLUMN state_start   text GENERATED ALWAYS AS (left(state, 100)) STORED,
    ADD COLUMN zipcode_start text GENERATED ALWAYS AS (left(zipcode, 100)) STORED;
DROP INDEX customers_newest_first;
CREATE INDEX customers_newest_first ON customers (organization_id, created_at DESC, id)
    INCLUDE (has_tax_number, state_start, zipcode_start) WHERE deleted_at IS NULL;
