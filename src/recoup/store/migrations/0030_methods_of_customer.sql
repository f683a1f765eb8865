-- squawk-ignore-file require-concurrent-index-creation
-- (0.1.0 is not released: no table is so large that an index would hold its writers up.)
-- A customer's methods are listed, and looked through when one comes or goes.

SET LOCAL lock_timeout = '1s';
SET LOCAL statement_timeout = '60s';

CREATE INDEX payment_methods_of_customer ON payment_methods
    (organization_id, customer_id, created_at DESC, id) WHERE deleted_at IS NULL;
