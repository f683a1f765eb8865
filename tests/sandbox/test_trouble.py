"""What a caller sees of each fault, and what the books say then."""

import asyncio
import json
from typing import Any

import aiohttp
import pytest

from recoup.sandbox.faults import CallFault
from tests.sandbox.conftest import DEADLINE_SECONDS, Sandbox

#           what the caller sees          what is done
SEEN = {
    "drop_before":  ("disconnected",      False),
    "error_before": ("500 api_error",     False),
    "rate_limited": ("429 rate_limit_error", False),
    "drop_after":   ("disconnected",      True),
    "error_after":  ("500 api_error",     True),
    "hang_after":   ("disconnected",      True),
    "html":         ("200 text/html",     True),
    "truncated":    ("cut off",           True),
    "slow":         ("200 charge",        True),
}  # fmt: skip


async def seen(call: Any) -> str:
    """Say in two words what a caller sees."""
    try:
        status, answer = await call
    except aiohttp.ServerDisconnectedError:
        return "disconnected"
    except aiohttp.ClientPayloadError:
        return "cut off"
    except aiohttp.ContentTypeError as error:
        return f"{error.status} text/html"
    return f"{status} {answer['error']['type'] if 'error' in answer else 'charge'}"


@pytest.mark.parametrize("how", ["asked for", "at random"])
@pytest.mark.parametrize("fault", [*CallFault])
async def test_each_fault_is_seen_and_does_what_it_says(
    sandbox: Sandbox, fault: str, how: str
) -> None:
    if how == "at random":
        await sandbox.restart(faults=f"{fault}=1")
        call = sandbox.charge("ok")
    else:
        call = sandbox.charge("ok", fault=fault)
    expected, is_done = SEEN[fault]
    assert await seen(call) == expected
    assert await sandbox.statuses() == (["succeeded"] if is_done else [])
    _, faults = await sandbox.call("GET", "/_faults")
    assert faults["done"] == {fault: 1}
    await sandbox.call("POST", "/_faults", json={"faults": ""})
    assert await seen(sandbox.charge("ok")) == "200 charge"  # the re-send is answered truthfully
    assert ("Idempotent-Replayed" in sandbox.headers) == is_done
    assert await sandbox.statuses() == ["succeeded"]


async def test_a_look_up_can_be_struck_too(sandbox: Sandbox) -> None:
    _, answer = await sandbox.charge("ok")
    paths = [f"/v1/charges/{answer['charge']['id']}", "/v1/charges?idempotency_key=key-1"]
    for path in paths:
        call = sandbox.call("GET", path, headers={"Sandbox-Fault": "error_after"})
        assert await seen(call) == "500 api_error"


async def test_a_cancellation_can_be_struck_and_is_done_all_the_same(sandbox: Sandbox) -> None:
    _, answer = await sandbox.charge("authentication_required")
    path = f"/v1/charges/{answer['charge']['id']}/cancel"
    call = sandbox.call("POST", path, headers={"Sandbox-Fault": "drop_after"})
    assert await seen(call) == "disconnected"
    assert await sandbox.statuses() == ["failed"]


async def test_a_caller_who_is_limited_is_told_when_to_come_back(sandbox: Sandbox) -> None:
    await sandbox.charge("ok", fault="rate_limited")
    assert sandbox.headers["Retry-After"] == "1"


async def test_a_hang_outlasts_the_patience_of_callers(sandbox: Sandbox) -> None:
    await seen(sandbox.charge("ok", fault="hang_after"))
    assert sandbox.slept == [30.0]
    await sandbox.restart(hang_seconds=12.0)
    await seen(sandbox.charge("ok", fault="hang_after"))
    assert sandbox.slept == [30.0, 12.0]


async def test_a_slow_call_takes_a_fifth_of_a_second_to_one(sandbox: Sandbox) -> None:
    await sandbox.restart(faults="slow=1")
    for number in range(20):
        await sandbox.charge("ok", key=f"key-{number}")
    assert len(sandbox.slept) == 20
    assert min(sandbox.slept) >= 0.2
    assert max(sandbox.slept) <= 1.0


