"""GoCardless's webhooks: who has sent them is told by their signature, as GoCardless's SDK does."""

from __future__ import annotations

from random import Random

import pytest
from gocardless_pro import webhooks
from gocardless_pro.errors import InvalidSignatureError

from recoup.providers.gocardless import GoCardlessProvider, GoCardlessSecrets
from recoup.providers.protocol import Delivery, Forged
from tests.provider_signatures import hex_mac
from tests.providers.stand_in import NOW
from tests.providers.test_gocardless_events import of_payment

SECRET = "whsec_new"
PROVIDER = GoCardlessProvider(GoCardlessSecrets("sandbox_1", SECRET), base=None)


def a_webhook(*actions: str) -> bytes:
    events = ", ".join(of_payment(action, number) for number, action in enumerate(actions))
    return f'{{"events": [ {events} ], "meta": {{"webhook_id": "WB1"}}}}'.encode()


def signed(body: bytes) -> dict[str, str]:
    return {"webhook-signature": hex_mac(body, SECRET)}


def test_each_event_is_kept_by_itself_as_the_text_that_was_signed() -> None:
    body = a_webhook("created", "submitted", "confirmed")
    verified = PROVIDER.verify(body, signed(body), now=NOW)
    assert verified == [
        Delivery(f"EV{number}", of_payment(action, number))
        for number, action in enumerate(("created", "submitted", "confirmed"))
    ]
    official = webhooks.parse(body, SECRET, signed(body)["webhook-signature"])
    assert [one.id for one in official] == ["EV0", "EV1", "EV2"]


def test_of_a_thousand_tampered_webhooks_none_is_believed() -> None:
    chance, body = Random(3), a_webhook("paid_out", "failed")
    headers = signed(body)
    for _ in range(1_000):
        tampered = bytearray(body)
        at = chance.randrange(len(tampered))
        match chance.randrange(4):
            case 0:
                tampered[at] ^= 1 << chance.randrange(8)
            case 1:
                del tampered[at]
            case 2:
                tampered[at:at] = bytes([chance.randrange(256)])
            case _:
                tampered += bytes([chance.randrange(256)])
        if bytes(tampered) == body:  # what was put in, or taken out, was one of a run of the same
            continue
        forged = PROVIDER.verify(bytes(tampered), headers, now=NOW)
        assert forged == Forged("bad_signature")
        with pytest.raises(InvalidSignatureError):
            webhooks.parse(bytes(tampered), SECRET, headers["webhook-signature"])


def test_of_wrong_signatures_none_is_believed() -> None:
    body = a_webhook("paid_out")
    right = signed(body)["webhook-signature"]
    wrong = [right[:-1], right + "0", right[:-1] + ("1" if right[-1] == "0" else "0"), "", "é" * 64,
             right.replace(right[0], "g"), f"sha256={right}", right[::-1], "0" * 64]  # fmt: skip
    for signature in wrong:
        headers = {"webhook-signature": signature}
        assert PROVIDER.verify(body, headers, now=NOW) == Forged("bad_signature"), signature


@pytest.mark.parametrize(
    "body",
    [b"", b"{}", b"[]", b'{"events": {}}', b'{"events": [1]}', b'{"events": [{}]}',
     b'{"events": [{"id": ""}]}', b'{"events": [{"id": "EV\\u0000"}]}', b'{"events": null}',
     b'{"events": [{"id": "EV1"}, {"action": "paid_out"}]}', b'{"events": [{"id": "\xff"}]}'],
)  # fmt: skip
def test_what_cannot_be_read_is_not_kept(body: bytes) -> None:
    assert PROVIDER.verify(body, signed(body), now=NOW) == Forged("unreadable")
