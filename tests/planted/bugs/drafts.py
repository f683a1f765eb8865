"""Drafts: when they become final, and that they do so once."""

from __future__ import annotations

from typing import Final

from tests.planted.bugs.bug import Bug, Edit

FLOW: Final = "tests/flows/test_finalize_draft.py"
API: Final = "tests/api/test_drafts.py"
FINALIZE: Final = "flows/finalize_draft.py"

BUGS: Final = (
    Bug(
        "a draft is finalized before its grace has ended",
        "Whoever wanted to look at it first finds it issued, and its customer charged.",
        (
            Edit(
                "store/invoices.py",
                "WHERE finalize_at <= $1",
                "WHERE finalize_at IS NOT NULL AND $1::timestamptz IS NOT NULL",
            ),
            Edit(FINALIZE, "                    and invoice.finalize_at <= now\n", ""),
        ),
        (FLOW, API),
    ),
    Bug(
        "a draft draws a number",
        "When it is deleted, a number is missing, and an auditor asks where that invoice is.",
        (
            Edit(
                "flows/create_invoice.py",
                "    if not plan.is_draft:\n"
                "        invoice = await made_final(conn, invoice, plan.customer, plan.entity,"
                " now=now)\n",
                "    final = await made_final(conn, invoice, plan.customer, plan.entity, now=now)\n"
                "    invoice = (\n"
                '        msgspec.structs.replace(final, status="draft")\n'
                "        if plan.is_draft else final\n"
                "    )\n",
            ),
        ),
        (API,),
    ),
    Bug(
        "the clock does not look again at a draft that it has locked",
        "A draft that somebody finalizes or deletes at that moment is issued and charged anew.",
        (
            Edit(
                FINALIZE,
                '                    and invoice.status == "draft"\n'
                "                    and invoice.finalize_at is not None\n"
                "                    and invoice.finalize_at <= now\n",
                "",
            ),
        ),
        (FLOW,),
    ),
    Bug(
        "an invoice is finalized again",
        "It gets a second number and is told of twice, and its customer is charged for it again.",
        (Edit(FINALIZE, 'if invoice.status != "draft":', 'if invoice.status == "voided":'),),
        (FLOW, API),
    ),
    Bug(
        "an invoice that is owed can be deleted",
        "The debt is gone, its number is missing, and the ledger still waits for the money.",
        (Edit("flows/delete_draft.py", 'if draft.status != "draft":', 'if draft.status == "x":'),),
        (FLOW, API),
    ),
    Bug(
        "a draft is finalized with the prices and taxes of the day on which it was made",
        "The tax authority is owed a rate that was never charged.",
        (
            Edit(
                FINALIZE,
                "    anew = await worked_out_anew(conn, details, now=now)\n",
                "    await worked_out_anew(conn, details, now=now)\n    anew = draft\n",
            ),
        ),
        (API,),
    ),
    Bug(
        "a draft that nobody is to be charged for is charged when it is finalized",
        "The customer, who pays by other means, pays twice.",
        (Edit("flows/issue_invoice.py", " and not invoice.skip_psp and", " and"),),
        (API,),
    ),
    Bug(
        "a draft that cannot be finalized is found again and again",
        "Every other draft waits behind it, for ever.",
        (
            Edit(
                FINALIZE,
                "            if isinstance(answer, Refusal | Failed):",
                "            if isinstance(answer, Failed):",
            ),
        ),
        (FLOW,),
    ),
)
