"""What a web address looks like that a tenant gives us: only so much that it can be used as one.

Whether its host may be called is another question, asked at each call: `senders/addresses.py`.
"""

from __future__ import annotations

import re
from typing import Final
from urllib.parse import urlsplit

# Blanks and what is unseen, which readers of addresses skip, each in its own way; and the
# backslash, which some of them take for a slash.
_STRAY: Final = re.compile(r"[\s\x00-\x1f\x7f-\x9f\\]")


def why_no_web_address(url: str, *, longest_bytes: int, may_name_user: bool) -> str | None:
    """Say in the contract's word what is wrong with an address; None: it is one, and whole.

    `may_name_user`: `https://name:password@host` is for machines that call. A person who is sent
    there reads the name as the host.
    """
    if len(url.encode("utf-8", "replace")) > longest_bytes:
        return "value_is_too_long"
    if _STRAY.search(url):
        return "url_is_invalid"
    try:
        parts = urlsplit(url)
        _ = parts.port  # reading it is what checks it
    except ValueError:
        return "url_is_invalid"
    is_whole = parts.scheme in {"http", "https"} and parts.hostname
    return "url_is_invalid" if not is_whole or ("@" in parts.netloc and not may_name_user) else None
