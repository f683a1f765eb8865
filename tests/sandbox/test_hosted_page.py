"""The payer's page: what it shows, what its buttons do, and that it trusts nothing."""

from html.parser import HTMLParser

import pytest

from recoup.sandbox.hosted_page import amount_text
from tests.sandbox.conftest import Receiver, Sandbox


class Buttons(HTMLParser):
    """Where each button of a page leads, and every tag there is."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.lead_to: list[str | None] = []
        self.tags: set[str] = set()
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        if tag == "button":
            self.lead_to.append(dict(attrs)["formaction"])


async def opened(sandbox: Sandbox, **body: object) -> tuple[str, str]:
    """Make a charge that waits for its payer; answer its address and its page."""
    _, answer = await sandbox.charge("authentication_required", **body)  # type: ignore[arg-type]
    url = answer["charge"]["next_action"]["redirect_to_url"]["url"]
    async with sandbox.client.get(url) as response:
        assert response.status == 200
        assert "default-src 'none'" in response.headers["Content-Security-Policy"]
        return url, await response.text()


@pytest.mark.parametrize(
    ("button", "status", "says"),
    [("Approve", "succeeded", "Paid."), ("Decline", "failed", "Not paid.")],
)
async def test_a_button_ends_the_charge_and_the_page_says_how(
    sandbox: Sandbox, receiver: Receiver, button: str, status: str, says: str
) -> None:
    await sandbox.listen(receiver)
    _, page = await opened(sandbox)
    assert "12.50 EUR" in page
    assert "INV-1" in page
    [where] = [path for path in Buttons(page).lead_to if path and path.endswith(button.lower())]
    async with sandbox.client.post(sandbox.url + where) as response:
        assert (response.status, response.method) == (200, "GET")  # a reload sends nothing again
        after = await response.text()
    assert says in after
    assert Buttons(after).lead_to == []
    assert await sandbox.statuses() == [status]
    await sandbox.errands.run_due()
    assert f"charge.{status}" in receiver.types


async def test_a_payers_no_is_a_failed_authentication(sandbox: Sandbox) -> None:
    url, _ = await opened(sandbox)
    async with sandbox.client.post(f"{url}/decline"):
        pass
    [charge] = await sandbox.look_up()
    assert charge["decline"]["code"] == "authentication_required"
    assert charge["decline"]["decline_code"] == "authentication_failed"
    assert charge["next_action"] is None


async def test_the_second_click_changes_nothing(sandbox: Sandbox, receiver: Receiver) -> None:
    await sandbox.listen(receiver)
    url, _ = await opened(sandbox)
    for button in ("approve", "decline", "approve"):
        async with sandbox.client.post(f"{url}/{button}") as response:
            assert "Paid." in await response.text()
    assert await sandbox.statuses() == ["succeeded"]
    await sandbox.errands.run_due()
    assert sorted(receiver.types) == ["charge.requires_action", "charge.succeeded"]


@pytest.mark.parametrize("button", ["approve", "decline"])
async def test_the_buttons_end_no_charge_that_needs_no_payer(sandbox: Sandbox, button: str) -> None:
    _, answer = await sandbox.charge("processing_ok")
    async with sandbox.client.post(
        f"{sandbox.url}/pay/{answer['charge']['id']}/{button}"
    ) as response:
        assert "still working" in await response.text()
    assert await sandbox.statuses() == ["processing"]


@pytest.mark.parametrize("path", ["", "/approve", "/decline"])
async def test_an_unknown_charge_has_no_page(sandbox: Sandbox, path: str) -> None:
    method = "POST" if path else "GET"
    async with sandbox.client.request(method, f"{sandbox.url}/pay/<b>{path}") as response:
        assert response.status == 404
        assert "b" not in Buttons(await response.text()).tags


async def test_what_a_caller_sent_is_text_on_the_page(sandbox: Sandbox) -> None:
    _, page = await opened(sandbox, reference="\"><script>alert('1')</script>")
    tags = Buttons(page).tags
    assert "script" not in tags
    assert "&lt;script&gt;" in page


async def test_the_page_needs_nothing_from_elsewhere(sandbox: Sandbox) -> None:
    _, page = await opened(sandbox)
    assert Buttons(page).tags <= {
        *("html", "meta", "title", "style", "main", "small", "h1", "p", "form", "button"),
    }
    assert "http" not in page
    assert "url(" not in page


async def test_payers_find_the_page_where_the_operator_says(sandbox: Sandbox) -> None:
    await sandbox.restart(public_url="https://bank.example")
    _, answer = await sandbox.charge("authentication_required")
    charge = answer["charge"]
    url = charge["next_action"]["redirect_to_url"]["url"]
    assert url == f"https://bank.example/pay/{charge['id']}"


@pytest.mark.parametrize(
    ("amount", "currency", "text"),
    [
        (1, "EUR", "0.01"),
        (123456789, "USD", "1,234,567.89"),
        (1250, "JPY", "1,250"),
        (1250, "KWD", "1.250"),
        (5, "BHD", "0.005"),
    ],
)
def test_amounts_are_written_as_people_do(amount: int, currency: str, text: str) -> None:
    assert amount_text(amount, currency) == text
