"""`/payment_providers`: an organization's accounts at payment providers; beyond Lago's.

What would surprise you: secrets go in and never come out. Answers name those that are set.
"""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from litestar import Response, Router, delete, get, post, route
from litestar.enums import HttpMethod
from litestar.params import FromPath, JSONBody
from msgspec import UNSET, UnsetType

from recoup import clock
from recoup.api.describe import PAGES, answers
from recoup.api.edge import ApiRequest, Edge, TheEdge, required
from recoup.api.identifiers import row_id
from recoup.api.needs import needs
from recoup.api.paging import wanted_page
from recoup.flows.add_provider_account import add_provider_account, names_of_secrets
from recoup.flows.manage_provider_accounts import (
    AccountChange,
    change_provider_account,
    find_provider_account,
    remove_provider_account,
    try_new_secrets,
)
from recoup.rules.account_secrets import with_made_up
from recoup.rules.account_settings import AccountSettings
from recoup.rules.lago.pages import Meta, meta
from recoup.rules.lago.payment_providers import PaymentProviderObject, payment_provider_object
from recoup.rules.records.keys import RowKey
from recoup.rules.records.provider_accounts import ProviderAccount
from recoup.rules.refusal import Refused, invalid
from recoup.rules.scalars import Text, written
from recoup.store import provider_accounts
from recoup.store.db import Conn

# Anything, because what is no text is refused by the name of the secret.
Secret = Annotated[Any, msgspec.Meta(extra_json_schema={"type": "string", "writeOnly": True})]


class PaymentProviderInput(msgspec.Struct):
    """What a caller says of an account; what is absent stays as it is.

    `secrets` by the names of docs/providers.md. `provider_type` and `code` are for a new account.
    """

    provider_type: Text = UNSET
    code: Text = UNSET
    name: Text = UNSET
    secrets: dict[str, Secret] | UnsetType | None = UNSET
    drop_previous_secret: bool | UnsetType | None = UNSET
    success_redirect_url: Text = UNSET
    supports_3ds: bool | UnsetType | None = UNSET
    refund_surprises: bool | UnsetType | None = UNSET


class PaymentProviderBody(msgspec.Struct):
    """`{"payment_provider": {…}}` as a caller sends it."""

    payment_provider: PaymentProviderInput | None = None


class PaymentProviderAnswer(msgspec.Struct):
    """`{"payment_provider": {…}}` as we answer it."""

    payment_provider: PaymentProviderObject


class PaymentProvidersAnswer(msgspec.Struct):
    """One page of accounts at payment providers."""

    payment_providers: list[PaymentProviderObject]
    meta: Meta


@post("/payment_providers", status_code=200, opt=answers(PaymentProviderAnswer))
async def create(
    request: ApiRequest, edge: TheEdge, data: JSONBody[PaymentProviderBody | None] = None
) -> Response[bytes]:
    """Connect an account at a payment provider.

    Its secrets are sealed, and shown by no answer. The sandbox's are made up where they are absent.
    """
    asked: PaymentProviderInput = required(request, data, "payment_provider")
    kind = written(asked.provider_type) or ""
    code = written(asked.code) or ""

    async def do(conn: Conn) -> PaymentProviderAnswer:
        added = await add_provider_account(
            conn,
            request.auth.organization_id,
            kind,
            code,
            written(asked.name) or code,
            with_made_up(kind, asked.secrets or {}, clock.new_secret),
            box=edge.providers.box,
            account_id=edge.new_id(),
            now=edge.now(),
            by=_who(request),
            settings=_settings(asked),
        )
        return PaymentProviderAnswer(_shown(edge, added))

    return await edge.answer(request, do)


@get("/payment_providers", opt=answers(PaymentProvidersAnswer, query=PAGES))
async def find_all(request: ApiRequest, edge: TheEdge) -> Response[bytes]:
    """List accounts at payment providers, newest first."""
    wanted = wanted_page(request)

    async def look(conn: Conn) -> PaymentProvidersAnswer:
        found, total = await provider_accounts.page(conn, request.auth.organization_id, wanted)
        return PaymentProvidersAnswer([_shown(edge, one) for one in found], meta(wanted, total))

    return await edge.read(request, look)


