"""The beat: that the service runs on this database, and on no copy of it that was put back."""

from __future__ import annotations

import asyncio
import hashlib
from typing import Final

import structlog

from recoup import clock
from recoup.flows.notice_restore import notice_restore
from recoup.settings import Settings
from recoup.store.beat_marker import BeatMarker
from recoup.store.cluster_files import read_files
from recoup.store.db import DATABASE_AWAY, ROW_IS_HELD
from recoup.wiring.opening import Opened

log = structlog.get_logger()

BEAT_EVERY_SECONDS: Final = 5.0


def marker_of(settings: Settings, base: Opened) -> BeatMarker:
    """The file that holds the last beat of this database."""
    # One folder may serve several databases in turn: each has a marker of its own.
    name = hashlib.sha256(base.installation.jwt_public_key.encode()).hexdigest()[:16]
    return BeatMarker(settings.data_dir / f"last-beat-{name}", writer=clock.new_id())


async def beat(settings: Settings, base: Opened, marker: BeatMarker) -> None:
    """Say in the database and beside it that it is served from; hold all back if it is restored."""
    folder = ""
    if not settings.database_url:
        folder = read_files(settings.data_dir / "postgres").sign
    await notice_restore(
        base.pool,
        base.scout,
        folder=folder,
        marker=marker,
        new_id=clock.new_id,
        now=clock.now(),
    )


async def keep_beating(
    settings: Settings, base: Opened, marker: BeatMarker, stop: asyncio.Event
) -> None:
    """Beat until `stop`; where the database is away, again with the next beat."""
    while not stop.is_set():
        try:
            async with asyncio.timeout(BEAT_EVERY_SECONDS):
                await stop.wait()
        except TimeoutError:
            try:
                await beat(settings, base, marker)
            except (*DATABASE_AWAY, *ROW_IS_HELD) as error:
                log.warning("beat_missed", error=type(error).__name__)
