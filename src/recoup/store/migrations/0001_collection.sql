-- The tables of collection. Every tenant's row carries its organization in its primary key and in
-- its foreign keys, so that no row can point into another tenant.

SET LOCAL lock_timeout = '1s';
SET LOCAL statement_timeout = '60s';

-- Two roles that own nothing. `recoup_app` serves requests and jobs for the tenants that the
-- transaction names; `recoup_scout` sees ids and due times of all tenants, for the sweeps.
DO $$
DECLARE wanted text;
BEGIN
    FOREACH wanted IN ARRAY ARRAY['recoup_app', 'recoup_scout'] LOOP
        IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = wanted) THEN
            BEGIN
                EXECUTE format('CREATE ROLE %I NOLOGIN', wanted);
            EXCEPTION WHEN duplicate_object OR unique_violation THEN
                NULL;  -- another database of this cluster made it at this moment
            END;
        END IF;
        -- From PostgreSQL 16 on, who makes a role is its member, but may not SET ROLE to it.
        IF NOT pg_has_role(current_user, wanted,
                           CASE WHEN current_setting('server_version_num')::int >= 160000
                                THEN 'SET' ELSE 'MEMBER' END) THEN
            EXECUTE format('GRANT %I TO CURRENT_USER', wanted);
        END IF;
    END LOOP;
END
$$;

CREATE FUNCTION recoup_tenants() RETURNS uuid[]
    LANGUAGE sql STABLE PARALLEL SAFE
    -- Missing in a new connection, empty after a transaction that had set it.
    RETURN coalesce(nullif(current_setting('recoup.tenants', true), ''), '{}')::uuid[];

CREATE FUNCTION recoup_key_digests() RETURNS text[]
    LANGUAGE sql STABLE PARALLEL SAFE
    RETURN coalesce(nullif(current_setting('recoup.key_digests', true), ''), '{}')::text[];

-- One row: what belongs to this installation and to no tenant.
CREATE TABLE installation (
    only_one        boolean     PRIMARY KEY DEFAULT true CHECK (only_one),
    key_check       bytea       NOT NULL,  -- a known text, sealed: a wrong secret key is found by it
    jwt_key_sealed  bytea       NOT NULL,  -- RS256 private key that signs outgoing webhooks
    jwt_public_key  text        NOT NULL,
    created_at      timestamptz NOT NULL
);

CREATE TABLE organizations (
    id                           uuid        PRIMARY KEY,
    name                         text        NOT NULL,
    slug                         text        NOT NULL,
    default_currency             text        NOT NULL DEFAULT 'USD',
    country                      text,
    address_line1                text,
    address_line2                text,
    city                         text,
    state                        text,
    zipcode                      text,
    email                        text,
    legal_name                   text,
    legal_number                 text,
    tax_identification_number    text,
    timezone                     text        NOT NULL DEFAULT 'UTC',
    net_payment_term             integer     NOT NULL DEFAULT 0 CHECK (net_payment_term >= 0),
    email_settings               text[]      NOT NULL DEFAULT '{}',
    document_numbering           text        NOT NULL DEFAULT 'per_customer'
                                 CHECK (document_numbering IN ('per_customer', 'per_organization')),
    document_number_prefix       text        NOT NULL,
    finalize_zero_amount_invoice boolean     NOT NULL DEFAULT true,
    invoice_footer               text,
    invoice_grace_period         integer     NOT NULL DEFAULT 0 CHECK (invoice_grace_period >= 0),
    document_locale              text        NOT NULL DEFAULT 'en',
    hmac_key_sealed              bytea       NOT NULL,
    created_at                   timestamptz NOT NULL,
    updated_at                   timestamptz NOT NULL
);

CREATE TABLE api_keys (
    organization_id uuid        NOT NULL REFERENCES organizations (id),
    id              uuid        NOT NULL,
    name            text        NOT NULL DEFAULT '',
    digest          text        NOT NULL,  -- SHA-256 of the key, in hex; the key itself is shown once
    last4           text        NOT NULL,
    created_at      timestamptz NOT NULL,
    expires_at      timestamptz,           -- null: never
    revoked_at      timestamptz,
    PRIMARY KEY (organization_id, id)
);
CREATE UNIQUE INDEX one_key_per_digest ON api_keys (digest);

CREATE TABLE billing_entities (
    organization_id              uuid        NOT NULL REFERENCES organizations (id),
    id                           uuid        NOT NULL,
    code                         text        NOT NULL,
    name                         text        NOT NULL,
    is_default                   boolean     NOT NULL DEFAULT false,
    default_currency             text        NOT NULL DEFAULT 'USD',
    country                      text,
    address_line1                text,
    address_line2                text,
    city                         text,
    state                        text,
    zipcode                      text,
    phone                        text,
    email                        text,
    legal_name                   text,
    legal_number                 text,
    tax_identification_number    text,
    timezone                     text        NOT NULL DEFAULT 'UTC',
    net_payment_term             integer     NOT NULL DEFAULT 0 CHECK (net_payment_term >= 0),
    email_settings               text[]      NOT NULL DEFAULT '{}',
    document_numbering           text        NOT NULL DEFAULT 'per_customer'
                                 CHECK (document_numbering IN ('per_customer', 'per_billing_entity')),
    document_number_prefix       text        NOT NULL,
    finalize_zero_amount_invoice boolean     NOT NULL DEFAULT true,
    invoice_footer               text,
    invoice_grace_period         integer     NOT NULL DEFAULT 0 CHECK (invoice_grace_period >= 0),
    document_locale              text        NOT NULL DEFAULT 'en',
    created_at                   timestamptz NOT NULL,
    updated_at                   timestamptz NOT NULL,
    PRIMARY KEY (organization_id, id),
    UNIQUE (organization_id, code)
);
CREATE UNIQUE INDEX one_default_billing_entity ON billing_entities (organization_id) WHERE is_default;

