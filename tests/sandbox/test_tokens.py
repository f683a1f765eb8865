"""What each test payment method does: what the caller hears, and what the books say."""

import asyncio

import aiohttp
import pytest

from recoup.sandbox.tokens import TOKENS
from tests.sandbox.conftest import Receiver, Sandbox

DECLINED = {
    "insufficient_funds": ("card_declined", "insufficient_funds", "51", "try_again_later"),
    "do_not_honor": ("card_declined", "do_not_honor", "05", None),
    "stolen_card": ("card_declined", "stolen_card", "43", "do_not_try_again"),
    "expired_card": ("expired_card", "expired_card", "54", "confirm_card_data"),
}
FIRST_ANSWER_LOST = {"timeout_charged", "timeout_not_charged", "error_charged"}
OTHERS = {
    "ok", "authentication_required", "authentication_required_off_session", "page",
    "processing_ok", "processing_fail", "fail_once", "refund_fails",
}  # fmt: skip


def test_the_tokens_are_those_that_others_build_on() -> None:
    named = {f"pm_sandbox_{name}" for name in DECLINED.keys() | FIRST_ANSWER_LOST | OTHERS}
    assert TOKENS.keys() == named


async def test_ok_is_paid(sandbox: Sandbox) -> None:
    status, answer = await sandbox.charge("ok")
    assert status == 200
    assert answer["charge"] | {"id": ""} == {
        "id": "",
        "amount": 1250,
        "currency": "EUR",
        "status": "succeeded",
        "idempotency_key": "key-1",
        "payment_method": "pm_sandbox_ok",
        "customer": "cus_1",
        "reference": "INV-1",
        "metadata": {"lago_invoice_id": "invoice-1"},
        "created_at": "2027-03-01T12:00:00Z",
        "decline": None,
        "next_action": None,
    }
    assert answer["charge"]["id"].startswith("ch_sandbox_")


@pytest.mark.parametrize("method", DECLINED)
async def test_a_decline_says_why_and_is_in_the_books(sandbox: Sandbox, method: str) -> None:
    status, answer = await sandbox.charge(method)
    assert status == 402
    error = answer["error"]
    words = ("code", "decline_code", "network_decline_code", "advice_code")
    assert tuple(error[word] for word in words) == DECLINED[method]
    assert error["type"] == "card_error"
    assert answer["charge"]["decline"] == {k: v for k, v in error.items() if k != "type"}
    assert await sandbox.look_up() == [answer["charge"]]
    assert await sandbox.statuses() == ["failed"]


async def test_authentication_required_waits_for_the_payer(sandbox: Sandbox) -> None:
    status, answer = await sandbox.charge("authentication_required")
    assert (status, answer["charge"]["status"]) == (200, "requires_action")
    url = f"{sandbox.url}/pay/{answer['charge']['id']}"
    assert answer["charge"]["next_action"] == {
        "type": "redirect_to_url",
        "redirect_to_url": {"url": url},
    }
    sandbox.clock.advance(86_400)
    assert await sandbox.statuses() == ["requires_action"]


@pytest.mark.parametrize(
    ("method", "end", "decline"),
    [("processing_ok", "succeeded", None), ("processing_fail", "failed", "insufficient_funds")],
)
async def test_processing_ends_by_itself_within_two_seconds(
    sandbox: Sandbox, method: str, end: str, decline: str | None
) -> None:
    assert (await sandbox.charge(method))[1]["charge"]["status"] == "processing"
    sandbox.clock.advance(0.5)
    assert await sandbox.statuses() == ["processing"]
    sandbox.clock.advance(1.5)
    [charge] = await sandbox.look_up()
    assert charge["status"] == end
    assert (charge["decline"] or {}).get("decline_code") == decline


async def test_processing_ends_although_the_sandbox_was_restarted(sandbox: Sandbox) -> None:
    await sandbox.charge("processing_ok")
    await sandbox.restart()
    assert await sandbox.statuses() == ["processing"]
    sandbox.clock.advance(2)
    assert await sandbox.statuses() == ["succeeded"]


