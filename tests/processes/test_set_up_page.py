"""A customer leaves a method at the provider, and what they owe is paid: over real programs."""

from __future__ import annotations

import aiohttp

from tests.conftest import eventually
from tests.processes.conftest import Installation, Tenant

DECLINED = "pm_sandbox_insufficient_funds"
SANDBOX_HOME = "https://example.com/"  # where the payer goes, the account having no address set


async def choose(page: str, method: str) -> str:
    """Be the customer in a browser; answer where they are sent on to."""
    async with aiohttp.ClientSession() as browser:
        async with browser.get(page) as shown:
            assert shown.status == 200
            if "</form>" in (text := await shown.text()):
                assert f'value="{method}"' in text
        choice = {"payment_method": method}
        async with browser.post(page, data=choice, allow_redirects=False) as answer:
            assert answer.status == 303
            return answer.headers["Location"]


async def defaults(tenant: Tenant, customer: str) -> dict[str, bool]:
    methods = (await tenant.get(f"/customers/{customer}/payment_methods"))["payment_methods"]
    return {one["provider_method_id"]: one["is_default"] for one in methods}


async def test_a_method_left_at_the_sandbox_collects_what_its_customer_owes(
    installation: Installation,
) -> None:
    sandbox = await installation.start_sandbox()
    api = await installation.start("serve", "--port", "0")
    tenant = await installation.new_tenant(api.url, sandbox.url)
    await eventually(installation.is_told, what="the sandbox knew where to send its events")
    try:
        await _collects(tenant)
    finally:
        await tenant.close()


async def bill(tenant: Tenant, customer: str) -> str:
    """Sell them something, and collect at once if that can be."""
    asked = {"external_customer_id": customer, "currency": "EUR", "fees": [{"add_on_code": "work"}]}
    return (await tenant.post("/invoices", {"invoice": asked}))["invoice"]["lago_id"]


async def leave(tenant: Tenant, customer: str, method: str) -> str:
    """Have a customer leave a method; answer the page, which is used up then."""
    answer = await tenant.post(f"/customers/{customer}/checkout_url", {})
    page: str = answer["customer"]["checkout_url"]
    assert await choose(page, method) == SANDBOX_HOME
    return page


async def _collects(tenant: Tenant) -> None:
    for customer in ("ada", "bob"):
        await tenant.customer(customer, DECLINED)
    linked = {"payment_provider": "sandbox", "payment_provider_code": "sandbox"}
    new = {"external_id": "cleo", "billing_configuration": linked | {"provider_customer_id": "c"}}
    await tenant.post("/customers", {"customer": new})
    of_ada, of_bob, of_cleo = [await bill(tenant, whose) for whose in ("ada", "bob", "cleo")]

    async def statuses() -> tuple[str, ...]:
        shown = [await tenant.get(f"/invoices/{one}") for one in (of_ada, of_bob, of_cleo)]
        return tuple(one["invoice"]["payment_status"] for one in shown)

    async def declined() -> bool:
        return await statuses() == ("failed", "failed", "pending")

    async def paid() -> bool:
        return await statuses() == ("succeeded", "failed", "succeeded")

    await eventually(declined, what="the charges by the first methods were declined")
    page = await leave(tenant, "ada", "pm_sandbox_ok")
    await leave(tenant, "cleo", "pm_sandbox_ok")
    await eventually(paid, what="what the two owe was paid")
    assert await choose(page, "pm_sandbox_stolen_card") != SANDBOX_HOME
    assert await tenant.paid() == {of_ada: 1, of_cleo: 1}
    assert await defaults(tenant, "ada") == {DECLINED: False, "pm_sandbox_ok": True}
    assert await defaults(tenant, "bob") == {DECLINED: True}
    assert await defaults(tenant, "cleo") == {"pm_sandbox_ok": True}
