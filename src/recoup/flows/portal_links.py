"""Links to a customer's own page, `/customer-portal/{token}`, each good for a while.

The token is sealed with the installation's key: it names the customer and its end, and nobody else
can make one or read one. There is no row for it, so a link ends by its time alone (or with the
key; docs/secrets.md).
"""

from __future__ import annotations

import base64
import binascii
from datetime import UTC, datetime, timedelta
from typing import Final
from uuid import UUID

from recoup.rules.records.keys import RowKey
from recoup.store.secret_box import SecretBox, WrongSecretKeyError

UNKNOWN_ADDRESS: Final = "http://127.0.0.1:8000"  # where nobody has said how we are reached
FROM_THE_API: Final = timedelta(hours=12)  # contract section 3.3
FROM_A_MAIL: Final = timedelta(days=30)
_FIELD: Final = "portal_token"
_ID_BYTES: Final = 16
LONGEST_TOKEN: Final = 200


class PortalLinks:
    """Makes links, and reads the tokens in them. `address` is where the outside reaches us."""

    def __init__(self, box: SecretBox, *, address: str) -> None:
        self._box = box
        self._address = address

    def url(self, customer: RowKey, *, until: datetime) -> str:
        """The address of the customer's page, good until then, to the second."""
        return f"{self._address}/customer-portal/{self.token(customer, until=until)}"

    def token(self, customer: RowKey, *, until: datetime) -> str:
        """What stands in the address."""
        ends = int(until.timestamp()).to_bytes(8)
        value = customer.organization_id.bytes + customer.id.bytes + ends
        sealed = self._box.seal(value, organization_id=None, row=None, field=_FIELD)
        return base64.urlsafe_b64encode(sealed).decode().rstrip("=")

    def read(self, token: str, *, now: datetime) -> RowKey | None:
        """Whose page it opens; None for what is no token of ours, or is one no more."""
        if len(token) > LONGEST_TOKEN or not token.isascii():
            return None
        try:
            sealed = base64.b64decode(
                token + "=" * (-len(token) % 4), altchars=b"-_", validate=True
            )
            value = self._box.open(sealed, organization_id=None, row=None, field=_FIELD)
        except (binascii.Error, ValueError, WrongSecretKeyError):
            return None
        organization_id, customer_id = value[:_ID_BYTES], value[_ID_BYTES : 2 * _ID_BYTES]
        ends = datetime.fromtimestamp(int.from_bytes(value[2 * _ID_BYTES :]), tz=UTC)
        if now >= ends:
            return None
        return RowKey(UUID(bytes=organization_id), UUID(bytes=customer_id))
