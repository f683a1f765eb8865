-- squawk-ignore-file require-concurrent-index-creation
-- (0.1.0 is not released: no table is so large that an index would hold its writers up.)
-- Documents: what is written on one is frozen when it is issued, the file is made after.

SET LOCAL lock_timeout = '1s';
SET LOCAL statement_timeout = '60s';

ALTER TABLE organizations ADD COLUMN logo_url text;
ALTER TABLE billing_entities ADD COLUMN logo_url text;

-- Pictures that stand on documents, each once, however many documents show it.
CREATE TABLE logos (
    organization_id uuid        NOT NULL REFERENCES organizations (id),
    id              uuid        NOT NULL,  -- made of its content
    svg             text        NOT NULL,
    created_at      timestamptz NOT NULL,
    PRIMARY KEY (organization_id, id)
);

CREATE TABLE documents (
    organization_id uuid        NOT NULL,
    id              uuid        NOT NULL,  -- in its address: another version has another
    kind            text        NOT NULL
                    CHECK (kind IN ('invoice', 'credit_note', 'payment_receipt')),
    -- What it is about. Each other kind gets a column of its own, with the three lines that name
    -- this one below.
    invoice_id      uuid,
    version         integer     NOT NULL CHECK (version > 0),
    page            text        NOT NULL,  -- what stands on it, as JSON: rules/records/document_pages
    logo_id         uuid,        -- the picture that was shown: the same when it is made again
    tries           integer     NOT NULL DEFAULT 0,  -- that failed, since it was last asked for
    typeset_tries   integer     NOT NULL DEFAULT 0,  -- of these, the page's own fault
    -- When it is to be made, or its file removed. While somebody is at it, the end of their lease.
    make_at         timestamptz,
    failed_because  text,
    given_up_at     timestamptz,
    made_at         timestamptz,  -- the first time
    has_file        boolean     NOT NULL DEFAULT false,
    replaced_at     timestamptz,  -- another version is current since
    created_at      timestamptz NOT NULL,
    PRIMARY KEY (organization_id, id),
    FOREIGN KEY (organization_id, invoice_id) REFERENCES invoices (organization_id, id),
    FOREIGN KEY (organization_id, logo_id) REFERENCES logos (organization_id, id),
    UNIQUE (organization_id, invoice_id, version),
    CHECK ((kind = 'invoice') = (invoice_id IS NOT NULL)),
    CHECK (given_up_at IS NULL OR make_at IS NULL),
    CHECK (NOT has_file OR made_at IS NOT NULL)
);
-- One version is current.
CREATE UNIQUE INDEX current_document_of_invoice ON documents (organization_id, invoice_id)
    WHERE replaced_at IS NULL;
CREATE INDEX documents_to_make ON documents (make_at) WHERE make_at IS NOT NULL;
CREATE INDEX documents_given_up ON documents (organization_id, given_up_at, id)
    WHERE given_up_at IS NOT NULL;

-- What was issued stays what it was.
CREATE FUNCTION refuse_change_of_page() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'what stands on a document is not changed: make another version'
        USING ERRCODE = 'check_violation';
END
$$;
CREATE TRIGGER refuse_change_of_page BEFORE UPDATE OF kind, version, page ON documents
    FOR EACH ROW EXECUTE FUNCTION refuse_change_of_page();

DO $$
DECLARE tenant_table text;
BEGIN
    FOREACH tenant_table IN ARRAY ARRAY['logos', 'documents'] LOOP
        EXECUTE format('CREATE POLICY own_tenants ON %I TO recoup_app
            USING ((organization_id = ANY ((SELECT recoup_tenants())::uuid[])) IS TRUE)
            WITH CHECK (organization_id = ANY ((SELECT recoup_tenants())::uuid[]))', tenant_table);
        EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', tenant_table);
        EXECUTE format('ALTER TABLE %I FORCE ROW LEVEL SECURITY', tenant_table);
        EXECUTE format('GRANT SELECT, INSERT, UPDATE ON %I TO recoup_app', tenant_table);
    END LOOP;
END
$$;
CREATE POLICY all_tenants ON documents FOR SELECT TO recoup_scout USING (true);
GRANT SELECT (organization_id, id, make_at, tries, given_up_at) ON documents TO recoup_scout;
