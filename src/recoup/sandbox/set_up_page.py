"""The page on which a customer leaves a payment method: one of the test methods, by its title."""

from datetime import datetime
from html import escape
from typing import Final

from recoup.sandbox.bank_sheet import SECURITY_HEADERS, document
from recoup.sandbox.methods import SetUpPage
from recoup.sandbox.tokens import OFFERED, TOKENS

# Browsers hold `form-action` against where the answer to a form leads as well, and from here that
# is the shop, wherever it then goes on to: so any site, though nothing but a site.
HEADERS: Final = SECURITY_HEADERS | {
    "Content-Security-Policy": SECURITY_HEADERS["Content-Security-Policy"].replace(
        "form-action 'self'", "form-action 'self' https: http:"
    )
}


def render(page: SetUpPage, *, now: datetime) -> str:
    """Draw a page: with its methods to choose from, or with why none can be left on it."""
    customer = escape(page.customer)
    return document(
        f'<h1 class="words">How do you want to pay?</h1>\n<p>{customer}</p>\n'
        f"{_last_part(page, now)}"
    )


def render_not_found() -> str:
    """Draw the page that does not exist."""
    return document("<h1>Not found</h1>\n<p>There is nothing to set up here.</p>")


def _last_part(page: SetUpPage, now: datetime) -> str:
    if page.payment_method is not None:
        kept, shop = TOKENS[page.payment_method].title, escape(page.success_redirect_url)
        return (
            f'<p role="status">Kept: {escape(kept)}. This page is used up.</p>\n'
            f'<p><a href="{shop}">Go on to the shop</a></p>'
        )
    if not page.is_open(now):
        return '<p role="status">This page has expired. Nothing was kept; ask for a new one.</p>'
    options = "\n".join(
        f'<option value="{escape(name)}">{escape(TOKENS[name].title)}</option>' for name in OFFERED
    )
    return f"""<form method="post" action="/set_up/{escape(page.id)}">
<label>Payment method
<select name="payment_method" required>
{options}
</select></label>
<button class="approve">Keep it</button>
</form>"""
