"""What our wire says otherwise than Lago's."""

from __future__ import annotations

from typing import Final

from tests.planted.bugs.bug import Bug, Edit

ANSWERS: Final = "tests/contract/test_answers.py::test_an_operation_answers_as_the_contract_says"
REFUSALS: Final = "tests/contract/test_refusals.py::test_a_refusal_is_said_in_the_contracts_words"
EVENTS: Final = "tests/contract/test_events.py::test_an_event_is_told_in_the_contracts_words"
PAGES: Final = "tests/api/test_payment_pages.py"
INVOICES: Final = "rules/lago/invoices.py"

BUGS: Final = (
    Bug(
        "a field of the wire has a name of our own",
        "A client that reads it finds nothing, or cannot read the answer at all.",
        (
            Edit(
                INVOICES,
                "class InvoiceObject(msgspec.Struct, frozen=True, kw_only=True):",
                "class InvoiceObject(msgspec.Struct, frozen=True, kw_only=True,"
                ' rename={"total_due_amount_cents": "due_amount_cents"}):',
            ),
        ),
        (f"{ANSWERS}[GET /invoices]", f"{EVENTS}[invoice.voided]"),
    ),
    Bug(
        "what is null is left out",
        "A client that tells null from absent takes it for an older version.",
        (
            Edit(
                INVOICES,
                "        purchase_order_number=invoice.purchase_order_number,\n",
                "        purchase_order_number=invoice.purchase_order_number or UNSET,\n",
            ),
        ),
        (f"{ANSWERS}[GET /invoices]",),
    ),
    Bug(
        "what is never null is null",
        "A client whose models are strict cannot read the answer.",
        (
            Edit(
                "rules/lago/payments.py",
                "        reference=details.reference,\n",
                "        reference=details.reference or None,\n",
            ),
        ),
        (
            f"{ANSWERS}[GET /payments]",
            "tests/lago/test_compatibility.py::test_the_python_client_reads_every_answer",
        ),
    ),
    Bug(
        "an instant is told with its fraction",
        "Whoever compares texts finds a change where there is none.",
        (
            Edit(
                "rules/lago/instants.py",
                "return None if at is None else at.replace(microsecond=0)",
                "return at",
            ),
        ),
        (f"{ANSWERS}[GET /taxes]",),
    ),
    Bug(
        "a list shows more of an invoice than it should",
        "A page of a hundred invoices carries all their fees.",
        (
            Edit(
                INVOICES,
                "    LISTED = CUSTOMER | METADATA | APPLIED_TAXES\n",
                "    LISTED = CUSTOMER | METADATA | APPLIED_TAXES | FEES\n",
            ),
        ),
        (f"{ANSWERS}[GET /invoices]",),
    ),
    Bug(
        "a refusal has another code",
        "A client that acts on the code does not know what to do.",
        (
            Edit(
                "flows/void_invoice.py",
                'not_allowed("not_voidable")',
                'not_allowed("invalid_status")',
            ),
        ),
        (f"{REFUSALS}[POST /invoices/{{lago_id}}/void 405 not_voidable]",),
    ),
    Bug(
        "a provider's own refusal is a broken rule of ours",
        "The caller looks for the field that is wrong, and none is.",
        (
            Edit(
                "rules/refusal.py",
                '        "third_party_error",\n',
                '        "validation_errors",\n',
            ),
        ),
        ("tests/contract/test_refusals.py",),
    ),
    Bug(
        "an account that may not be called yet is said to be silent",
        "Somebody rings up a provider that answers everybody.",
        (
            Edit(
                "flows/take_calls.py",
                "held |= {caller: Held(until, HeldBack.PACE) for caller, until in later}",
                "held |= {caller: Held(until, HeldBack.OUTAGE) for caller, until in later}",
            ),
        ),
        (f"{PAGES}::test_what_waits_for_its_turn_is_not_said_to_be_out_or_refused",),
    ),
    Bug(
        "a silent provider is said to be busy",
        "Lago's clients ask again by themselves, three times, while nobody answers.",
        (
            Edit(
                "flows/take_calls.py",
                "return _Given(health, _each(callers, said.until, HeldBack.OUTAGE))",
                "return _Given(health, _each(callers, said.until, HeldBack.PACE))",
            ),
        ),
        (f"{PAGES}::test_a_provider_that_is_out_is_left_alone",),
    ),
    Bug(
        "a refused key is said to be silence",
        "Nobody changes the key: they wait for the provider.",
        (Edit("flows/refuse_for_provider.py", "    if told.key_refused:\n", "    if False:\n"),),
        (f"{PAGES}::test_a_key_that_the_provider_refuses_is_said_to_be",),
    ),
    Bug(
        "a caller whom a provider holds up is told the pace of their own key",
        "Lago's clients come again when their key may, and not when the provider says.",
        (
            Edit(
                "api/front.py",
                "more = [one for one in headers if one[0] not in there]",
                "more = list(headers)",
            ),
        ),
        ("tests/api/test_limits.py",),
    ),
    Bug(
        "an event leaves out what goes along with it",
        "Whoever books by it has no fees to book.",
        (
            Edit(
                INVOICES,
                "    OF_ONE_OFF_CREATED = CUSTOMER | FEES | APPLIED_TAXES | CUSTOM_SECTIONS\n",
                "    OF_ONE_OFF_CREATED = CUSTOMER | APPLIED_TAXES | CUSTOM_SECTIONS\n",
            ),
        ),
        (f"{EVENTS}[invoice.one_off_created]",),
    ),
)
