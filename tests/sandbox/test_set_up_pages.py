"""The page on which a customer leaves a method: once, one of those that it offers, in its time."""

from __future__ import annotations

import asyncio
from html.parser import HTMLParser
from typing import Any

import pytest

from recoup.sandbox.tokens import OFFERED, ON_A_PAGE, TOKENS
from tests.sandbox.conftest import KEY, Receiver, Sandbox

SHOP = "https://shop.example/thanks?for=this"
DAY_SECONDS = 24 * 3600


class Form(HTMLParser):
    """What a page offers, where it leads, and every tag there is."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.options: list[str | None] = []
        self.leads_to: list[str | None] = []
        self.tags: set[str] = set()
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        if tag == "option":
            self.options.append(dict(attrs)["value"])
        if tag in {"form", "a"}:
            self.leads_to.append(dict(attrs).get("action") or dict(attrs).get("href"))


async def ask(
    sandbox: Sandbox, *, key: str = "set-up-1", account: str = KEY, **body: Any
) -> tuple[int, Any]:
    wanted = {"customer": "cus_1", "success_redirect_url": SHOP, "metadata": {"who": "ada"}} | body
    return await sandbox.call(
        "POST", "/v1/set_up_pages", account=account, json=wanted, headers={"Idempotency-Key": key}
    )


async def opened(sandbox: Sandbox, **wanted: Any) -> str:
    """Ask for a page; answer its address."""
    status, answer = await ask(sandbox, **wanted)
    assert status == 200, answer
    url: str = answer["set_up_page"]["url"]
    return url


async def shown(sandbox: Sandbox, url: str, *, status: int = 200) -> str:
    async with sandbox.client.get(url) as response:
        assert response.status == status
        assert "default-src 'none'" in response.headers["Content-Security-Policy"]
        return await response.text()


async def leaves(sandbox: Sandbox, url: str, method: str = "ok", **form: str) -> str:
    """Be the customer, who chooses; answer where they are sent on to."""
    data = {"payment_method": f"pm_sandbox_{method}"} | form
    async with sandbox.client.post(url, data=data, allow_redirects=False) as response:
        assert response.status == 303  # a reload sends nothing again
        return response.headers["Location"]


async def left(sandbox: Sandbox, customer: str = "cus_1", *, account: str = KEY) -> dict[str, bool]:
    """What a customer has left, the newest first, and which is their default."""
    path = f"/v1/customers/{customer}/payment_methods"
    status, answer = await sandbox.call("GET", path, account=account)
    assert status == 200
    methods = answer["payment_methods"]
    assert {one["customer"] for one in methods} <= {customer}
    return {one["id"].removeprefix("pm_sandbox_"): one["is_default"] for one in methods}


async def test_a_choice_is_kept_told_and_leads_on_to_the_shop(
    sandbox: Sandbox, receiver: Receiver
) -> None:
    await sandbox.listen(receiver)
    url = await opened(sandbox)
    form = Form(await shown(sandbox, url))
    assert [sandbox.url + str(path) for path in form.leads_to] == [url]
    assert form.options == [*OFFERED]
    assert await leaves(sandbox, url, "fail_once") == SHOP
    assert await left(sandbox) == {"fail_once": True}
    await sandbox.errands.run_due()
    event = await receiver.next()
    assert event | {"id": ""} == {
        "id": "",
        "type": "payment_method.attached",
        "created_at": "2027-03-01T12:00:00Z",
        "data": {
            "payment_method": {
                "id": "pm_sandbox_fail_once",
                "customer": "cus_1",
                "is_default": True,
                "attached_at": "2027-03-01T12:00:00Z",
            },
            "set_up_page": url.rpartition("/")[2],
            "metadata": {"who": "ada"},
        },
    }


def test_every_method_but_that_of_payment_pages_is_offered_by_a_title_of_its_own() -> None:
    assert {*OFFERED, ON_A_PAGE} == TOKENS.keys()
    assert len({token.title for token in TOKENS.values()}) == len(TOKENS)


async def test_a_page_that_was_used_is_used_up_and_says_so(
    sandbox: Sandbox, receiver: Receiver
) -> None:
    await sandbox.listen(receiver)
    url = await opened(sandbox)
    await leaves(sandbox, url, "ok")
    await sandbox.restart()
    url = sandbox.url + url[url.index("/set_up/") :]
    assert await leaves(sandbox, url, "stolen_card") == url.removeprefix(sandbox.url)
    page = await shown(sandbox, url)
    assert "Pays at once. This page is used up." in page
    assert Form(page).leads_to == [SHOP]
    assert await left(sandbox) == {"ok": True}
    await sandbox.errands.run_due()
    assert receiver.types == ["payment_method.attached"]


async def test_of_many_clicks_at_once_one_leaves_a_method(
    sandbox: Sandbox, receiver: Receiver
) -> None:
    await sandbox.listen(receiver)
    url = await opened(sandbox)
    choices = ["ok", "stolen_card", "fail_once"] * 4
    sent_on = await asyncio.gather(*(leaves(sandbox, url, choice) for choice in choices))
    assert sent_on.count(SHOP) == 1
    assert await left(sandbox) == {choices[sent_on.index(SHOP)]: True}
    await sandbox.errands.run_due()
    assert receiver.types == ["payment_method.attached"]


async def test_a_page_expires_after_a_day_and_says_so(sandbox: Sandbox) -> None:
    url, late = await opened(sandbox), await opened(sandbox, key="set-up-2")
    sandbox.clock.advance(DAY_SECONDS - 1)
    assert await leaves(sandbox, url) == SHOP
    sandbox.clock.advance(1)
    assert await leaves(sandbox, late, "stolen_card") != SHOP
    page = await shown(sandbox, late)
    assert "This page has expired." in page
    assert Form(page).leads_to == []
    assert await left(sandbox) == {"ok": True}


async def test_the_newest_method_is_the_default_and_one_left_again_is_no_other(
    sandbox: Sandbox,
) -> None:
    for number, method in enumerate(["ok", "fail_once", "ok"]):
        await leaves(sandbox, await opened(sandbox, key=f"set-up-{number}"), method)
    assert [*(await left(sandbox)).items()] == [("ok", True), ("fail_once", False)]


async def test_a_method_is_the_customers_and_the_accounts_who_asked(sandbox: Sandbox) -> None:
    await leaves(sandbox, await opened(sandbox))
    assert await left(sandbox, "cus_2") == {}
    assert await left(sandbox, account="sk_sandbox_other") == {}
    other = await opened(sandbox, account="sk_sandbox_other")  # the same key is another's there
    await leaves(sandbox, other, "fail_once", customer="cus_2")
    assert await left(sandbox) == {"ok": True}
    assert await left(sandbox, "cus_2") == {}
    assert await left(sandbox, account="sk_sandbox_other") == {"fail_once": True}


async def test_one_key_opens_one_page(sandbox: Sandbox) -> None:
    first = await ask(sandbox)
    sandbox.clock.advance(60)
    assert await ask(sandbox) == first
    status, answer = await ask(sandbox, customer="cus_2")
    assert (status, answer["error"]["code"]) == (400, "idempotency_key_reused")
    assert (await ask(sandbox, key="set-up-2"))[1] != first[1]
    status, answer = await sandbox.call("POST", "/v1/set_up_pages", json={})
    assert (status, answer["error"]["code"]) == (400, "idempotency_key_invalid")


@pytest.mark.parametrize(
    "wrong",
    [
        {"customer": ""},
        {"success_redirect_url": "javascript:alert(1)"},
        {"success_redirect_url": "https://shop.example/\r\nSet-Cookie: a=b"},
        {"success_redirect_url": "https://shop.example:port/"},
        {"success_redirect_url": "https:///thanks"},
        {"success_redirect_url": "https://shop.example/" + "a" * 2048},
        {"metadata": {"who": 1}},
    ],
    ids=["nobody", "script", "header", "port", "no_host", "long", "metadata"],
)
async def test_what_cannot_be_opened_is_refused(sandbox: Sandbox, wrong: dict[str, Any]) -> None:
    status, answer = await ask(sandbox, **wrong)
    assert (status, answer["error"]["code"]) == (400, "parameter_invalid")
    assert (await ask(sandbox))[0] == 200  # the key was not used up


@pytest.mark.parametrize("method", ["page", "of_nobody", ""])
async def test_what_the_page_does_not_offer_is_not_left(sandbox: Sandbox, method: str) -> None:
    url = await opened(sandbox)
    assert await leaves(sandbox, url, method) == url.removeprefix(sandbox.url)
    for body in (b"", b"\xff&&=%zz", b"payment_method"):
        async with sandbox.client.post(url, data=body, allow_redirects=False) as response:
            assert response.status == 303
    assert await left(sandbox) == {}
    assert Form(await shown(sandbox, url)).options == [*OFFERED]


async def test_an_unknown_page_is_not_found(sandbox: Sandbox) -> None:
    url = f"{sandbox.url}/set_up/<b>"
    assert "b" not in Form(await shown(sandbox, url, status=404)).tags
    async with sandbox.client.post(url) as response:
        assert response.status == 404


async def test_what_a_caller_sent_is_text_on_the_page(sandbox: Sandbox) -> None:
    script = "\"><script>alert('1')</script>"
    url = await opened(sandbox, customer=script, success_redirect_url=f"{SHOP}{script}")
    page = await shown(sandbox, url)
    await leaves(sandbox, url)
    for text in (page, await shown(sandbox, url)):
        assert "script" not in Form(text).tags
        assert "&lt;script&gt;" in text


async def test_the_page_needs_nothing_from_elsewhere(sandbox: Sandbox) -> None:
    page = await shown(sandbox, await opened(sandbox))
    assert Form(page).tags <= {
        *("html", "meta", "title", "style", "main", "small", "h1", "p", "form", "button"),
        *("label", "select", "option"),
    }
    assert "http" not in page
    assert "url(" not in page


async def test_customers_find_the_page_where_the_operator_says(sandbox: Sandbox) -> None:
    await sandbox.restart(public_url="https://bank.example")
    assert (await opened(sandbox)).startswith("https://bank.example/set_up/sup_sandbox_")


async def test_an_answer_that_is_lost_has_opened_the_page(sandbox: Sandbox) -> None:
    wanted = {"customer": "cus_1", "success_redirect_url": SHOP, "metadata": {"who": "ada"}}
    headers = {"Idempotency-Key": "set-up-1", "Sandbox-Fault": "error_after"}
    status, _ = await sandbox.call("POST", "/v1/set_up_pages", json=wanted, headers=headers)
    assert status == 500
    sandbox.clock.advance(60)
    page = (await ask(sandbox))[1]["set_up_page"]
    assert page["created_at"] == "2027-03-01T12:00:00Z"
