-- squawk-ignore-file require-concurrent-index-creation
-- (0.1.0 is not released: no table is so large that an index would hold its writers up.)
-- What an account says beside whether it answers, and what waits for it beside charges.

SET LOCAL lock_timeout = '1s';
SET LOCAL statement_timeout = '60s';

ALTER TABLE provider_health
    ADD COLUMN times_throttled integer NOT NULL DEFAULT 0,  -- 429s in a row
    ADD COLUMN paused_until    timestamptz;                 -- nobody calls before; null: never said so

-- Until when a ready refund is held back. Null: it may be sent at once.
ALTER TABLE refunds ADD COLUMN send_at timestamptz;
GRANT SELECT (send_at) ON refunds TO recoup_scout;
CREATE INDEX refunds_held_back ON refunds (organization_id, provider_account_id)
    WHERE state = 'ready' AND send_at IS NOT NULL;
