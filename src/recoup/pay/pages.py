"""The payer's pages as HTML: plain, without a script, and nothing from anywhere else.

Everything that somebody wrote goes through `escape`; the style is allowed by its digest, so that
no other can be smuggled in.
"""

from __future__ import annotations

import base64
from hashlib import sha256
from html import escape
from pathlib import Path
from typing import Final

from recoup.flows.show_portal import Portal, Shown
from recoup.rules.payer_words import Words, amount_text
from recoup.store.portal_invoices import PortalInvoice

_STYLE: Final = Path(__file__).with_suffix(".css").read_text("utf-8")
_DIGEST: Final = base64.b64encode(sha256(_STYLE.encode()).digest()).decode()
POLICY: Final = (
    f"default-src 'none'; style-src 'sha256-{_DIGEST}'; base-uri 'none'; form-action 'self'; "
    "frame-ancestors 'none'"
)


def invoices(portal: Portal, *, token: str) -> str:
    """One page of a customer's invoices."""
    words = portal.words
    title = words.invoices_of.format(seller=portal.seller)
    if not portal.invoices:
        return _page(words, title, f"<p>{escape(words.none_yet)}</p>{_nav(portal, token)}")
    heads = (words.invoice, words.issued, words.due, words.total, words.to_pay, words.state)
    names = "".join(
        f'<th scope="col"{_AMOUNT if name in {words.total, words.to_pay} else ""}>'
        f"{escape(name)}</th>"
        for name in heads
    )
    rows = "".join(_row(shown, words, token) for shown in portal.invoices)
    return _page(
        words,
        title,
        f'<table><thead><tr>{names}<th scope="col"></th></tr></thead><tbody>{rows}</tbody></table>'
        f"{_nav(portal, token)}",
    )


def go_on(words: Words, *, url: str, token: str) -> str:
    """Lead on to the provider's page: at once, and by a link where a browser does not."""
    assert url.startswith(("https://", "http://")), "providers answer addresses of pages"
    safe = escape(url)
    return _page(
        words,
        words.go_on_to_pay,
        f'<p><a class="button" href="{safe}">{escape(words.go_on_to_pay)}</a></p>'
        f"{_back(words, token)}",
        head=f'<meta http-equiv="refresh" content="0;url={safe}">',
    )


def cannot_pay(words: Words, *, token: str) -> str:
    """Say that an invoice is not paid here now: it is paid, void, or being paid already."""
    return _page(words, words.cannot_pay_now, _back(words, token))


def link_is_old(words: Words) -> str:
    """Say that a link opens nothing: it is old, or was never one. It does not say which."""
    return _page(words, words.link_is_old, f"<p>{escape(words.ask_for_new_link)}</p>")


def failed(words: Words) -> str:
    """Say that something is wrong with us."""
    return _page(words, words.cannot_pay_now, "")


_AMOUNT: Final = ' class="amount"'


def _row(shown: Shown, words: Words, token: str) -> str:
    invoice = shown.invoice
    state, kind = _state(invoice, words)
    cells = (
        (words.invoice, escape(invoice.number), ""),
        (words.issued, escape(str(invoice.issuing_date or "")), ' class="date"'),
        (words.due, escape(str(invoice.payment_due_date or "")), ' class="date"'),
        (words.total, escape(amount_text(invoice.total_cents, invoice.currency, words)), _AMOUNT),
        (words.to_pay, escape(amount_text(_to_pay(invoice), invoice.currency, words)), _AMOUNT),
        (words.state, escape(state), f' class="{kind}"' if kind else ""),
    )
    told = "".join(
        f'<td data-name="{escape(name)}"{attributes}>{text}</td>'
        for name, text, attributes in cells
    )
    return f"<tr>{told}<td>{_button(shown, words, token)}</td></tr>"


def _button(shown: Shown, words: Words, token: str) -> str:
    if not shown.can_be_paid:
        return ""
    action = f"/customer-portal/{escape(token)}/invoices/{shown.invoice.id}/pay"
    label = escape(f"{words.pay}: {shown.invoice.number}")
    return (
        f'<form method="post" action="{action}"><button aria-label="{label}">'
        f"{escape(words.pay)}</button></form>"
    )


def _state(invoice: PortalInvoice, words: Words) -> tuple[str, str]:
    """In a word, and the class that shows it."""
    if invoice.status == "voided":
        return words.voided, ""
    if invoice.payment_status == "succeeded":
        return words.paid, ""
    if invoice.is_being_paid:
        return words.being_paid, ""
    if invoice.payment_overdue:
        return words.overdue, "overdue"
    return words.open, ""


def _to_pay(invoice: PortalInvoice) -> int:
    """What the payer still has to do: an invoice that was declared paid asks for nothing."""
    return 0 if invoice.payment_status == "succeeded" else invoice.due_cents


def _nav(portal: Portal, token: str) -> str:
    path = f"/customer-portal/{escape(token)}?page="
    links = []
    if portal.page > 1:
        links.append(f'<a href="{path}{portal.page - 1}">{escape(portal.words.newer)}</a>')
    if portal.has_more:
        links.append(f'<a href="{path}{portal.page + 1}">{escape(portal.words.older)}</a>')
    return f"<nav>{''.join(links)}</nav>" if links else ""


def _back(words: Words, token: str) -> str:
    return f'<p><a href="/customer-portal/{escape(token)}">{escape(words.back)}</a></p>'


def _page(words: Words, title: str, inside: str, *, head: str = "") -> str:
    return (
        f'<!doctype html><html lang="{words.language}"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"{head}<title>{escape(title)}</title><style>{_STYLE}</style></head>"
        f"<body><main><h1>{escape(title)}</h1>{inside}</main></body></html>"
    )
