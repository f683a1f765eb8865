"""`POST /webhooks/{provider}/{organization_id}?code=…`: what providers tell us (contract 6).

No API key: the signature says who is calling. Anything that is not genuine answers 400, whatever
the reason, so that nobody learns which tenants and accounts there are.
"""

from __future__ import annotations

from typing import Any, Final

from litestar import MediaType, Request, Response, post
from litestar.datastructures import State
from litestar.params import FromPath

from recoup.api.edge import TheEdge
from recoup.api.identifiers import row_id
from recoup.flows.receive_event import NOT_TAKEN, receive_event
from recoup.rules.records.provider_accounts import ProviderKind
from recoup.rules.refusal import Refused

# What a provider wants to read, or it delivers again; the others look at the status alone.
TAKEN: Final = {ProviderKind.ADYEN.value: b"[accepted]"}  # contract section 6.2


@post("/webhooks/{provider:str}/{organization_id:str}", status_code=200, tags=["provider webhooks"])
async def receive(
    request: Request[Any, Any, State],
    edge: TheEdge,
    provider: FromPath[str],
    organization_id: FromPath[str],
) -> Response[bytes]:
    """Keep a provider's event once, and answer; what it means is found out after."""
    tenant = row_id(organization_id)
    if tenant is None:
        raise Refused(NOT_TAKEN)
    await receive_event(
        edge.pool,
        edge.providers,
        tenant,
        kind=provider,
        code=request.query_params.get("code"),
        body=await request.body(),
        headers={name.lower(): value for name, value in request.headers.items()},
        new_id=edge.new_id,
        now=edge.now(),
    )
    if provider in TAKEN:
        return Response(TAKEN[provider], media_type=MediaType.TEXT)
    return Response(b"", media_type=MediaType.JSON)
