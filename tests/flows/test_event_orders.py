"""A payment's events in every order, each told one to three times: the same end, and told once.

Every order is an invoice of its own, and goes the whole way: signed as its provider signs, kept
once, applied through the one door. A step that its end overtook may go untold; nothing is told
that the right order does not tell.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from datetime import timedelta
from itertools import permutations
from typing import Any, TypeAlias
from uuid import UUID

import aiohttp
import asyncpg
import pytest
import pytest_asyncio

from recoup import clock
from recoup.flows.apply_event import apply_event
from recoup.flows.open_provider import Providers
from recoup.flows.receive_event import receive_event
from recoup.rules.records.keys import RowKey
from recoup.store.db import Pool
from tests.own_shop import NOWHERE
from tests.provider_signatures import dated, hex_mac, signed_item
from tests.shop import BOX, MovableClock, Shop

SECRET = "ab" * 32
LATER = timedelta(hours=2)  # past every step at which an event that waits is tried again
END = {"payment.succeeded", "invoice.payment_failure"}
Event: TypeAlias = tuple[str, dict[str, Any]]  # what happened, and what it says beside that
SECRETS: Mapping[str, dict[str, str]] = {
    "stripe": {"secret_key": "sk_test", "webhook_secret": SECRET},
    "sandbox": {"api_key": "sk_sandbox", "webhook_secret": SECRET},
    "gocardless": {"access_token": "sandbox_token", "webhook_secret": SECRET},
    "adyen": {"api_key": "AQ", "merchant_account": "Acme", "hmac_key": SECRET},
}
NEXT = {"type": "redirect_to_url", "redirect_to_url": {"url": "https://issuer.example/"}}
NO = {"type": "card_error", "code": "card_declined", "decline_code": "stolen_card"}

# Each story: its events in the right order, the attempt's end, and what contradicts it.
STORIES: Mapping[tuple[str, str], tuple[Sequence[Event], str, int]] = {
    ("stripe", "paid after an action, then charged back"): (
        [
            ("payment_intent.created", {"status": "requires_confirmation", "amount_received": 0}),
            ("payment_intent.requires_action", {"status": "requires_action", "next_action": NEXT}),
            ("payment_intent.processing", {"status": "processing", "amount_received": 0}),
            ("payment_intent.succeeded", {"status": "succeeded"}),
            ("charge.dispute.closed", {"status": "lost", "reason": "fraudulent"}),
        ],
        "succeeded", 1,
    ),
    ("stripe", "disputed, won, and disputed again"): (
        [
            ("payment_intent.succeeded", {"status": "succeeded"}),
            ("charge.dispute.funds_withdrawn", {"status": "needs_response"}),
            ("charge.dispute.funds_reinstated", {"status": "won"}),
            ("charge.dispute.closed", {"status": "lost", "id": "dp_other", "amount": 400}),
        ],
        "succeeded", 3,
    ),
    ("stripe", "declined after an action"): (
        [
            ("payment_intent.requires_action", {"status": "requires_action", "next_action": NEXT}),
            ("payment_intent.processing", {"status": "processing", "amount_received": 0}),
            ("payment_intent.payment_failed",
             {"status": "requires_payment_method", "last_payment_error": NO}),
        ],
        "failed", 0,
    ),
    ("sandbox", "paid after an action, then charged back"): (
        [
            ("charge.processing", {"status": "processing"}),
            ("charge.requires_action", {"status": "requires_action", "next_action": NEXT}),
            ("charge.succeeded", {"status": "succeeded"}),
            ("charge.disputed", {"status": "succeeded"}),
        ],
        "succeeded", 1,
    ),
    ("gocardless", "paid, then charged back"): (
        [("created", {}), ("submitted", {}), ("confirmed", {}), ("paid_out", {}),
         ("charged_back", {})],
        "succeeded", 1,
    ),
    ("gocardless", "charged back, and that was cancelled"): (
        [("confirmed", {}), ("paid_out", {}), ("charged_back", {}), ("chargeback_settled", {}),
         ("chargeback_cancelled", {})],
        "succeeded", 2,
    ),
    ("gocardless", "cancelled before any bank was asked"): (
        [("created", {}), ("customer_approval_granted", {}), ("cancelled", {})],
        "failed", 0,
    ),
    ("adyen", "paid, then charged back"): (
        [
            ("AUTHORISATION", {}),
            ("CAPTURE", {"originalReference": "PSP"}),
            ("NOTIFICATION_OF_CHARGEBACK", {"originalReference": "PSP"}),
            ("CHARGEBACK", {"originalReference": "PSP"}),
        ],
        "succeeded", 1,
    ),
    ("adyen", "charged back, defended, and charged back again"): (
        [
            ("AUTHORISATION", {}),
            ("CHARGEBACK", {"originalReference": "PSP"}),
            ("CHARGEBACK_REVERSED", {"originalReference": "PSP"}),
            ("SECOND_CHARGEBACK", {"originalReference": "PSP"}),
        ],
        "succeeded", 3,
    ),
    ("adyen", "authorised, and cancelled by somebody"): (
        [
            ("AUTHORISATION", {}),
            ("CANCELLATION", {"originalReference": "PSP"}),
        ],
        "succeeded", 1,
    ),
    ("adyen", "declined"): (
        [("AUTHORISATION", {"success": "false", "reason": "05 : Do not honor"}),
         ("REPORT_AVAILABLE", {})],
        "failed", 0,
    ),
    ("sandbox", "declined after an action"): (
        [
            ("charge.processing", {"status": "processing"}),
            ("charge.requires_action", {"status": "requires_action", "next_action": NEXT}),
            ("charge.failed", {"status": "failed", "code": "card_declined"}),
        ],
        "failed", 0,
    ),
}  # fmt: skip


def webhook(kind: str, attempt: UUID, event: Event, *, at: int) -> tuple[bytes, dict[str, str]]:
    """One event of this attempt's as its provider sends it: body and headers."""
    return WEBHOOKS[kind](attempt, *event, at)


