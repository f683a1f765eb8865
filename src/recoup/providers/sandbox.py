"""The sandbox as a provider: `recoup sandbox`, over HTTP like any other.

Read by whoever writes the next adapter: it is the smallest complete one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Annotated, Any, Final, TypeVar

import aiohttp
import msgspec
from yarl import URL

from recoup.providers.protocol import (
    LONGEST_CALL,
    CannotList,
    Charge,
    ChargeList,
    CustomerNeeded,
    Declined,
    Delivery,
    Forged,
    Ignored,
    ListedCharge,
    Lost,
    Notice,
    NotKnown,
    Order,
    Outcome,
    Paid,
    Processing,
    RateLimit,
)
from recoup.rules.webhook_signature import sandbox_has_signed

Told = TypeVar("Told")

TIMEOUT: Final = aiohttp.ClientTimeout(
    connect=2, sock_connect=2, sock_read=10, total=LONGEST_CALL.total_seconds()
)
MOST_ANSWER_BYTES: Final = 1_000_000
# What strangers' bytes do to the decoder: no JSON, no such shape, no UTF-8, nested without end.
UNREADABLE: Final = (msgspec.MsgspecError, UnicodeError, RecursionError)

# An answer is believed where it can be kept: by an id, an amount and a currency as ours are.
_Id = Annotated[str, msgspec.Meta(pattern=r"\A[^\x00-\x1f]{1,255}\Z")]
_Cents = Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]
_Currency = Annotated[str, msgspec.Meta(pattern=r"\A[A-Za-z]{3}\Z")]


class SandboxSecrets(msgspec.Struct, frozen=True):
    """What `recoup provider add sandbox` makes up for an account."""

    api_key: str
    webhook_secret: str


class _Decline(msgspec.Struct):
    code: str
    message: str = ""
    decline_code: str | None = None
    network_decline_code: str | None = None
    advice_code: str | None = None


class _Charge(msgspec.Struct):
    id: _Id
    amount: _Cents
    currency: _Currency
    status: str
    idempotency_key: str
    decline: _Decline | None = None
    next_action: dict[str, Any] | None = None
    metadata: dict[str, str] = {}


class _ChargeAnswer(msgspec.Struct):
    charge: _Charge


class _ChargesAnswer(msgspec.Struct):
    charges: list[_Charge]
    has_more: bool = False


class _Error(msgspec.Struct):
    code: str = "error"
    type: str = ""
    message: str = ""


class _ErrorAnswer(msgspec.Struct):
    error: _Error


class _Event(msgspec.Struct):
    id: _Id
    type: str
    data: _ChargeAnswer


class _Answer(msgspec.Struct, frozen=True):
    status: int
    body: bytes
    retry_after: str | None


class SandboxProvider:
    """One account at the sandbox."""

    limit: RateLimit | None = None

    def __init__(self, http: aiohttp.ClientSession, base: str, secrets: SandboxSecrets) -> None:
        self._http = http
        self._charges = URL(f"{base.rstrip('/')}/v1/charges")
        self._endpoints = URL(f"{base.rstrip('/')}/v1/webhook_endpoints")
        self._secrets = secrets
        self._authorization = f"Bearer {secrets.api_key}"

    def render(self, order: Order) -> str:
        """Render the body of `POST /v1/charges`."""
        return msgspec.json.encode(
            {
                "amount": order.amount_cents,
                "currency": order.currency,
                "customer": order.provider_customer_id,
                "payment_method": order.provider_method_id,
                "off_session": True,
                "reference": order.reference,
                "metadata": order.metadata,
            }
        ).decode()

    async def charge(self, charge: Charge) -> Outcome:
        """Ask for the money: at most one charge per key, however often this is called."""
        answer = await self._call(
            "POST",
            self._charges,
            charge.request.encode(),
            {"Idempotency-Key": charge.idempotency_key},
        )
        if isinstance(answer, Lost):
            return answer
        if answer.status in {200, 402}:
            return _read_charge(answer.body, charge.idempotency_key)
        if answer.status in {400, 401, 403, 404} and not charge.sent_before:
            return _read_turned_away(answer)
        # After an earlier call a refusal says nothing of that one, which may have got in.
        return _lost(answer)

    async def look_up(self, charge: Charge) -> Outcome | NotKnown:
        """Ask what became of a charge. Charges nothing."""
        url = self._charges.with_query(idempotency_key=charge.idempotency_key)
        answer = await self._call("GET", url)
        if isinstance(answer, Lost):
            return answer
        if answer.status != 200:
            return _lost(answer)
        found = _decode(answer.body, _ChargesAnswer)
        if found is None:
            return Lost("unreadable_answer")
        ours = [one for one in found.charges if one.idempotency_key == charge.idempotency_key]
        return _outcome(ours[0]) if ours else NotKnown()

    async def list_charges(
        self, *, since: datetime, before: datetime, after: str | None
    ) -> ChargeList | CannotList | Lost:
        """Ask for the charges made from `since` on and before `before`, page by page."""
        window = {"since": since.isoformat(), "before": before.isoformat()}
        url = self._charges.with_query(window | ({"after": after} if after else {}))
        answer = await self._call("GET", url)
        if isinstance(answer, Lost):
            return answer
        if answer.status != 200:
            return _lost(answer)
        found = _decode(answer.body, _ChargesAnswer)
        if found is None or (found.has_more and not found.charges):
            return Lost("unreadable_answer")
        charges = [
            ListedCharge(
                one.idempotency_key, one.id, _outcome(one), one.amount, one.currency, one.metadata
            )
            for one in found.charges
        ]
        return ChargeList(charges, found.charges[-1].id if found.has_more else None)

    async def register_webhook(self, url: str) -> bool:
        """Tell the sandbox where this account's events go; False where it did not take it."""
        body = msgspec.json.encode({"url": url, "secret": self._secrets.webhook_secret})
        answer = await self._call("POST", self._endpoints, body)
        return not isinstance(answer, Lost) and answer.status == 200

    def verify(
        self, body: bytes, headers: Mapping[str, str], *, now: datetime
    ) -> Sequence[Delivery] | Forged:
        """Check `Sandbox-Signature`, and take the one event out."""
        signature = headers.get("sandbox-signature", "")
        if not sandbox_has_signed(signature, body, secrets=[self._secrets.webhook_secret], now=now):
            return Forged("bad_signature")
        try:
            event, text = msgspec.json.decode(body, type=_Event), body.decode()
        except UNREADABLE:
            return Forged("unreadable")
        return [Delivery(event.id, text)]

    def read_event(self, body: str) -> Notice | Ignored:
        """Say what a kept event means."""
        charge = msgspec.json.decode(body, type=_Event).data.charge
        outcome = _outcome(charge)
        if isinstance(outcome, Lost):
            return Ignored(outcome.why)
        return Notice(charge.idempotency_key, outcome)

    async def _call(
        self, method: str, url: URL, body: bytes | None = None, headers: Mapping[str, str] = {}
    ) -> _Answer | Lost:
        try:
            async with self._http.request(
                method,
                url,
                data=body,
                headers={
                    "Authorization": self._authorization,
                    "Content-Type": "application/json",
                    **headers,
                },
                timeout=TIMEOUT,
                allow_redirects=False,
            ) as response:
                read = await response.content.read(MOST_ANSWER_BYTES)
                while not response.content.at_eof() and len(read) < MOST_ANSWER_BYTES:
                    read += await response.content.read(MOST_ANSWER_BYTES - len(read))
                return _Answer(response.status, read, response.headers.get("Retry-After"))
        except (TimeoutError, aiohttp.ClientError, OSError) as error:
            return Lost(type(error).__name__, is_outage=True)


