-- squawk-ignore-file require-concurrent-index-creation
-- (0.1.0 is not released: no table is so large that an index would hold its writers up.)
-- Money that is paid back. One row is one refund at most: its idempotency key is `refund-<id>`.

SET LOCAL lock_timeout = '1s';
SET LOCAL statement_timeout = '60s';

ALTER TABLE ledger_entries VALIDATE CONSTRAINT ledger_entries_account_check;
ALTER TABLE payments VALIDATE CONSTRAINT second_attempt_has_a_first;

CREATE TABLE refunds (
    organization_id      uuid        NOT NULL,
    id                   uuid        NOT NULL,
    payment_id           uuid        NOT NULL,
    contradiction_id     uuid        NOT NULL,  -- what brought the money in that is paid back
    state                text        NOT NULL DEFAULT 'ready' CHECK (state IN ('ready', 'sent',
                         'unknown', 'processing', 'needs_review', 'succeeded', 'failed')),
    amount_cents         bigint      NOT NULL CHECK (amount_cents > 0),
    currency             text        NOT NULL,
    asked_by             text        NOT NULL,
    provider_account_id  uuid        NOT NULL,
    provider_payment_id  text        NOT NULL,
    request              text,       -- the rendered request, re-sent to the letter
    provider_refund_id   text,
    provider_status      text        NOT NULL DEFAULT '',
    error_code           text,
    error_message        text,
    look_up_at           timestamptz,
    look_ups_unanswered  integer     NOT NULL DEFAULT 0,
    created_at           timestamptz NOT NULL,
    sent_at              timestamptz,
    ended_at             timestamptz,
    PRIMARY KEY (organization_id, id),
    FOREIGN KEY (organization_id, payment_id) REFERENCES payments (organization_id, id),
    FOREIGN KEY (organization_id, contradiction_id) REFERENCES contradictions (organization_id, id),
    FOREIGN KEY (organization_id, provider_account_id)
        REFERENCES provider_accounts (organization_id, id),
    CHECK (state = 'ready' OR (sent_at IS NOT NULL AND request IS NOT NULL)),
    CHECK ((state IN ('succeeded', 'failed')) = (ended_at IS NOT NULL))
);
-- The same money is never on its way back twice.
CREATE UNIQUE INDEX one_refund_per_contradiction ON refunds (organization_id, contradiction_id)
    WHERE state <> 'failed';
CREATE INDEX refunds_of_payment ON refunds (organization_id, payment_id);
CREATE INDEX refunds_newest_first ON refunds (organization_id, created_at DESC, id);
CREATE INDEX refunds_by_provider_id ON refunds
    (organization_id, provider_account_id, provider_refund_id);
CREATE INDEX refunds_to_look_up ON refunds (look_up_at) WHERE look_up_at IS NOT NULL;
CREATE INDEX refunds_ready ON refunds (created_at) WHERE state = 'ready';
CREATE INDEX contradictions_newest_first ON contradictions (organization_id, created_at DESC, id);

-- The same table as rules/refund_state.py NEXT; a test holds the two against each other.
CREATE FUNCTION refuse_unlisted_refund_move() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.state <> OLD.state AND NOT (NEW.state = ANY (CASE OLD.state
        WHEN 'ready'        THEN ARRAY['sent']
        WHEN 'sent'         THEN ARRAY['unknown', 'processing', 'succeeded', 'failed']
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
CREATE TRIGGER refuse_unlisted_move BEFORE UPDATE OF state ON refunds
    FOR EACH ROW EXECUTE FUNCTION refuse_unlisted_refund_move();
CREATE TRIGGER refuse_change_of_sent
    BEFORE UPDATE OF payment_id, contradiction_id, amount_cents, currency, provider_account_id,
                     provider_payment_id, request, sent_at ON refunds
    FOR EACH ROW WHEN (OLD.state <> 'ready') EXECUTE FUNCTION refuse_change_of_sent();

CREATE POLICY own_tenants ON refunds TO recoup_app
    USING ((organization_id = ANY ((SELECT recoup_tenants())::uuid[])) IS TRUE)
    WITH CHECK (organization_id = ANY ((SELECT recoup_tenants())::uuid[]));
ALTER TABLE refunds ENABLE ROW LEVEL SECURITY;
ALTER TABLE refunds FORCE ROW LEVEL SECURITY;
GRANT SELECT, INSERT, UPDATE ON refunds TO recoup_app;
CREATE POLICY all_tenants ON refunds FOR SELECT TO recoup_scout USING (true);
GRANT SELECT (organization_id, id, state, look_up_at, created_at, ended_at) ON refunds
    TO recoup_scout;
