-- An account in quarantine holds back what goes through it, and nothing else of its tenant.
GRANT SELECT (provider_account_id) ON payments TO recoup_scout;
GRANT SELECT (provider_account_id) ON refunds TO recoup_scout;