def _decode(body: bytes, kind: type[Told]) -> Told | None:
    """Read what the provider says; None where it cannot be read, whatever it is."""
    try:
        return msgspec.json.decode(body, type=kind)
    except UNREADABLE:
        return None


def _read_charge(body: bytes, key: str) -> Outcome:
    answer = _decode(body, _ChargeAnswer)
    if answer is None:
        return Lost("unreadable_answer")
    if answer.charge.idempotency_key != key:
        return Lost("answer_about_another_charge")
    return _outcome(answer.charge)


def _outcome(charge: _Charge) -> Paid | Processing | CustomerNeeded | Declined | Lost:
    match charge.status:
        case "succeeded":
            return Paid(charge.id, charge.status, charge.amount, charge.currency)
        case "processing":
            return Processing(charge.id, charge.status)
        case "requires_action":
            return CustomerNeeded(charge.id, charge.status, charge.next_action or {})
        case "failed":
            no = charge.decline or _Decline("declined")
            return Declined(
                code=no.code,
                message=no.message,
                decline_code=no.decline_code,
                network_decline_code=no.network_decline_code,
                advice_code=no.advice_code,
                provider_payment_id=charge.id,
                status=charge.status,
            )
        case _:
            return Lost("unknown_status")


def _read_turned_away(answer: _Answer) -> Declined | Lost:
    said = _decode(answer.body, _ErrorAnswer)
    if said is None:
        return Lost("unreadable_answer")
    error = said.error
    if error.type == "idempotency_error":  # our bug: what became of the key is not known
        return Lost(error.code)
    return Declined(code=error.code, message=error.message)


def _lost(answer: _Answer) -> Lost:
    seconds = (answer.retry_after or "") if answer.status == 429 else ""
    is_readable = seconds.isascii() and seconds.isdigit() and len(seconds) < 10
    wait = float(seconds) if is_readable else None
    return Lost(f"http_{answer.status}", wait, is_outage=answer.status >= 500)
