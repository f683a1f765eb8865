"""What keeps tenants apart, and strangers out."""

from __future__ import annotations

from typing import Final

from tests.planted.bugs.bug import Bug, Edit
from tests.planted.bugs.places import MIGRATION

TENANTS: Final = "tests/store/test_row_level_security.py"
CALLERS: Final = "tests/api/test_callers.py"
APART: Final = "tests/api/test_tenants_apart.py"
KEYS: Final = "store/api_keys.py"
_NO_ROW_SECURITY: Final = Edit(
    MIGRATION,
    "            USING ((organization_id = ANY ((SELECT recoup_tenants())::uuid[])) IS TRUE)",
    "            USING (true)",
)

BUGS: Final = (
    Bug(
        "a row is read by tenants who did not name it",
        "One customer reads another's invoices.",
        (_NO_ROW_SECURITY,),
        (TENANTS,),
    ),
    Bug(
        "a tax is looked up by its code alone, and no row-level security keeps tenants apart",
        "Whose code it happens to be is taxed by a stranger's rate.",
        (
            _NO_ROW_SECURITY,
            Edit(
                "store/taxes.py",
                "WHERE t.organization_id = $1 AND t.code = ANY",
                "WHERE $1::uuid IS NOT NULL AND t.code = ANY",
            ),
        ),
        (APART,),
    ),
    Bug(
        "an add-on's code is taken for all tenants",
        "One tenant finds out another's codes, by trying which are taken.",
        (
            Edit(
                MIGRATION,
                "one_add_on_per_code ON add_ons (organization_id, code)",
                "one_add_on_per_code ON add_ons (code)",
            ),
        ),
        (APART,),
    ),
    Bug(
        "a new table is forgotten by row-level security",
        "One customer reads why another's invoices are not collected.",
        (Edit(MIGRATION, "'idempotency_keys', 'decisions', ", "'idempotency_keys', "),),
        (TENANTS,),
    ),
    Bug(
        "a foreign key is missing",
        "A payment covers an invoice that is another tenant's, or none.",
        (
            Edit(
                MIGRATION,
                "    FOREIGN KEY (organization_id, payment_id) REFERENCES payments"
                " (organization_id, id),\n"
                "    FOREIGN KEY (organization_id, invoice_id) REFERENCES invoices"
                " (organization_id, id)\n"
                ");\n-- Never two attempts",
                "    FOREIGN KEY (organization_id, payment_id) REFERENCES payments"
                " (organization_id, id)\n"
                ");\n-- Never two attempts",
            ),
        ),
        (TENANTS,),
    ),
    Bug(
        "a revoked key still opens the door",
        "Who has stolen a key goes on using it, and nothing can be done about it.",
        (Edit(KEYS, "k.revoked_at IS NULL AND (k.expires_at", "(k.expires_at"),),
        (CALLERS, "tests/cli/test_key.py"),
    ),
    Bug(
        "a key has no end",
        "A key that was lent for a day is good for ever.",
        (Edit(KEYS, " AND (k.expires_at IS NULL OR k.expires_at > now())", ""),),
        (CALLERS,),
    ),
)
