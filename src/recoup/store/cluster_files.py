"""What the file system says of an embedded cluster's files, by which a copy of it is known.

What would surprise you: when a file was born is asked of the C library, since Python does not tell
it on Linux. The times that Python tells are no sign: a copy is given those of its original, and
`chown -R` changes the one that cannot be given.
"""

from __future__ import annotations

import ctypes
import os
import struct
import sys
from pathlib import Path
from typing import Final

from recoup.rules.restore_signs import Files

_AT_FDCWD: Final = -100
_STATX_BTIME: Final = 0x800
_BORN_AT: Final = 80  # where `struct statx` has it: seconds (8 bytes), nanoseconds (4)
_STATX_BYTES: Final = 256


def read_files(cluster: Path) -> Files:
    """Read it of the cluster in this folder."""
    once_written = cluster / "PG_VERSION"
    found = once_written.stat()
    return Files(
        device=found.st_dev,
        volume=os.statvfs(once_written).f_fsid,
        once_written=found.st_ino,
        born_ns=_born_ns(once_written),
        rewritten=(cluster / "global" / "pg_control").stat().st_ino,
    )


def _born_ns(path: Path) -> int:
    """When the file was made; 0 where the system or the file system does not tell."""
    if sys.platform != "linux":
        return 0
    statx = getattr(ctypes.CDLL(None), "statx", None)
    told = bytearray(_STATX_BYTES)
    into = (ctypes.c_char * _STATX_BYTES).from_buffer(told)
    asked = (_AT_FDCWD, os.fsencode(path), 0, ctypes.c_uint(_STATX_BTIME), into)
    if statx is None or statx(*asked) != 0:
        return 0
    [mask] = struct.unpack_from("=I", told)
    seconds, nanoseconds = struct.unpack_from("=qI", told, _BORN_AT)
    return seconds * 1_000_000_000 + nanoseconds if mask & _STATX_BTIME else 0
