"""The sandbox over HTTP: the charges API, the payer's page, and what testers turn."""

import logging
from collections.abc import Awaitable, Callable
from datetime import datetime
from random import Random
from typing import Annotated, Final, TypeVar

import msgspec
from aiohttp import web

from recoup.sandbox import hosted_page
from recoup.sandbox.acquirer import Acquirer
from recoup.sandbox.answers import (
    Answer,
    Refused,
    error_answer,
    invalid_request,
    json_answer,
)
from recoup.sandbox.books import Books, Entry
from recoup.sandbox.charges import Charge, Status, account_of
from recoup.sandbox.faults import Faults, FaultsError
from recoup.sandbox.refunds import Refunds
from recoup.sandbox.tokens import AUTHENTICATION_FAILED, CANCELED, ON_A_PAGE, TOKENS
from recoup.sandbox.trouble import INTERNAL_ERROR, Think, Trouble, plain

KEY_PREFIX: Final = "sk_sandbox_"
LONGEST_IDEMPOTENCY_KEY: Final = 255
MOST_LISTED: Final = 100
LISTED: Final = (
    *("id", "amount", "currency", "status", "idempotency_key", "payment_method"),
    *("customer", "metadata", "created_at"),
)
UNAUTHORIZED: Final = error_answer(
    401, "authentication_error", "api_key_invalid", f"Send a Bearer key beginning {KEY_PREFIX}."
)
CHARGE_NOT_FOUND: Final = invalid_request(
    "charge_not_found", "This account has no such charge.", status=404
)
METHOD_NOT_FOUND: Final = invalid_request(
    "payment_method_unknown", "There is no such payment method.", status=404
)
KEY_IN_USE: Final = error_answer(
    409,
    "idempotency_error",
    "idempotency_key_in_use",
    "The first call with this Idempotency-Key is still being decided.",
)
Body = TypeVar("Body")
log = logging.getLogger(__name__)


class EndpointBody(msgspec.Struct, frozen=True):
    """The body of `POST /v1/webhook_endpoints`."""

    url: Annotated[str, msgspec.Meta(pattern=r"\Ahttps?://[^\s]+\Z", max_length=2048)]
    secret: Annotated[str, msgspec.Meta(min_length=1, max_length=255)]


class FaultsBody(msgspec.Struct, frozen=True):
    """The body of `POST /_faults`; without a seed, chance goes on as it was."""

    faults: str
    seed: int | None = None


