"""What each test payment method makes of a charge: one table, `TOKENS`.

Decline codes are Stripe's, with the two digits that the issuer's network would send.
"""

from collections.abc import Mapping
from typing import Final

import msgspec

from recoup.sandbox.charges import Decline, Status
from recoup.sandbox.faults import CallFault

INSUFFICIENT_FUNDS: Final = Decline(
    code="card_declined",
    decline_code="insufficient_funds",
    network_decline_code="51",
    advice_code="try_again_later",
    message="Your card has insufficient funds.",
)
DO_NOT_HONOR: Final = Decline(
    code="card_declined",
    decline_code="do_not_honor",
    network_decline_code="05",
    advice_code=None,  # issuers often leave it out, so callers must not need it
    message="Your card was declined.",
)
STOLEN_CARD: Final = Decline(
    code="card_declined",
    decline_code="stolen_card",
    network_decline_code="43",
    advice_code="do_not_try_again",
    message="Your card was declined.",  # the payer is not told why
)
EXPIRED_CARD: Final = Decline(
    code="expired_card",
    decline_code="expired_card",
    network_decline_code="54",
    advice_code="confirm_card_data",
    message="Your card has expired.",
)
AUTHENTICATION_FAILED: Final = Decline(
    code="authentication_required",
    decline_code="authentication_failed",
    network_decline_code=None,  # the issuer was never asked for the money
    advice_code=None,
    message="The payer declined on the hosted page.",
)
AUTHENTICATION_REQUIRED: Final = Decline(
    code="authentication_required",
    decline_code="authentication_required",
    network_decline_code="1A",
    advice_code=None,
    message="The issuer wants to see the payer.",
)
CANCELED: Final = Decline(
    code="canceled",
    decline_code="canceled",
    network_decline_code=None,
    advice_code=None,
    message="The charge was canceled before it was paid.",
)


ON_A_PAGE: Final = "pm_sandbox_page"


class Token(msgspec.Struct, frozen=True):
    """What becomes of a charge with this payment method.

    `title` is how people choose it on a page. `decline` says why, for a charge that fails at once
    or in the end. `first_call` breaks the answer to the first call under an idempotency key; every
    later answer is the truth.
    """

    begins: Status
    title: str
    ends: Status | None = None  # for one that begins processing and ends by itself
    decline: Decline | None = None
    declines_first_of_invoice: bool = False
    forgets_first_call: bool = False
    first_call: CallFault | None = None
    declines_off_session: bool = False  # with a payer in sight it waits for them instead
    refuses_refunds: bool = False


TOKENS: Final[Mapping[str, Token]] = {
    "pm_sandbox_ok": Token(Status.SUCCEEDED, "Pays at once"),
    "pm_sandbox_insufficient_funds": Token(
        Status.FAILED, "Declined: insufficient funds", decline=INSUFFICIENT_FUNDS
    ),
    "pm_sandbox_do_not_honor": Token(
        Status.FAILED, "Declined: the bank does not say why", decline=DO_NOT_HONOR
    ),
    "pm_sandbox_stolen_card": Token(Status.FAILED, "Declined: stolen card", decline=STOLEN_CARD),
    "pm_sandbox_expired_card": Token(Status.FAILED, "Declined: expired card", decline=EXPIRED_CARD),
    "pm_sandbox_authentication_required": Token(Status.REQUIRES_ACTION, "Waits for the payer"),
    "pm_sandbox_authentication_required_off_session": Token(
        Status.REQUIRES_ACTION,
        "Declined while no payer is there",
        decline=AUTHENTICATION_REQUIRED,
        declines_off_session=True,
    ),
    # What a payment page charges: the payer says yes there, or nothing.
    ON_A_PAGE: Token(Status.REQUIRES_ACTION, "What a payment page charges"),
    "pm_sandbox_refund_fails": Token(
        Status.SUCCEEDED, "Pays at once, and refuses refunds", refuses_refunds=True
    ),
    "pm_sandbox_processing_ok": Token(
        Status.PROCESSING, "Under way, then pays", ends=Status.SUCCEEDED
    ),
    "pm_sandbox_processing_fail": Token(
        Status.PROCESSING,
        "Under way, then declined",
        ends=Status.FAILED,
        decline=INSUFFICIENT_FUNDS,
    ),
    "pm_sandbox_timeout_charged": Token(
        Status.SUCCEEDED, "Pays, and the answer is lost", first_call=CallFault.HANG_AFTER
    ),
    "pm_sandbox_timeout_not_charged": Token(
        Status.SUCCEEDED,
        "The call is lost: nothing is charged",
        first_call=CallFault.HANG_AFTER,
        forgets_first_call=True,
    ),
    "pm_sandbox_error_charged": Token(
        Status.SUCCEEDED, "Pays, and answers an error", first_call=CallFault.ERROR_AFTER
    ),
    "pm_sandbox_fail_once": Token(
        Status.SUCCEEDED,
        "Declined once for each invoice, then pays",
        decline=INSUFFICIENT_FUNDS,
        declines_first_of_invoice=True,
    ),
}
# What a customer can choose as their own.
OFFERED: Final = tuple(name for name in TOKENS if name != ON_A_PAGE)
