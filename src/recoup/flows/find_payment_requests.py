"""Read payment requests for a caller: one, or a list."""

from __future__ import annotations

from uuid import UUID

from recoup.rules.lago.pages import Page
from recoup.rules.records.keys import RowKey
from recoup.rules.records.payment_requests import PaymentRequestDetails
from recoup.rules.refusal import Refused, not_found
from recoup.store import organizations, payment_requests
from recoup.store.db import Conn
from recoup.store.payment_requests import RequestFilter


async def find_payment_request(
    conn: Conn, organization_id: UUID, request_id: UUID | None
) -> PaymentRequestDetails:
    """Read a payment request with all that is shown of it.

    :raises Refused: `payment_request_not_found`; so is what is no id (None).
    """
    if request_id is not None:
        key = RowKey(organization_id, request_id)
        found = (await payment_requests.details(conn, [key])).get(key)
        if found is not None:
            return found
    raise Refused(not_found("payment_request"))


async def list_payment_requests(
    conn: Conn, organization_id: UUID, wanted: RequestFilter, page: Page
) -> tuple[list[PaymentRequestDetails], int]:
    """One page of the payment requests wanted, and how many there are in all.

    :raises Refused: `billing_entity_not_found`, for a code that no entity has.
    """
    if wanted.billing_entity_codes is not None:
        entities = await organizations.billing_entities(conn, organization_id)
        if not set(wanted.billing_entity_codes) <= {entity.code for entity in entities}:
            raise Refused(not_found("billing_entity"))
    return await payment_requests.page(conn, organization_id, wanted, page)
