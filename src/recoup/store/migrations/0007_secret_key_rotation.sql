-- A rotation of the master key seals the installation's own values anew, too.

SET LOCAL lock_timeout = '1s';
SET LOCAL statement_timeout = '60s';

GRANT UPDATE (key_check, jwt_key_sealed) ON installation TO recoup_app;
