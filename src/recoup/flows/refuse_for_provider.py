"""Say why a provider gave nothing to a caller who waits for it (contract section 1.4).

A key that it refuses is 401, calls that are too many for it are 429, and where no answer comes that
can be relied on it is 422 `provider_error`. A page for a payer has words of its own:
`open_payment_page`.

What would surprise you: the sentences are ours. What a provider writes of a failed call may quote
what was sent with it, so of that nothing is told but its status, and in what way it was lost.
"""

from __future__ import annotations

from datetime import datetime
from math import ceil
from typing import Final, assert_never

from recoup.flows.call_account import LeftAlone
from recoup.providers.protocol import TOO_OFTEN, Lost
from recoup.rules.provider_pace import HeldBack
from recoup.rules.records.provider_accounts import NAMES, ProviderAccount, ProviderKind
from recoup.rules.refusal import Refusal, RefusalKind, provider_error, too_many_provider_requests

NO_ANSWER: Final = "no_answer"


def refusal_of(
    account: ProviderAccount,
    told: Lost | LeftAlone,
    *,
    paused_until: datetime | None,
    now: datetime,
) -> Refusal:
    """The refusal for a call that this account did not answer, or was not asked.

    :param paused_until: how long the account is left alone where that call was one too many.
    """
    if isinstance(told, LeftAlone):
        return _of_left_alone(account, told, now=now)
    if told.key_refused:
        return _key_refused(account)
    if told.why == TOO_OFTEN:
        assert paused_until is not None, "who calls too often is made to pause"
        return _too_often(account, (paused_until - now).total_seconds())
    message = f"{_named(account)} gave no answer that can be relied on ({told.why})."
    return _silent(account, message, told.http_status)


def _of_left_alone(account: ProviderAccount, told: LeftAlone, *, now: datetime) -> Refusal:
    seconds = (told.until - now).total_seconds()
    match told.because:
        case HeldBack.KEY:
            return _key_refused(account)
        case HeldBack.PACE:
            return _too_often(account, seconds)
        case HeldBack.OUTAGE | HeldBack.SLOTS:
            again = f"It is asked again in {_whole(seconds)} s."
            return _silent(account, f"{_named(account)} does not answer. {again}", None)
        case _:
            assert_never(told.because)


def _key_refused(account: ProviderAccount) -> Refusal:
    message = f"The API key of {_named(account)} is refused there."
    return Refusal(RefusalKind.UNKNOWN_KEY, message)


def _too_often(account: ProviderAccount, seconds: float) -> Refusal:
    again = f"It may be called again in {_whole(seconds)} s."
    return too_many_provider_requests(
        NAMES[account.kind],
        f"{_named(account)} is called too often. {again}",
        retry_after_seconds=_whole(seconds),
    )


def _silent(account: ProviderAccount, message: str, status: int | None) -> Refusal:
    details: dict[str, object] = {"message": message}
    if account.kind is ProviderKind.STRIPE:  # the keys of its errors (contract section 1.4)
        details = {
            "code": NO_ANSWER if status is None else f"http_{status}",
            "message": message,
            "request_id": None,
            "http_status": status,
            "http_body": None,
        }
    return provider_error(account.code, details)


def _named(account: ProviderAccount) -> str:
    return f"{NAMES[account.kind]}'s account {account.code}"


def _whole(seconds: float) -> int:
    return max(1, ceil(seconds))
