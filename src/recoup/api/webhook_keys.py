"""`/webhooks/…public_key`: what verifies our signatures (contract section 3.13)."""

from __future__ import annotations

import base64

import msgspec
from litestar import Response, Router, get

from recoup.api.describe import answers
from recoup.api.edge import TheEdge, json_response
from recoup.api.needs import needs
from recoup.store import db, installation
from recoup.store.db import Pool


class WebhookKey(msgspec.Struct):
    """The key in PEM, in base64 with line breaks: `base64.b64decode` and its like read it."""

    public_key: str


class WebhookKeyAnswer(msgspec.Struct):
    """`{"webhook": {"public_key": …}}`."""

    webhook: WebhookKey


@get("/webhooks/json_public_key", opt=answers(WebhookKeyAnswer))
async def find_json(edge: TheEdge) -> Response[bytes]:
    """Read the public key that verifies webhooks signed with RS256."""
    answer = WebhookKeyAnswer(WebhookKey(await _encoded_key(edge.pool)))
    return json_response(msgspec.json.encode(answer))


@get("/webhooks/public_key", opt=answers(str, media_type="text/plain"), deprecated=True)
async def find_text(edge: TheEdge) -> Response[str]:
    """Read the same key as plain text."""
    return Response(await _encoded_key(edge.pool), media_type="text/plain")


async def _encoded_key(pool: Pool) -> str:
    async with db.nameless(pool) as conn:
        found = await installation.read(conn)
    assert found is not None, "a process prepares the installation before it serves"
    return _broken_into_lines(found.jwt_public_key)


def _broken_into_lines(pem: str) -> str:
    """Base64 in lines of 60 characters, each ended by a line break, as Lago's language has it."""
    encoded = base64.b64encode(pem.encode()).decode()
    return "".join(f"{encoded[at : at + 60]}\n" for at in range(0, len(encoded), 60))


routes = Router(
    "/",
    route_handlers=[find_json, find_text],
    tags=["webhooks"],
    opt=needs("webhook_jwt_public_key"),
)