CREATE TABLE taxes (
    organization_id uuid             NOT NULL REFERENCES organizations (id),
    id              uuid             NOT NULL,
    code            text             NOT NULL,
    name            text             NOT NULL,
    description     text,
    rate            double precision NOT NULL,  -- percent; a binary float, as Lago computes with it
    created_at      timestamptz      NOT NULL,
    updated_at      timestamptz      NOT NULL,
    deleted_at      timestamptz,
    PRIMARY KEY (organization_id, id)
);
CREATE UNIQUE INDEX one_tax_per_code ON taxes (organization_id, code) WHERE deleted_at IS NULL;

CREATE TABLE billing_entity_taxes (
    organization_id   uuid NOT NULL,
    billing_entity_id uuid NOT NULL,
    tax_id            uuid NOT NULL,
    PRIMARY KEY (organization_id, billing_entity_id, tax_id),
    FOREIGN KEY (organization_id, billing_entity_id) REFERENCES billing_entities (organization_id, id),
    FOREIGN KEY (organization_id, tax_id) REFERENCES taxes (organization_id, id)
);
CREATE INDEX billing_entity_taxes_by_tax ON billing_entity_taxes (organization_id, tax_id);

CREATE TABLE add_ons (
    organization_id      uuid        NOT NULL REFERENCES organizations (id),
    id                   uuid        NOT NULL,
    code                 text        NOT NULL,
    name                 text        NOT NULL,
    invoice_display_name text,
    description          text,
    amount_cents         bigint      NOT NULL CHECK (amount_cents > 0),
    amount_currency      text        NOT NULL,
    created_at           timestamptz NOT NULL,
    updated_at           timestamptz NOT NULL,
    deleted_at           timestamptz,
    PRIMARY KEY (organization_id, id)
);
CREATE UNIQUE INDEX one_add_on_per_code ON add_ons (organization_id, code) WHERE deleted_at IS NULL;

CREATE TABLE add_on_taxes (
    organization_id uuid NOT NULL,
    add_on_id       uuid NOT NULL,
    tax_id          uuid NOT NULL,
    PRIMARY KEY (organization_id, add_on_id, tax_id),
    FOREIGN KEY (organization_id, add_on_id) REFERENCES add_ons (organization_id, id),
    FOREIGN KEY (organization_id, tax_id) REFERENCES taxes (organization_id, id)
);
CREATE INDEX add_on_taxes_by_tax ON add_on_taxes (organization_id, tax_id);

CREATE TABLE provider_accounts (
    organization_id uuid        NOT NULL REFERENCES organizations (id),
    id              uuid        NOT NULL,
    kind            text        NOT NULL CHECK (kind IN ('stripe', 'adyen', 'gocardless', 'sandbox')),
    code            text        NOT NULL,
    name            text        NOT NULL,
    secrets_sealed  bytea       NOT NULL,
    created_at      timestamptz NOT NULL,
    deleted_at      timestamptz,
    PRIMARY KEY (organization_id, id)
);
CREATE UNIQUE INDEX one_account_per_code ON provider_accounts (organization_id, code)
    WHERE deleted_at IS NULL;

CREATE TABLE customers (
    organization_id              uuid        NOT NULL REFERENCES organizations (id),
    id                           uuid        NOT NULL,
    external_id                  text        NOT NULL,
    sequential_id                integer     NOT NULL,
    slug                         text        NOT NULL,
    billing_entity_id            uuid        NOT NULL,
    account_type                 text        NOT NULL DEFAULT 'customer'
                                 CHECK (account_type IN ('customer', 'partner')),
    customer_type                text        CHECK (customer_type IN ('company', 'individual')),
    name                         text,
    firstname                    text,
    lastname                     text,
    email                        text,
    phone                        text,
    url                          text,
    logo_url                     text,
    legal_name                   text,
    legal_number                 text,
    tax_identification_number    text,
    country                      text,
    address_line1                text,
    address_line2                text,
    city                         text,
    state                        text,
    zipcode                      text,
    shipping_address             jsonb       NOT NULL DEFAULT '{}',
    currency                     text,
    timezone                     text,
    document_locale              text,
    net_payment_term             integer     CHECK (net_payment_term >= 0),
    invoice_grace_period         integer     CHECK (invoice_grace_period >= 0),
    finalize_zero_amount_invoice text        NOT NULL DEFAULT 'inherit'
                                 CHECK (finalize_zero_amount_invoice IN ('inherit', 'skip', 'finalize')),
    skip_invoice_custom_sections boolean     NOT NULL DEFAULT false,
    external_salesforce_id       text,
    subscription_invoice_issuing_date_anchor     text,
    subscription_invoice_issuing_date_adjustment text,
    payment_provider             text,       -- the kind; Lago's word for it
    payment_provider_code        text,
    created_at                   timestamptz NOT NULL,
    updated_at                   timestamptz NOT NULL,
    deleted_at                   timestamptz,
    PRIMARY KEY (organization_id, id),
    FOREIGN KEY (organization_id, billing_entity_id) REFERENCES billing_entities (organization_id, id),
    UNIQUE (organization_id, sequential_id)
);
CREATE UNIQUE INDEX one_customer_per_external_id ON customers (organization_id, external_id)
    WHERE deleted_at IS NULL;
