"""Charges and refunds over HTTP: the handlers answer the truth and leave breaking it to Trouble."""

from datetime import datetime
from typing import Annotated, Final

import msgspec
from aiohttp import web

from recoup.sandbox.acquirer import Acquirer
from recoup.sandbox.answers import Answer, Refused, error_answer, invalid_request, json_answer
from recoup.sandbox.calls import account_of_call, is_key, key_of_call
from recoup.sandbox.charge_book import Entry
from recoup.sandbox.charges import Status
from recoup.sandbox.refunds import Refunds
from recoup.sandbox.tokens import CANCELED
from recoup.sandbox.trouble import Think, Trouble, plain

Instant = Annotated[datetime, msgspec.Meta(tz=True)]  # one without a zone is no instant
MOST_LISTED: Final = 100
CHARGE_NOT_FOUND: Final = invalid_request(
    "charge_not_found", "This account has no such charge.", status=404
)
KEY_IN_USE: Final = error_answer(
    409,
    "idempotency_error",
    "idempotency_key_in_use",
    "The first call with this Idempotency-Key is still being decided.",
)


class ChargesApi:
    """What an account asks for about money."""

    def __init__(self, acquirer: Acquirer, refunds: Refunds, *, public_url: str | None) -> None:
        self._acquirer = acquirer
        self._refunds = refunds
        self._public_url = public_url
        self._deciding: set[tuple[str, str]] = set()

    def routes(self, trouble: Trouble) -> list[web.RouteDef]:
        """List the routes, with trouble around them."""
        return [
            web.post("/v1/charges", trouble.around(self.create_charge)),
            web.get("/v1/charges", trouble.around(self.find_by_key)),
            web.get("/v1/charges/{id}", trouble.around(self.show_charge)),
            web.post("/v1/charges/{id}/cancel", trouble.around(self.cancel_charge)),
            web.post("/v1/charges/{id}/dispute", self.dispute),
            web.post("/v1/refunds", trouble.around(self.create_refund)),
            web.get("/v1/refunds", trouble.around(self.find_refund)),
        ]

    async def create_charge(self, request: web.Request, think: Think) -> Answer:
        """`POST /v1/charges`: take a charge, or answer again what its key was answered."""
        account = account_of_call(request)
        key = key_of_call(request)
        body = await request.read()
        if (account, key) in self._deciding:
            return KEY_IN_USE
        self._deciding.add((account, key))
        try:
            await think()
            base = self._public_url or str(request.url.origin())
            return self._acquirer.charge(account, key, body, page_url=f"{base}/pay/{{}}".format)
        finally:
            self._deciding.remove((account, key))

    async def find_by_key(self, request: web.Request, think: Think) -> Answer:
        """`GET /v1/charges?idempotency_key=K`: the one charge under it, or none.

        Or `?since=S&before=B&after=ID`: those made in this time, a page of 100 at most by id.
        """
        account = account_of_call(request)
        key = request.query.get("idempotency_key")
        if key is None:
            return await self._list(account, request, think)
        await think()
        entry = self._acquirer.find_by_key(account, key) if is_key(key) else None
        return json_answer({"charges": [entry.charge] if entry else []})

    async def _list(self, account: str, request: web.Request, think: Think) -> Answer:
        try:
            since, before = (
                msgspec.convert(request.query.get(name), Instant) for name in ("since", "before")
            )
        except msgspec.ValidationError:
            message = "Say which idempotency_key, or since and before, each with its zone."
            return invalid_request("parameter_missing", message)
        await think()
        found = self._acquirer.made_between(
            account, since, before, after=request.query.get("after", ""), most=MOST_LISTED + 1
        )
        page = [entry.charge for entry in found[:MOST_LISTED]]
        return json_answer({"charges": page, "has_more": len(found) > MOST_LISTED})

    async def show_charge(self, request: web.Request, think: Think) -> Answer:
        """`GET /v1/charges/{id}`: a charge as it stands now."""
        account = account_of_call(request)
        await think()
        return json_answer({"charge": self._own_charge(account, request).charge})

    async def cancel_charge(self, request: web.Request, think: Think) -> Answer:
        """`POST /v1/charges/{id}/cancel`: end a charge that is still open; 409 if it is not."""
        account = account_of_call(request)
        await think()
        entry = self._own_charge(account, request)
        if entry.charge.is_open:
            return json_answer({"charge": self._acquirer.fail(entry, CANCELED)})
        message = f"The charge has {entry.charge.status} and cannot be canceled."
        kind, code = "invalid_request_error", "charge_not_cancelable"
        return error_answer(409, kind, code, message, charge=entry.charge)

    async def dispute(self, request: web.Request) -> web.Response:
        """`POST /v1/charges/{id}/dispute`: be the payer's bank, and take the money back."""
        entry = self._own_charge(account_of_call(request), request)
        if entry.charge.status is not Status.SUCCEEDED:
            message = "Only what was paid can be taken back."
            return plain(invalid_request("charge_not_paid", message, status=409))
        self._acquirer.dispute(entry)
        return plain(json_answer({"charge": entry.charge}))

    async def create_refund(self, request: web.Request, think: Think) -> Answer:
        """`POST /v1/refunds`: pay back, or answer again what its key was answered."""
        account, key = account_of_call(request), key_of_call(request)
        body = await request.read()
        await think()
        return self._refunds.refund(account, key, body)

    async def find_refund(self, request: web.Request, think: Think) -> Answer:
        """`GET /v1/refunds?idempotency_key=K`: the one refund under it, or none."""
        account, key = account_of_call(request), request.query.get("idempotency_key", "")
        await think()
        return json_answer({"refunds": self._refunds.find(account, key) if is_key(key) else []})

    def _own_charge(self, account: str, request: web.Request) -> Entry:
        entry = self._acquirer.find(request.match_info["id"])
        if entry is None or entry.account != account:
            raise Refused(CHARGE_NOT_FOUND)
        return entry
