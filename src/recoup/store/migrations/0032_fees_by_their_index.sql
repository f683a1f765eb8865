-- squawk-ignore-file require-concurrent-index-creation, require-concurrent-index-deletion
-- (0.1.0 is not released: no table is so large that an index would hold its writers up.)
-- A page of fees that lies far behind skips entries of this index, and none of the table's rows.

SET LOCAL lock_timeout = '1s';
SET LOCAL statement_timeout = '60s';

DROP INDEX fees_oldest_first;
CREATE INDEX fees_oldest_first ON fees (organization_id, created_at, invoice_id, position)
    INCLUDE (amount_currency, id);
