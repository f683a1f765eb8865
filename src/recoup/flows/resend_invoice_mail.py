"""Mail an invoice again, to whom a caller names (contract section 3.7.15)."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Final
from uuid import UUID

import msgspec

from recoup.flows.find_invoices import find_invoice
from recoup.flows.promise_mail import promise_mails
from recoup.rules.email_addresses import addresses_in, are_email_addresses
from recoup.rules.records.mails import Mail, MailKind
from recoup.rules.refusal import Refusal, RefusalKind, Refused, invalid, not_allowed
from recoup.store import organizations
from recoup.store.db import Conn

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


async def resend_invoice_mail(
    conn: Conn,
    organization_id: UUID,
    invoice_id: UUID | None,
    asked: Any,
    *,
    mail_id: UUID,
    can_send: bool,
    now: datetime,
) -> None:
    """Promise the mail of a finalized invoice, to `asked.to` or else to the customer.

    :param asked: has `to`, `cc` and `bcc` as they were sent.
    :param can_send: whether a mail server was named.
    :raises Refused: `invoice_not_found`; 405 `invoice_not_finalized`, `email_settings_disabled`;
        422 for wrong addresses or none, and `mail_not_configured`.
    """
    details = await find_invoice(conn, organization_id, invoice_id)
    invoice = details.invoice
    if invoice.status != "finalized":
        raise Refused(not_allowed("invoice_not_finalized"))
    entities = await organizations.billing_entities(conn, organization_id)
    entity = next(one for one in entities if one.id == invoice.billing_entity_id)
    if MailKind.INVOICE_FINALIZED not in entity.email_settings:
        raise Refused(not_allowed("email_settings_disabled"))
    addressed = read_addresses(asked, otherwise=details.customer.customer.email)
    if not can_send:
        raise Refused(NOT_CONFIGURED)
    mail = Mail(
        organization_id=organization_id,
        id=mail_id,
        kind=MailKind.INVOICE_FINALIZED,
        object_id=invoice.id,
        recipients=addressed.to,
        copies=addressed.cc,
        blind_copies=addressed.bcc,
        send_at=now,
        created_at=now,
    )
    await promise_mails(conn, [mail])


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