def _stripe(attempt: UUID, what: str, fields: dict[str, Any], at: int) -> tuple[bytes, dict]:
    intent = f"pi_{attempt.hex}"
    said = {
        "id": intent, "object": "payment_intent", "amount": 1_000, "amount_received": 1_000,
        "currency": "eur", "metadata": {"lago_payment_id": str(attempt)}, **fields,
    }  # fmt: skip
    if what.startswith("charge.dispute."):
        said = {"id": f"dp_{attempt.hex}", "amount": 1_000, "currency": "eur",
                "payment_intent": intent, **fields}  # fmt: skip
    body = {"id": f"evt_{attempt.hex}_{what}", "object": "event", "type": what,
            "data": {"object": said}}  # fmt: skip
    return _dated(body, at, "stripe-signature")


def _sandbox(attempt: UUID, what: str, fields: dict[str, Any], at: int) -> tuple[bytes, dict]:
    charge = {
        "id": f"ch_{attempt.hex}", "amount": 1_000, "currency": "EUR",
        "idempotency_key": f"payment-{attempt}", **fields,
    }  # fmt: skip
    body = {"id": f"evt_{attempt.hex}_{what}", "type": what, "data": {"charge": charge}}
    return _dated(body, at, "sandbox-signature")


def _dated(body: dict[str, Any], at: int, header: str) -> tuple[bytes, dict[str, str]]:
    raw = json.dumps(body).encode()
    return raw, {header: dated(raw, SECRET, at=at)}


def _gocardless(attempt: UUID, what: str, fields: dict[str, Any], at: int) -> tuple[bytes, dict]:
    told = {
        "id": f"EV{attempt.hex}{what}", "resource_type": "payments", "action": what,
        "links": {"payment": f"PM{attempt.hex}"}, "details": {"cause": what},
        "resource_metadata": {"lago_payment_id": str(attempt), "recoup_amount": "1000 EUR"},
        **fields,
    }  # fmt: skip
    raw = json.dumps({"events": [told], "meta": {"webhook_id": "WB1"}}).encode()
    return raw, {"webhook-signature": hex_mac(raw, SECRET)}


def _adyen(attempt: UUID, what: str, fields: dict[str, Any], at: int) -> tuple[bytes, dict]:
    psp = attempt.hex[-16:].upper()
    original = f"PSP{psp}" if "originalReference" in fields else ""
    item = {
        "pspReference": f"{what[:4]}{psp}" if original else f"PSP{psp}",
        "originalReference": original, "merchantAccountCode": "Acme",
        "merchantReference": f"Acme payment-{attempt}",
        "amount": {"value": 1_000, "currency": "EUR"}, "eventCode": what,
        "success": fields.get("success", "true"), "reason": fields.get("reason"),
    }  # fmt: skip
    signed = signed_item(item, SECRET)
    return json.dumps({"notificationItems": [{"NotificationRequestItem": signed}]}).encode(), {}


