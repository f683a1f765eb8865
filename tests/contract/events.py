"""How each event is brought about, and what is told of it must look like.

`TOLD` says by which thing an event comes: the tests make it and wait for a real delivery.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Iterator, Mapping
from typing import Any, Final

from tests.contract import exercises, things
from tests.contract.contract import EXTRAS, Contract, faults
from tests.contract.differences import NESTED
from tests.contract.shapes import Schema
from tests.contract.world import World

Thing = Callable[[World], Awaitable[Any]]
# What an event tells of, by the payload's key: the contract's name for the whole of it.
OBJECTS: Final = {
    "invoice": "InvoiceObjectExtended",
    "customer": "CustomerObjectExtended",
    "payment": "PaymentObject",
    "payment_request": "PaymentRequestObject",
    "payment_receipt": "PaymentReceiptObject",
    "credit_note": "CreditNoteExtendedObject",
}
# Of these the contract's JSON says nothing: its text has them.
OF_THE_TEXT: Final = ("payment_receipt.created", "payment_receipt.generated")


def event_types(contract: Contract) -> list[str]:
    """Every event of the contract."""
    described = [one["webhook_type"][0] for one in contract.json["webhook_events"].values()]
    return sorted([*described, *OF_THE_TEXT])


def event_schema(contract: Contract, kind: str) -> Schema:
    """What the body of an event looks like."""
    described = {one["webhook_type"][0]: one for one in contract.json["webhook_events"].values()}
    key = described[kind]["object_type"][0] if kind in described else kind.partition(".")[0]
    if key in OBJECTS:
        payload = contract.shapes.named(OBJECTS[key])
    elif key in NESTED:
        payload = _nested(contract, NESTED[key])
    else:
        fields = described[kind]["fields"]
        tree = tree_of({name: said for name, said in fields.items() if name.startswith(f"{key}.")})
        payload = contract.shapes.make({**tree["properties"][key], "schema_name": key})
    return {
        "type": "object",
        "properties": {
            "webhook_type": {"const": kind},
            "object_type": {"const": key},
            "organization_id": {"type": "string", "format": "uuid"},
            key: payload,
        },
        "required": ["webhook_type", "object_type", "organization_id", key],
        "additionalProperties": False,
    }


def _nested(contract: Contract, holds: Mapping[str, str]) -> Schema:
    properties = {
        key: contract.shapes.named(name) if name else {"type": ["string", "null"]}
        for key, name in holds.items()
    }
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }


def wrong_in_event(contract: Contract, kind: str, body: Any) -> list[str]:
    """What of an event is not as the contract says."""
    found = faults(event_schema(contract, kind), body)
    payload = body[body["object_type"]]
    said = contract.text.event_rows().get(kind, ("", ""))[1]
    wanted = set(re.sub(r"`.*?`|^\w+ \+|\+", " ", said).split()) if "+" in said else set()
    known = set(EXTRAS.get(body["object_type"], ()))
    there = set(payload) & known
    found += [f"{key} does not go along" for key in sorted((wanted & known) - there)]
    if wanted and "…" not in wanted:
        found += [f"{key} goes along" for key in sorted(there - wanted)]
    return found


def tree_of(fields: Mapping[str, str]) -> dict[str, Any]:
    """Make a tree of fields with dots, as the contract's JSON lists those of an event."""
    root: dict[str, Any] = {"type": "object", "properties": {}}
    for name, said in fields.items():
        node = root
        *above, last = name.split(".")
        for part in above:
            node = _below(node, part)
        if last.endswith("[]"):
            node["properties"].setdefault(last[:-2], {"type": "array"})["items"] = _leaf(said)
        else:
            held = node["properties"].setdefault(last, {})
            held |= _leaf(said)
    return root


def _below(node: dict[str, Any], part: str) -> dict[str, Any]:
    name, is_list = part.removesuffix("[]"), part.endswith("[]")
    held = node["properties"].setdefault(name, {"type": "object"})
    if is_list:
        held = held.setdefault("items", {"type": "object"})
    held.setdefault("properties", {})
    return held


