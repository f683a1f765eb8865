"""What every handler of the API is given: the pool, the clock, ids, and the batches at the edge."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime
from functools import partial
from hashlib import sha256
from typing import Any, Final
from uuid import UUID

import msgspec
from litestar import Request, Response
from litestar.datastructures import State
from litestar.di import NamedDependency

from recoup.api.callers import Callers
from recoup.api.front import sent
from recoup.api.limits import Limits, Paces, TurnedAway
from recoup.documents.storage import DocumentStorage
from recoup.flows.answer_once import answer_once, answer_once_in_pieces
from recoup.flows.batches import Batches, Failed
from recoup.flows.close_payment_page import close_payment_page, retry_past_pages
from recoup.flows.open_provider import Providers
from recoup.flows.portal_links import UNKNOWN_ADDRESS, PortalLinks
from recoup.flows.retry_payment import (
    Accepted,
    Answer,
    Ask,
    retry_payments,
    retry_payments_on,
)
from recoup.rules.document_address import DocumentAddresses
from recoup.rules.lago.credit_notes import CreditNoteObject, credit_note_object
from recoup.rules.lago.invoices import Include, InvoiceObject, invoice_object
from recoup.rules.lago.payment_receipts import PaymentReceiptObject, payment_receipt_object
from recoup.rules.records.collection import AskedBy
from recoup.rules.records.credit_notes import CreditNoteDetails
from recoup.rules.records.invoices import InvoiceDetails
from recoup.rules.records.keys import RowKey
from recoup.rules.records.payment_receipts import PaymentReceiptDetails
from recoup.rules.refusal import Refusal, RefusalKind, Refused, missing_root
from recoup.store import db
from recoup.store.api_keys import Caller, find_callers
from recoup.store.db import Conn, Pool
from recoup.store.idempotency_keys import KeptAnswer, Receipt


class OpenableDocuments(msgspec.Struct, frozen=True):
    """Where documents are kept, and under which addresses they are opened."""

    storage: DocumentStorage
    addresses: DocumentAddresses


ApiRequest = Request[None, Caller, State]
UNLIMITED: Final = Limits()
LONGEST_KEY: Final = 255
KEYED_LONG_CALLS_AT_ONCE: Final = 2  # of the pool's connections, most are left to others


class Edge:
    """The edge of the HTTP API: it reads the clock and makes ids for the flows below it.

    `pool` acts as `recoup_app`, `scout` as `recoup_scout`: for figures over all tenants. Whoever
    stops the process sets `stopping` first, so that `/ready` sends new calls elsewhere.
    `public_url` is the address at which the outside reaches us, where somebody has said it, and
    `address` what is taken for it otherwise. `can_send_mail`: a mail server was named. `limits`
    are of calls and bytes; without them no key is held back, and without
    `documents` no PDF is shown or opened.
    """

    def __init__(
        self,
        pool: Pool,
        *,
        scout: Pool,
        providers: Providers,
        now: Callable[[], datetime],
        new_id: Callable[[], UUID],
        public_url: str | None = None,
        limits: Limits = UNLIMITED,
        address: str | None = None,
        can_send_mail: bool = False,
        documents: OpenableDocuments | None = None,
    ) -> None:
        self.pool = pool
        self.scout = scout
        self.now = now
        self.new_id = new_id
        self.providers = providers
        self.public_url = public_url
        self.limits = limits
        self.paces = Paces(limits.calls) if limits.calls else None
        self.turned_away = TurnedAway()
        self.callers = Callers(partial(find_callers, pool), most_strangers=limits.most_strangers)
        self.links = PortalLinks(providers.box, address=address or public_url or UNKNOWN_ADDRESS)
        self.can_send_mail = can_send_mail
        self.documents = documents
        self.retries: Batches[Ask, Answer] = Batches(
            lambda asks: retry_payments(pool, asks, now=now())
        )
        # A call with a key that works in pieces, or asks a provider, holds its key by a connection
        # meanwhile.
        self.keyed_long_calls = asyncio.Semaphore(KEYED_LONG_CALLS_AT_ONCE)
        self.stopping: bool = False

    async def retry(self, ask: Ask) -> Accepted | Refusal:
        """Ask for one retry, in the next batch, with whoever else is waiting.

        A hosted page that is in its way is closed first; where that cannot be told, it is refused.
        """

        async def retry(asks: Sequence[Ask]) -> list[Answer]:
            return await asyncio.gather(*map(self.retries.ask, asks))

        [answer] = await retry_past_pages([ask], retry=retry, close=self.close_page)
        if isinstance(answer, Failed):
            raise answer.error  # it was the only one
        return answer

    async def close_page(self, page: RowKey) -> bool:
        """Close a hosted payment page at its provider, and say whether it is."""
        return await close_payment_page(self.pool, self.providers, page, now=self.now)

    async def collect(self, conn: Conn, invoice: RowKey) -> None:
        """Begin the first charge of a new invoice, in the transaction that creates it."""
        ask = Ask(invoice, self.new_id(), AskedBy.CREATION)
        await retry_payments_on(conn, [ask], now=self.now())

    def invoice(
        self, details: InvoiceDetails, include: Include = Include.EVERYTHING
    ) -> InvoiceObject:
        """Render an invoice for a caller, with its PDF's address."""
        return invoice_object(
            details,
            include,
            file_url=self.file_url(details.invoice.organization_id, details.document_id),
        )

    def credit_note(self, details: CreditNoteDetails) -> CreditNoteObject:
        """Render a credit note for a caller, with its PDF's address."""
        note = details.note
        return credit_note_object(
            details, file_url=self.file_url(note.organization_id, details.document_id)
        )

    def payment_receipt(self, details: PaymentReceiptDetails) -> PaymentReceiptObject:
        """Render a receipt for a caller, with its PDF's address."""
        receipt = details.receipt
        return payment_receipt_object(
            details, file_url=self.file_url(receipt.organization_id, details.document_id)
        )

    def file_url(self, organization_id: UUID, document_id: UUID | None) -> str | None:
        """The address of a document that can be opened, signed anew; None: there is none."""
        if self.documents is None or document_id is None:
            return None
        return self.documents.addresses.of(RowKey(organization_id, document_id), now=self.now())

    async def answer(
        self, request: ApiRequest, do: Callable[[Conn], Awaitable[msgspec.Struct | None]]
    ) -> Response[bytes]:
        """Run `do` in one transaction of the caller's organization, and answer what it returns.

        None is an empty body. On a POST with an `Idempotency-Key` it runs once: the same key again
        gets the same bytes.
        """

        async def rendered(conn: Conn) -> bytes:
            done = await do(conn)
            return b"" if done is None else msgspec.json.encode(done)

        body, replayed = await answer_once(
            self.pool,
            request.auth.organization_id,
            rendered,
            receipt=await receipt_of(request),
            now=self.now(),
        )
        return json_response(body, {"Idempotent-Replayed": "true"} if replayed else {})

    async def answer_outside(
        self, request: ApiRequest, do: Callable[[], Awaitable[msgspec.Struct]]
    ) -> Response[bytes]:
        """Answer what `do` returns, which calls a provider, and so runs in no transaction of ours.

        With an `Idempotency-Key` it runs once; cut off half way, it runs again under the same key.
        """
        if (receipt := await receipt_of(request)) is None:
            return json_response(msgspec.json.encode(await do()))

        async def rendered(_begun: KeptAnswer) -> tuple[bytes, bool]:
            return msgspec.json.encode(await do()), True

        async with self.keyed_long_calls:
            body, replayed = await answer_once_in_pieces(
                self.pool, receipt, rendered, now=self.now()
            )
        return json_response(body, {"Idempotent-Replayed": "true"} if replayed else {})

    async def read(
        self, request: ApiRequest, look: Callable[[Conn], Awaitable[msgspec.Struct]]
    ) -> Response[bytes]:
        """Answer what `look` reads in one transaction of the caller's organization."""
        async with db.transaction(self.pool, tenants=[request.auth.organization_id]) as conn:
            found = await look(conn)
        return json_response(msgspec.json.encode(found))


