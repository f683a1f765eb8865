"""Set pages in type in a process of its own, which may be killed: page in, PDF out.

Made once by whoever works, inside its event loop; to be closed. Any number may ask; one page is set
at a time, which is enough for some fifty a second.

What would surprise you: the process is started by the first ask, and ended when nobody has asked
for half a minute, so that a service which makes no documents holds no memory for them.
"""

from __future__ import annotations

import asyncio
import os
import sys
from contextlib import suppress
from pathlib import Path
from typing import Final

import msgspec
import structlog

from recoup.documents.typesetting_child import LENGTH_BYTES, Answer, Ask
from recoup.rules.records.document_pages import Page, written

log = structlog.get_logger()

DEADLINE_SECONDS: Final = 20.0  # a page of a thousand long lines takes two, on a busy machine ten
IDLE_SECONDS: Final = 30.0
LARGEST_ANSWER_BYTES: Final = 32 * 1024 * 1024
CHILD: Final = "recoup.documents.typesetting_child"
# All that the process is told of our environment: a stranger's picture is read there, and the rest
# holds our master key and the passwords of database and store.
TOLD: Final = ("PATH", "HOME", "LANG", "LC_ALL", "LD_LIBRARY_PATH", "TMPDIR")
TOLD_OF_PYTHON: Final = "PYTHON"


class NotTypeset(msgspec.Struct, frozen=True):
    """There is no PDF; `why` is for the operator.

    `process_died`: of the page, or of what else goes on at this machine.
    """

    why: str
    process_died: bool = False


class Typesetter:
    """Sets pages, in a process that is started when one is needed, and again when it died."""

    def __init__(
        self,
        *,
        own_fonts: Path | None = None,
        deadline_seconds: float = DEADLINE_SECONDS,
        idle_seconds: float = IDLE_SECONDS,
    ) -> None:
        self._own_fonts = own_fonts
        self._deadline_seconds = deadline_seconds
        self._idle_seconds = idle_seconds
        self._turn = asyncio.Lock()
        self._child: asyncio.subprocess.Process | None = None
        self._idle: asyncio.TimerHandle | None = None
        self._ending: asyncio.Task[None] | None = None

    @property
    def process_id(self) -> int | None:
        """Of the process that sets pages at the moment; None: there is none."""
        return self._child.pid if self._child is not None else None

    async def typeset(self, page: Page, *, logo: str | None = None) -> bytes | NotTypeset:
        """Set a page; `logo` is an SVG. Whatever goes wrong is an answer, and never raised."""
        ask = msgspec.msgpack.encode(Ask(written(page), logo))
        async with self._turn:
            self._stay_awake()
            try:
                async with asyncio.timeout(self._deadline_seconds):
                    answer = await self._ask(ask)
            except TimeoutError:
                await self._end()
                return NotTypeset(f"it took more than {self._deadline_seconds:g} s")
            except (OSError, EOFError, ValueError, msgspec.DecodeError) as error:
                code = await self._end()
                why = f"the process died ({type(error).__name__}, status {code})"
                return NotTypeset(why, process_died=True)
            except BaseException:  # cancelled: half an answer may be in the pipe
                await self._end()
                raise
            if answer.is_last:
                await self._end()
            else:
                loop = asyncio.get_running_loop()
                self._idle = loop.call_later(self._idle_seconds, self._fall_asleep)
        return NotTypeset(answer.why) if answer.pdf is None else answer.pdf

    async def close(self) -> None:
        """End the process."""
        async with self._turn:
            self._stay_awake()
            await self._end()

    async def _ask(self, ask: bytes) -> Answer:
        child = await self._running()
        assert child.stdin is not None
        assert child.stdout is not None
        child.stdin.write(len(ask).to_bytes(LENGTH_BYTES) + ask)
        await child.stdin.drain()
        length = int.from_bytes(await child.stdout.readexactly(LENGTH_BYTES))
        if length > LARGEST_ANSWER_BYTES:
            raise ValueError("the answer is too large")
        return msgspec.msgpack.decode(await child.stdout.readexactly(length), type=Answer)

    async def _running(self) -> asyncio.subprocess.Process:
        if self._child is None or self._child.returncode is not None:
            fonts = [str(self._own_fonts)] if self._own_fonts else []
            self._child = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", CHILD, *fonts),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.DEVNULL,  # it could quote a customer's page
                env=_told(),
            )
        return self._child

    async def _end(self) -> int | None:
        child, self._child = self._child, None
        if child is None:
            return None
        if child.stdin is not None:
            child.stdin.close()
        with suppress(ProcessLookupError):
            child.kill()  # it holds nothing that would be lost
        # What is left in the pipe is read, or the transport would never be done.
        with suppress(OSError, ValueError):
            await child.communicate()
        return child.returncode

    def _stay_awake(self) -> None:
        if self._idle is not None:
            self._idle.cancel()
            self._idle = None

    def _fall_asleep(self) -> None:
        self._ending = asyncio.create_task(self._end_if_idle())

    async def _end_if_idle(self) -> None:
        async with self._turn:  # whoever asked meanwhile has its page before
            await self._end()


def _told() -> dict[str, str]:
    return {
        name: value
        for name, value in os.environ.items()
        if name in TOLD or name.startswith(TOLD_OF_PYTHON)
    }
