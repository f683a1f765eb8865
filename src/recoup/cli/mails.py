"""`recoup mail`: the mails that no mail server has taken, and why."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import typer

from recoup.cli.running import (
    AsJson,
    DataDir,
    OrganizationId,
    instant,
    show_answer,
    with_database,
)

if TYPE_CHECKING:
    from recoup.rules.records.mails import Mail
    from recoup.wiring.opening import Opened

mail = typer.Typer(no_args_is_help=True, help="Mails to customers.")


@mail.command("list")
def list_mails(
    organization_id: OrganizationId, data_dir: DataDir = None, as_json: AsJson = False
) -> None:
    """List the mails that wait or were given up, oldest first.

    One that was given up is sent anew by `POST /api/v1/invoices/{lago_id}/resend_email`.
    """
    from recoup.flows.list_unsent_mails import list_unsent_mails

    async def run(base: Opened) -> dict[str, Any]:
        return {
            "mails": [_shown(one) for one in await list_unsent_mails(base.pool, organization_id)]
        }

    show_answer(with_database(data_dir, run), as_json=as_json)


def _shown(one: Mail) -> dict[str, Any]:
    return {
        "mail_id": str(one.id),
        "kind": one.kind,
        "object_id": str(one.object_id),
        "recipients": list(one.recipients),
        "state": one.state,
        "tries": one.tries,
        "error": one.error,
        "send_at": instant(one.send_at),
        "created_at": instant(one.created_at),
    }
