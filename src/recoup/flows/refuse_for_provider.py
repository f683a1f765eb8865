"""Say why a provider gave nothing to a caller who waits for it (contract section 1.4).

A key that it refuses is 401, calls that are too many for it are 429, and where it does not answer
it is 422 `provider_error`. A page for a payer has words of its own: `open_payment_page`.

What would surprise you: the sentences are ours. What a provider writes of a failed call may quote
what was sent with it, so its words are kept nowhere, and are told to nobody.
"""

from __future__ import annotations

from typing import Final

from recoup.flows.call_account import LeftAlone
from recoup.providers.protocol import TOO_OFTEN, Lost
from recoup.rules.provider_pace import HeldBack
from recoup.rules.records.provider_accounts import NAMES, ProviderAccount, ProviderKind
from recoup.rules.refusal import Refusal, RefusalKind, provider_error, too_many_provider_requests

_STATUS: Final = "http_"  # how `Lost.why` begins where the answer had nothing but a status


def refusal_of(account: ProviderAccount, told: Lost | LeftAlone) -> Refusal:
    """The refusal for a call that this account did not answer, or was not asked."""
    name = f"{NAMES[account.kind]}'s account {account.code}"
    match told:
        case Lost(key_refused=True) | LeftAlone(because=HeldBack.KEY):
            return Refusal(RefusalKind.UNKNOWN_KEY, f"The API key of {name} is refused there.")
        case Lost(why=why) if why == TOO_OFTEN:
            message = f"{name} was called too often. Ask again in a moment."
            return too_many_provider_requests(NAMES[account.kind], message)
        case LeftAlone(because=HeldBack.PACE, until=until):
            message = f"{name} may not be called before {until.isoformat()}."
            return too_many_provider_requests(NAMES[account.kind], message)
        case LeftAlone(until=until):
            message = f"{name} does not answer. It is asked again at {until.isoformat()}."
            return _silent(account, message, "left_alone")
        case Lost(why=why):
            return _silent(account, f"{name} has not answered ({why}).", why)


def _silent(account: ProviderAccount, message: str, why: str) -> Refusal:
    details: dict[str, object] = {"message": message}
    if account.kind is ProviderKind.STRIPE:
        status = why.removeprefix(_STATUS)
        details = {
            "code": why,
            "message": message,
            "request_id": None,
            "http_status": int(status) if status.isdigit() else None,
            "http_body": None,
        }
    return provider_error(account.code, details)