WEBHOOKS: Mapping[str, Callable[[UUID, str, dict[str, Any], int], tuple[bytes, dict[str, str]]]] = {
    "stripe": _stripe, "sandbox": _sandbox, "gocardless": _gocardless, "adyen": _adyen,
}  # fmt: skip


class Listener:
    """A shop whose account is of this kind, and whom only events tell anything."""

    def __init__(self, shop: Shop, kind: str) -> None:
        self.shop = shop
        self.kind = kind

    async def hears(self, events: Sequence[Event], turn: int) -> tuple[RowKey, RowKey]:
        """Sell, send, and hear the events in this order, one to three times each.

        Answers the invoice and the attempt. The n-th event of the turn-th order is told
        `(turn + n) % 3 + 1` times, so that over all orders each is told once, twice and thrice:
        the second time at once, the third when all others have been.
        """
        shop = self.shop
        invoice = await shop.sell("method_1")
        await shop.owner.execute("UPDATE customers SET payment_provider = $1", self.kind)
        attempt = await shop.begun(invoice)
        await shop.sending.ask(attempt)
        times = [(turn + number) % 3 + 1 for number, _ in enumerate(events)]
        told = [event for event, often in zip(events, times, strict=True)
                for _ in range(min(often, 2))]  # fmt: skip
        late = [event for event, often in zip(events, times, strict=True) if often == 3]
        for event in (*told, *late):
            await self._receive(attempt, event)
            await self._apply_all()
        shop.clock.advance(seconds=LATER.total_seconds())
        await self._apply_all()
        return invoice, attempt

    async def _receive(self, attempt: RowKey, event: Event) -> None:
        now = self.shop.clock.now()
        body, headers = webhook(self.kind, attempt.id, event, at=int(now.timestamp()))
        await receive_event(
            self.shop.pool, self.shop.providers, self.shop.organization_id, kind=self.kind,
            code="sandbox", body=body, headers=headers, new_id=clock.new_id, now=now,
        )  # fmt: skip

    async def _apply_all(self) -> None:
        kept = await self.shop.owner.fetch(
            "SELECT organization_id, id FROM provider_events WHERE applied_at IS NULL"
        )
        for event in kept:
            await apply_event(
                self.shop.pool, self.shop.providers, RowKey(*event), jitter=timedelta(),
                new_id=clock.new_id, now=self.shop.clock.now(),
            )  # fmt: skip

    async def end_of(self, invoice: RowKey, attempt: RowKey) -> tuple[Any, ...]:
        """What it has come to: state, what the invoice shows, what contradicts it."""
        against = await self.shop.owner.fetch(
            "SELECT reason, amount_cents FROM contradictions WHERE payment_id = $1",
            attempt.id,
        )
        return (
            await self.shop.state(attempt),
            await self.shop.shown(invoice),
            sorted(map(tuple, against)),
        )

    async def told_of(self, *rows: RowKey) -> list[str]:
        """The types of what was told of these rows."""
        told = await self.shop.owner.fetch(
            "SELECT webhook_type FROM events WHERE object_id = ANY ($1::uuid[])",
            [row.id for row in rows],
        )
        return sorted(row["webhook_type"] for row in told)


@pytest_asyncio.fixture
async def hall(
    pool: Pool, owner: asyncpg.Connection, request: pytest.FixtureRequest
) -> AsyncIterator[Listener]:
    kind = request.param
    async with aiohttp.ClientSession() as http:
        providers = Providers(http, BOX, sandbox_base=NOWHERE)
        shop = await Shop(pool, owner, providers, MovableClock()).open()
        await shop.moves_to(kind, SECRETS[kind])
        yield Listener(shop, kind)
        await providers.close()


@pytest.mark.parametrize(
    ("hall", "story"),
    [pytest.param(kind, (kind, story), id=f"{kind}: {story}") for kind, story in STORIES],
    indirect=["hall"],
)
async def test_every_order_comes_to_the_same_end(hall: Listener, story: tuple[str, str]) -> None:
    events, state, contradictions = STORIES[story]
    right = await hall.hears(events, turn=0)
    end, told = await hall.end_of(*right), await hall.told_of(*right)
    assert end[0] == state
    assert len(end[2]) == contradictions
    assert sum(one in END for one in told) == 1
    for turn, order in enumerate(permutations(events)):
        heard = await hall.hears(order, turn)
        names = [what for what, _ in order]
        assert await hall.end_of(*heard) == end, names
        now_told = await hall.told_of(*heard)
        assert Counter(now_told) <= Counter(told), (names, now_told)
        assert set(now_told) & END == set(told) & END, (names, now_told)
