-- squawk-ignore-file require-concurrent-index-creation, require-concurrent-index-deletion
-- squawk-ignore-file adding-field-with-default
-- (0.1.0 is not released: no table is so large that an index or a column would hold anybody up.)
-- Lists that read an index and not the table, whatever a caller filters by. Row-level security lets
-- a condition into an index only if its operator is leakproof; but what an index holds can be looked
-- at there by any condition, and a tenant's part of an index is read in one piece, where its rows
-- lie scattered among everybody's.

SET LOCAL lock_timeout = '1s';
SET LOCAL statement_timeout = '60s';

-- The order of the list, and what its filters look at beside the words below.
DROP INDEX invoices_newest_first;
CREATE INDEX invoices_newest_first ON invoices
    (organization_id, issuing_date DESC, created_at DESC, id)
    INCLUDE (status, payment_status, payment_overdue, payment_dispute_lost_at, currency,
             total_cents, paid_cents, offset_cents, customer_id, number_folded);

-- How many there are of a kind: few kinds, so PostgreSQL keeps each once, with a list of its rows.
-- A million invoices take 8 MB here and 170 MB above, and are counted in a third of the time.
CREATE INDEX invoices_by_kind ON invoices
    (organization_id, payment_status, status, payment_overdue, currency, self_billed,
     billing_entity_id, invoice_type);

-- Those that nobody is shown: next to none. A list counts all, or looks whether there are any.
CREATE INDEX invoices_hidden ON invoices (organization_id, id)
    WHERE status IN ('closed', 'deleted', 'generating', 'open');

DROP INDEX payments_newest_first;
CREATE INDEX payments_newest_first ON payments (organization_id, created_at DESC, id)
    INCLUDE (state, manner);

DROP INDEX fees_oldest_first;
CREATE INDEX fees_oldest_first ON fees (organization_id, created_at, invoice_id, position)
    INCLUDE (amount_currency);

-- Deleted customers are in no list of customers.
DROP INDEX customers_newest_first;
CREATE INDEX customers_newest_first ON customers (organization_id, created_at DESC, id)
    WHERE deleted_at IS NULL;
CREATE INDEX customers_by_kind ON customers
    (organization_id, country, currency, account_type, customer_type, billing_entity_id)
    WHERE deleted_at IS NULL;

-- What a search looks through, folded once and not at every look.
ALTER TABLE customers ADD COLUMN search_text text GENERATED ALWAYS AS (
    lower(coalesce(name, '') || E'\n' || coalesce(firstname, '') || E'\n'
          || coalesce(lastname, '') || E'\n' || external_id || E'\n' || coalesce(email, ''))) STORED;
