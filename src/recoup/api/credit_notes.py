"""`/credit_notes` (contract section 3.9)."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import unquote

import msgspec
from litestar import Response, Router, delete, get, patch, post, put, route
from litestar.enums import HttpMethod
from litestar.params import FromPath, JSONBody

from recoup.api.credit_note_filters import FILTERS, OF_ALL, wanted_credit_notes
from recoup.api.describe import PAGES, answers
from recoup.api.edge import ApiRequest, Edge, TheEdge, required
from recoup.api.front import sent
from recoup.api.identifiers import row_id
from recoup.api.needs import needs
from recoup.api.paging import wanted_page
from recoup.flows.create_credit_note import create_credit_note, estimate_credit_note
from recoup.flows.find_credit_notes import find_credit_note, list_credit_notes
from recoup.flows.find_customer import find_customer
from recoup.flows.open_document import download_credit_note
from recoup.flows.update_credit_note import (
    delete_metadata_key,
    merge_metadata,
    replace_metadata,
    update_credit_note,
    void_credit_note,
)
from recoup.rules.credit_note_asks import CreditNoteChange, CreditNoteInput, Pairs
from recoup.rules.lago.credit_notes import (
    CreditNoteObject,
    EstimateObject,
    estimate_object,
)
from recoup.rules.lago.pages import Meta, meta
from recoup.rules.refusal import Refused, missing_root
from recoup.store.db import Conn


class CreditNoteBody(msgspec.Struct):
    """`{"credit_note": {…}}` as a caller sends it to make one, or to have one estimated."""

    credit_note: CreditNoteInput | None = None


class CreditNoteChangeBody(msgspec.Struct):
    """`{"credit_note": {…}}` as a caller sends it to change one."""

    credit_note: CreditNoteChange | None = None


class MetadataBody(msgspec.Struct):
    """`{"metadata": {…}}` as a caller sends it."""

    metadata: Pairs = None


class CreditNoteAnswer(msgspec.Struct):
    """`{"credit_note": {…}}` as we answer it."""

    credit_note: CreditNoteObject


class CreditNotesAnswer(msgspec.Struct):
    """One page of credit notes."""

    credit_notes: list[CreditNoteObject]
    meta: Meta


class EstimateAnswer(msgspec.Struct):
    """`{"estimated_credit_note": {…}}` as we answer it."""

    estimated_credit_note: EstimateObject


class MetadataAnswer(msgspec.Struct):
    """`{"metadata": {…}}` as we answer it; null: there is none."""

    metadata: Mapping[str, str | None] | None


@post("/credit_notes", status_code=200, opt=answers(CreditNoteAnswer, refuses=[404, 405]))
async def create(
    request: ApiRequest, edge: TheEdge, data: JSONBody[CreditNoteBody | None] = None
) -> Response[bytes]:
    """Take something off an invoice again: as credit, as money back, or off what is due."""
    asked = required(request, data, "credit_note")

    async def do(conn: Conn) -> CreditNoteAnswer:
        details = await create_credit_note(
            conn,
            request.auth.organization_id,
            asked,
            read_id=row_id,
            note_id=edge.new_id(),
            now=edge.now(),
        )
        return CreditNoteAnswer(edge.credit_note(details))

    return await edge.answer(request, do)


@post("/credit_notes/estimate", status_code=200, opt=answers(EstimateAnswer, refuses=[404, 405]))
async def estimate(
    request: ApiRequest, edge: TheEdge, data: JSONBody[CreditNoteBody | None] = None
) -> Response[bytes]:
    """Say what a credit note would come to, and what could be done with that."""
    asked = required(request, data, "credit_note")

    async def look(conn: Conn) -> EstimateAnswer:
        found = await estimate_credit_note(
            conn, request.auth.organization_id, asked, read_id=row_id
        )
        shown = estimate_object(
            found.details.invoice,
            found.lines,
            found.totals,
            creditable_cents=found.creditable_cents,
            refundable_cents=found.refundable_cents,
            offsettable_cents=found.offsettable_cents,
        )
        return EstimateAnswer(shown)

    return await edge.answer(request, look)


@get("/credit_notes", opt=answers(CreditNotesAnswer, refuses=[404, 422], query=[*PAGES, *FILTERS]))
async def find_all(request: ApiRequest, edge: TheEdge) -> Response[bytes]:
    """List credit notes, latest issued first."""
    return await _list(request, edge, None)


@get(
    "/customers/{external_id:str}/credit_notes",
    opt=answers(CreditNotesAnswer, refuses=[422], query=[*PAGES, *OF_ALL]),
)
async def find_all_of_customer(
    request: ApiRequest, edge: TheEdge, external_id: FromPath[str]
) -> Response[bytes]:
    """List a customer's credit notes, latest issued first."""
    return await _list(request, edge, unquote(external_id))


