-- squawk-ignore-file require-concurrent-index-creation, require-concurrent-index-deletion
-- (0.1.0 is not released: no table is so large that an index would hold its writers up.)
-- What was held back for an account is woken along its ids, some at a time.

SET LOCAL lock_timeout = '1s';
SET LOCAL statement_timeout = '60s';

DROP INDEX payments_held_back;
CREATE INDEX payments_held_back ON payments (organization_id, provider_account_id, id)
    WHERE state = 'ready' AND send_at IS NOT NULL;
DROP INDEX refunds_held_back;
CREATE INDEX refunds_held_back ON refunds (organization_id, provider_account_id, id)
    WHERE state = 'ready' AND send_at IS NOT NULL;
