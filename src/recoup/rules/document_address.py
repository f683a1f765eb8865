"""Addresses of documents: good for whoever has one, for a time, and for one document alone.

Made for the wire (`file_url`) and checked where one is opened; no API key is asked for there. The
signature binds organization, document and end, so none of them can be put in another's place.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Final
from uuid import UUID

import msgspec

from recoup.rules.records.keys import RowKey

GOOD_FOR: Final = timedelta(days=7)
_SECONDS: Final = re.compile(r"[0-9]{1,12}", re.ASCII)


class Opens(StrEnum):
    """What an address is good for."""

    YES = "yes"
    EXPIRED = "expired"  # it was, and no more
    NO = "no"  # nobody here has made it


def signing_key(secret: bytes) -> bytes:
    """The key that signs addresses, made of a secret of the installation that has other uses."""
    return hashlib.sha256(b"recoup document addresses|" + secret).digest()


class DocumentAddresses(msgspec.Struct, frozen=True):
    """Makes and checks addresses. `base`: where the outside reaches us, without a slash."""

    base: str
    key: bytes

    def of(self, document: RowKey, *, now: datetime) -> str:
        """The document's address, good for a week from now."""
        expires = int((now + GOOD_FOR).timestamp())
        signature = self._signature(document.organization_id, document.id, expires)
        path = f"/documents/{document.organization_id}/{document.id}"
        return f"{self.base}{path}?expires={expires}&signature={signature}"

    def check(
        self, document: RowKey, *, expires: str | None, signature: str | None, now: datetime
    ) -> Opens:
        """Say what an address is good for, by the two values that it carries."""
        if not expires or not signature or not _SECONDS.fullmatch(expires):
            return Opens.NO
        until = int(expires)
        ours = self._signature(document.organization_id, document.id, until)
        if str(until) != expires or not _same(ours, signature):
            return Opens.NO
        return Opens.YES if now.astimezone(UTC).timestamp() < until else Opens.EXPIRED

    def _signature(self, organization_id: UUID, document_id: UUID, expires: int) -> str:
        said = f"{organization_id}/{document_id}?{expires}".encode()
        return hmac.new(self.key, said, hashlib.sha256).hexdigest()


def _same(ours: str, shown: str) -> bool:
    return hmac.compare_digest(ours.encode(), shown.encode("utf-8", "replace"))
