-- squawk-ignore-file require-concurrent-index-creation
-- (0.1.0 is not released: no table is so large that an index would hold its writers up.)
-- What was done with customers and methods here, so that no late news of a provider's undoes it.

SET LOCAL lock_timeout = '1s';
SET LOCAL statement_timeout = '60s';

-- A method that a caller has deleted is not kept again because an event names it. Of what was
-- deleted before, nobody knows who did it: that reads as by a caller, and charges nobody.
ALTER TABLE payment_methods ADD COLUMN gone_at_provider boolean NOT NULL DEFAULT false;
CREATE INDEX payment_methods_that_were_deleted ON payment_methods
    (organization_id, provider_customer_id, provider_method_id, deleted_at)
    WHERE deleted_at IS NOT NULL;

-- A customer is made at a provider by one request, sent again to the letter until it is answered:
-- under the same key another one is turned away, and once the key is forgotten makes a second.
ALTER TABLE provider_customers
    ADD COLUMN creation_request text,        -- null: none was sent, or it was answered
    ADD COLUMN creation_sent_at timestamptz; -- of the first call that was never answered
