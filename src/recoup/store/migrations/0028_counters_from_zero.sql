-- Who will number receipts one by one takes hold of the counters first, also of those that have
-- numbered nothing yet.

SET LOCAL lock_timeout = '1s';
SET LOCAL statement_timeout = '60s';

ALTER TABLE payment_receipt_counters
    -- squawk-ignore ban-drop-constraint
    DROP CONSTRAINT payment_receipt_counters_last_check,
    ADD CONSTRAINT payment_receipt_counters_last_check CHECK (last >= 0) NOT VALID;