class Api:
    """The handlers. Those of the charges API answer the truth and leave breaking it to Trouble."""

    def __init__(
        self,
        acquirer: Acquirer,
        refunds: Refunds,
        books: Books,
        *,
        faults: Faults,
        rng: Random,
        public_url: str | None,
    ) -> None:
        self._acquirer = acquirer
        self._refunds = refunds
        self._books = books
        self._faults = faults
        self._rng = rng
        self._public_url = public_url
        self._deciding: set[tuple[str, str]] = set()

    def routes(self, trouble: Trouble) -> list[web.RouteDef]:
        """List the routes, with trouble around those of the charges API."""
        return [
            web.post("/v1/charges", trouble.around(self.create_charge)),
            web.get("/v1/charges", trouble.around(self.find_by_key)),
            web.get("/v1/charges/{id}", trouble.around(self.show_charge)),
            web.post("/v1/charges/{id}/cancel", trouble.around(self.cancel_charge)),
            web.post("/v1/charges/{id}/dispute", self.dispute),
            web.post("/v1/refunds", trouble.around(self.create_refund)),
            web.get("/v1/refunds", trouble.around(self.find_refund)),
            web.get("/v1/payment_methods/{id}", trouble.around(self.show_method)),
            web.get("/v1/customers/{id}/payment_methods", trouble.around(self.list_methods)),
            web.post("/v1/webhook_endpoints", self.save_endpoint),
            web.get("/v1/webhook_endpoints", self.list_endpoints),
            web.get("/charges", self.list_books),
            web.get("/refunds", self.list_refunds),
            web.get("/pay/{id}", self.show_page),
            web.post("/pay/{id}/approve", self.approve),
            web.post("/pay/{id}/decline", self.decline),
            web.post("/_faults", self.change_faults),
            web.get("/_faults", self.show_faults),
            web.get("/health", self.health),
        ]

    async def create_charge(self, request: web.Request, think: Think) -> Answer:
        """`POST /v1/charges`: take a charge, or answer again what its key was answered."""
        account = _account(request)
        key = _idempotency_key(request)
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
        account = _account(request)
        key = request.query.get("idempotency_key")
        if key is None:
            return await self._list(account, request, think)
        await think()
        entry = self._acquirer.find_by_key(account, key) if _is_key(key) else None
        return json_answer({"charges": [entry.charge] if entry else []})

    async def _list(self, account: str, request: web.Request, think: Think) -> Answer:
        try:
            since, before = (
                msgspec.convert(request.query.get(name), datetime) for name in ("since", "before")
            )
        except msgspec.ValidationError:
            message = "Say which idempotency_key, or since and before."
            return invalid_request("parameter_missing", message)
        await think()
        found = self._acquirer.made_between(
            account, since, before, after=request.query.get("after", ""), most=MOST_LISTED + 1
        )
        page = [entry.charge for entry in found[:MOST_LISTED]]
        return json_answer({"charges": page, "has_more": len(found) > MOST_LISTED})

    async def show_charge(self, request: web.Request, think: Think) -> Answer:
        """`GET /v1/charges/{id}`: a charge as it stands now."""
        account = _account(request)
        await think()
        return json_answer({"charge": self._own_charge(account, request).charge})

    async def cancel_charge(self, request: web.Request, think: Think) -> Answer:
        """`POST /v1/charges/{id}/cancel`: end a charge that is still open; 409 if it is not."""
        account = _account(request)
        await think()
        entry = self._own_charge(account, request)
        if entry.charge.is_open:
            return json_answer({"charge": self._acquirer.fail(entry, CANCELED)})
        message = f"The charge has {entry.charge.status} and cannot be canceled."
        kind, code = "invalid_request_error", "charge_not_cancelable"
        return error_answer(409, kind, code, message, charge=entry.charge)

    async def dispute(self, request: web.Request) -> web.Response:
        """`POST /v1/charges/{id}/dispute`: be the payer's bank, and take the money back."""
        entry = self._own_charge(_account(request), request)
        if entry.charge.status is not Status.SUCCEEDED:
            message = "Only what was paid can be taken back."
            return plain(invalid_request("charge_not_paid", message, status=409))
        self._acquirer.dispute(entry)
        return plain(json_answer({"charge": entry.charge}))

    async def create_refund(self, request: web.Request, think: Think) -> Answer:
        """`POST /v1/refunds`: pay back, or answer again what its key was answered."""
        account, key = _account(request), _idempotency_key(request)
        body = await request.read()
        await think()
        return self._refunds.refund(account, key, body)

    async def find_refund(self, request: web.Request, think: Think) -> Answer:
        """`GET /v1/refunds?idempotency_key=K`: the one refund under it, or none."""
        account, key = _account(request), request.query.get("idempotency_key", "")
        await think()
        return json_answer({"refunds": self._refunds.find(account, key) if _is_key(key) else []})

    async def show_method(self, request: web.Request, think: Think) -> Answer:
        """`GET /v1/payment_methods/{id}`: every test method is every customer's."""
        _account(request)
        await think()
        method = request.match_info["id"]
        if method not in TOKENS:
            return METHOD_NOT_FOUND
        return json_answer(
            {"payment_method": {"id": method, "customer": request.query.get("customer", "")}}
        )

    async def list_methods(self, request: web.Request, think: Think) -> Answer:
        """`GET /v1/customers/{id}/payment_methods`: none is kept, since all are everybody's."""
        _account(request)
        await think()
        return json_answer({"payment_methods": []})

    async def list_refunds(self, _request: web.Request) -> web.Response:
        """`GET /refunds`: the whole books, for whoever compares them with their own."""
        return plain(json_answer({"refunds": self._refunds.all()}))

    async def save_endpoint(self, request: web.Request) -> web.Response:
        """`POST /v1/webhook_endpoints`: say where this account wants its events."""
        account = _account(request)
        body = await _body(request, EndpointBody)
        self._books.save_endpoint(account, body.url, body.secret)
        return plain(json_answer({"webhook_endpoint": {"url": body.url}}))

    async def list_endpoints(self, request: web.Request) -> web.Response:
        """`GET /v1/webhook_endpoints`: where this account's events go. Secrets stay here."""
        endpoints = self._books.endpoints(_account(request))
        listed = [{"url": endpoint.url} for endpoint in endpoints]
        return plain(json_answer({"webhook_endpoints": listed}))

    async def list_books(self, _request: web.Request) -> web.Response:
        """`GET /charges`: the whole books, for whoever compares them with their own."""
        listed = [_listed(charge) for charge in self._acquirer.charges()]
        return plain(json_answer({"charges": listed}))

    async def show_page(self, request: web.Request) -> web.Response:
        """`GET /pay/{id}`: the payer's page."""
        entry = self._acquirer.find(request.match_info["id"])
        text = hosted_page.render(entry.charge) if entry else hosted_page.render_not_found()
        return web.Response(
            text=text,
            status=200 if entry else 404,
            content_type="text/html",
            headers=hosted_page.SECURITY_HEADERS,
        )

    async def approve(self, request: web.Request) -> web.Response:
        """`POST /pay/{id}/approve`: the payer's yes. Then the page says how it stands."""
        if entry := self._waiting_for_payer(request):
            self._acquirer.approve(entry)
        raise web.HTTPSeeOther(f"/pay/{request.match_info['id']}")

    async def decline(self, request: web.Request) -> web.Response:
        """`POST /pay/{id}/decline`: the payer's no. Then the page says how it stands."""
        entry = self._waiting_for_payer(request)
        if entry and entry.charge.payment_method != ON_A_PAGE:  # there they may try again
            self._acquirer.fail(entry, AUTHENTICATION_FAILED)
        raise web.HTTPSeeOther(f"/pay/{request.match_info['id']}")

    async def change_faults(self, request: web.Request) -> web.Response:
        """`POST /_faults`: other chances from now on, and other luck if a seed is given."""
        body = await _body(request, FaultsBody)
        try:
            self._faults.change(body.faults)
        except FaultsError as error:
            return plain(invalid_request("parameter_invalid", str(error)))
        if body.seed is not None:
            self._rng.seed(body.seed)
        return await self.show_faults(request)

    async def show_faults(self, _request: web.Request) -> web.Response:
        """`GET /_faults`: the chances, and how often each fault has struck since the start."""
        return plain(json_answer({"faults": self._faults.chances, "done": self._faults.done}))

    async def health(self, _request: web.Request) -> web.Response:
        """`GET /health`: whether the sandbox answers."""
        return plain(json_answer({"status": "ok"}))

    def _own_charge(self, account: str, request: web.Request) -> Entry:
        entry = self._acquirer.find(request.match_info["id"])
        if entry is None or entry.account != account:
            raise Refused(CHARGE_NOT_FOUND)
        return entry

    def _waiting_for_payer(self, request: web.Request) -> Entry | None:
        entry = self._acquirer.find(request.match_info["id"])
        if entry is None or entry.charge.status is not Status.REQUIRES_ACTION:
            return None  # the second click changes nothing
        return entry


