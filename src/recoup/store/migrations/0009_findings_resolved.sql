-- squawk-ignore-file require-concurrent-index-creation, constraint-missing-not-valid
-- squawk-ignore-file ban-drop-constraint
-- (0.1.0 is not released: no table is so large that an index or a check would hold anybody up; and
-- the check that goes is replaced by a wider one.)
-- What a comparison found is resolved by a person, and stays so while its facts are the same.

SET LOCAL lock_timeout = '1s';
SET LOCAL statement_timeout = '60s';

ALTER TABLE reconciliation_findings
    ADD COLUMN here        text        NOT NULL DEFAULT '',  -- what we hold, in a word
    ADD COLUMN there       text        NOT NULL DEFAULT '',  -- what the provider says, in a word
    ADD COLUMN here_cents  bigint,      -- where we hold another amount than the provider
    ADD COLUMN invoice_id  uuid,        -- which it was for; such an invoice need not be here
    ADD COLUMN seen_at     timestamptz NOT NULL DEFAULT now(),  -- when it was last found
    ADD COLUMN asked_at    timestamptz,  -- when the provider was last asked for it by name
    ADD COLUMN resolved_by text;        -- who; null: it closed by itself

ALTER TABLE reconciliation_findings DROP CONSTRAINT reconciliation_findings_what_check;
ALTER TABLE reconciliation_findings ADD CONSTRAINT reconciliation_findings_what_check
    CHECK (what IN ('unknown_here', 'unknown_there', 'unreadable', 'differs',
                    'refund_unknown_there', 'cannot_list'));
ALTER TABLE reconciliation_findings ADD CONSTRAINT a_person_has_resolved
    CHECK (resolved_by IS NULL OR resolved_at IS NOT NULL);

CREATE INDEX findings_newest_first ON reconciliation_findings
    (organization_id, found_at DESC, id);

GRANT SELECT (what) ON reconciliation_findings TO recoup_scout;
