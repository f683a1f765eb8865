"""Which of GoCardless's answers are believed: one thing, a whole list, a refusal.

Called by what asks: `gocardless_charges`, `gocardless_refunds`, `gocardless_customers`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, Final, TypeVar

import msgspec
from gocardless_pro import services

from recoup.providers.gocardless_calls import Calls, Heard, Said, TurnedAway
from recoup.providers.gocardless_words import UNKNOWN_WHY, Details, Listed
from recoup.providers.protocol import Declined, Lost
from recoup.providers.reading import believed

Kind = TypeVar("Kind")
List = TypeVar("List", bound=Listed)

LONGEST_PAGE: Final = 500


def instant(at: datetime) -> str:
    """Write an instant as GoCardless's filters take it."""
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z"


def one(heard: Heard, name: str, kind: type[Kind]) -> Kind | Lost:
    """The thing in an answer's envelope. A refusal is no answer to a question."""
    if isinstance(heard, Lost):
        return heard
    if isinstance(heard, TurnedAway):
        return Lost(f"http_{heard.status}")
    found = believed(heard.body.get(name), kind) if isinstance(heard, Said) else None
    return found if found is not None else Lost("unreadable_answer")


def page(
    calls: Calls, service: Callable[..., Any], params: Mapping[str, Any], kind: type[List]
) -> List | TurnedAway | Lost:
    """One page of a list."""
    heard = calls.ask(service, lambda listing: listing.list(params={**params}))
    if isinstance(heard, TurnedAway | Lost):
        return heard
    found = believed(heard.body, kind) if isinstance(heard, Said) else None
    return found if found is not None else Lost("unreadable_answer")


def pages(
    calls: Calls, service: Callable[..., Any], params: Mapping[str, Any], kind: type[List]
) -> list[List] | TurnedAway | Lost:
    """A list to its end, or none of it: that something is missing is proved by the whole alone."""
    found: list[List] = []
    after: str | None = None
    while True:
        more = {} if after is None else {"after": after}
        read = page(calls, service, {**params, "limit": LONGEST_PAGE, **more}, kind)
        if not isinstance(read, kind):
            assert isinstance(read, TurnedAway | Lost), "what else `page` answers"
            return read
        found.append(read)
        if read.meta.cursors.after is None:
            return found
        after = read.meta.cursors.after


def after_it_was_made(lost: Lost) -> Lost:
    """A call that was lost after the one that made the thing: a refused key did not undo that."""
    return msgspec.structs.replace(lost, key_refused=False)


def turned_away(heard: TurnedAway, *, sent_before: bool) -> Declined | Lost:
    """What a refusal says. Of an earlier call, which may have got in, it says nothing."""
    if sent_before:
        return Lost(f"http_{heard.status}")
    return Declined(code=heard.code)


def why(calls: Calls, about: Mapping[str, str]) -> Details | Lost:
    """Ask for the newest event of a kind, for its cause; a refusal leaves the cause unknown."""
    heard = calls.ask(services.EventsService, lambda events: events.list(params={**about}))
    if isinstance(heard, TurnedAway):
        return UNKNOWN_WHY
    if not isinstance(heard, Said):
        return heard if isinstance(heard, Lost) else Lost("unreadable_answer")
    listed = heard.body.get("events")
    if not isinstance(listed, list):
        return Lost("unreadable_answer")
    newest = listed[0].get("details") if listed and isinstance(listed[0], dict) else None
    return believed(newest, Details) or UNKNOWN_WHY
