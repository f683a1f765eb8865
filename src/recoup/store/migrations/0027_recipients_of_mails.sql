-- Who of a mail's recipients has had an answer: a server may take it for some and put off others.

SET LOCAL lock_timeout = '1s';
SET LOCAL statement_timeout = '60s';

ALTER TABLE mails
    ADD COLUMN taken_for   text[] NOT NULL DEFAULT '{}',  -- the server has it for these
    ADD COLUMN refused_for text[] NOT NULL DEFAULT '{}';  -- and will not take it for these
