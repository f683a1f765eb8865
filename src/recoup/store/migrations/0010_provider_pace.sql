-- squawk-ignore-file require-concurrent-index-creation
-- (0.1.0 is not released: no table is so large that an index would hold its writers up.)
-- What an account says beside whether it answers, and what waits for it beside charges.

SET LOCAL lock_timeout = '1s';
SET LOCAL statement_timeout = '60s';

ALTER TABLE provider_health
    ADD COLUMN times_throttled integer NOT NULL DEFAULT 0,  -- 429s in a row
    ADD COLUMN paused_until    timestamptz,  -- nobody calls before; null: it never said so
    ADD COLUMN key_refused_at  timestamptz,  -- since when our key is refused; null: it is taken
    ADD COLUMN key_tried_at    timestamptz;  -- when one call tries it again
GRANT SELECT (key_refused_at) ON provider_health TO recoup_scout;

-- Until when a ready refund is held back. Null: it may be sent at once.
ALTER TABLE refunds ADD COLUMN send_at timestamptz;
GRANT SELECT (send_at) ON refunds TO recoup_scout;
CREATE INDEX refunds_held_back ON refunds (organization_id, provider_account_id)
    WHERE state = 'ready' AND send_at IS NOT NULL;

-- The same tables as rules/attempt_state.py NEXT and rules/refund_state.py NEXT. New: what was sent
-- with a key that the provider refuses is ready again.
CREATE OR REPLACE FUNCTION refuse_unlisted_move() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.state <> OLD.state AND NOT (NEW.state = ANY (CASE OLD.state
        WHEN 'ready'           THEN ARRAY['sent', 'withdrawn']
        WHEN 'sent'            THEN ARRAY['ready', 'unknown', 'processing', 'customer_needed', 'succeeded', 'failed']
        WHEN 'unknown'         THEN ARRAY['needs_review', 'processing', 'customer_needed', 'succeeded', 'failed']
        WHEN 'processing'      THEN ARRAY['customer_needed', 'succeeded', 'failed']
        WHEN 'customer_needed' THEN ARRAY['processing', 'succeeded', 'failed']
        WHEN 'needs_review'    THEN ARRAY['succeeded', 'failed']
        ELSE ARRAY[]::text[]
    END)) THEN
        RAISE EXCEPTION 'a payment does not move from % to %', OLD.state, NEW.state
            USING ERRCODE = 'check_violation';
    END IF;
    RETURN NEW;
END
$$;
CREATE OR REPLACE FUNCTION refuse_unlisted_refund_move() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.state <> OLD.state AND NOT (NEW.state = ANY (CASE OLD.state
        WHEN 'ready'        THEN ARRAY['sent']
        WHEN 'sent'         THEN ARRAY['ready', 'unknown', 'processing', 'succeeded', 'failed']
        WHEN 'unknown'      THEN ARRAY['needs_review', 'processing', 'succeeded', 'failed']
        WHEN 'processing'   THEN ARRAY['succeeded', 'failed']
        WHEN 'needs_review' THEN ARRAY['succeeded', 'failed']
        WHEN 'succeeded'    THEN ARRAY['failed']
        ELSE ARRAY[]::text[]
    END)) THEN
        RAISE EXCEPTION 'a refund does not move from % to %', OLD.state, NEW.state
            USING ERRCODE = 'check_violation';
    END IF;
    RETURN NEW;
END
$$;
