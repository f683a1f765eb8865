"""What a decline means: every code that we know of, sorted into the seven of `decline_class`.

Called by whoever records a decline, so that `rules/retry_policy.py` need not know a single code.

What would surprise you:
- Each provider has a vocabulary of its own, network advice included: some renumber Mastercard's,
  and the same two digits mean the opposite. Never read one provider's code in another's table.
- The cards' own advice outranks the decline's name: it is the advice that fees are charged by.
- A code that nobody has sorted is `UNSORTED`: one slow try, and the customer is told.

The tables are in `card_declines` and `debit_declines`. The question answered is *may it be tried
again, days later?*, not *may another provider be asked at once?*
"""

from collections.abc import Mapping
from datetime import timedelta
from types import MappingProxyType
from typing import Final

import msgspec

from recoup.rules.card_declines import (
    ADYEN_ERRORS,
    ADYEN_REFUSAL_WAITS,
    ADYEN_REFUSALS,
    ISO_8583,
    MASTERCARD_ADVICE_AS_NUMBERED_BY_THE_NETWORK,
    MASTERCARD_ADVICE_WAITS,
    STRIPE_ADVICE,
    STRIPE_DECLINE_WAITS,
    STRIPE_DECLINES,
    STRIPE_ERRORS,
)
from recoup.rules.debit_declines import (
    DIRECT_DEBIT_RETURNS,
    GOCARDLESS_CAUSE_WAITS,
    GOCARDLESS_CAUSES,
    GOCARDLESS_ERRORS,
    GOCARDLESS_VAGUE_CAUSES,
)
from recoup.rules.decline_class import DeclineClass as DeclineClass
from recoup.rules.decline_class import Table as Table
from recoup.rules.records.provider_accounts import ProviderKind


class Decline(msgspec.Struct, frozen=True):
    """A provider's no, in its own codes; an adapter fills in those that its provider has.

    | field                  | Stripe, sandbox        | Adyen               | GoCardless     |
    |------------------------|------------------------|---------------------|----------------|
    | `network_advice_code`  | `network_advice_code`  | merchant advice     |                |
    | `advice_code`          | `advice_code`          |                     |                |
    | `decline_code`         | `decline_code`         | `refusalReasonCode` | `cause`        |
    | `network_decline_code` | `network_decline_code` | raw refusal, digits | `reason_code`  |
    | `code`                 | `code`, or error class | error code          | error reason   |

    Where Stripe blocked a payment itself, `decline_code` is the outcome's reason.
    """

    provider: ProviderKind
    code: str | None = None
    decline_code: str | None = None
    network_decline_code: str | None = None
    advice_code: str | None = None
    network_advice_code: str | None = None


UNSORTED: Final = DeclineClass.CUSTOMER
"""The class of codes that no table has: a decline may be for good, so at most one slow try."""


class Vocabulary(msgspec.Struct, frozen=True, kw_only=True):
    """One provider's words: tables for each field of `Decline`, and how long some say to wait."""

    network_advice: Table
    advice: Table
    declines: Table
    vague_declines: Table = {}  # say less than the network's code: they decide where it does not
    network_declines: Table
    errors: Table
    network_advice_waits: Mapping[str, timedelta]
    decline_waits: Mapping[str, timedelta]


_STRIPE: Final = Vocabulary(
    network_advice=MASTERCARD_ADVICE_AS_NUMBERED_BY_THE_NETWORK,
    advice=STRIPE_ADVICE,
    declines=STRIPE_DECLINES,
    network_declines=ISO_8583,
    errors=STRIPE_ERRORS,
    network_advice_waits=MASTERCARD_ADVICE_WAITS,
    decline_waits=STRIPE_DECLINE_WAITS,
)

VOCABULARIES: Final[Mapping[ProviderKind, Vocabulary]] = MappingProxyType(
    {
        ProviderKind.STRIPE: _STRIPE,
        ProviderKind.SANDBOX: _STRIPE,  # it speaks Stripe's words, so that nobody learns two
        ProviderKind.ADYEN: Vocabulary(
            network_advice=MASTERCARD_ADVICE_AS_NUMBERED_BY_THE_NETWORK,
            advice={},
            declines=ADYEN_REFUSALS,
            network_declines=ISO_8583,
            errors=ADYEN_ERRORS,
            network_advice_waits=MASTERCARD_ADVICE_WAITS,
            decline_waits=ADYEN_REFUSAL_WAITS,
        ),
        ProviderKind.GOCARDLESS: Vocabulary(
            network_advice={},
            advice={},
            declines=GOCARDLESS_CAUSES,
            vague_declines=GOCARDLESS_VAGUE_CAUSES,
            network_declines=DIRECT_DEBIT_RETURNS,
            errors=GOCARDLESS_ERRORS,
            network_advice_waits={},
            decline_waits=GOCARDLESS_CAUSE_WAITS,
        ),
    }
)


# The decline of an issuer who would take the charge if the payer were there to authenticate it; not
# of a payer who was asked, and said no. Sources: Stripe's decline codes, Adyen's refusal reasons.
WANTS_PAYER: Final[Mapping[ProviderKind, str]] = MappingProxyType(
    {
        ProviderKind.STRIPE: "authentication_required",
        ProviderKind.SANDBOX: "authentication_required",
        ProviderKind.ADYEN: "38",
    }
)


def wants_payer(decline: Decline) -> bool:
    """Say whether the same charge may succeed with the payer: a second attempt is worth it."""
    return (decline.decline_code or decline.code) == WANTS_PAYER.get(decline.provider)


def classify(decline: Decline) -> DeclineClass:
    """Sort a decline: the best-informed code that its provider's tables know decides.

    Network advice, then the provider's, the decline code (one that says little only after the
    network's), the network's code, the bare error code.
    A code that is not in its table is as good as none; with none left it is `UNSORTED`.
    """
    words = VOCABULARIES[decline.provider]
    for code, table in (
        (decline.network_advice_code, words.network_advice),
        (decline.advice_code, words.advice),
        (decline.decline_code, words.declines),
        (decline.network_decline_code, words.network_declines),
        (decline.decline_code, words.vague_declines),
        (decline.code, words.errors),
    ):
        for decline_class, codes in table.items():
            if code in codes:
                return decline_class
    return UNSORTED
