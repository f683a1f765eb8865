"""What keeps tenants apart, and strangers out."""

from __future__ import annotations

from typing import Final

from tests.planted.bugs.bug import Bug, Edit
from tests.planted.bugs.places import MIGRATION

TENANTS: Final = "tests/store/test_row_level_security.py"
CALLERS: Final = "tests/api/test_callers.py"
APART: Final = "tests/api/test_tenants_apart.py"
EVERY_ID: Final = "tests/api/test_tenants_by_every_id.py"
KEYS: Final = "store/api_keys.py"
_NO_ROW_SECURITY: Final = Edit(
    MIGRATION,
    "            USING ((organization_id = ANY ((SELECT recoup_tenants())::uuid[])) IS TRUE)",
    "            USING (true)",
)
_NO_ROW_SECURITY_FOR_ADD_ONS: Final = Edit(
    MIGRATION,
    "\nCREATE POLICY own_tenants ON organizations TO recoup_app",
    "\nALTER POLICY own_tenants ON add_ons USING (true);"
    "\nCREATE POLICY own_tenants ON organizations TO recoup_app",
)
_ADD_ONS_OF_ALL: Final = Edit(
    "store/add_ons.py",
    "WHERE organization_id = $1 AND code = ANY",
    "WHERE $1::uuid IS NOT NULL AND code = ANY",
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
    Bug(
        "row-level security lets everybody read one table",
        "Nothing happens, until somebody forgets a filter.",
        (_NO_ROW_SECURITY_FOR_ADD_ONS,),
        (f"{EVERY_ID}::test_row_level_security_alone_keeps_every_id_from_telling",),
    ),
    Bug(
        "an add-on is looked up by its code alone, and its table has no row-level security",
        "One customer reads another's prices.",
        (
            _NO_ROW_SECURITY_FOR_ADD_ONS,
            _ADD_ONS_OF_ALL,
        ),
        (f"{EVERY_ID}::test_no_id_of_anothers_is_told_from_one_that_nobody_has",),
    ),
    Bug(
        "another tenant's add-on is forbidden, and an unknown one is not found",
        "One customer finds out what another calls its products.",
        (
            _NO_ROW_SECURITY_FOR_ADD_ONS,
            _ADD_ONS_OF_ALL,
            Edit(
                "flows/manage_add_ons.py",
                '        raise Refused(not_found("add_on"))\n    return found[code]',
                '        raise Refused(not_found("add_on"))\n'
                "    if found[code].organization_id != organization_id:\n"
                '        raise Refused(Refusal(RefusalKind.FORBIDDEN, "not_yours"))\n'
                "    return found[code]",
            ),
            Edit(
                "flows/manage_add_ons.py",
                "import Refused, invalid, not_found",
                "import Refusal, RefusalKind, Refused, invalid, not_found",
            ),
        ),
        (f"{EVERY_ID}::test_no_id_of_anothers_is_told_from_one_that_nobody_has",),
    ),
)
