"""The commands as programs of their own, on this test's database."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from recoup.store.secret_box import SecretBox


class Ended(msgspec.Struct, frozen=True):
    """What a command printed, and its exit status."""

    status: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """The one object that `--json` prints."""
        return json.loads(self.out)


Recoup = Callable[..., Awaitable[Ended]]


@pytest.fixture
def recoup(dsn: str) -> Recoup:
    """Runs `recoup` with these words, and other settings where they are given."""
    given = {"RECOUP_DATABASE_URL": dsn, "RECOUP_SECRET_KEY": SecretBox.new_key()}

    async def run(*words: str, **environment: str) -> Ended:
        process = await asyncio.create_subprocess_exec(
            str(Path(sys.executable).with_name("recoup")),
            *words,
            env=os.environ | given | environment,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        out, err = await process.communicate()
        assert process.returncode is not None
        return Ended(process.returncode, out.decode(), err.decode())

    return run
