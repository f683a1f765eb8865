"""Find the picture for a document: fetched from its address, judged, and kept by its content.

Called by `make_document`, outside of any transaction. A logo that cannot be had is no reason to
have no invoice: the document is made without it, and the log says why.
"""

from __future__ import annotations

from collections import OrderedDict
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Final
from uuid import UUID, uuid5

import msgspec
import structlog

from recoup.documents.logos import NoPicture, as_svg
from recoup.senders.pictures import NotFetched, PictureFetcher

log = structlog.get_logger()

FETCHED_AGAIN_AFTER: Final = timedelta(minutes=10)  # a day's invoices fetch it a few times
TRIED_AGAIN_AFTER: Final = timedelta(minutes=1)
# One that no page can be set with may have cost the typesetter its whole deadline, while all other
# tenants' documents waited.
LEFT_OUT_FOR: Final = timedelta(hours=1)
MOST_REMEMBERED: Final = 64


class Logo(msgspec.Struct, frozen=True):
    """A picture, and the id that its content has in this organization."""

    id: UUID
    svg: str


class _Remembered(msgspec.Struct, frozen=True):
    logo: Logo | None
    until: datetime


class Logos(msgspec.Struct):
    """Fetches logos, and remembers for a while what it fetched. One for each process."""

    fetcher: PictureFetcher
    _known: OrderedDict[tuple[UUID, str], _Remembered] = msgspec.field(default_factory=OrderedDict)

    async def find(self, organization_id: UUID, url: str, *, now: datetime) -> Logo | None:
        """The picture at this address; None: there is none that may be shown."""
        place = (organization_id, url)
        known = self._known.get(place)
        if known is not None and now < known.until:
            return known.logo
        fetched = await self.fetcher.fetch(url)
        picture = fetched if isinstance(fetched, NotFetched) else as_svg(fetched)
        if isinstance(picture, NotFetched | NoPicture):
            log.warning("logo_left_out", organization=str(organization_id), why=picture.why)
            self._remember(place, _Remembered(None, now + TRIED_AGAIN_AFTER))
            return None
        digest = sha256(picture.encode()).hexdigest()
        logo = Logo(uuid5(organization_id, f"logo/{digest}"), picture)
        self._remember(place, _Remembered(logo, now + FETCHED_AGAIN_AFTER))
        return logo

    def leave_out(self, organization_id: UUID, url: str, *, now: datetime) -> None:
        """Have no picture from this address for a while: it was in the way of a page."""
        self._remember((organization_id, url), _Remembered(None, now + LEFT_OUT_FOR))

    def _remember(self, place: tuple[UUID, str], remembered: _Remembered) -> None:
        self._known[place] = remembered
        self._known.move_to_end(place)
        while len(self._known) > MOST_REMEMBERED:
            self._known.popitem(last=False)
