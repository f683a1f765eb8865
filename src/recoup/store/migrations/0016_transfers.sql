-- A fourth manner: the payer sends the money by bank, to an account that the provider names.

SET LOCAL lock_timeout = '1s';
SET LOCAL statement_timeout = '60s';

ALTER TABLE payments
    -- squawk-ignore ban-drop-constraint
    DROP CONSTRAINT payments_manner_check,
    ADD CONSTRAINT payments_manner_check
        CHECK (manner IN ('off_session', 'on_session', 'page', 'transfer')) NOT VALID;
