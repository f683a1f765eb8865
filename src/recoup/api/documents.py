"""`/documents/{organization_id}/{document_id}`: a PDF, to whoever has its address.

No API key: the address is signed, and good for a time (`rules/document_address`). It is shown as
`file_url` on what the document is about.
"""

from __future__ import annotations

import re
from typing import Any, Final
from urllib.parse import quote

from litestar import Request, Response, get
from litestar.datastructures import State
from litestar.params import FromPath

from recoup.api.edge import TheEdge
from recoup.api.identifiers import row_id
from recoup.flows.open_document import NOT_FOUND, open_document
from recoup.rules.records.keys import RowKey
from recoup.rules.refusal import Refused

_ODD: Final = re.compile(r"[^A-Za-z0-9._-]+")
HEADERS: Final = {
    # Whoever has the address has the page: no cache on the way keeps one, no other site learns it.
    "Cache-Control": "private, no-store",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "Content-Security-Policy": "default-src 'none'; sandbox",
}


@get("/documents/{organization_id:str}/{document_id:str}", tags=["documents"])
async def open_by_address(
    request: Request[Any, Any, State],
    edge: TheEdge,
    organization_id: FromPath[str],
    document_id: FromPath[str],
) -> Response[bytes]:
    """Read the PDF behind a signed address."""
    tenant, document = row_id(organization_id), row_id(document_id)
    if tenant is None or document is None or edge.documents is None:
        raise Refused(NOT_FOUND)
    opened = await open_document(
        edge.pool,
        edge.documents.storage,
        edge.documents.addresses,
        RowKey(tenant, document),
        expires=request.query_params.get("expires"),
        signature=request.query_params.get("signature"),
        now=edge.now(),
    )
    plain = _ODD.sub("-", opened.name)
    named = f"inline; filename=\"{plain}\"; filename*=UTF-8''{quote(opened.name, safe='')}"
    return Response(
        opened.content,
        media_type="application/pdf",
        headers={**HEADERS, "Content-Disposition": named},
    )