@get("/payment_providers/{lago_id:str}", opt=answers(PaymentProviderAnswer))
async def find(request: ApiRequest, edge: TheEdge, lago_id: FromPath[str]) -> Response[bytes]:
    """Read one account at a payment provider."""

    async def look(conn: Conn) -> PaymentProviderAnswer:
        found = await find_provider_account(conn, request.auth.organization_id, row_id(lago_id))
        return PaymentProviderAnswer(_shown(edge, found))

    return await edge.read(request, look)


@route(
    "/payment_providers/{lago_id:str}",
    http_method=[HttpMethod.PUT, HttpMethod.PATCH],
    status_code=200,
    opt=answers(PaymentProviderAnswer),
)
async def update(
    request: ApiRequest,
    edge: TheEdge,
    lago_id: FromPath[str],
    data: JSONBody[PaymentProviderBody | None] = None,
) -> Response[bytes]:
    """Change an account's name, settings and secrets; what is absent stays.

    A new webhook secret leaves the old one good, until a change with `drop_previous_secret`. A
    third is refused until then; in one change with it, what was in force stays good beside it.
    """
    asked: PaymentProviderInput = required(request, data, "payment_provider")
    organization_id, account_id = request.auth.organization_id, row_id(lago_id)

    async def do(conn: Conn) -> PaymentProviderAnswer:
        found = await find_provider_account(conn, organization_id, account_id)
        _refuse_another_identity(asked, found)
        change = AccountChange(
            by=_who(request),
            name=written(asked.name),
            settings=_settings(asked),
            secrets=asked.secrets or {},
            drops_previous=asked.drop_previous_secret is True,
        )
        changed = await change_provider_account(
            conn,
            organization_id,
            account_id,
            change,
            box=edge.providers.box,
            audit_id=edge.new_id(),
            now=edge.now(),
        )
        return PaymentProviderAnswer(_shown(edge, changed))

    answer = await edge.answer(request, do)
    if asked.secrets and account_id is not None:
        account = RowKey(organization_id, account_id)
        await try_new_secrets(edge.pool, account, asked.secrets, now=edge.now())
    return answer


@delete("/payment_providers/{lago_id:str}", status_code=200, opt=answers(PaymentProviderAnswer))
async def destroy(request: ApiRequest, edge: TheEdge, lago_id: FromPath[str]) -> Response[bytes]:
    """Take an account away, and answer what it was.

    Nothing new is charged there; what was sent through it is still asked about.
    """

    async def do(conn: Conn) -> PaymentProviderAnswer:
        gone = await remove_provider_account(
            conn,
            request.auth.organization_id,
            row_id(lago_id),
            by=_who(request),
            audit_id=edge.new_id(),
            now=edge.now(),
        )
        return PaymentProviderAnswer(_shown(edge, gone))

    return await edge.answer(request, do)


def _refuse_another_identity(asked: PaymentProviderInput, account: ProviderAccount) -> None:
    """Customers are linked to an account by its code, and its kind says who reads its secrets.

    :raises Refused: 422 `value_cannot_be_changed` for another one.
    """
    own = {"provider_type": account.kind.value, "code": account.code}
    said = {"provider_type": written(asked.provider_type), "code": written(asked.code)}
    if other := [name for name, text in said.items() if text is not None and text != own[name]]:
        raise Refused(invalid({name: ["value_cannot_be_changed"] for name in other}))


def _settings(asked: PaymentProviderInput) -> AccountSettings:
    """What is said of the settings. A `null` address is no address, as `""` is."""
    url = asked.success_redirect_url
    return AccountSettings(
        success_redirect_url=None if url is UNSET else written(url) or "",
        supports_3ds=None if asked.supports_3ds is UNSET else asked.supports_3ds,
        refund_surprises=None if asked.refund_surprises is UNSET else asked.refund_surprises,
    )


def _who(request: ApiRequest) -> str:
    """Who asks, for the audit log: of a call over HTTP the key alone is known."""
    return f"api_key {request.auth.key_id}"


def _shown(edge: Edge, account: ProviderAccount) -> PaymentProviderObject:
    names = names_of_secrets(account, edge.providers.box)
    return payment_provider_object(account, secrets_set=names, public_url=edge.public_url)


routes = Router(
    "/",
    route_handlers=[create, find_all, find, update, destroy],
    tags=["payment_providers"],
    opt=needs("payment_provider"),
)
