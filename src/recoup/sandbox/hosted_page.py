"""The page on which a payer approves or declines a charge that needs them."""

from html import escape
from typing import Final

from recoup.sandbox.bank_sheet import document
from recoup.sandbox.charges import Charge, Status

# ISO 4217 as far as it differs from two digits; the page is the only place that needs it.
NO_DECIMALS: Final = "BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX UYI VND VUV XAF XOF XPF"
THREE_DECIMALS: Final = "BHD IQD JOD KWD LYD OMR TND"
ENDINGS: Final = {
    Status.SUCCEEDED: "Paid. Thank you; you can close this page.",
    Status.FAILED: "Not paid. Nothing was taken from your account.",
    Status.PROCESSING: "Your bank is still working on it.",
}


def render(charge: Charge) -> str:
    """Draw the page of a charge: with its two buttons, or with how it has ended."""
    amount = escape(f"{amount_text(charge.amount, charge.currency)} {charge.currency}")
    reference = escape(charge.reference or charge.id)
    return document(f"<h1>{amount}</h1>\n<p>{reference}</p>\n{_last_part(charge)}")


def render_not_found() -> str:
    """Draw the page of a charge that does not exist."""
    return document("<h1>Not found</h1>\n<p>There is no such payment here.</p>")


def amount_text(amount: int, currency: str) -> str:
    """Write minor units as people do: 1250 EUR as 12.50, 1250 JPY as 1,250."""
    digits = (
        0 if currency in NO_DECIMALS.split() else 3 if currency in THREE_DECIMALS.split() else 2
    )
    if not digits:
        return f"{amount:,}"
    whole, rest = divmod(amount, 10**digits)
    return f"{whole:,}.{rest:0{digits}}"


def _last_part(charge: Charge) -> str:
    if charge.status is not Status.REQUIRES_ACTION:
        return f'<p role="status">{ENDINGS[charge.status]}</p>'
    path = f"/pay/{escape(charge.id)}"
    return f"""<form method="post">
<button class="approve" formaction="{path}/approve">Approve</button>
<button class="decline" formaction="{path}/decline">Decline</button>
</form>"""