async def test_a_truncated_answer_announces_more_than_it_sends(sandbox: Sandbox) -> None:
    address = aiohttp.client.URL(sandbox.url)
    reader, writer = await asyncio.open_connection(address.host, address.port)
    body = json.dumps(
        {
            "amount": 1,
            "currency": "EUR",
            "customer": "c",
            "payment_method": "pm_sandbox_stolen_card",
        }
    )
    writer.write(
        b"POST /v1/charges HTTP/1.1\r\nHost: sandbox\r\nAuthorization: Bearer sk_sandbox_a\r\n"
        b"Idempotency-Key: k\r\nSandbox-Fault: truncated\r\n"
        + f"Content-Length: {len(body)}\r\n\r\n{body}".encode()
    )
    async with asyncio.timeout(DEADLINE_SECONDS):
        head, _, rest = (await reader.read()).partition(b"\r\n\r\n")
    writer.close()
    lines = dict(line.split(b": ", 1) for line in head.split(b"\r\n")[1:])
    assert head.startswith(b"HTTP/1.1 402")
    assert 0 < len(rest) < int(lines[b"Content-Length"])


async def test_a_hang_ends_at_once_when_the_sandbox_stops(sandbox: Sandbox) -> None:
    sandbox.awake.clear()  # nobody will ever wake it
    hanging = asyncio.create_task(seen(sandbox.charge("timeout_charged")))
    await sandbox.asleep.wait()
    async with asyncio.timeout(DEADLINE_SECONDS):
        await sandbox.restart()
        assert await hanging == "disconnected"
    assert await sandbox.statuses() == ["succeeded"]


async def test_a_caller_who_hangs_up_first_does_no_harm(
    sandbox: Sandbox, caplog: pytest.LogCaptureFixture
) -> None:
    for number, fault in enumerate(["hang_after", "slow"]):
        sandbox.awake.clear()
        sandbox.asleep.clear()
        call = asyncio.create_task(sandbox.charge("ok", key=f"key-{number}", fault=fault))
        await sandbox.asleep.wait()
        call.cancel()
        await asyncio.wait({call})
        sandbox.awake.set()
        assert (await sandbox.call("GET", "/health"))[0] == 200
    async with asyncio.timeout(DEADLINE_SECONDS):
        while len(await sandbox.listed()) < 2:  # the slow one was done, though nobody waited
            pass
    assert caplog.records == []


async def test_a_fault_that_nobody_knows_is_refused(sandbox: Sandbox) -> None:
    status, answer = await sandbox.charge("ok", fault="webhook_late")
    assert (status, answer["error"]["code"]) == (400, "parameter_invalid")
    assert await sandbox.listed() == []


async def test_a_token_keeps_its_own_fault_whatever_chance_says(sandbox: Sandbox) -> None:
    await sandbox.restart(faults="html=1")
    assert await seen(sandbox.charge("error_charged")) == "500 api_error"
    assert await seen(sandbox.charge("error_charged")) == "200 text/html"


async def test_a_call_lost_on_its_way_in_does_not_use_up_a_tokens_first_call(
    sandbox: Sandbox,
) -> None:
    assert await seen(sandbox.charge("error_charged", fault="drop_before")) == "disconnected"
    assert await seen(sandbox.charge("error_charged")) == "500 api_error"
    assert await seen(sandbox.charge("error_charged")) == "200 charge"


async def test_faults_can_be_changed_while_it_runs(sandbox: Sandbox) -> None:
    answer = await sandbox.call("POST", "/_faults", json={"faults": "error_before=1", "seed": 3})
    assert answer == (200, {"faults": {"error_before": 1.0}, "done": {}})
    assert await seen(sandbox.charge("ok")) == "500 api_error"
    status, answer = await sandbox.call("POST", "/_faults", json={"faults": "no_such=1"})
    assert (status, answer["error"]["code"]) == (400, "parameter_invalid")
    assert await seen(sandbox.charge("ok")) == "500 api_error"
    await sandbox.call("POST", "/_faults", json={"faults": ""})
    assert await seen(sandbox.charge("ok")) == "200 charge"
    assert (await sandbox.call("GET", "/_faults"))[1] == {"faults": {}, "done": {"error_before": 2}}


@pytest.mark.parametrize("seed", range(5))
async def test_every_key_ends_up_with_one_charge_whatever_happens(
    sandbox: Sandbox, seed: int
) -> None:
    others = [fault for fault in CallFault if fault is not CallFault.SLOW]
    await sandbox.restart(faults=",".join(f"{fault}=0.1" for fault in others), seed=seed)
    methods = ["ok", "timeout_charged", "timeout_not_charged", "error_charged"]
    keys = {f"key-{number}": methods[number % 4] for number in range(12)}
    async with asyncio.timeout(DEADLINE_SECONDS):
        for key, method in keys.items():
            while await seen(sandbox.charge(method, key=key)) != "200 charge":
                pass
    listed = await sandbox.listed()
    assert [charge["idempotency_key"] for charge in listed] == [*keys]
    assert {charge["status"] for charge in listed} == {"succeeded"}
