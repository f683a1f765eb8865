"""Two thousand forged or tampered events, five hundred by each provider's rules: none is taken."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from random import Random
from typing import Any, TypeAlias

import asyncpg
import httpx
import pytest

from recoup import clock
from recoup.flows.add_provider_account import add_provider_account
from recoup.store import db
from recoup.store.db import Pool
from tests.api.billing import count
from tests.api.conftest import BOX, Tenant
from tests.provider_signatures import dated, hex_mac, signed_item

FORGERIES = 500
SEED = 20_270_303
LONGEST_SKEW_SECONDS = 301
OURS, THEIRS = "ab" * 32, "cd" * 32  # Adyen's are hexadecimal
Webhook: TypeAlias = tuple[bytes, dict[str, str]]
SIGNATURES = {"stripe": "stripe-signature", "sandbox": "sandbox-signature"}
SECRETS: Mapping[str, Callable[[str], dict[str, str]]] = {
    "stripe": lambda key: {"secret_key": "sk_test", "webhook_secret": key},
    "sandbox": lambda key: {"api_key": "sk_sandbox", "webhook_secret": key},
    "gocardless": lambda key: {"access_token": "sandbox_token", "webhook_secret": key},
    "adyen": lambda key: {"api_key": "AQ", "merchant_account": "Acme", "hmac_key": key},
}
BODIES: Mapping[str, Any] = {
    "stripe": {
        "id": "evt_1", "object": "event", "type": "payment_intent.succeeded",
        "data": {"object": {"id": "pi_1", "object": "payment_intent", "amount": 1000}},
    },
    "sandbox": {
        "id": "evt_1", "type": "charge.succeeded",
        "data": {"charge": {"id": "ch_1", "amount": 1000, "currency": "EUR", "status": "succeeded",
                            "idempotency_key": "payment-01890000-0000-7000-8000-000000000001"}},
    },
    "gocardless": {
        "events": [{"id": "EV1", "resource_type": "payments", "action": "paid_out",
                    "links": {"payment": "PM1"}, "created_at": "2027-03-01T12:00:00.000Z"}],
    },
}  # fmt: skip
ITEM: Mapping[str, Any] = {
    "pspReference": "PSP1", "originalReference": "", "merchantAccountCode": "Acme",
    "merchantReference": "INV-1/payment-01890000-0000-7000-8000-000000000001",
    "amount": {"value": 1000, "currency": "EUR"}, "eventCode": "AUTHORISATION",
    "success": "true", "eventDate": "2027-03-01T12:00:00+00:00", "additionalData": {},
}  # fmt: skip


def webhook(kind: str, secret: str, *, at: int | None = None, **changes: Any) -> Webhook:
    """A webhook as this provider signs it; `changes` are of Adyen's item, before it is signed."""
    if kind == "adyen":
        return batch(signed_item({**ITEM, **changes}, secret)), {}
    body = json.dumps(BODIES[kind]).encode()
    if kind == "gocardless":
        return body, {"webhook-signature": hex_mac(body, secret)}
    at = int(clock.now().timestamp()) if at is None else at
    return body, {SIGNATURES[kind]: dated(body, secret, at=at)}


def batch(*items: Mapping[str, Any]) -> bytes:
    wrapped = [{"NotificationRequestItem": item} for item in items]
    return json.dumps({"live": "false", "notificationItems": wrapped}).encode()


def forged(kind: str, chance: Random) -> Webhook:
    """A webhook that nobody may believe."""
    return chance.choice(ADYENS if kind == "adyen" else OTHERS)(kind, chance)


def by_another_secret(kind: str, chance: Random) -> Webhook:
    some = f"{chance.getrandbits(256):064x}"
    return webhook(kind, chance.choice([THEIRS, some, "" if kind == "adyen" else " ", OURS[:-2]]))


def with_a_changed_byte(kind: str, chance: Random) -> Webhook:
    body, headers = webhook(kind, OURS)
    changed = bytearray(body)
    changed[chance.randrange(len(changed))] ^= 1 << chance.randrange(8)
    return bytes(changed), headers


def cut_off_or_longer(kind: str, chance: Random) -> Webhook:
    body, headers = webhook(kind, OURS)
    return chance.choice([body[: chance.randrange(len(body))], body + b" ", b""]), headers


def with_a_changed_signature(kind: str, chance: Random) -> Webhook:
    body, headers = webhook(kind, OURS)
    [(name, signature)] = headers.items()
    at = chance.randrange(len(signature) - 64, len(signature))  # the digest's own signs
    other = chance.choice([sign for sign in "0123456789abcdef" if sign != signature[at]])
    return body, {name: signature[:at] + other + signature[at + 1 :]}


def without_a_signature(kind: str, chance: Random) -> Webhook:
    body, headers = webhook(kind, OURS)
    [name] = headers
    said = chance.choice([None, "", "v1=", "t=,v1=", "null", f"v0={hex_mac(body, OURS)}"])
    return body, {} if said is None else {name: said}


def of_another_time(kind: str, chance: Random) -> Webhook:
    """Rightly signed, and too old or too new; or dated anew, which the signature does not cover."""
    if kind == "gocardless":  # its signatures have no date
        return with_a_changed_signature(kind, chance)
    now = int(clock.now().timestamp())
    away = chance.randrange(LONGEST_SKEW_SECONDS, 10**7) * chance.choice([-1, 1])
    if chance.random() < 0.5:
        return webhook(kind, OURS, at=now + away)
    body, headers = webhook(kind, OURS, at=now + away)
    [(name, signature)] = headers.items()
    return body, {name: signature.replace(f"t={now + away}", f"t={now}")}