def _leaf(said: str) -> dict[str, Any]:
    """Read `!string|null {a,b}` or `string:uuid`."""
    words, _, enum = said.lstrip("!").partition(" ")
    if words.startswith("oneOf"):
        return {}
    kinds, _, form = words.partition(":")
    made: dict[str, Any] = {"type": kinds.split("|") if "|" in kinds else kinds}
    if form:
        made["format"] = form
    if enum:
        made["enum"] = [None if one == "null" else one for one in enum.strip("{}").split(",")]
    return made


async def _changed(world: World) -> None:
    await world.get(things.bob)
    await world.do("POST /customers", {"customer": {"external_id": "bob", "currency": None}})


async def _made_at_the_provider(world: World) -> None:
    await things.customer(world, billing_configuration=things.made_by("gocardless", "debits"))


async def _refused_by_the_provider(world: World) -> None:
    """GoCardless makes nobody without a name."""
    billing = things.made_by("gocardless", "debits")
    await things.customer(world, name=None, billing_configuration=billing)


async def _asked_of_a_bad_card(world: World) -> None:
    """A payment request that is declined."""
    owner = await things.customer(world, "pm_sandbox_stolen_card")
    await things.request_payment(world, owner)


async def _refund_that_fails(world: World) -> None:
    owner = await things.customer(world, "pm_sandbox_refund_fails")
    invoice = await things.issue(world, owner)
    await world.told("payment.succeeded", lambda told: invoice["lago_id"] in told["invoice_ids"])
    await things.credit(world, await things.shown(world, invoice), refund_amount_cents=120)


async def _key_refused(world: World) -> None:
    """The sandbox takes no key that does not begin as its own do."""
    asked = {"provider_type": "sandbox", "code": world.name("locked"), "name": "Locked",
             "secrets": {"api_key": "sk_of_somebody_else", "webhook_secret": "whsec"}}  # fmt: skip
    account = await world.do("POST /payment_providers", {"payment_provider": asked})
    billing = {"payment_provider": "sandbox", "payment_provider_code": account["code"],
               "provider_customer_id": "cus_locked"}  # fmt: skip
    owner = await things.customer(world, billing_configuration=billing)
    await things.attach(world, owner, "pm_sandbox_ok")
    await things.issue(world, owner)


# By which thing an event comes.
TOLD: Final[Mapping[str, Thing]] = {
    "customer.created": things.bob,
    "customer.updated": _changed,
    "customer.payment_provider_created": _made_at_the_provider,
    "customer.payment_provider_error": _refused_by_the_provider,
    "customer.checkout_url_generated": _made_at_the_provider,
    "credit_note.created": things.credit_note,
    "credit_note.generated": exercises.download_a_credit_note,
    "credit_note.refund_failure": _refund_that_fails,
    "dunning_campaign.finished": things.dunned,
    "invoice.created": exercises.finalize,
    "invoice.one_off_created": things.paid_by_card,
    "invoice.generated": exercises.download_an_invoice,
    "invoice.drafted": things.draft,
    "invoice.voided": things.voided,
    "invoice.deleted": exercises.delete_a_draft,
    "invoice.payment_dispute_lost": things.disputed,
    "invoice.payment_status_updated": things.paid_by_card,
    "invoice.payment_overdue": things.late,
    "invoice.payment_failure": things.declined,
    "payment.requires_action": things.in_flight,
    "payment.succeeded": things.paid_by_card,
    "payment_provider.error": _key_refused,
    "payment_receipt.created": things.paid_by_card,
    "payment_receipt.generated": things.paid_by_card,
    "payment_request.created": things.payment_request,
    "payment_request.payment_failure": _asked_of_a_bad_card,
    "payment_request.payment_status_updated": _asked_of_a_bad_card,
}


def all_bodies(world: World, kind: str) -> Iterator[str]:
    """Every body of this kind that was delivered so far."""
    for webhook in list(world.receiver.came):
        if webhook.kind == kind:
            yield webhook.body