-- Lists of invoices, fees and payments find those of deleted customers, too.
CREATE INDEX customers_by_external_id ON customers (organization_id, external_id);
CREATE INDEX customers_newest_first ON customers (organization_id, created_at DESC, id);

CREATE TABLE customer_metadata (
    organization_id    uuid        NOT NULL,
    id                 uuid        NOT NULL,
    customer_id        uuid        NOT NULL,
    key                text        NOT NULL,
    value              text        NOT NULL,
    display_in_invoice boolean     NOT NULL DEFAULT false,
    created_at         timestamptz NOT NULL,
    PRIMARY KEY (organization_id, id),
    FOREIGN KEY (organization_id, customer_id) REFERENCES customers (organization_id, id),
    UNIQUE (organization_id, customer_id, key) DEFERRABLE INITIALLY DEFERRED
);
CREATE INDEX customer_metadata_by_value ON customer_metadata (organization_id, key, value);

CREATE TABLE customer_taxes (
    organization_id uuid NOT NULL,
    customer_id     uuid NOT NULL,
    tax_id          uuid NOT NULL,
    PRIMARY KEY (organization_id, customer_id, tax_id),
    FOREIGN KEY (organization_id, customer_id) REFERENCES customers (organization_id, id),
    FOREIGN KEY (organization_id, tax_id) REFERENCES taxes (organization_id, id)
);
CREATE INDEX customer_taxes_by_tax ON customer_taxes (organization_id, tax_id);

CREATE TABLE provider_customers (
    organization_id          uuid        NOT NULL,
    id                       uuid        NOT NULL,
    customer_id              uuid        NOT NULL,
    provider_account_id      uuid        NOT NULL,
    provider_customer_id     text,       -- null until the provider has made it
    sync_with_provider       boolean     NOT NULL DEFAULT false,
    provider_payment_methods text[]      NOT NULL DEFAULT '{}',
    created_at               timestamptz NOT NULL,
    discarded_at             timestamptz,
    PRIMARY KEY (organization_id, id),
    FOREIGN KEY (organization_id, customer_id) REFERENCES customers (organization_id, id),
    FOREIGN KEY (organization_id, provider_account_id) REFERENCES provider_accounts (organization_id, id)
);
CREATE UNIQUE INDEX one_live_link_per_customer ON provider_customers (organization_id, customer_id)
    WHERE discarded_at IS NULL;

CREATE TABLE payment_methods (
    organization_id      uuid        NOT NULL,
    id                   uuid        NOT NULL,
    customer_id          uuid        NOT NULL,
    provider_customer_id uuid        NOT NULL,  -- the row of provider_customers
    provider_method_id   text        NOT NULL,
    is_default           boolean     NOT NULL DEFAULT false,
    details              jsonb       NOT NULL DEFAULT '{}',
    created_at           timestamptz NOT NULL,
    deleted_at           timestamptz,
    PRIMARY KEY (organization_id, id),
    FOREIGN KEY (organization_id, customer_id) REFERENCES customers (organization_id, id),
    FOREIGN KEY (organization_id, provider_customer_id)
        REFERENCES provider_customers (organization_id, id),
    CHECK (NOT (is_default AND deleted_at IS NOT NULL))
);
CREATE UNIQUE INDEX one_default_method ON payment_methods (organization_id, customer_id) WHERE is_default;
CREATE UNIQUE INDEX one_live_method ON payment_methods
    (organization_id, provider_customer_id, provider_method_id) WHERE deleted_at IS NULL;