@get("/credit_notes/{lago_id:str}", opt=answers(CreditNoteAnswer))
async def find(request: ApiRequest, edge: TheEdge, lago_id: FromPath[str]) -> Response[bytes]:
    """Read one credit note."""

    async def look(conn: Conn) -> CreditNoteAnswer:
        details = await find_credit_note(conn, request.auth.organization_id, row_id(lago_id))
        return CreditNoteAnswer(edge.credit_note(details))

    return await edge.read(request, look)


@route(
    "/credit_notes/{lago_id:str}",
    http_method=[HttpMethod.PUT, HttpMethod.PATCH],
    status_code=200,
    opt=answers(CreditNoteAnswer),
)
async def update(
    request: ApiRequest,
    edge: TheEdge,
    lago_id: FromPath[str],
    data: JSONBody[CreditNoteChangeBody | None] = None,
) -> Response[bytes]:
    """Say what became of a credit note's refund, or add to its metadata."""
    asked = required(request, data, "credit_note")

    async def do(conn: Conn) -> CreditNoteAnswer:
        details = await update_credit_note(
            conn, request.auth.organization_id, row_id(lago_id), asked, now=edge.now()
        )
        return CreditNoteAnswer(edge.credit_note(details))

    return await edge.answer(request, do)


@put(
    "/credit_notes/{lago_id:str}/void",
    status_code=200,
    opt=answers(CreditNoteAnswer, refuses=[405]),
)
async def void(request: ApiRequest, edge: TheEdge, lago_id: FromPath[str]) -> Response[bytes]:
    """Let what is left of a credit note's credit lapse."""

    async def do(conn: Conn) -> CreditNoteAnswer:
        details = await void_credit_note(
            conn, request.auth.organization_id, row_id(lago_id), now=edge.now()
        )
        return CreditNoteAnswer(edge.credit_note(details))

    return await edge.answer(request, do)


@post(
    "/credit_notes/{lago_id:str}/download",
    status_code=200,
    opt=answers(CreditNoteAnswer, may_be_empty=True),
)
async def download(request: ApiRequest, edge: TheEdge, lago_id: FromPath[str]) -> Response[bytes]:
    """Answer a credit note with its PDF's address, `file_url`.

    Where the PDF is not made yet the body is empty: it is being made, and `credit_note.generated`
    tells when it is there.
    """
    return await _download(request, edge, lago_id)


@post(
    "/credit_notes/{lago_id:str}/download_pdf",
    status_code=200,
    opt=answers(CreditNoteAnswer, may_be_empty=True),
)
async def download_pdf(
    request: ApiRequest, edge: TheEdge, lago_id: FromPath[str]
) -> Response[bytes]:
    """Another name of `download`."""
    return await _download(request, edge, lago_id)


async def _download(request: ApiRequest, edge: Edge, lago_id: str) -> Response[bytes]:
    async def do(conn: Conn) -> CreditNoteAnswer | None:
        details = await download_credit_note(
            conn, request.auth.organization_id, row_id(lago_id), now=edge.now()
        )
        return None if details is None else CreditNoteAnswer(edge.credit_note(details))

    return await edge.answer(request, do)


