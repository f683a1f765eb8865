"""What makes a list slow as soon as there is much of it, and what miscounts it."""

from __future__ import annotations

from typing import Final

from tests.planted.bugs.bug import Bug, Edit

PLANS: Final = "tests/store/test_list_plans.py"
LATER_PLANS: Final = "tests/store/test_later_list_plans.py"
INDEXES: Final = "store/migrations/0022_list_indexes.sql"
MORE_INDEXES: Final = "store/migrations/0026_more_list_indexes.sql"

BUGS: Final = (
    Bug(
        "a filter folds what it compares",
        "Row-level security lets no such condition into an index: a list reads all of a tenant.",
        (
            Edit(
                "store/invoice_lists.py",
                "i.purchase_order_number_folded = lower({0})",
                "lower(i.purchase_order_number) = lower({0})",
            ),
        ),
        (PLANS,),
    ),
    Bug(
        "the index of the list of invoices is gone",
        "A page reads each of a tenant's rows where it lies, among everybody's.",
        (
            Edit(
                INDEXES,
                "CREATE INDEX invoices_newest_first ON invoices\n"
                "    (organization_id, issuing_date DESC, created_at DESC, id)\n"
                "    INCLUDE (status, payment_status, payment_overdue, payment_dispute_lost_at,"
                " currency,\n"
                "             total_cents, paid_cents, offset_cents, customer_id, number_folded);",
                "",
            ),
        ),
        (PLANS,),
    ),
    Bug(
        "the index of metadata is gone",
        "Whoever asks for one value reads all invoices of the tenant, and each one's metadata.",
        (
            Edit(
                INDEXES,
                "DROP INDEX fees_oldest_first;",
                "DROP INDEX fees_oldest_first, invoice_metadata_by_value;",
            ),
        ),
        (PLANS,),
    ),
    Bug(
        "a list of payments asks of each which invoices it is of",
        "A tenant with many payments waits, and nobody is shown anything else for it.",
        (
            Edit(
                "store/payments.py",
                "WHERE h.organization_id = {{0}} AND h.status IN {words(HIDDEN)})\n    OR EXISTS",
                "WHERE h.organization_id = {{0}} AND h.status IN {words(HIDDEN)}) AND false\n"
                "    OR EXISTS",
            ),
        ),
        (PLANS,),
    ),
    Bug(
        "a full page is taken for the last one",
        "Whoever follows the pages stops after the first.",
        (Edit("store/listing.py", "len(rows) < page.size", "len(rows) <= page.size"),),
        (PLANS,),
    ),
    Bug(
        "fees of a hidden invoice are counted",
        "The last page never comes: there are fewer than the total says.",
        (
            Edit(
                "store/fees.py",
                "h.organization_id = {{0}} AND h.status IN {words(HIDDEN)})",
                "h.organization_id = {{0}} AND false AND h.status IN {words(HIDDEN)})",
            ),
        ),
        (PLANS,),
    ),
    Bug(
        "a list of credit notes reads each note where it lies",
        "A filter by reason or status reads a page of the table for each note that a tenant has.",
        (
            Edit(
                MORE_INDEXES,
                "INCLUDE (credit_status, refund_status, reason, currency, total_cents,",
                "INCLUDE (currency, total_cents,",
            ),
        ),
        (LATER_PLANS,),
    ),
    Bug(
        "refunds that wait for a person are sought among all",
        "Whoever looks for the two that hang reads every refund that the tenant ever made.",
        (Edit("store/refund_lists.py", "    ended_at IS NULL\n    AND (state", "    (state"),),
        (LATER_PLANS,),
    ),
    Bug(
        "deliveries are cut after they are joined",
        "For twenty webhooks, all that a tenant was ever told is read, and its bodies' rows.",
        (
            Edit(
                "store/delivery_lists.py",
                "return _PIECE_BY_EVENT if by_event else _PIECE, where, at",
                "return _PIECE_BY_EVENT, where, at",
            ),
        ),
        (LATER_PLANS,),
    ),
    Bug(
        "findings are listed by their rows",
        "A list of the open ones reads all that was ever found, and is slow after each restore.",
        (Edit(MORE_INDEXES, "id) INCLUDE (resolved_at);", "id);"),),
        (LATER_PLANS,),
    ),
    Bug(
        "customers are listed by a text that no index holds",
        "A filter by state reads each customer of the tenant where it lies.",
        (
            Edit(
                "store/customer_lists.py",
                'where.add(f"c.{column}_start = ANY ({{0}}::text[])", starts)',
                'where.add(f"left(c.{column}, {START}) = ANY ({{0}}::text[])", starts)',
            ),
        ),
        (PLANS,),
    ),
    Bug(
        "a long text is compared by its start alone",
        "A filter by one state shows the customers of another.",
        (
            Edit(
                "store/customer_lists.py", "if any(len(start) == START", "if any(len(start) > START"
            ),
        ),
        ("tests/api/test_customers.py",),
    ),
    Bug(
        "a customer's methods are found among all of the tenant's",
        "Each page of them, and each event about one, reads what all customers have.",
        (
            Edit(
                "store/migrations/0030_methods_of_customer.sql",
                "    (organization_id, customer_id, created_at DESC, id) WHERE deleted_at IS NULL;",
                "    (organization_id, created_at DESC, id) WHERE deleted_at IS NULL;",
            ),
        ),
        (LATER_PLANS,),
    ),
    Bug(
        "a page is planned for any values",
        "In a large tenant a list takes seconds, or is cut off.",
        (
            Edit(
                "store/listing.py",
                '    await conn.execute("SET LOCAL plan_cache_mode = force_custom_plan")\n',
                '    await conn.execute("SET LOCAL plan_cache_mode = force_generic_plan")\n',
            ),
        ),
        (PLANS,),
    ),
    Bug(
        "what is shown of a page is planned anew for each call, or not, as PostgreSQL estimates",
        "A page of payments takes 5.8 ms in one database and 2.7 in another.",
        (
            Edit(
                "store/listing.py",
                '    await conn.execute("SET LOCAL plan_cache_mode = force_generic_plan")\n',
                "",
            ),
        ),
        (PLANS,),
    ),
    Bug(
        "a page of fees that lies far behind skips rows of the table",
        "Whoever pages through a million fees reads half a million rows for the middle one.",
        (
            Edit(
                "store/migrations/0032_fees_by_their_index.sql",
                "INCLUDE (amount_currency, id)",
                "INCLUDE (amount_currency)",
            ),
        ),
        ("tests/store/test_list_plans.py",),
    ),
)
