"""How long `recoup serve` takes to its first answer, and how much memory it then holds."""

from __future__ import annotations

from pathlib import Path

import msgspec

from bench.installation import installed


class Start(msgspec.Struct, frozen=True):
    """One installation's first start, and a later one."""

    first_seconds: float
    later_seconds: float
    serve_megabytes: float


async def compile_all(folder: Path, *, psp: str, database_url: str | None) -> None:
    """Start once for nothing: what Python compiles then was compiled when an operator installed."""
    async with (
        installed("compiling", folder, psp=psp, database_url=database_url) as installation,
        installation.running("serve", "--port", "0"),
    ):
        pass


async def start_twice(folder: Path, *, psp: str, database_url: str | None) -> Start:
    """Start on an empty folder, or an empty database; end; start again."""
    async with installed("starts", folder, psp=psp, database_url=database_url) as installation:
        async with installation.running("serve", "--port", "0") as serve:
            first = serve.seconds_to_ready
        async with installation.running("serve", "--port", "0") as serve:
            return Start(first, serve.seconds_to_ready, serve.resident_megabytes())
