-- squawk-ignore-file require-concurrent-index-creation
-- (0.1.0 is not released: no table is so large that an index would hold its writers up.)
-- What a key may do; every try of a webhook, and its replays; and what is forgotten after its time.

SET LOCAL lock_timeout = '1s';
SET LOCAL statement_timeout = '60s';

ALTER TABLE api_keys
    ADD COLUMN permissions text[];  -- `invoice:read`; null: all, and those of tomorrow too

ALTER TABLE webhook_deliveries
    ADD COLUMN replays      integer NOT NULL DEFAULT 0,
    ADD COLUMN replayed_at  timestamptz,  -- the last time
    ADD COLUMN tries_before integer NOT NULL DEFAULT 0;  -- at the last replay: it begins anew

CREATE TABLE webhook_tries (
    organization_id uuid        NOT NULL,
    delivery_id     uuid        NOT NULL,
    number          integer     NOT NULL,  -- from 1, through all replays
    webhook_url     text        NOT NULL,  -- where it went: the endpoint may have another by now
    at              timestamptz NOT NULL,
    http_status     integer,    -- null: no answer
    error           text,       -- why it counts as not delivered; null: it was
    PRIMARY KEY (organization_id, delivery_id, number),
    FOREIGN KEY (organization_id, delivery_id) REFERENCES webhook_deliveries (organization_id, id)
        ON DELETE CASCADE
);
CREATE POLICY own_tenants ON webhook_tries TO recoup_app
    USING ((organization_id = ANY ((SELECT recoup_tenants())::uuid[])) IS TRUE)
    WITH CHECK (organization_id = ANY ((SELECT recoup_tenants())::uuid[]));
ALTER TABLE webhook_tries ENABLE ROW LEVEL SECURITY;
ALTER TABLE webhook_tries FORCE ROW LEVEL SECURITY;
GRANT SELECT, INSERT ON webhook_tries TO recoup_app;

-- The list of deliveries, newest first, and by each of its filters; `delivered` is most of them.
CREATE INDEX deliveries_newest_first ON webhook_deliveries
    (organization_id, created_at DESC, id DESC);
CREATE INDEX deliveries_not_delivered ON webhook_deliveries
    (organization_id, state, created_at DESC, id DESC) WHERE state <> 'delivered';
CREATE INDEX events_by_type ON events (organization_id, webhook_type, created_at DESC);

-- What is past its time, oldest first: the scout finds it, and the tenant's own rows are changed by
-- their keys. An event stays: that something was told is what the books are checked by.
ALTER TABLE events ADD COLUMN body_forgotten_at timestamptz;
ALTER TABLE provider_events ADD COLUMN body_forgotten_at timestamptz;
CREATE INDEX deliveries_ended ON webhook_deliveries (ended_at) WHERE ended_at IS NOT NULL;
CREATE INDEX events_with_body ON events (created_at) WHERE body_forgotten_at IS NULL;
CREATE INDEX provider_events_with_body ON provider_events (applied_at)
    WHERE applied_at IS NOT NULL AND body_forgotten_at IS NULL;

GRANT SELECT (event_id, ended_at) ON webhook_deliveries TO recoup_scout;
GRANT SELECT (body_forgotten_at) ON provider_events TO recoup_scout;
CREATE POLICY all_tenants ON events FOR SELECT TO recoup_scout USING (true);
GRANT SELECT (organization_id, id, created_at, body_forgotten_at) ON events TO recoup_scout;