CREATE TABLE invoices (
    organization_id              uuid        NOT NULL,
    id                           uuid        NOT NULL,
    customer_id                  uuid        NOT NULL,
    billing_entity_id            uuid        NOT NULL,
    sequential_id                integer,    -- within customer and billing entity
    entity_sequential_id         integer,    -- within the billing entity, where it numbers so
    number                       text        NOT NULL,
    number_folded                text        GENERATED ALWAYS AS (lower(number)) STORED,
    purchase_order_number        text,
    purchase_order_number_folded text        GENERATED ALWAYS AS (lower(purchase_order_number)) STORED,
    invoice_type                 text        NOT NULL DEFAULT 'one_off',
    status                       text        NOT NULL CHECK (status IN ('draft', 'finalized', 'voided',
                                 'generating', 'failed', 'open', 'closed', 'pending', 'deleted')),
    payment_status               text        NOT NULL
                                 CHECK (payment_status IN ('pending', 'succeeded', 'failed')),
    issuing_date                 date,
    payment_due_date             date,
    net_payment_term             integer     NOT NULL DEFAULT 0,
    payment_overdue              boolean     NOT NULL DEFAULT false,
    payment_dispute_lost_at      timestamptz,
    currency                     text        NOT NULL,
    fees_amount_cents            bigint      NOT NULL DEFAULT 0,
    taxes_amount_cents           bigint      NOT NULL DEFAULT 0,
    sub_total_excluding_taxes_amount_cents bigint NOT NULL DEFAULT 0,
    sub_total_including_taxes_amount_cents bigint NOT NULL DEFAULT 0,
    total_cents                  bigint      NOT NULL DEFAULT 0 CHECK (total_cents >= 0),
    paid_cents                   bigint      NOT NULL DEFAULT 0 CHECK (paid_cents >= 0),
    offset_cents                 bigint      NOT NULL DEFAULT 0 CHECK (offset_cents >= 0),
    due_cents                    bigint      GENERATED ALWAYS AS
                                 (CASE WHEN status = 'voided' THEN 0
                                       ELSE total_cents - paid_cents - offset_cents END) STORED,
    skip_psp                     boolean     NOT NULL DEFAULT false,
    payment_method_type          text,       -- provider, manual or null: chosen when it was made
    payment_method_id            uuid,
    self_billed                  boolean     NOT NULL DEFAULT false,
    next_try_at                  timestamptz,  -- when the schedule retries; null: not by itself
    held_because                 text,       -- nobody is charged until a person lets it go; null: go on
    created_at                   timestamptz NOT NULL,
    updated_at                   timestamptz NOT NULL,
    voided_at                    timestamptz,
    PRIMARY KEY (organization_id, id),
    FOREIGN KEY (organization_id, customer_id) REFERENCES customers (organization_id, id),
    FOREIGN KEY (organization_id, billing_entity_id) REFERENCES billing_entities (organization_id, id),
    CHECK (paid_cents + offset_cents <= total_cents)
);
CREATE UNIQUE INDEX one_number_per_customer ON invoices
    (organization_id, customer_id, billing_entity_id, sequential_id);
CREATE UNIQUE INDEX one_number_per_entity ON invoices
    (organization_id, billing_entity_id, entity_sequential_id) WHERE entity_sequential_id IS NOT NULL;
CREATE INDEX invoices_newest_first ON invoices
    (organization_id, issuing_date DESC, created_at DESC, id);
CREATE INDEX invoices_of_customer ON invoices
    (organization_id, customer_id, issuing_date DESC, created_at DESC, id);
CREATE INDEX invoices_by_purchase_order_number ON invoices
    (organization_id, purchase_order_number_folded)
    WHERE purchase_order_number_folded IS NOT NULL;
CREATE INDEX invoices_due_for_a_try ON invoices (next_try_at) WHERE next_try_at IS NOT NULL;
CREATE INDEX invoices_held ON invoices (organization_id, id) WHERE held_because IS NOT NULL;
CREATE INDEX invoices_that_may_become_overdue ON invoices (payment_due_date)
    WHERE status = 'finalized' AND payment_status <> 'succeeded' AND NOT payment_overdue
      AND payment_dispute_lost_at IS NULL;

CREATE TABLE invoice_metadata (
    organization_id uuid        NOT NULL,
    id              uuid        NOT NULL,
    invoice_id      uuid        NOT NULL,
    key             text        NOT NULL,
    value           text        NOT NULL,
    created_at      timestamptz NOT NULL,
    PRIMARY KEY (organization_id, id),
    FOREIGN KEY (organization_id, invoice_id) REFERENCES invoices (organization_id, id),
    UNIQUE (organization_id, invoice_id, key) DEFERRABLE INITIALLY DEFERRED
);
CREATE INDEX invoice_metadata_by_value ON invoice_metadata (organization_id, key, value);

CREATE TABLE fees (
    organization_id      uuid             NOT NULL,
    id                   uuid             NOT NULL,
    invoice_id           uuid             NOT NULL,
    position             integer          NOT NULL,  -- as asked, from 0
    add_on_id            uuid             NOT NULL,
    item_code            text             NOT NULL,  -- the add-on as it was then
    item_name            text             NOT NULL,
    item_description     text,
    invoice_display_name text,
    description          text,
    units                numeric          NOT NULL,
    unit_amount_cents    bigint           NOT NULL,
    precise_unit_amount  numeric          NOT NULL,
    amount_cents         bigint           NOT NULL,
    precise_amount_cents numeric          NOT NULL,
    taxes_amount_cents   bigint           NOT NULL,
    taxes_precise_amount_cents numeric    NOT NULL,
    taxes_rate           double precision NOT NULL,
    amount_currency      text             NOT NULL,
    from_at              timestamptz,
    to_at                timestamptz,
    created_at           timestamptz      NOT NULL,
    PRIMARY KEY (organization_id, id),
    FOREIGN KEY (organization_id, invoice_id) REFERENCES invoices (organization_id, id),
    FOREIGN KEY (organization_id, add_on_id) REFERENCES add_ons (organization_id, id)
);
CREATE INDEX fees_of_invoice ON fees (organization_id, invoice_id, position);
CREATE INDEX fees_oldest_first ON fees (organization_id, created_at, id);

