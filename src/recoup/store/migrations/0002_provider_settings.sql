-- What an organization says of an account at a provider, beside its secrets.

SET LOCAL lock_timeout = '1s';
SET LOCAL statement_timeout = '60s';

ALTER TABLE provider_accounts
    ADD COLUMN success_redirect_url text,  -- where a payer goes after the provider's page
    ADD COLUMN supports_3ds boolean NOT NULL DEFAULT true,  -- a payer may be asked to authenticate
    ADD COLUMN refund_surprises boolean NOT NULL DEFAULT false;  -- pay back what belongs to no invoice
