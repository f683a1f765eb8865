-- squawk-ignore-file require-concurrent-index-creation
-- (0.1.0 is not released: no table is so large that an index would hold its writers up.)
-- Several overdue invoices asked for at once and charged in one attempt, and a receipt for every
-- payment that has succeeded.

SET LOCAL lock_timeout = '1s';
SET LOCAL statement_timeout = '60s';

CREATE TABLE payment_requests (
    organization_id   uuid        NOT NULL,
    id                uuid        NOT NULL,
    customer_id       uuid        NOT NULL,
    billing_entity_id uuid        NOT NULL,
    amount_cents      bigint      NOT NULL CHECK (amount_cents > 0),  -- what was due when it was made
    currency          text        NOT NULL,
    email             text,       -- who is asked to pay; null: nobody is known
    payment_status    text        NOT NULL DEFAULT 'pending'
                      CHECK (payment_status IN ('pending', 'succeeded', 'failed')),
    created_at        timestamptz NOT NULL,
    updated_at        timestamptz NOT NULL,
    PRIMARY KEY (organization_id, id),
    FOREIGN KEY (organization_id, customer_id) REFERENCES customers (organization_id, id),
    FOREIGN KEY (organization_id, billing_entity_id)
        REFERENCES billing_entities (organization_id, id)
);
CREATE INDEX payment_requests_newest_first ON payment_requests
    (organization_id, created_at DESC, id);
CREATE INDEX payment_requests_of_customer ON payment_requests
    (organization_id, customer_id, created_at DESC, id);
CREATE INDEX payment_requests_by_status ON payment_requests
    (organization_id, payment_status, created_at DESC, id);
CREATE INDEX payment_requests_by_currency ON payment_requests
    (organization_id, currency, created_at DESC, id);
CREATE INDEX payment_requests_of_billing_entity ON payment_requests
    (organization_id, billing_entity_id, created_at DESC, id);

CREATE TABLE payment_request_invoices (
    organization_id    uuid    NOT NULL,
    payment_request_id uuid    NOT NULL,
    invoice_id         uuid    NOT NULL,
    amount_cents       bigint  NOT NULL CHECK (amount_cents > 0),  -- what was due when it was made
    PRIMARY KEY (organization_id, payment_request_id, invoice_id),
    FOREIGN KEY (organization_id, payment_request_id)
        REFERENCES payment_requests (organization_id, id),
    FOREIGN KEY (organization_id, invoice_id) REFERENCES invoices (organization_id, id)
);
CREATE INDEX payment_requests_of_invoice ON payment_request_invoices (invoice_id, organization_id);

-- An attempt of a request covers all its invoices; null: it is of the one invoice that it covers.
ALTER TABLE payments
    ADD COLUMN payment_request_id uuid,
    ADD CONSTRAINT payment_of_a_request FOREIGN KEY (organization_id, payment_request_id)
        REFERENCES payment_requests (organization_id, id) NOT VALID;  -- the column is empty
CREATE INDEX payments_of_request ON payments (organization_id, payment_request_id)
    WHERE payment_request_id IS NOT NULL;
-- Where a request is withdrawn since one of its invoices was settled, the others are tried again.
ALTER TABLE payment_invoices ADD COLUMN next_try_before timestamptz;

-- Receipts of a customer are numbered without a gap, so whoever draws a number holds this row.
CREATE TABLE payment_receipt_counters (
    organization_id uuid    NOT NULL,
    customer_id     uuid    NOT NULL,
    last            integer NOT NULL CHECK (last > 0),
    PRIMARY KEY (organization_id, customer_id),
    FOREIGN KEY (organization_id, customer_id) REFERENCES customers (organization_id, id)
);

CREATE TABLE payment_receipts (
    organization_id uuid        NOT NULL,
    id              uuid        NOT NULL,
    payment_id      uuid        NOT NULL,
    customer_id     uuid        NOT NULL,
    sequential_id   integer     NOT NULL CHECK (sequential_id > 0),  -- within the customer
    number          text        NOT NULL,
    created_at      timestamptz NOT NULL,
    PRIMARY KEY (organization_id, id),
    FOREIGN KEY (organization_id, payment_id) REFERENCES payments (organization_id, id),
    FOREIGN KEY (organization_id, customer_id) REFERENCES customers (organization_id, id),
    CONSTRAINT one_receipt_per_payment UNIQUE (organization_id, payment_id),
    CONSTRAINT one_receipt_number UNIQUE (organization_id, customer_id, sequential_id)
);
CREATE INDEX payment_receipts_newest_first ON payment_receipts
    (organization_id, created_at DESC, id);

-- What has succeeded until now gets its receipt, in the order in which it did; nobody is told. The
-- migrating role may be held back by row-level security, which is forced: not while it does this.
ALTER TABLE payments NO FORCE ROW LEVEL SECURITY;
ALTER TABLE customers NO FORCE ROW LEVEL SECURITY;
INSERT INTO payment_receipts
       (organization_id, id, payment_id, customer_id, sequential_id, number, created_at)
SELECT paid.organization_id, gen_random_uuid(), paid.id, paid.customer_id, paid.place,
       c.slug || '-RCPT-' || lpad(paid.place::text, greatest(6, length(paid.place::text)), '0'),
       paid.ended_at
  FROM (SELECT p.organization_id, p.id, p.customer_id, p.ended_at,
               row_number() OVER (PARTITION BY p.organization_id, p.customer_id
                                  ORDER BY p.ended_at, p.id) AS place
          FROM payments p WHERE p.state = 'succeeded') AS paid
  JOIN customers c ON (c.organization_id, c.id) = (paid.organization_id, paid.customer_id);
INSERT INTO payment_receipt_counters (organization_id, customer_id, last)
SELECT organization_id, customer_id, max(sequential_id) FROM payment_receipts
 GROUP BY organization_id, customer_id;
ALTER TABLE payments FORCE ROW LEVEL SECURITY;
ALTER TABLE customers FORCE ROW LEVEL SECURITY;

DO $$
DECLARE tenant_table text;
BEGIN
    FOREACH tenant_table IN ARRAY ARRAY['payment_requests', 'payment_request_invoices',
                                        'payment_receipt_counters', 'payment_receipts'] LOOP
        EXECUTE format('CREATE POLICY own_tenants ON %I TO recoup_app
            USING ((organization_id = ANY ((SELECT recoup_tenants())::uuid[])) IS TRUE)
            WITH CHECK (organization_id = ANY ((SELECT recoup_tenants())::uuid[]))', tenant_table);
        EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', tenant_table);
        EXECUTE format('ALTER TABLE %I FORCE ROW LEVEL SECURITY', tenant_table);
        EXECUTE format('GRANT SELECT, INSERT ON %I TO recoup_app', tenant_table);
    END LOOP;
END
$$;
GRANT UPDATE ON payment_requests, payment_receipt_counters TO recoup_app;
