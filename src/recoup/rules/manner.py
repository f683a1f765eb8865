"""Where the payer is while money is asked for: it decides what the provider is sent."""

from __future__ import annotations

from enum import StrEnum


class Manner(StrEnum):
    """Where the payer is."""

    OFF_SESSION = "off_session"  # away: a stored method is charged
    ON_SESSION = "on_session"  # away too, and will follow a link where the issuer asks for it
    PAGE = "page"  # at the provider's hosted payment page, where any method may be chosen
    TRANSFER = "transfer"  # at their bank: they send the money to an account the provider names
