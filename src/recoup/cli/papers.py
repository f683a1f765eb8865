"""`recoup document`: the PDFs that could not be made, and another try for one of them."""

from __future__ import annotations

from typing import Annotated, Any, Final
from uuid import UUID

import typer

from recoup.cli.running import (
    AsJson,
    DataDir,
    OrganizationId,
    instant,
    show_answer,
    with_database,
)

MOST_SHOWN: Final = 1_000
document = typer.Typer(no_args_is_help=True, help="Documents that could not be made.")


@document.command("list")
def list_given_up(
    organization_id: OrganizationId, data_dir: DataDir = None, as_json: AsJson = False
) -> None:
    """List the documents that nobody tries to make any more, oldest first, and why."""
    from recoup.store import db, documents
    from recoup.wiring.opening import Opened

    async def run(base: Opened) -> dict[str, Any]:
        async with db.transaction(base.pool, tenants=[organization_id]) as conn:
            found = await documents.given_up(conn, organization_id, most=MOST_SHOWN)
        return {
            "documents": [
                {
                    "document_id": str(one.id),
                    "kind": one.kind.value,
                    "of": str(one.of_id),
                    "tries": one.tries,
                    "failed_because": one.failed_because,
                    "given_up_at": instant(one.given_up_at),
                }
                for one in found
            ]
        }

    show_answer(with_database(data_dir, run), as_json=as_json)


@document.command("again")
def again(
    document_id: Annotated[UUID, typer.Argument(help="Its id, as `document list` shows.")],
    organization_id: OrganizationId,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Make a document anew: one that was given up, or whose file is lost or spoiled."""
    from recoup import clock
    from recoup.flows.open_document import NOT_FOUND, make_again
    from recoup.rules.records.keys import RowKey
    from recoup.rules.refusal import Refused
    from recoup.store import db, documents
    from recoup.wiring.opening import Opened

    async def run(base: Opened) -> dict[str, Any]:
        key = RowKey(organization_id, document_id)
        async with db.transaction(base.pool, tenants=[organization_id]) as conn:
            if await documents.one(conn, key) is None:
                raise Refused(NOT_FOUND)
            await make_again(conn, key, now=clock.now())
        return {"document_id": str(document_id), "is_being_made": True}

    show_answer(with_database(data_dir, run), as_json=as_json)
