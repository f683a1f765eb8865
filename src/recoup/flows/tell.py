"""Tell the outside what happened: the event, its deliveries and their jobs, in one transaction.

Called by every flow that changes what a customer of ours can see. The body is rendered here, once,
and never again: it shows what was true at that moment.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID, uuid5

import msgspec

from recoup.store import events, jobs
from recoup.store.db import Conn
from recoup.store.events import Event
from recoup.store.jobs import Job


class News(msgspec.Struct, frozen=True):
    """One thing to tell, in Lago's words (contract section 7.4)."""

    organization_id: UUID
    webhook_type: str  # `invoice.payment_failure`
    object_type: str  # the payload's key in the body
    payload: Any  # what is told, rendered by `rules/lago`
    object_id: UUID  # the invoice, payment or customer that it is about
    cause: UUID  # what made it so: the same type and cause are the same event
    ask_id: UUID | None = None  # the accepted retry that it ends


async def tell(conn: Conn, news: Sequence[News], *, now: datetime) -> None:
    """Keep the news as events, and promise their delivery to every endpoint that wants them."""
    waiting = await events.insert(conn, [_event(one) for one in news], now=now)
    await jobs.promise(conn, Job.DELIVER_WEBHOOK, waiting)


def _event(news: News) -> Event:
    body = {
        "webhook_type": news.webhook_type,
        "object_type": news.object_type,
        "organization_id": news.organization_id,
        news.object_type: news.payload,
    }
    return Event(
        organization_id=news.organization_id,
        # Made from its cause, so that a flow run again tells nothing twice.
        id=uuid5(news.cause, f"{news.webhook_type}/{news.object_id}"),
        webhook_type=news.webhook_type,
        object_id=news.object_id,
        body=msgspec.json.encode(body).decode(),
        ask_id=news.ask_id,
    )