def by_another_ones_rules(kind: str, chance: Random) -> Webhook:
    other = chance.choice([one for one in SECRETS if one != kind])
    return webhook(other, OURS)


def with_a_changed_word(kind: str, chance: Random) -> Webhook:
    """One of the words that Adyen's signature covers, changed after it was made."""
    name, value = chance.choice(
        [
            ("pspReference", f"PSP{chance.randrange(2, 99)}"),
            ("originalReference", "PSP0"),
            ("merchantAccountCode", "Other"),
            ("merchantReference", f"INV-{chance.randrange(2, 99)}"),
            ("amount", {"value": chance.randrange(1001, 9999), "currency": "EUR"}),
            ("amount", {"value": 1000, "currency": "USD"}),
            ("eventCode", chance.choice(["CANCELLATION", "REFUND", "CHARGEBACK"])),
            ("success", chance.choice(["false", True, "TRUE", 1])),
        ]
    )
    return batch({**signed_item(ITEM, OURS), name: value}), {}


def beside_a_good_one(kind: str, chance: Random) -> Webhook:
    """A forged item in a batch: none of the batch is believed."""
    good = signed_item({**ITEM, "pspReference": "PSP9"}, OURS)
    no = signed_item({**ITEM, "success": "false"}, chance.choice([THEIRS, OURS[::-1]]))
    items = [good, no, good][chance.randrange(2) :]
    chance.shuffle(items)
    return batch(*items), {}


def with_a_broken_signature(kind: str, chance: Random) -> Webhook:
    item = signed_item(ITEM, OURS)
    signature = item["additionalData"]["hmacSignature"]
    at = chance.randrange(len(signature) - 2)  # the last sign holds bits that base64 leaves unused
    other = chance.choice([sign for sign in "ABCxyz019+/" if sign != signature[at]])
    said = chance.choice([signature[:at] + other + signature[at + 1 :], "", None, 1, [signature]])
    return batch({**item, "additionalData": {"hmacSignature": said}}), {}


def with_random_bytes(kind: str, chance: Random) -> Webhook:
    """Bytes in the place of all of it, of its signature, or of one of the words that it covers."""
    noise = chance.randbytes(chance.randrange(1, 400))
    body = batch(signed_item({**ITEM, "originalReference": "PSP0"}, OURS))
    marks = ["PSP1", "PSP0", "Acme", "INV-1", "1000", "EUR", "AUTHORISATION", '"true"']
    mark = chance.choice([*marks, "hmacSignature", "NotificationRequestItem", None])
    return (body.replace(mark.encode(), noise, 1) if mark else noise), {}


def cut_off(kind: str, chance: Random) -> Webhook:
    body, headers = webhook(kind, OURS)
    return body[: chance.randrange(len(body))], headers


def of_another_account(kind: str, chance: Random) -> Webhook:
    return webhook(kind, OURS, merchantAccountCode=f"Other{chance.randrange(99)}")


OTHERS = [
    by_another_secret, with_a_changed_byte, cut_off_or_longer, with_a_changed_signature,
    without_a_signature, of_another_time, by_another_ones_rules,
]  # fmt: skip
ADYENS = [
    by_another_secret, with_a_changed_word, beside_a_good_one, with_a_broken_signature,
    of_another_account, by_another_ones_rules, with_random_bytes, cut_off,
]  # fmt: skip


def with_other_words_beside_it(chance: Random) -> Webhook:
    """A true item whose words outside its signature were changed: they do not make it another."""
    names = ["modification.action", "disputeStatus", "refusalReasonCode", "shopperReference"]
    item = signed_item(ITEM, OURS)
    item["additionalData"] |= {name: chance.choice(["refund", "Lost", "2"]) for name in names}
    said = {"eventDate": "2031-01-01T00:00:00Z", "reason": f"{chance.randbytes(8).hex()}"}
    return batch({**item, **said, "paymentMethod": "bank", "live": "false"}), {}


@pytest.mark.parametrize("kind", sorted(SECRETS))
async def test_nothing_forged_is_taken(
    tenant: Tenant, other_tenant: Tenant, pool: Pool, owner: asyncpg.Connection, kind: str
) -> None:
    for one, secret in ((tenant, OURS), (other_tenant, THEIRS)):
        async with db.transaction(pool, tenants=[one.organization_id]) as conn:
            await add_provider_account(
                conn, one.organization_id, kind=kind, code="main", name="Main",
                secrets=SECRETS[kind](secret), box=BOX, account_id=clock.new_id(),
                now=clock.now(),
            )  # fmt: skip

    async def send(sent: Webhook) -> httpx.Response:
        body, headers = sent
        address = f"/webhooks/{kind}/{tenant.organization_id}?code=main"
        return await tenant.client.post(address, content=body, headers=headers)

    chance = Random(SEED)
    for _ in range(FORGERIES):
        sent = forged(kind, chance)
        answer = await send(sent)
        assert answer.status_code == 400, sent
        assert answer.content == b'{"status":400,"error":"Bad Request"}'
    assert await count(owner, "provider_events") == 0
    assert (await send(webhook(kind, OURS))).status_code == 200, "a true one is taken"
    assert await count(owner, "provider_events") == 1
    if kind == "adyen":  # it signs words and no bodies
        kept = await owner.fetchval("SELECT body FROM provider_events")
        for _ in range(20):
            assert (await send(with_other_words_beside_it(chance))).status_code == 200
        assert await owner.fetch("SELECT body FROM provider_events") == [(kept,)]
