"""Refunds and disputes at the sandbox: once per key, and never more than was taken."""

from __future__ import annotations

from typing import Any

import pytest

from tests.sandbox.conftest import KEY, Receiver, Sandbox


async def refund(sandbox: Sandbox, *, key: str = "back-1", **body: Any) -> tuple[int, Any]:
    charge = (await sandbox.listed())[0]["id"]
    ask = {"charge": charge, "amount": 1_000, "reference": "too much"} | body
    return await sandbox.call("POST", "/v1/refunds", json=ask, headers={"Idempotency-Key": key})


async def books(sandbox: Sandbox) -> list[Any]:
    return list((await sandbox.call("GET", "/refunds"))[1]["refunds"])


async def test_money_goes_back_once_per_key(sandbox: Sandbox) -> None:
    await sandbox.charge()
    first, again = await refund(sandbox), await refund(sandbox)
    assert first == again
    assert (first[0], first[1]["refund"]["status"]) == (200, "succeeded")
    assert (await refund(sandbox, amount=1))[1]["error"]["code"] == "idempotency_key_reused"
    await sandbox.restart()
    assert await refund(sandbox) == first
    assert [one["amount"] for one in await books(sandbox)] == [1_000]


async def test_never_more_than_was_taken(sandbox: Sandbox) -> None:
    await sandbox.charge()  # 1250
    assert (await refund(sandbox, key="a"))[0] == 200
    status, answer = await refund(sandbox, key="b", amount=251)
    assert (status, answer["error"]["code"]) == (400, "amount_too_large")
    assert (await refund(sandbox, key="c", amount=250))[0] == 200


@pytest.mark.parametrize(("method", "account"), [("do_not_honor", KEY), ("ok", "sk_sandbox_other")])
async def test_only_what_was_paid_to_this_account_goes_back(
    sandbox: Sandbox, method: str, account: str
) -> None:
    await sandbox.charge(method)
    charge = (await sandbox.listed())[0]["id"]
    status, answer = await sandbox.call(
        "POST", "/v1/refunds", account=account, headers={"Idempotency-Key": "k"},
        json={"charge": charge, "amount": 1},
    )  # fmt: skip
    assert (status, answer["error"]["code"]) == (404, "charge_not_refundable")
    assert await books(sandbox) == []


async def test_a_refund_is_found_by_its_key_and_told(sandbox: Sandbox, receiver: Receiver) -> None:
    await sandbox.listen(receiver)
    await sandbox.charge("refund_fails")
    made = (await refund(sandbox))[1]["refund"]
    assert made["status"] == "failed"
    found = await sandbox.call("GET", "/v1/refunds?idempotency_key=back-1")
    assert found[1]["refunds"] == [made]
    none = await sandbox.call(
        "GET", "/v1/refunds?idempotency_key=back-1", account="sk_sandbox_other"
    )
    assert none[1]["refunds"] == []
    await sandbox.errands.run_due()
    assert receiver.types == ["charge.succeeded", "refund.failed"]


async def test_the_bank_takes_the_money_back_and_says_so_once(
    sandbox: Sandbox, receiver: Receiver
) -> None:
    await sandbox.listen(receiver)
    await sandbox.charge()
    charge = (await sandbox.listed())[0]["id"]
    answers = [await sandbox.call("POST", f"/v1/charges/{charge}/dispute") for _ in range(2)]
    assert [status for status, _ in answers] == [200, 200]
    await sandbox.errands.run_due()
    assert receiver.types == ["charge.succeeded", "charge.disputed"]
    await sandbox.charge("do_not_honor", key="no")
    unpaid = (await sandbox.listed())[1]["id"]
    assert (await sandbox.call("POST", f"/v1/charges/{unpaid}/dispute"))[0] == 409


@pytest.mark.parametrize(("off_session", "status"), [(True, "failed"), (False, "requires_action")])
async def test_an_issuer_that_wants_to_see_the_payer(
    sandbox: Sandbox, off_session: bool, status: str
) -> None:
    _, answer = await sandbox.charge("authentication_required_off_session", off_session=off_session)
    assert answer["charge"]["status"] == status
    code = answer.get("error", {}).get("decline_code")
    assert code == ("authentication_required" if off_session else None)