CREATE TABLE applied_taxes (
    organization_id   uuid             NOT NULL,
    id                uuid             NOT NULL,
    invoice_id        uuid             NOT NULL,
    fee_id            uuid,            -- null: the tax of the whole invoice
    tax_id            uuid             NOT NULL,
    tax_name          text             NOT NULL,  -- the tax as it was then
    tax_code          text             NOT NULL,
    tax_rate          double precision NOT NULL,
    tax_description   text,
    amount_cents      bigint           NOT NULL,
    amount_currency   text             NOT NULL,
    fees_amount_cents bigint           NOT NULL,
    created_at        timestamptz      NOT NULL,
    PRIMARY KEY (organization_id, id),
    FOREIGN KEY (organization_id, invoice_id) REFERENCES invoices (organization_id, id),
    FOREIGN KEY (organization_id, fee_id) REFERENCES fees (organization_id, id),
    FOREIGN KEY (organization_id, tax_id) REFERENCES taxes (organization_id, id)
);
CREATE INDEX applied_taxes_of_invoice ON applied_taxes (organization_id, invoice_id);

-- An attempt to collect, or a payment made by hand. One row is one charge at most: its
-- idempotency key at the provider is `payment-<id>`.
CREATE TABLE payments (
    organization_id       uuid        NOT NULL,
    id                    uuid        NOT NULL,
    state                 text        NOT NULL DEFAULT 'ready' CHECK (state IN ('ready', 'sent',
                          'unknown', 'processing', 'customer_needed', 'needs_review', 'succeeded',
                          'failed', 'withdrawn')),
    payment_type          text        NOT NULL CHECK (payment_type IN ('provider', 'manual')),
    customer_id           uuid        NOT NULL,
    amount_cents          bigint      NOT NULL CHECK (amount_cents > 0),
    currency              text        NOT NULL,
    asked_by              text        NOT NULL,
    reference             text        NOT NULL DEFAULT '',
    wanted_method_id      uuid,       -- the method that the ask or the invoice named; null: the default
    -- Frozen when it is sent: look-ups and re-sends use these, whatever changes meanwhile.
    provider_account_id   uuid,
    provider_customer_id  text,
    payment_method_id     uuid,
    provider_method_id    text,
    request               text,       -- the rendered request, re-sent to the letter
    -- What the provider told.
    provider_payment_id   text,
    provider_status       text        NOT NULL DEFAULT '',
    next_action           jsonb,
    error_code            text,       -- what ended it without money, in the provider's word or ours
    decline_code          text,
    network_decline_code  text,
    advice_code           text,
    error_message         text,
    decline_class         text,
    -- Asking again.
    look_up_at            timestamptz,  -- when to ask next; null: nothing to ask
    look_ups_unanswered   integer     NOT NULL DEFAULT 0,
    created_at            timestamptz NOT NULL,
    sent_at               timestamptz,
    ended_at              timestamptz,
    PRIMARY KEY (organization_id, id),
    FOREIGN KEY (organization_id, customer_id) REFERENCES customers (organization_id, id),
    FOREIGN KEY (organization_id, provider_account_id) REFERENCES provider_accounts (organization_id, id),
    FOREIGN KEY (organization_id, payment_method_id) REFERENCES payment_methods (organization_id, id),
    CHECK (state IN ('ready', 'withdrawn') OR payment_type = 'manual'
           OR (sent_at IS NOT NULL AND request IS NOT NULL)),
    CHECK ((state IN ('succeeded', 'failed', 'withdrawn')) = (ended_at IS NOT NULL))
);
CREATE INDEX payments_newest_first ON payments (organization_id, created_at DESC, id);
CREATE INDEX payments_of_customer ON payments (organization_id, customer_id, created_at DESC, id);
CREATE INDEX payments_to_look_up ON payments (look_up_at) WHERE look_up_at IS NOT NULL;
CREATE INDEX payments_not_ended ON payments (state, created_at) WHERE ended_at IS NULL;
CREATE UNIQUE INDEX one_payment_per_provider_id ON payments
    (organization_id, provider_account_id, provider_payment_id) WHERE provider_payment_id IS NOT NULL;

CREATE TABLE payment_invoices (  -- one charge may cover several invoices
    organization_id       uuid    NOT NULL,
    payment_id            uuid    NOT NULL,
    invoice_id            uuid    NOT NULL,
    amount_cents          bigint  NOT NULL CHECK (amount_cents > 0),
    applied_cents         bigint  NOT NULL DEFAULT 0 CHECK (applied_cents BETWEEN 0 AND amount_cents),
    payment_status_before text    NOT NULL,  -- the invoice shows it again if this is withdrawn
    open                  boolean NOT NULL DEFAULT true,  -- kept by the trigger on payments.state
    PRIMARY KEY (organization_id, payment_id, invoice_id),
    FOREIGN KEY (organization_id, payment_id) REFERENCES payments (organization_id, id),
    FOREIGN KEY (organization_id, invoice_id) REFERENCES invoices (organization_id, id)
);
-- Never two attempts at once for one invoice. A lock can be forgotten; this cannot.
CREATE UNIQUE INDEX one_open_payment ON payment_invoices (organization_id, invoice_id) WHERE open;
-- The invoice first: a look-up by payment must never walk a tenant's part of this index instead.
CREATE INDEX payments_of_invoice ON payment_invoices (invoice_id, organization_id);

