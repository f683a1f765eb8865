"""Read to whom a caller wants something mailed, and say no where nothing can be mailed.

For every call that mails: an invoice, a receipt, a reminder.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec

from recoup.rules.email_addresses import addresses_in, are_email_addresses
from recoup.rules.refusal import Refusal, RefusalKind, Refused, invalid

MOST_ADDRESSES: Final = 10  # of each kind
NOT_CONFIGURED: Final = Refusal(
    RefusalKind.INVALID,
    "mail_not_configured",
    {"RECOUP_SMTP_URL": ["value_is_mandatory"], "RECOUP_MAIL_FROM": ["value_is_mandatory"]},
)


class Addressed(msgspec.Struct, frozen=True):
    """To whom a mail goes."""

    to: tuple[str, ...]
    cc: tuple[str, ...]
    bcc: tuple[str, ...]


def read_addresses(asked: Any, *, otherwise: str | None) -> Addressed:
    """Take `to`, `cc` and `bcc`, each a list of addresses; `otherwise` are those of no `to`.

    :raises Refused: 422, every broken list with its code.
    """
    broken: dict[str, list[str]] = {}
    found: dict[str, tuple[str, ...]] = {}
    for name in ("to", "cc", "bcc"):
        said = getattr(asked, name)
        found[name] = ()
        if said is None:
            continue
        if not isinstance(said, list):
            broken[name] = ["must_be_an_array"]
        elif len(said) > MOST_ADDRESSES:
            broken[name] = ["invalid_count"]
        elif not all(_is_one_address(one) for one in said):
            broken[name] = ["invalid_email_format"]
        else:
            found[name] = tuple(dict.fromkeys(one.strip(" ") for one in said))
    if "to" not in broken and not found["to"]:
        found["to"] = tuple(addresses_in(otherwise))
        if not found["to"]:
            broken["to"] = ["value_is_mandatory"]
    if broken:
        raise Refused(invalid(broken))
    return Addressed(**found)


def _is_one_address(said: Any) -> bool:
    return isinstance(said, str) and "," not in said and are_email_addresses(said)
