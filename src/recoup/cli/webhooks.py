"""`recoup webhook`: what endpoints were told, and telling it again."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any
from uuid import UUID

import typer

from recoup.cli.running import (
    AsJson,
    DataDir,
    OrganizationId,
    fail,
    instant,
    show_answer,
    with_database,
)
from recoup.rules.delivery_state import DeliveryState

if TYPE_CHECKING:
    from recoup.store.delivery_lists import DeliveryFilter, DeliveryRow
    from recoup.wiring.opening import Opened

webhook = typer.Typer(no_args_is_help=True, help="What endpoints were told.")
Endpoint = Annotated[UUID | None, typer.Option(help="Those to this endpoint.")]
EventType = Annotated[str | None, typer.Option("--type", help="Those of events of this type.")]
About = Annotated[
    UUID | None,
    typer.Option("--object", help="Those about this invoice, payment, customer and the like."),
]
From = Annotated[datetime | None, typer.Option("--from", help="Told then or later, UTC.")]
To = Annotated[datetime | None, typer.Option("--to", help="Told then or earlier, UTC.")]


@webhook.command("list")
def list_deliveries(
    organization_id: OrganizationId,
    status: Annotated[DeliveryState | None, typer.Option(help="Those that stand so.")] = None,
    endpoint: Endpoint = None,
    event_type: EventType = None,
    about: About = None,
    created_from: From = None,
    created_to: To = None,
    most: Annotated[int, typer.Option(min=1, max=10_000, help="How many at most.")] = 100,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """List a tenant's webhook deliveries, newest first."""
    wanted = _wanted(status, endpoint, event_type, about, created_from, created_to)

    async def run(base: Opened) -> dict[str, Any]:
        from recoup.store import db, delivery_lists

        async with db.transaction(base.pool, tenants=[organization_id]) as conn:
            found, goes_on = await delivery_lists.piece(
                conn, organization_id, wanted, after=None, most=most
            )
        return {"webhooks": [_shown(one) for one in found], "there_are_more": goes_on is not None}

    show_answer(with_database(data_dir, run), as_json=as_json)


@webhook.command("replay")
def replay(
    organization_id: OrganizationId,
    delivery_id: Annotated[
        UUID | None, typer.Argument(help="A delivery's id, as `webhook list` shows it.")
    ] = None,
    status: Annotated[
        DeliveryState | None, typer.Option(help="Those that stand so: given_up or delivered.")
    ] = None,
    endpoint: Endpoint = None,
    event_type: EventType = None,
    about: About = None,
    created_from: From = None,
    created_to: To = None,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Send webhooks again that have ended: one by its id, or all that the options choose.

    Each goes where its endpoint is now, under the id of before. Without `--status` those that were
    given up.
    """
    given = (status, endpoint, event_type, about, created_from, created_to)
    if delivery_id is not None and given != (None,) * len(given):
        fail("A delivery's id chooses one: leave the other options out.")
    if delivery_id is None and given == (None,) * len(given):
        fail("Nothing is chosen: give a delivery's id, or --status given_up for all of these.")
    if status is DeliveryState.WAITING:
        fail("What waits is sent by itself: --status is given_up or delivered.")

    async def run(base: Opened) -> dict[str, Any]:
        if delivery_id is not None:
            return {"replayed": await _replay_one(base, organization_id, delivery_id)}
        wanted = _wanted(
            status or DeliveryState.GIVEN_UP, endpoint, event_type, about, created_from, created_to
        )
        return {"replayed": await _replay_all(base, organization_id, wanted)}

    show_answer(with_database(data_dir, run), as_json=as_json)


async def _replay_one(base: Opened, organization_id: UUID, delivery_id: UUID) -> int:
    from recoup import clock
    from recoup.flows.replay_webhooks import replay_delivery
    from recoup.rules.records.keys import RowKey
    from recoup.store import db

    async with db.transaction(base.pool, tenants=[organization_id]) as conn:
        await replay_delivery(conn, RowKey(organization_id, delivery_id), now=clock.now())
    return 1


async def _replay_all(base: Opened, organization_id: UUID, wanted: DeliveryFilter) -> int:
    """Piece by piece, each in a transaction of its own: cut off, what was done is done."""
    from recoup import clock
    from recoup.flows.replay_webhooks import replay_deliveries
    from recoup.store import db

    count, after = 0, None
    while True:
        async with db.transaction(base.pool, tenants=[organization_id]) as conn:
            some, after = await replay_deliveries(
                conn, organization_id, wanted, after=after, now=clock.now()
            )
        count += some
        if after is None:
            return count


def _wanted(
    status: DeliveryState | None,
    endpoint: UUID | None,
    event_type: str | None,
    about: UUID | None,
    created_from: datetime | None,
    created_to: datetime | None,
) -> DeliveryFilter:
    from recoup.rules.lago.event_types import EVENT_TYPES
    from recoup.store.delivery_lists import DeliveryFilter

    if event_type is not None and event_type not in EVENT_TYPES:
        fail(f"There is no event of type {event_type!r}.")
    return DeliveryFilter(
        endpoint_id=endpoint,
        webhook_type=event_type,
        state=status,
        object_id=about,
        created_from=created_from and created_from.replace(tzinfo=UTC),
        created_to=created_to and created_to.replace(tzinfo=UTC),
    )


def _shown(one: DeliveryRow) -> dict[str, Any]:
    return {
        "delivery_id": str(one.id),
        "endpoint_id": str(one.endpoint_id),
        "webhook_url": one.webhook_url,
        "webhook_type": one.webhook_type,
        "object_id": str(one.object_id),
        "status": one.state.value,
        "tries": one.tries,
        "http_status": one.http_status,
        "error": one.error,
        "next_try_at": instant(one.deliver_at),
        "replays": one.replays,
        "created_at": instant(one.created_at),
        "ended_at": instant(one.ended_at),
    }
