"""`/reconciliation_findings`: what the comparison with a provider's list found; beyond Lago's."""

from __future__ import annotations

from typing import Final

import msgspec
from litestar import Response, Router, get, post
from litestar.params import FromPath, JSONBody
from msgspec import UNSET

from recoup.api.describe import PAGES, Query, answers
from recoup.api.edge import ApiRequest, TheEdge, required
from recoup.api.filters import Filters
from recoup.api.identifiers import row_id
from recoup.api.needs import needs
from recoup.api.paging import wanted_page
from recoup.flows.resolve_finding import Resolved, resolve_finding
from recoup.rules.lago.instants import seconds
from recoup.rules.lago.pages import Meta, meta
from recoup.rules.lago.reconciliation_findings import ReconciliationFindingObject
from recoup.rules.records.keys import RowKey
from recoup.rules.refusal import Refused, not_found
from recoup.rules.scalars import Text, text
from recoup.store import findings
from recoup.store.db import Conn
from recoup.store.findings import KeptFinding

ARE_OPEN: Final = Query(
    "open",
    "`true`: those alone that nobody has resolved. `false`: the resolved ones alone. Absent: all.",
    bool,
)


class ReconciliationFindingAnswer(msgspec.Struct):
    """`{"reconciliation_finding": {…}}` as we answer it."""

    reconciliation_finding: ReconciliationFindingObject


class ReconciliationFindingsAnswer(msgspec.Struct):
    """One page of findings."""

    reconciliation_findings: list[ReconciliationFindingObject]
    meta: Meta


class ResolveInput(msgspec.Struct):
    """A person's word about a finding."""

    by: Text = UNSET  # who says so
    reason: Text = UNSET


class ResolveBody(msgspec.Struct):
    """`{"reconciliation_finding": {…}}` as a caller sends it."""

    reconciliation_finding: ResolveInput | None = None


@get(
    "/reconciliation_findings",
    opt=answers(ReconciliationFindingsAnswer, refuses=[422], query=[*PAGES, ARE_OPEN]),
)
async def find_all(request: ApiRequest, edge: TheEdge) -> Response[bytes]:
    """List what comparisons with the providers' lists have found, newest first."""
    page, filters = wanted_page(request), Filters(request)
    are_open = filters.boolean("open")
    filters.check()

    async def look(conn: Conn) -> ReconciliationFindingsAnswer:
        whose = request.auth.organization_id
        found, total = await findings.page(conn, whose, page, are_open=are_open)
        return ReconciliationFindingsAnswer([_object(one) for one in found], meta(page, total))

    return await edge.read(request, look)


@get("/reconciliation_findings/{lago_id:str}", opt=answers(ReconciliationFindingAnswer))
async def find(request: ApiRequest, edge: TheEdge, lago_id: FromPath[str]) -> Response[bytes]:
    """Read one finding."""
    finding_id = row_id(lago_id)

    async def look(conn: Conn) -> ReconciliationFindingAnswer:
        key = RowKey(request.auth.organization_id, finding_id) if finding_id else None
        found = await findings.one(conn, key) if key else None
        if found is None:
            raise Refused(not_found("reconciliation_finding"))
        return ReconciliationFindingAnswer(_object(found))

    return await edge.read(request, look)


@post(
    "/reconciliation_findings/{lago_id:str}/resolve",
    status_code=200,
    opt=answers(ReconciliationFindingAnswer, refuses=[405]),
)
async def resolve(
    request: ApiRequest,
    edge: TheEdge,
    lago_id: FromPath[str],
    data: JSONBody[ResolveBody | None] = None,
) -> Response[bytes]:
    """Say that a finding is dealt with; kept in the audit log.

    It stays resolved while its facts are the same, and nothing is booked for it any more.
    """
    said: ResolveInput = required(request, data, "reconciliation_finding")
    resolved = Resolved(by=text(said.by) or "", reason=text(said.reason) or "")
    finding_id = row_id(lago_id)

    async def do(conn: Conn) -> ReconciliationFindingAnswer:
        if finding_id is None:
            raise Refused(not_found("reconciliation_finding"))
        key = RowKey(request.auth.organization_id, finding_id)
        found = await resolve_finding(conn, key, resolved, audit_id=edge.new_id(), now=edge.now())
        return ReconciliationFindingAnswer(_object(found))

    return await edge.answer(request, do)


def _object(one: KeptFinding) -> ReconciliationFindingObject:
    if one.resolved_at is None:
        status = "open"
    else:
        status = "closed" if one.resolved_by is None else "resolved"
    return ReconciliationFindingObject(
        lago_id=one.id,
        lago_provider_account_id=one.provider_account_id,
        what=one.what.value,
        detail=one.detail,
        status=status,
        idempotency_key=one.idempotency_key,
        provider_id=one.charge_known_as,
        lago_invoice_id=one.invoice_id,
        amount_cents=one.amount_cents if one.currency else None,
        amount_currency=one.currency or None,
        amount_here_cents=one.here_cents,
        status_here=one.here or None,
        status_there=one.there or None,
        found_at=seconds(one.found_at),
        last_found_at=seconds(one.seen_at),
        resolved_at=seconds(one.resolved_at),
        resolved_because=one.resolved_because,
        resolved_by=one.resolved_by,
    )


routes = Router(
    "/",
    route_handlers=[find_all, find, resolve],
    tags=["reconciliation_findings"],
    opt=needs("reconciliation_finding"),
)