@web.middleware
async def errors_in_json(
    request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
) -> web.StreamResponse:
    """Answer in JSON whatever goes wrong: a refusal, aiohttp's own errors, our bugs."""
    try:
        return await handler(request)
    except Refused as refused:
        return plain(refused.answer)
    except web.HTTPError as error:  # no such route, wrong method, body too large
        code = error.reason.lower().replace(" ", "_")
        return plain(invalid_request(code, error.reason, status=error.status))
    except (web.HTTPException, ConnectionError):
        raise  # a redirect; a caller who has hung up
    except Exception:  # the edge: a bug is answered like a provider's bad day
        log.exception("%s %s failed", request.method, request.path)
        return plain(INTERNAL_ERROR)


def _account(request: web.Request) -> str:
    scheme, _, key = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not key.startswith(KEY_PREFIX):
        raise Refused(UNAUTHORIZED)
    return account_of(key)


def _idempotency_key(request: web.Request) -> str:
    key = request.headers.get("Idempotency-Key", "")
    if not _is_key(key):
        raise Refused(
            invalid_request(
                "idempotency_key_invalid",
                f"Send an Idempotency-Key of 1 to {LONGEST_IDEMPOTENCY_KEY} printable characters.",
            )
        )
    return key


def _is_key(text: str) -> bool:
    return 0 < len(text) <= LONGEST_IDEMPOTENCY_KEY and text.isascii() and text.isprintable()


async def _body(request: web.Request, kind: type[Body]) -> Body:
    try:
        return msgspec.json.decode(await request.read(), type=kind)
    except msgspec.ValidationError as error:
        raise Refused(invalid_request("parameter_invalid", str(error))) from None
    except (msgspec.DecodeError, RecursionError):
        message = "The body is no JSON that can be read."
        raise Refused(invalid_request("json_malformed", message)) from None


def _listed(charge: Charge) -> dict[str, object]:
    return {name: getattr(charge, name) for name in LISTED}
