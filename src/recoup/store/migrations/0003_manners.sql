-- squawk-ignore-file require-concurrent-index-creation
-- (0.1.0 is not released: no table is so large that an index would hold its writers up.)
-- Attempts in other manners than off-session: with a payer who authenticates, and on a hosted page.

SET LOCAL lock_timeout = '1s';
SET LOCAL statement_timeout = '60s';

ALTER TABLE payments
    ADD COLUMN manner text NOT NULL DEFAULT 'off_session'
        CHECK (manner IN ('off_session', 'on_session', 'page')),
    ADD COLUMN ask_id uuid,        -- the ask whose end this attempt's end is; null: that of its own id
    ADD COLUMN payer_url text,     -- where the payer acts, or the hosted page
    ADD COLUMN expires_at timestamptz,  -- when a page, or a wait for the payer, is closed
    ADD COLUMN network_advice_code text,
    ADD CONSTRAINT second_attempt_has_a_first FOREIGN KEY (organization_id, ask_id)
        REFERENCES payments (organization_id, id) NOT VALID;
CREATE UNIQUE INDEX one_second_attempt ON payments (organization_id, ask_id)
    WHERE ask_id IS NOT NULL;

CREATE OR REPLACE TRIGGER refuse_change_of_sent
    BEFORE UPDATE OF amount_cents, currency, provider_account_id, provider_customer_id,
                     payment_method_id, provider_method_id, request, sent_at, manner ON payments
    FOR EACH ROW WHEN (OLD.state <> 'ready') EXECUTE FUNCTION refuse_change_of_sent();

-- Events that name no key of ours are found by the provider's own id, which may come later.
ALTER TABLE provider_events
    ADD COLUMN apply_at timestamptz;  -- put off until then; null: as soon as it can be
GRANT SELECT (apply_at) ON provider_events TO recoup_scout;

-- Money of a contradiction that belongs to no invoice: it may be paid back.
ALTER TABLE contradictions ADD COLUMN unapplied_cents bigint NOT NULL DEFAULT 0;

-- Two more accounts in the books: money that was taken back, and money that was paid back.
ALTER TABLE ledger_entries
    -- squawk-ignore ban-drop-constraint
    DROP CONSTRAINT ledger_entries_account_check,
    ADD CONSTRAINT ledger_entries_account_check CHECK (account IN ('receivable', 'revenue',
        'at_provider', 'paid_by_hand', 'unapplied', 'reversed', 'refunded')) NOT VALID;

-- Providers tell of their own ids, and an event must not walk a tenant's rows to find one.
CREATE INDEX provider_customers_by_provider_id ON provider_customers
    (organization_id, provider_account_id, provider_customer_id);
CREATE INDEX payment_methods_by_provider_id ON payment_methods
    (organization_id, provider_method_id) WHERE deleted_at IS NULL;