@post("/credit_notes/{lago_id:str}/metadata", status_code=200, opt=answers(MetadataAnswer))
async def replace(
    request: ApiRequest,
    edge: TheEdge,
    lago_id: FromPath[str],
    data: JSONBody[MetadataBody | None] = None,
) -> Response[bytes]:
    """Replace all metadata of a credit note; null takes them away."""
    wanted = _metadata(request, data)

    async def do(conn: Conn) -> MetadataAnswer:
        return MetadataAnswer(
            await replace_metadata(
                conn, request.auth.organization_id, row_id(lago_id), wanted, now=edge.now()
            )
        )

    return await edge.answer(request, do)


@patch("/credit_notes/{lago_id:str}/metadata", status_code=200, opt=answers(MetadataAnswer))
async def merge(
    request: ApiRequest,
    edge: TheEdge,
    lago_id: FromPath[str],
    data: JSONBody[MetadataBody | None] = None,
) -> Response[bytes]:
    """Add to the metadata of a credit note, and change those that are there."""
    added = _metadata(request, data)

    async def do(conn: Conn) -> MetadataAnswer:
        return MetadataAnswer(
            await merge_metadata(
                conn, request.auth.organization_id, row_id(lago_id), added, now=edge.now()
            )
        )

    return await edge.answer(request, do)


@delete("/credit_notes/{lago_id:str}/metadata", status_code=200, opt=answers(MetadataAnswer))
async def delete_all(request: ApiRequest, edge: TheEdge, lago_id: FromPath[str]) -> Response[bytes]:
    """Take all metadata of a credit note away."""

    async def do(conn: Conn) -> MetadataAnswer:
        return MetadataAnswer(
            await replace_metadata(
                conn, request.auth.organization_id, row_id(lago_id), None, now=edge.now()
            )
        )

    return await edge.answer(request, do)


@delete(
    "/credit_notes/{lago_id:str}/metadata/{key:str}", status_code=200, opt=answers(MetadataAnswer)
)
async def delete_one(
    request: ApiRequest, edge: TheEdge, lago_id: FromPath[str], key: FromPath[str]
) -> Response[bytes]:
    """Take one pair of a credit note's metadata away."""

    async def do(conn: Conn) -> MetadataAnswer:
        return MetadataAnswer(
            await delete_metadata_key(
                conn,
                request.auth.organization_id,
                row_id(lago_id),
                unquote(key),
                now=edge.now(),
            )
        )

    return await edge.answer(request, do)


async def _list(
    request: ApiRequest, edge: TheEdge, external_customer_id: str | None
) -> Response[bytes]:
    organization_id, page = request.auth.organization_id, wanted_page(request)

    async def look(conn: Conn) -> CreditNotesAnswer:
        if external_customer_id is not None:
            await find_customer(conn, organization_id, external_customer_id)
        wanted = wanted_credit_notes(request, external_customer_id=external_customer_id)
        found, total = await list_credit_notes(conn, organization_id, wanted, page)
        return CreditNotesAnswer([edge.credit_note(one) for one in found], meta(page, total))

    return await edge.read(request, look)


def _metadata(request: ApiRequest, data: MetadataBody | None) -> object:
    """What was sent: an empty object and null are wishes, too, where nothing at all is none.

    :raises Refused: 400 where the body has no such key.
    """
    if data is None or "metadata" not in sent(request.scope):
        raise Refused(missing_root("metadata"))
    return data.metadata


routes = Router(
    "/",
    route_handlers=[
        create,
        estimate,
        find_all,
        find_all_of_customer,
        find,
        update,
        void,
        download,
        download_pdf,
        replace,
        merge,
        delete_all,
        delete_one,
    ],
    tags=["credit_notes"],
    opt=needs("credit_note"),
)
