-- squawk-ignore-file require-concurrent-index-creation, adding-foreign-key-constraint
-- squawk-ignore-file require-concurrent-index-deletion
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

-- What the provider knows as one refund is one refund here. Until now nothing but a look kept it so.
-- Where two have one id, the older keeps it (it is the one that events were taken to be about), and
-- what the other was known as goes into the audit log. The migrating role may be held back by
-- row-level security, which is forced on these tables: not while it does this.
ALTER TABLE refunds NO FORCE ROW LEVEL SECURITY;
ALTER TABLE audit_log NO FORCE ROW LEVEL SECURITY;
WITH known AS (
    SELECT organization_id, id, provider_refund_id,
           first_value(id) OVER (PARTITION BY organization_id, provider_account_id,
                                 provider_refund_id ORDER BY created_at, id) AS kept_by
      FROM refunds WHERE provider_refund_id IS NOT NULL
), noted AS (
    INSERT INTO audit_log (organization_id, id, at, actor, action, object_id, detail)
    SELECT organization_id, gen_random_uuid(), now(), 'migration 0012',
           'refund.provider_refund_id_removed', id,
           jsonb_build_object('provider_refund_id', provider_refund_id, 'kept_by', kept_by)
      FROM known WHERE id <> kept_by
)
UPDATE refunds r SET provider_refund_id = NULL
  FROM known
 WHERE (r.organization_id, r.id) = (known.organization_id, known.id) AND known.id <> known.kept_by;
ALTER TABLE refunds FORCE ROW LEVEL SECURITY;
ALTER TABLE audit_log FORCE ROW LEVEL SECURITY;
CREATE UNIQUE INDEX one_refund_per_provider_id ON refunds
    (organization_id, provider_account_id, provider_refund_id) WHERE provider_refund_id IS NOT NULL;
DROP INDEX refunds_by_provider_id;
