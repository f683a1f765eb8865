"""A desk where documents are made: the API, the worker's hands, and a clock that a test moves."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import datetime
from ipaddress import ip_network
from pathlib import Path
from typing import Any
from uuid import UUID

import aiohttp
import asyncpg
import httpx
import msgspec

from recoup import clock
from recoup.api.app import make_app
from recoup.api.edge import Edge, OpenableDocuments
from recoup.documents.folder import Folder
from recoup.documents.logos import MOST_BYTES
from recoup.documents.storage import DocumentStorage, file_of
from recoup.documents.typesetter import Typesetter
from recoup.flows.find_logo import Logos
from recoup.flows.make_document import DocumentTools, Result, make_document
from recoup.flows.open_provider import Providers
from recoup.rules.document_address import DocumentAddresses, signing_key
from recoup.rules.records.keys import RowKey
from recoup.senders.pictures import PictureFetcher
from recoup.store import db, documents
from recoup.store.db import Pool
from tests.api.conftest import BOX
from tests.shop import MovableClock

BASE = "https://billing.example"
START = clock.now()  # keys are found by the database, which knows no other time


class Desk:
    """What a test of documents needs."""

    def __init__(
        self,
        pool: Pool,
        scout: Pool,
        owner: asyncpg.Connection,
        app: Any,
        tools: DocumentTools,
        at: MovableClock,
    ) -> None:
        self.pool = pool
        self.scout = scout
        self.owner = owner
        self.app = app
        self.tools = tools
        self.clock = at
        self.visitor = httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url=BASE)

    async def due(self) -> list[RowKey]:
        """What the sweep would find now."""
        async with db.nameless(self.scout) as conn:
            return await documents.due(conn, now=self.clock.now(), most=100)

    async def make(self, key: RowKey, **instead: Any) -> Result:
        """Make one document, as a worker does; `instead` are tools in place of the desk's."""
        tools = msgspec.structs.replace(self.tools, **instead)
        return await make_document(self.pool, key, tools=tools, jitter=0, now=self.clock.now)

    async def make_all(self) -> list[Result]:
        """Make, or remove, everything that is due."""
        return [await self.make(key) for key in await self.due()]

    async def open(self, url: str) -> httpx.Response:
        """Follow an address, as somebody without a key."""
        assert url.startswith(BASE)
        return await self.visitor.get(url.removeprefix(BASE))

    async def rows(self, of: str | UUID) -> list[asyncpg.Record]:
        """All versions of the document of an invoice, note or receipt, the first one first."""
        return await self.owner.fetch(
            """SELECT * FROM documents
                WHERE $1 IN (invoice_id, credit_note_id, payment_receipt_id) ORDER BY version""",
            UUID(str(of)),
        )

    async def told(self) -> list[dict[str, Any]]:
        """Every `….generated` that was told, oldest first."""
        rows = await self.owner.fetch(
            "SELECT body FROM events WHERE webhook_type LIKE '%.generated' ORDER BY created_at, id"
        )
        return [msgspec.json.decode(row["body"]) for row in rows]

    async def file(self, row: asyncpg.Record) -> bytes | None:
        """A version's file."""
        return await self.tools.storage.read(file_of(row["organization_id"], row["id"]))


@asynccontextmanager
async def open_desk(
    pool: Pool,
    scout: Pool,
    owner: asyncpg.Connection,
    folder: Path,
    typesetter: Typesetter,
    *,
    storage: DocumentStorage | None = None,
    at: Callable[[], datetime] | None = None,
) -> AsyncIterator[Desk]:
    """Open one; logos may come from this machine."""
    moved = MovableClock(at() if at else START)
    kept = storage or Folder(folder / "documents")
    addresses = DocumentAddresses(BASE, signing_key(b"secret"))
    local = [ip_network("127.0.0.0/8")]
    async with (
        aiohttp.ClientSession() as http,
        PictureFetcher(most_bytes=MOST_BYTES, allowed=local) as pictures,
    ):
        edge = Edge(
            pool,
            scout=scout,
            providers=Providers(http, BOX, sandbox_base="http://127.0.0.1:9"),
            now=moved.now,
            new_id=clock.new_id,
            documents=OpenableDocuments(kept, addresses),
        )
        tools = DocumentTools(kept, typesetter, Logos(pictures), addresses)
        desk = Desk(pool, scout, owner, make_app(edge, servers=[BASE]), tools, moved)
        yield desk
        await desk.visitor.aclose()