-- The same table as rules/attempt_state.py NEXT; a test holds the two against each other.
CREATE FUNCTION refuse_unlisted_move() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.state <> OLD.state AND NOT (NEW.state = ANY (CASE OLD.state
        WHEN 'ready'           THEN ARRAY['sent', 'withdrawn']
        WHEN 'sent'            THEN ARRAY['unknown', 'processing', 'customer_needed', 'succeeded', 'failed']
        WHEN 'unknown'         THEN ARRAY['needs_review', 'processing', 'customer_needed', 'succeeded', 'failed']
        WHEN 'processing'      THEN ARRAY['customer_needed', 'succeeded', 'failed']
        WHEN 'customer_needed' THEN ARRAY['processing', 'succeeded', 'failed']
        WHEN 'needs_review'    THEN ARRAY['succeeded', 'failed']
        ELSE ARRAY[]::text[]
    END)) THEN
        RAISE EXCEPTION 'a payment does not move from % to %', OLD.state, NEW.state
            USING ERRCODE = 'check_violation';
    END IF;
    RETURN NEW;
END
$$;
CREATE TRIGGER refuse_unlisted_move BEFORE UPDATE OF state ON payments
    FOR EACH ROW EXECUTE FUNCTION refuse_unlisted_move();

-- What was sent stays as it was sent: by these a look-up or a re-send finds the charge again.
CREATE FUNCTION refuse_change_of_sent() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'what was sent of a payment does not change'
        USING ERRCODE = 'check_violation';
END
$$;
CREATE TRIGGER refuse_change_of_sent
    BEFORE UPDATE OF amount_cents, currency, provider_account_id, provider_customer_id,
                     payment_method_id, provider_method_id, request, sent_at ON payments
    FOR EACH ROW WHEN (OLD.state <> 'ready') EXECUTE FUNCTION refuse_change_of_sent();

CREATE FUNCTION close_payment_invoices() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    UPDATE payment_invoices SET open = false
      FROM ended
     WHERE payment_invoices.organization_id = ended.organization_id
       AND payment_invoices.payment_id = ended.id
       AND ended.state IN ('succeeded', 'failed', 'withdrawn')
       AND payment_invoices.open;
    RETURN NULL;
END
$$;
CREATE TRIGGER close_payment_invoices AFTER UPDATE ON payments
    REFERENCING NEW TABLE AS ended FOR EACH STATEMENT EXECUTE FUNCTION close_payment_invoices();

-- News that does not fit what we know: a second success, money for a voided invoice, …
CREATE TABLE contradictions (
    organization_id     uuid        NOT NULL,
    id                  uuid        NOT NULL,
    payment_id          uuid        NOT NULL,
    was                 text        NOT NULL,
    told                text        NOT NULL,
    reason              text        NOT NULL,
    amount_cents        bigint      NOT NULL DEFAULT 0,
    currency            text        NOT NULL,
    provider_payment_id text,
    created_at          timestamptz NOT NULL,
    PRIMARY KEY (organization_id, id),
    FOREIGN KEY (organization_id, payment_id) REFERENCES payments (organization_id, id)
);

CREATE INDEX contradictions_of_payment ON contradictions (organization_id, payment_id);

CREATE TABLE provider_events (
    organization_id     uuid        NOT NULL,
    id                  uuid        NOT NULL,
    provider_account_id uuid        NOT NULL,
    provider_event_id   text        NOT NULL,
    body                text        NOT NULL,  -- as it came
    received_at         timestamptz NOT NULL,
    applied_at          timestamptz,
    outcome             text,       -- what applying it did, in a word
    PRIMARY KEY (organization_id, id),
    FOREIGN KEY (organization_id, provider_account_id) REFERENCES provider_accounts (organization_id, id),
    UNIQUE (organization_id, provider_account_id, provider_event_id)
);
CREATE INDEX provider_events_to_apply ON provider_events (received_at) WHERE applied_at IS NULL;

-- One row per fact told to the outside, with the body that is sent, to the letter.
CREATE TABLE events (
    organization_id uuid        NOT NULL REFERENCES organizations (id),
    id              uuid        NOT NULL,
    webhook_type    text        NOT NULL,
    object_id       uuid        NOT NULL,  -- the invoice, payment or customer it is about
    ask_id          uuid,       -- the accepted retry that this ends
    body            text        NOT NULL,
    created_at      timestamptz NOT NULL,
    PRIMARY KEY (organization_id, id)
);
-- Every accepted retry ends in exactly one event; `recoup check` finds one that has none.
CREATE UNIQUE INDEX one_end_per_ask ON events (organization_id, ask_id) WHERE ask_id IS NOT NULL;
CREATE INDEX events_about ON events (organization_id, object_id, created_at);

