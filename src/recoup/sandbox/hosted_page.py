"""The page where a payer approves or declines a charge that needs them."""

from html import escape
from typing import Final

from recoup.sandbox.charges import Charge, Status

# ISO 4217 as far as it differs from two digits; the page is the only place that needs it.
NO_DECIMALS: Final = "BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX UYI VND VUV XAF XOF XPF"
THREE_DECIMALS: Final = "BHD IQD JOD KWD LYD OMR TND"

# No script, nothing from elsewhere, and buttons that lead nowhere but here.
SECURITY_HEADERS: Final = {
    "Content-Security-Policy": (
        "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; base-uri 'none'"
    ),
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}
STYLE: Final = """
    body { margin: 0; min-height: 100vh; display: grid; place-items: center; background: #eef2f1;
           color: #1c2b29; font: 16px/1.5 system-ui, sans-serif }
    main { width: 20rem; margin: 1rem; padding: 2rem; background: #fff; border-radius: 1rem;
           box-shadow: 0 .5rem 2rem rgb(0 60 50 / .12); text-align: center }
    small { color: #55706b }
    h1 { margin: .5rem 0 0; font-size: 2.2rem; font-variant-numeric: tabular-nums }
    p { margin: .25rem 0 1.5rem; overflow-wrap: anywhere }
    form { display: grid; gap: .75rem }
    button { padding: .8rem; border: 0; border-radius: .6rem; font: inherit; font-weight: 600;
             cursor: pointer }
    button:focus-visible { outline: 3px solid #f5a524; outline-offset: 2px }
    .approve { background: #0b6e5f; color: #fff }
    .decline { background: #e8eeec; color: #1c2b29 }
"""
ENDINGS: Final = {
    Status.SUCCEEDED: "Paid. Thank you; you can close this page.",
    Status.FAILED: "Not paid. Nothing was taken from your account.",
    Status.PROCESSING: "Your bank is still working on it.",
}


def render(charge: Charge) -> str:
    """Draw the page of a charge: with its two buttons, or with how it has ended."""
    amount = escape(f"{amount_text(charge.amount, charge.currency)} {charge.currency}")
    reference = escape(charge.reference or charge.id)
    return _document(f"<h1>{amount}</h1>\n<p>{reference}</p>\n{_last_part(charge)}")


def render_not_found() -> str:
    """Draw the page of a charge that does not exist."""
    return _document("<h1>Not found</h1>\n<p>There is no such payment here.</p>")


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


def _document(content: str) -> str:
    return f"""<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>Sandbox bank</title>
<style>{STYLE}</style>
<main>
<small>Sandbox bank: no real money moves here</small>
{content}
</main>
</html>
"""
