"""What an email address looks like: only so much that mail to it can be tried."""

from __future__ import annotations

import re
from typing import Final

LONGEST: Final = 254  # RFC 5321, section 4.5.3.1.3, less the angle brackets
MOST: Final = 50  # in one text: every mail goes to all of them

# No white space, no brackets and no encoded word (RFC 2047: `=?`), so that an address can never
# become another header or recipient.
_ADDRESS: Final = re.compile(r"(?!.*=\?)[^\s@,;:<>()\[\]\\\"\0-\x1f\x7f]+@[\w-]+(\.[\w-]+)+")


def are_email_addresses(text: str) -> bool:
    """Say whether a text is one address, or several with commas between them, `MOST` at most."""
    parts = text.split(",")
    return len(parts) <= MOST and all(
        len(address) <= LONGEST and _ADDRESS.fullmatch(address)
        for address in (part.strip(" ") for part in parts)
    )


def addresses_in(text: str | None) -> list[str]:
    """The addresses of a text that is one or several, each once; a blank text has none."""
    return list(dict.fromkeys(part.strip(" ") for part in (text or "").split(",") if part.strip()))