CREATE TABLE webhook_endpoints (
    organization_id uuid        NOT NULL REFERENCES organizations (id),
    id              uuid        NOT NULL,
    webhook_url     text        NOT NULL,
    signature_algo  text        NOT NULL DEFAULT 'jwt' CHECK (signature_algo IN ('jwt', 'hmac')),
    name            text,
    event_types     text[],     -- null: all; empty: none
    created_at      timestamptz NOT NULL,
    PRIMARY KEY (organization_id, id),
    UNIQUE (organization_id, webhook_url)
);

CREATE TABLE webhook_deliveries (
    organization_id uuid        NOT NULL,
    id              uuid        NOT NULL,  -- the X-Lago-Unique-Key of every try
    event_id        uuid        NOT NULL,
    endpoint_id     uuid        NOT NULL,
    state           text        NOT NULL DEFAULT 'waiting'
                    CHECK (state IN ('waiting', 'delivered', 'given_up')),
    tries           integer     NOT NULL DEFAULT 0,
    deliver_at      timestamptz,           -- null: nothing more to do
    http_status     integer,
    error           text,
    created_at      timestamptz NOT NULL,
    ended_at        timestamptz,
    PRIMARY KEY (organization_id, id),
    FOREIGN KEY (organization_id, event_id) REFERENCES events (organization_id, id),
    FOREIGN KEY (organization_id, endpoint_id) REFERENCES webhook_endpoints (organization_id, id)
        ON DELETE CASCADE,
    UNIQUE (organization_id, event_id, endpoint_id)
);
CREATE INDEX deliveries_due ON webhook_deliveries (deliver_at) WHERE deliver_at IS NOT NULL;
CREATE INDEX deliveries_of_endpoint ON webhook_deliveries (organization_id, endpoint_id, created_at);

-- Double entry: what moved, between which accounts. The entries of a transaction sum to zero.
CREATE TABLE ledger_entries (
    organization_id uuid        NOT NULL REFERENCES organizations (id),
    transaction_id  uuid        NOT NULL,
    position        integer     NOT NULL,
    account         text        NOT NULL CHECK (account IN ('receivable', 'revenue', 'at_provider',
                    'paid_by_hand', 'unapplied')),
    amount_cents    bigint      NOT NULL,  -- debit positive, credit negative
    currency        text        NOT NULL,
    invoice_id      uuid,
    payment_id      uuid,
    created_at      timestamptz NOT NULL,
    PRIMARY KEY (organization_id, transaction_id, position),
    FOREIGN KEY (organization_id, invoice_id) REFERENCES invoices (organization_id, id),
    FOREIGN KEY (organization_id, payment_id) REFERENCES payments (organization_id, id)
);
CREATE INDEX ledger_of_invoice ON ledger_entries (organization_id, invoice_id);

CREATE FUNCTION ledger_sums_to_zero() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (SELECT FROM written GROUP BY organization_id, transaction_id, currency
               HAVING sum(amount_cents) <> 0) THEN
        RAISE EXCEPTION 'the entries of a ledger transaction do not sum to zero'
            USING ERRCODE = 'check_violation';
    END IF;
    RETURN NULL;
END
$$;
CREATE TRIGGER ledger_sums_to_zero AFTER INSERT ON ledger_entries
    REFERENCING NEW TABLE AS written FOR EACH STATEMENT EXECUTE FUNCTION ledger_sums_to_zero();

CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '% only grows: nothing in it is changed or deleted', TG_TABLE_NAME
        USING ERRCODE = 'check_violation';
END
$$;
CREATE TRIGGER ledger_only_grows BEFORE UPDATE OR DELETE OR TRUNCATE ON ledger_entries
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

CREATE TABLE idempotency_keys (
    organization_id uuid        NOT NULL REFERENCES organizations (id),
    method          text        NOT NULL,
    path            text        NOT NULL,
    key             text        NOT NULL,
    body_digest     text        NOT NULL,
    http_status     integer     NOT NULL,  -- 0: its call has begun, and has no answer yet
    headers         jsonb       NOT NULL,
    body            bytea       NOT NULL,
    created_at      timestamptz NOT NULL,
    PRIMARY KEY (organization_id, method, path, key)
);
CREATE INDEX idempotency_keys_oldest_first ON idempotency_keys (created_at);

-- Why we did what we did: one row per decision about an invoice's collection.
CREATE TABLE decisions (
    organization_id uuid        NOT NULL,
    id              uuid        NOT NULL,
    invoice_id      uuid        NOT NULL,
    payment_id      uuid,
    ask_id          uuid,       -- the accepted retry that it answers, and whose end is told
    decided         text        NOT NULL,  -- attempt, no_attempt, retry_at, stop
    because         text        NOT NULL,
    at              timestamptz NOT NULL,
    retry_at        timestamptz,
    PRIMARY KEY (organization_id, id),
    FOREIGN KEY (organization_id, invoice_id) REFERENCES invoices (organization_id, id)
);
CREATE INDEX decisions_of_invoice ON decisions (organization_id, invoice_id, at);

CREATE TABLE audit_log (
    organization_id uuid        NOT NULL REFERENCES organizations (id),
    id              uuid        NOT NULL,
    at              timestamptz NOT NULL,
    actor           text        NOT NULL,
    action          text        NOT NULL,
    object_id       uuid        NOT NULL,
    detail          jsonb       NOT NULL DEFAULT '{}',
    PRIMARY KEY (organization_id, id)
);
CREATE TRIGGER audit_only_grows BEFORE UPDATE OR DELETE OR TRUNCATE ON audit_log
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

