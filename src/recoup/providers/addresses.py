"""An id as a part of an address: a name there, whatever stands in it, and never a place.

Called by adapters that make addresses of ids. Ids come from callers and imports as well.
"""

from __future__ import annotations

from typing import Final
from urllib.parse import quote

LONGEST_ID: Final = 255
NO_SUCH_ID: Final = "no_such_id"  # the code of a call that was never made


def in_a_path(text: str) -> str | None:
    """Quote an id as one folder of an address; None where it can be nobody's id: ask nobody.

    No quoting makes a name of `.` and `..`: programs on the way read `%2E` as a dot. Source: RFC
    3986, section 6.2.2.
    """
    if text in {"", ".", ".."} or len(text) > LONGEST_ID:
        return None
    try:
        return quote(text, safe="")
    except UnicodeError:  # half a surrogate pair
        return None
