-- squawk-ignore-file require-concurrent-index-creation
-- (0.1.0 is not released: no table is so large that an index would hold its writers up.)
-- A mail says who was written to: it is forgotten some time after its end.

SET LOCAL lock_timeout = '1s';
SET LOCAL statement_timeout = '60s';

CREATE INDEX mails_ended ON mails (ended_at) WHERE ended_at IS NOT NULL;
GRANT SELECT (ended_at) ON mails TO recoup_scout;
GRANT DELETE ON mails TO recoup_app;
