-- squawk-ignore-file require-concurrent-index-creation, adding-foreign-key-constraint
-- (0.1.0 is not released: no table is so large that an index would hold its writers up.)
-- What a provider told of a refund that cannot be true beside its row: which refund, and under which
-- id the provider has it. Of contradictions about charges both stay empty.

SET LOCAL lock_timeout = '1s';
SET LOCAL statement_timeout = '60s';

ALTER TABLE contradictions
    ADD COLUMN refund_id uuid,
    ADD COLUMN provider_refund_id text,
    ADD FOREIGN KEY (organization_id, refund_id) REFERENCES refunds (organization_id, id)
        NOT VALID;  -- the column is empty
CREATE INDEX contradictions_of_refund ON contradictions (organization_id, refund_id)
    WHERE refund_id IS NOT NULL;
