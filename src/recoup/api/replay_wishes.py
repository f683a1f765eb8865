"""Which deliveries a bulk replay wants, from its body."""

from __future__ import annotations

from datetime import datetime
from typing import Final
from uuid import UUID

import msgspec
from msgspec import UNSET, UnsetType

from recoup.api.identifiers import row_id
from recoup.flows.replay_webhooks import MOST_AT_ONCE
from recoup.rules.cursors import Cursor, read_cursor
from recoup.rules.delivery_state import DeliveryState
from recoup.rules.instants import read_instant
from recoup.rules.lago.event_types import EVENT_TYPES
from recoup.rules.refusal import Refused, invalid
from recoup.rules.scalars import Text, text
from recoup.store.delivery_lists import DeliveryFilter

ENDED: Final = (DeliveryState.GIVEN_UP, DeliveryState.DELIVERED)
_WRONG: Final = ["value_is_invalid"]


class ReplayInput(msgspec.Struct, frozen=True):
    """The filters of a bulk replay; what is absent chooses nothing."""

    webhook_endpoint_id: Text = UNSET
    webhook_type: Text = UNSET
    status: Text = UNSET  # given_up (unless told), delivered
    object_id: Text = UNSET
    created_from: Text = UNSET
    created_to: Text = UNSET
    cursor: Text = UNSET  # the `next_cursor` of the answer before
    limit: int | UnsetType | None = UNSET  # how many in this call: 1000 at most


class ReplayWish(msgspec.Struct, frozen=True):
    """What a call wants to be sent again."""

    wanted: DeliveryFilter
    after: Cursor | None
    most: int


def wanted_replay(asked: ReplayInput) -> ReplayWish:
    """Read the filters.

    :raises Refused: 422, every wrong field.
    """
    said = {
        name: value
        for name in asked.__struct_fields__
        if name != "limit" and (value := text(getattr(asked, name))) is not None
    }
    broken: dict[str, list[str]] = {}
    ids = {name: _id(said, name, broken) for name in ("webhook_endpoint_id", "object_id")}
    times = {name: _instant(said, name, broken) for name in ("created_from", "created_to")}
    webhook_type = said.get("webhook_type")
    if webhook_type is not None and webhook_type not in EVENT_TYPES:
        broken["webhook_type"] = _WRONG
    status = said.get("status", DeliveryState.GIVEN_UP)
    if status not in ENDED:
        broken["status"] = _WRONG
    after = read_cursor(said["cursor"]) if "cursor" in said else None
    if "cursor" in said and after is None:
        broken["cursor"] = _WRONG
    most = asked.limit if isinstance(asked.limit, int) else MOST_AT_ONCE
    if not 1 <= most <= MOST_AT_ONCE:
        broken["limit"] = ["value_is_out_of_range"]
    if broken:
        raise Refused(invalid(broken))
    wanted = DeliveryFilter(
        endpoint_id=ids["webhook_endpoint_id"],
        webhook_type=webhook_type,
        state=DeliveryState(status),
        object_id=ids["object_id"],
        created_from=times["created_from"],
        created_to=times["created_to"],
    )
    return ReplayWish(wanted, after, most)


def _id(said: dict[str, str], name: str, broken: dict[str, list[str]]) -> UUID | None:
    if name not in said:
        return None
    found = row_id(said[name])
    if found is None:
        broken[name] = _WRONG
    return found


def _instant(said: dict[str, str], name: str, broken: dict[str, list[str]]) -> datetime | None:
    if name not in said:
        return None
    found = read_instant(said[name])
    if found is None:
        broken[name] = ["invalid_date"]
    return found
