"""Create, change and delete where an organization is told things (contract section 3.13)."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Any, Final
from uuid import UUID

import msgspec
from msgspec import UNSET, Meta

from recoup.rules.lago.event_types import EVENT_TYPES
from recoup.rules.records.webhook_endpoints import WebhookEndpoint
from recoup.rules.refusal import Refused, invalid, not_found
from recoup.rules.scalars import Text, written
from recoup.rules.web_addresses import why_no_web_address
from recoup.store import organizations, webhook_endpoints
from recoup.store.db import Conn

MOST_ENDPOINTS: Final = 10
ALGORITHMS: Final = frozenset({"jwt", "hmac"})
LONGEST_URL_BYTES: Final = 2048  # an index entry holds 2,704, with the organization's id
_LIST_OF_TYPES: Final = {"type": ["array", "null"], "items": {"type": "string"}}


class WebhookEndpointInput(msgspec.Struct, frozen=True):
    """What a caller says of an endpoint; what is absent stays as it is."""

    webhook_url: Text = UNSET
    signature_algo: Text = UNSET
    name: Text = UNSET
    # Anything, because what is no array has a refusal of its own.
    event_types: Annotated[Any, Meta(extra_json_schema=_LIST_OF_TYPES)] = UNSET


async def create_webhook_endpoint(
    conn: Conn,
    organization_id: UUID,
    asked: WebhookEndpointInput,
    *,
    endpoint_id: UUID,
    now: datetime,
) -> WebhookEndpoint:
    """Add an endpoint.

    :raises Refused: 422 for a URL that is none or is there already, an unknown algorithm or event
        type, or one endpoint too many.
    """
    others = await _locked(conn, organization_id)
    blank = WebhookEndpoint(organization_id, endpoint_id, "", "jwt", None, None, now)
    broken = {"base": ["exceeded_limit"]} if len(others) >= MOST_ENDPOINTS else {}
    endpoint = _with(blank, asked, others, broken)
    await webhook_endpoints.insert(conn, endpoint)
    return endpoint


async def update_webhook_endpoint(
    conn: Conn, organization_id: UUID, endpoint_id: UUID | None, asked: WebhookEndpointInput
) -> WebhookEndpoint:
    """Change what is given of an endpoint.

    :raises Refused: `webhook_endpoint_not_found`, or 422 as for creation.
    """
    all_of_them = await _locked(conn, organization_id)
    endpoint = _found(all_of_them, endpoint_id)
    others = [other for other in all_of_them if other is not endpoint]
    changed = _with(endpoint, asked, others, {})
    await webhook_endpoints.write(conn, changed)
    return changed


async def delete_webhook_endpoint(
    conn: Conn, organization_id: UUID, endpoint_id: UUID | None
) -> WebhookEndpoint:
    """Delete an endpoint with its deliveries, and answer what it was.

    :raises Refused: `webhook_endpoint_not_found`.
    """
    endpoint = _found(await _locked(conn, organization_id), endpoint_id)
    await webhook_endpoints.delete(conn, endpoint)
    return endpoint


async def find_webhook_endpoint(
    conn: Conn, organization_id: UUID, endpoint_id: UUID | None
) -> WebhookEndpoint:
    """Read an endpoint; `endpoint_id` None is what no UUID could be read from.

    :raises Refused: `webhook_endpoint_not_found`.
    """
    return _found(await webhook_endpoints.list_all(conn, organization_id), endpoint_id)


async def point_first_endpoint(
    conn: Conn, organization_id: UUID, url: str | None, *, endpoint_id: UUID, now: datetime
) -> None:
    """Make `url` the organization's `webhook_url`: that of its oldest endpoint, or a first one.

    No URL is what an organization without endpoints has; it takes none away from one that has
    some, since its deliveries would go with it: that is what deleting the endpoint is for.

    :raises Refused: 422 as for the endpoint itself.
    """
    there_are = await webhook_endpoints.list_all(conn, organization_id)
    asked = WebhookEndpointInput(webhook_url=url)
    if there_are:
        await update_webhook_endpoint(conn, organization_id, there_are[0].id, asked)
    elif url:
        await create_webhook_endpoint(
            conn, organization_id, asked, endpoint_id=endpoint_id, now=now
        )


async def _locked(conn: Conn, organization_id: UUID) -> list[WebhookEndpoint]:
    """Every endpoint, oldest first; two callers at once wait, so that neither goes past a rule."""
    await organizations.lock(conn, organization_id)
    return await webhook_endpoints.list_all(conn, organization_id)


def _found(endpoints: Sequence[WebhookEndpoint], endpoint_id: UUID | None) -> WebhookEndpoint:
    for endpoint in endpoints:
        if endpoint.id == endpoint_id:
            return endpoint
    raise Refused(not_found("webhook_endpoint"))


def _with(
    endpoint: WebhookEndpoint,
    asked: WebhookEndpointInput,
    others: Sequence[WebhookEndpoint],
    broken: dict[str, list[str]],
) -> WebhookEndpoint:
    """The endpoint with what is asked put in, if that holds together."""
    given: dict[str, Any] = {}
    if asked.webhook_url is not UNSET:
        given["webhook_url"] = written(asked.webhook_url)
    if asked.name is not UNSET:
        given["name"] = written(asked.name)
        if "\0" in (given["name"] or ""):
            broken["name"] = ["value_is_invalid"]  # the database has no such character
    if (algorithm := written(asked.signature_algo)) is not None:
        given["signature_algo"] = algorithm
        if algorithm not in ALGORITHMS:
            broken["signature_algo"] = ["value_is_invalid"]
    if asked.event_types is not UNSET:
        given["event_types"] = _event_types(asked.event_types, broken)
    changed: WebhookEndpoint = msgspec.structs.replace(endpoint, **given)
    if wrong := _what_is_wrong(changed.webhook_url):
        broken["webhook_url"] = [wrong]
    elif any(other.webhook_url == changed.webhook_url for other in others):
        broken["webhook_url"] = ["value_already_exist"]
    if broken:
        raise Refused(invalid(broken))
    return changed


def _what_is_wrong(url: str | None) -> str | None:
    """Say what a webhook's URL breaks. Whether its host may be called is asked at each call."""
    if not (url or "").strip():
        return "value_is_mandatory"
    assert url is not None
    return why_no_web_address(url, longest_bytes=LONGEST_URL_BYTES, may_name_user=True)


def _event_types(said: Any, broken: dict[str, list[str]]) -> tuple[str, ...] | None:
    """Read which events are wanted: None for all of them."""
    if said is None:
        return None
    if not isinstance(said, list):
        broken["event_types"] = ["must_be_array"]
        return None
    wanted = tuple(dict.fromkeys(str(one).strip().lower() for one in said))
    if wanted == ("*",):
        return None
    if unknown := [one for one in wanted if one not in EVENT_TYPES]:
        listed = json.dumps(unknown, ensure_ascii=False)
        broken["event_types"] = [f"contains invalid types: {listed}"]
    return wanted
