-- squawk-ignore-file require-concurrent-index-creation, require-concurrent-index-deletion
-- squawk-ignore-file constraint-missing-not-valid, adding-foreign-key-constraint, ban-drop-constraint
-- (0.1.0 is not released: no table is so large that an index would hold its writers up.)
-- Documents of credit notes and of payment receipts, beside those of invoices.

SET LOCAL lock_timeout = '1s';
SET LOCAL statement_timeout = '60s';

ALTER TABLE documents
    ADD COLUMN credit_note_id     uuid,
    ADD COLUMN payment_receipt_id uuid,
    ADD FOREIGN KEY (organization_id, credit_note_id)
        REFERENCES credit_notes (organization_id, id),
    ADD FOREIGN KEY (organization_id, payment_receipt_id)
        REFERENCES payment_receipts (organization_id, id),
    ADD CONSTRAINT document_of_a_credit_note
        CHECK ((kind = 'credit_note') = (credit_note_id IS NOT NULL)),
    ADD CONSTRAINT document_of_a_receipt
        CHECK ((kind = 'payment_receipt') = (payment_receipt_id IS NOT NULL));

-- One version is current, and each has a number of its own. All partial, those of invoices as well:
-- a receipt comes with each settled payment, and is entered in the index of its own kind alone.
ALTER TABLE documents DROP CONSTRAINT documents_organization_id_invoice_id_version_key;
DROP INDEX current_document_of_invoice;
CREATE UNIQUE INDEX current_document_of_invoice ON documents (organization_id, invoice_id)
    WHERE replaced_at IS NULL AND invoice_id IS NOT NULL;
CREATE UNIQUE INDEX versions_of_invoice_document ON documents (organization_id, invoice_id, version)
    WHERE invoice_id IS NOT NULL;
CREATE UNIQUE INDEX current_document_of_credit_note ON documents (organization_id, credit_note_id)
    WHERE replaced_at IS NULL AND credit_note_id IS NOT NULL;
CREATE UNIQUE INDEX versions_of_credit_note_document
    ON documents (organization_id, credit_note_id, version) WHERE credit_note_id IS NOT NULL;
CREATE UNIQUE INDEX current_document_of_receipt ON documents (organization_id, payment_receipt_id)
    WHERE replaced_at IS NULL AND payment_receipt_id IS NOT NULL;