-- Row-level security: every tenant table shows a transaction only the tenants that it named.
DO $$
DECLARE tenant_table text;
BEGIN
    FOREACH tenant_table IN ARRAY ARRAY[
        'billing_entities', 'taxes', 'billing_entity_taxes', 'add_ons', 'add_on_taxes',
        'provider_accounts', 'customers', 'customer_metadata', 'customer_taxes', 'provider_customers',
        'payment_methods', 'invoices', 'invoice_metadata', 'fees', 'applied_taxes', 'payments',
        'payment_invoices', 'contradictions', 'provider_events', 'events', 'webhook_endpoints',
        'webhook_deliveries', 'ledger_entries', 'idempotency_keys', 'decisions', 'audit_log'
    ] LOOP
        -- The sub-select runs once per statement, not once per row. IS TRUE keeps the policy a
        -- filter: without it the planner walks all rows of the named tenants by this condition,
        -- where a statement's own names the very rows (settling an attempt took five times as long).
        EXECUTE format('CREATE POLICY own_tenants ON %I TO recoup_app
            USING ((organization_id = ANY ((SELECT recoup_tenants())::uuid[])) IS TRUE)
            WITH CHECK (organization_id = ANY ((SELECT recoup_tenants())::uuid[]))', tenant_table);
        EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', tenant_table);
        EXECUTE format('ALTER TABLE %I FORCE ROW LEVEL SECURITY', tenant_table);
        EXECUTE format('GRANT SELECT, INSERT, UPDATE, DELETE ON %I TO recoup_app', tenant_table);
    END LOOP;
END
$$;

CREATE POLICY own_tenants ON organizations TO recoup_app
    USING (id = ANY ((SELECT recoup_tenants())::uuid[]))
    WITH CHECK (id = ANY ((SELECT recoup_tenants())::uuid[]));
ALTER TABLE organizations ENABLE ROW LEVEL SECURITY;
ALTER TABLE organizations FORCE ROW LEVEL SECURITY;
GRANT SELECT, INSERT, UPDATE ON organizations TO recoup_app;

-- Whoever shows a key's digest may read that key's row: this is how a caller's tenant is found.
CREATE POLICY own_tenants ON api_keys TO recoup_app
    USING (organization_id = ANY ((SELECT recoup_tenants())::uuid[]))
    WITH CHECK (organization_id = ANY ((SELECT recoup_tenants())::uuid[]));
CREATE POLICY shown_digests ON api_keys FOR SELECT TO recoup_app
    USING (digest = ANY ((SELECT recoup_key_digests())::text[]));
ALTER TABLE api_keys ENABLE ROW LEVEL SECURITY;
ALTER TABLE api_keys FORCE ROW LEVEL SECURITY;
GRANT SELECT, INSERT, UPDATE ON api_keys TO recoup_app;

GRANT SELECT, INSERT ON installation TO recoup_app;
REVOKE UPDATE, DELETE ON ledger_entries FROM recoup_app;
REVOKE UPDATE, DELETE ON audit_log FROM recoup_app;
REVOKE DELETE ON payments, payment_invoices, invoices, customers, events FROM recoup_app;

-- The scout: ids and due times of all tenants, and nothing else.
CREATE POLICY all_tenants ON payments FOR SELECT TO recoup_scout USING (true);
GRANT SELECT (organization_id, id, state, payment_type, look_up_at, created_at, sent_at, ended_at)
    ON payments TO recoup_scout;
CREATE POLICY all_tenants ON invoices FOR SELECT TO recoup_scout USING (true);
GRANT SELECT (organization_id, id, status, payment_status, payment_overdue, payment_due_date,
              payment_dispute_lost_at, next_try_at, held_because) ON invoices TO recoup_scout;
CREATE POLICY all_tenants ON webhook_deliveries FOR SELECT TO recoup_scout USING (true);
GRANT SELECT (organization_id, id, endpoint_id, state, deliver_at, created_at)
    ON webhook_deliveries TO recoup_scout;
CREATE POLICY all_tenants ON provider_events FOR SELECT TO recoup_scout USING (true);
GRANT SELECT (organization_id, id, received_at, applied_at) ON provider_events TO recoup_scout;
CREATE POLICY all_tenants ON provider_accounts FOR SELECT TO recoup_scout USING (true);
GRANT SELECT (organization_id, id, kind, code, deleted_at) ON provider_accounts TO recoup_scout;
CREATE POLICY all_tenants ON organizations FOR SELECT TO recoup_scout USING (true);
GRANT SELECT (id) ON organizations TO recoup_scout;
CREATE POLICY all_tenants ON contradictions FOR SELECT TO recoup_scout USING (true);
GRANT SELECT (organization_id, id, created_at) ON contradictions TO recoup_scout;
CREATE POLICY old_ones ON idempotency_keys FOR SELECT TO recoup_scout USING (true);
GRANT SELECT (organization_id, created_at) ON idempotency_keys TO recoup_scout;