TheEdge = NamedDependency[Edge]  # how a handler asks for it


async def receipt_of(request: ApiRequest) -> Receipt | None:
    """Read the call's `Idempotency-Key`: None where it has none, or is no POST.

    :raises Refused: `idempotency_key_too_long`, past 255 characters.
    """
    key = request.headers.get("idempotency-key")
    if not key or request.method != "POST":
        return None
    if len(key) > LONGEST_KEY:
        raise Refused(Refusal(RefusalKind.INVALID, "idempotency_key_too_long"))
    return Receipt(
        organization_id=request.auth.organization_id,
        method=request.method,
        path=request.scope["path"],
        key=key,
        body_digest=sha256(await request.body()).hexdigest(),
    )


def json_response(body: bytes, headers: dict[str, str] | None = None) -> Response[bytes]:
    """Answer 200 with bytes that are JSON already."""
    return Response(body, headers=headers or {}, media_type="application/json")


def required(request: ApiRequest, data: Any, root: str) -> Any:
    """Take the object that holds the fields out of the body.

    Keys that we do not know count: who sends nothing else asks for nothing, and that is allowed.

    :raises Refused: 400 where the body, or its root object, is missing or empty.
    """
    if not sent(request.scope).get(root):
        raise Refused(missing_root(root))
    return getattr(data, root)
