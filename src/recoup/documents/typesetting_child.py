"""The process that sets pages in type: asked on its standard input, answering on its output.

Started by `typesetter` alone, as `python -m recoup.documents.typesetting_child`. It may be killed
at any moment, and ends by itself when its input does.

What would surprise you:
- It is bound before it reads anything. Beyond its memory an allocation fails, and beyond its time
  an alarm ends it, also where whoever asked is gone.
- It does not hear the signals by which services are stopped. A terminal and a service manager tell
  them to every process, and its parent finishes the page that it is at.
"""

from __future__ import annotations

import os
import resource
import signal
import sys
from pathlib import Path
from typing import BinaryIO, Final

import msgspec

MOST_MEMORY_BYTES: Final = 1024 * 1024 * 1024  # of addresses; a thousand long lines take 490 MB
ALARM_SECONDS: Final = 30  # longer than `typesetter` waits
WORN_OUT_PAGES: Final = 500
WORN_OUT_BYTES: Final = 150_000_000  # typst keeps what it has seen
LENGTH_BYTES: Final = 4
FOR_THE_PARENT: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Ask(msgspec.Struct, frozen=True):
    """A page to set, as JSON, and its logo, as SVG."""

    page: str
    logo: str | None = None


class Answer(msgspec.Struct, frozen=True):
    """The PDF, or why there is none. `is_last`: the process ends with it."""

    pdf: bytes | None
    why: str = ""
    is_last: bool = False


def main() -> None:
    """Answer one ask after the other."""
    for told in FOR_THE_PARENT:
        signal.signal(told, signal.SIG_IGN)
    asked, answered = sys.stdin.buffer, os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # what a library prints is no answer
    resource.setrlimit(resource.RLIMIT_AS, (MOST_MEMORY_BYTES, MOST_MEMORY_BYTES))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    os.nice(10)  # a document waits for a charge, and not the other way round
    own_fonts = Path(sys.argv[1]) if len(sys.argv) > 1 else None

    from recoup.documents.press import Press  # under the limits, as everything that is large

    press = Press(own_fonts=own_fonts)
    for number in range(1, WORN_OUT_PAGES + 1):
        if (frame := _read(asked)) is None:
            return
        signal.alarm(ALARM_SECONDS)
        pdf, why = _set(press, msgspec.msgpack.decode(frame, type=Ask))
        signal.alarm(0)
        worn_out = number == WORN_OUT_PAGES or _resident_bytes() > WORN_OUT_BYTES
        answer = Answer(pdf, why, is_last=worn_out)
        _write(answered, msgspec.msgpack.encode(answer))
        if answer.is_last:
            return


def _set(press: object, ask: Ask) -> tuple[bytes | None, str]:
    from recoup.documents.press import Press
    from recoup.rules.records.document_pages import read

    assert isinstance(press, Press)
    try:
        return press.pdf(read(ask.page), logo=ask.logo), ""
    except Exception as error:  # noqa: BLE001  told to whoever asked, who counts it as a try
        return None, f"{type(error).__name__}: {error}"[:500]


def _resident_bytes() -> int:
    """What it holds now; 0 where that cannot be told. `ru_maxrss` would begin with its parent's."""
    try:
        pages = Path("/proc/self/statm").read_text().split()[1]
    except OSError:
        return 0
    return int(pages) * os.sysconf("SC_PAGE_SIZE")


def _read(stream: BinaryIO) -> bytes | None:
    head = stream.read(LENGTH_BYTES)
    if len(head) < LENGTH_BYTES:
        return None
    return stream.read(int.from_bytes(head))


def _write(stream: BinaryIO, frame: bytes) -> None:
    stream.write(len(frame).to_bytes(LENGTH_BYTES) + frame)
    stream.flush()


if __name__ == "__main__":
    main()
