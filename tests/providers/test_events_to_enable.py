"""The events that docs/providers.md has people enable at a provider are those that are read."""

from __future__ import annotations

import json
import re
from fnmatch import fnmatchcase
from pathlib import Path

from recoup.providers import adyen_events, stripe_events
from recoup.providers.protocol import Ignored
from tests.providers.adyen_webhooks import an_item

PAGE = Path(__file__).parents[2] / "docs" / "providers.md"
UNREAD = "REPORT_AVAILABLE"


def named(provider: str, pattern: str) -> set[str]:
    """The words of this form that the provider's own part of the page names."""
    part = PAGE.read_text().split(f"\n## {provider}\n")[1].split("\n## ")[0]
    return set(re.findall(f"`({pattern})`", part))


def test_what_stripe_is_to_send_is_what_is_read() -> None:
    kinds = (
        r"(?:payment_intent|checkout\.session|setup_intent|payment_method|customer|refund|charge)"
    )
    wanted = named("Stripe", rf"{kinds}\.[a-z_.*]+")
    for event in stripe_events.EVENTS:
        assert any(fnmatchcase(event, one) for one in wanted), f"{event} is read, and not named"
    for one in wanted:
        assert any(fnmatchcase(event, one) for event in stripe_events.EVENTS), f"{one} is not read"


def test_what_adyen_is_said_to_tell_is_read() -> None:
    wanted = named("Adyen", "[A-Z]+(?:_[A-Z]+)*") - {"RECOUP_ADYEN_LIVE_PREFIX"}
    assert {"AUTHORISATION", "CHARGEBACK", "REFUND"} <= wanted
    for code in wanted:
        assert not ignores(code), f"{code} is not read"
    assert ignores(UNREAD)


def ignores(code: str) -> bool:
    """Whether an event of this kind says nothing, be it of a success or of none."""
    told = [
        adyen_events.read(body(code, success=success, amount=amount))
        for success in ("true", "false")
        for amount in (1_000, 0)
    ]
    return all(isinstance(one, Ignored) for one in told)


def body(code: str, *, success: str, amount: int) -> str:
    """An event of Adyen's about a payment and its refund, which holds whatever a kind may need."""
    return json.dumps(
        an_item(
            eventCode=code,
            success=success,
            originalReference="PSP0",
            amount={"value": amount, "currency": "EUR"},
        )
    )