async def test_processing_ends_unasked_and_tells_so(sandbox: Sandbox, receiver: Receiver) -> None:
    await sandbox.restart(runs_errands=True)
    await sandbox.listen(receiver)
    await sandbox.charge("processing_fail")
    assert (await receiver.next())["type"] == "charge.processing"
    sandbox.clock.advance(2)
    ended = await receiver.next()
    assert ended["type"] == "charge.failed"
    assert ended["data"]["charge"]["status"] == "failed"
    assert "2027-03-01T12:00:00.6" <= ended["created_at"] <= "2027-03-01T12:00:01.8Z"


async def test_timeout_charged_takes_the_money_and_is_silent_once(sandbox: Sandbox) -> None:
    with pytest.raises(aiohttp.ServerDisconnectedError):
        await sandbox.charge("timeout_charged")
    assert sandbox.slept == [30.0]
    assert [charge["status"] for charge in await sandbox.look_up()] == ["succeeded"]
    status, answer = await sandbox.charge("timeout_charged")
    assert (status, answer["charge"]["status"]) == (200, "succeeded")
    assert sandbox.headers["Idempotent-Replayed"] == "true"
    assert await sandbox.statuses() == ["succeeded"]


async def test_a_resend_is_answered_while_the_first_call_still_hangs(sandbox: Sandbox) -> None:
    sandbox.awake.clear()
    first = asyncio.create_task(sandbox.charge("timeout_charged"))
    await sandbox.asleep.wait()
    assert (await sandbox.charge("timeout_charged"))[0] == 200
    assert not first.done()
    sandbox.awake.set()
    with pytest.raises(aiohttp.ServerDisconnectedError):
        await first


@pytest.mark.parametrize("restarts", [False, True])
async def test_timeout_not_charged_leaves_no_trace_and_its_resend_is_paid(
    sandbox: Sandbox, restarts: bool, receiver: Receiver
) -> None:
    await sandbox.listen(receiver)
    with pytest.raises(aiohttp.ServerDisconnectedError):
        await sandbox.charge("timeout_not_charged")
    assert sandbox.slept == [30.0]
    assert await sandbox.listed() == []
    assert await sandbox.look_up() == []
    await sandbox.errands.run_due()
    assert receiver.got == []
    if restarts:
        await sandbox.restart()
    status, answer = await sandbox.charge("timeout_not_charged")
    assert (status, answer["charge"]["status"]) == (200, "succeeded")
    assert "Idempotent-Replayed" not in sandbox.headers  # this call did it; nothing was there
    assert await sandbox.statuses() == ["succeeded"]


async def test_timeout_not_charged_loses_the_first_call_under_each_key(sandbox: Sandbox) -> None:
    for key in ("key-1", "key-2"):
        with pytest.raises(aiohttp.ServerDisconnectedError):
            await sandbox.charge("timeout_not_charged", key=key)
    assert await sandbox.listed() == []


async def test_error_charged_takes_the_money_and_denies_it_once(sandbox: Sandbox) -> None:
    status, answer = await sandbox.charge("error_charged")
    assert (status, answer["error"]["type"]) == (500, "api_error")
    assert "charge" not in answer
    assert await sandbox.statuses() == ["succeeded"]
    status, answer = await sandbox.charge("error_charged")
    assert (status, answer["charge"]["status"]) == (200, "succeeded")
    assert await sandbox.statuses() == ["succeeded"]


async def test_fail_once_declines_the_first_charge_of_each_invoice(sandbox: Sandbox) -> None:
    status, answer = await sandbox.charge("fail_once", key="a")
    assert (status, answer["error"]["decline_code"]) == (402, "insufficient_funds")
    assert (await sandbox.charge("fail_once", key="a"))[0] == 402  # a re-send is no next charge
    await sandbox.restart()
    assert (await sandbox.charge("fail_once", key="b"))[0] == 200
    other = {"lago_invoice_id": "invoice-2"}
    assert (await sandbox.charge("fail_once", key="c", metadata=other))[0] == 402


async def test_fail_once_goes_by_the_reference_where_no_invoice_is_named(sandbox: Sandbox) -> None:
    assert (await sandbox.charge("fail_once", key="a", metadata={}))[0] == 402
    assert (await sandbox.charge("fail_once", key="b", metadata={}))[0] == 200
    assert (await sandbox.charge("fail_once", key="c", metadata={}, reference="INV-2"))[0] == 402
