-- When a campaign asked somebody last is what its requests say: a row of `dunnings` may be gone.

SET LOCAL lock_timeout = '1s';
SET LOCAL statement_timeout = '60s';

-- squawk-ignore ban-drop-column
ALTER TABLE dunnings DROP COLUMN last_attempt_at;
