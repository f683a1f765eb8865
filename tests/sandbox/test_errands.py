"""Events: signed, sent until they arrive, and on request lost, doubled, late or out of order."""

import asyncio
import json
import logging
from collections.abc import Awaitable, Callable

import pytest

from recoup.sandbox.errands import MOST_TRIES
from tests.provider_signatures import dated
from tests.sandbox.conftest import DEADLINE_SECONDS, Receiver, Sandbox

Start = Callable[[], Awaitable[Receiver]]


async def test_an_event_is_signed_over_its_time_and_raw_body(
    sandbox: Sandbox, receiver: Receiver
) -> None:
    await sandbox.listen(receiver)
    _, answer = await sandbox.charge("ok")
    await sandbox.errands.run_due()
    [(signature, body)] = receiver.got
    at = int(sandbox.clock.now().timestamp())
    assert signature == dated(body, receiver.secret, at=at)
    event = json.loads(body)
    assert event.pop("id").startswith("evt_sandbox_")
    assert event == {
        "type": "charge.succeeded",
        "created_at": "2027-03-01T12:00:00Z",
        "data": {"charge": answer["charge"]},
    }


@pytest.mark.parametrize(
    ("method", "expected"),
    [
        ("ok", ["charge.succeeded"]),
        ("stolen_card", ["charge.failed"]),
        ("processing_ok", ["charge.processing", "charge.succeeded"]),
        ("processing_fail", ["charge.processing", "charge.failed"]),
        ("authentication_required", ["charge.requires_action"]),
        ("fail_once", ["charge.failed"]),
    ],
)
async def test_every_change_is_told_once(
    sandbox: Sandbox, receiver: Receiver, method: str, expected: list[str]
) -> None:
    await sandbox.listen(receiver)
    for _ in range(2):  # a re-send changes nothing, so there is nothing to tell
        await sandbox.charge(method)
        await sandbox.errands.run_due()
        sandbox.clock.advance(2)
    await sandbox.errands.run_due()
    assert receiver.types == expected
    assert len({json.loads(body)["id"] for _, body in receiver.got}) == len(expected)


async def test_a_cancellation_is_told(sandbox: Sandbox, receiver: Receiver) -> None:
    await sandbox.listen(receiver)
    _, answer = await sandbox.charge("authentication_required")
    await sandbox.call("POST", f"/v1/charges/{answer['charge']['id']}/cancel")
    await sandbox.errands.run_due()
    assert sorted(receiver.types) == ["charge.failed", "charge.requires_action"]


async def test_an_account_hears_nothing_of_another(sandbox: Sandbox, receiver: Receiver) -> None:
    await sandbox.listen(receiver, account="sk_sandbox_other")
    await sandbox.charge("ok")
    await sandbox.errands.run_due()
    assert receiver.got == []


async def test_a_new_secret_signs_what_was_already_waiting(
    sandbox: Sandbox, receiver: Receiver
) -> None:
    await sandbox.listen(receiver)
    await sandbox.charge("ok")
    receiver.secret = "whsec_new"
    await sandbox.listen(receiver)
    await sandbox.errands.run_due()
    [(signature, body)] = receiver.got
    at = int(sandbox.clock.now().timestamp())
    assert signature == dated(body, "whsec_new", at=at)


@pytest.mark.parametrize("status", [500, 404, 302])
async def test_an_event_is_sent_until_it_is_taken(
    sandbox: Sandbox, receiver: Receiver, status: int
) -> None:
    await sandbox.listen(receiver)
    receiver.status = status
    await sandbox.charge("ok")
    for wait in (0.2, 0.4, 0.8):
        await sandbox.errands.run_due()
        tries = len(receiver.got)
        sandbox.clock.advance(wait - 0.01)
        await sandbox.errands.run_due()
        assert len(receiver.got) == tries  # not yet
        sandbox.clock.advance(0.01)
    receiver.status = 204
    await sandbox.errands.run_due()
    assert len(receiver.got) == 4
    assert len({body for _, body in receiver.got}) == 1  # the same event, byte for byte
    sandbox.clock.advance(3600)
    await sandbox.errands.run_due()
    assert len(receiver.got) == 4


async def test_an_event_is_not_carried_to_where_an_endpoint_points(
    sandbox: Sandbox, start_receiver: Start
) -> None:
    pointing, other = await start_receiver(), await start_receiver()
    pointing.status, pointing.headers = 307, {"Location": other.url}
    await sandbox.listen(pointing)
    await sandbox.charge("ok")
    await sandbox.errands.run_due()
    assert (len(pointing.got), len(other.got)) == (1, 0)


async def test_an_event_is_given_up_after_twelve_tries(
    sandbox: Sandbox, receiver: Receiver
) -> None:
    await sandbox.listen(receiver)
    receiver.status = 500
    await sandbox.charge("ok")
    for _ in range(MOST_TRIES + 3):
        await sandbox.errands.run_due()
        sandbox.clock.advance(3600)
    assert len(receiver.got) == MOST_TRIES == 12


async def test_an_event_waits_for_a_receiver_that_comes_back_after_a_minute(
    sandbox: Sandbox, receiver: Receiver
) -> None:
    await sandbox.listen(receiver)
    receiver.status = 503
    await sandbox.charge("ok")
    for _ in range(90):
        await sandbox.errands.run_due()
        sandbox.clock.advance(1)
    receiver.status = 200
    before = len(receiver.got)
    sandbox.clock.advance(60)
    await sandbox.errands.run_due()
    assert len(receiver.got) == before + 1


async def test_an_event_is_sent_after_a_restart(sandbox: Sandbox, receiver: Receiver) -> None:
    await sandbox.listen(receiver)
    await sandbox.charge("ok")
    await sandbox.restart(runs_errands=True)
    assert (await receiver.next())["type"] == "charge.succeeded"


async def test_a_deaf_endpoint_delays_neither_another_nor_the_answers(
    sandbox: Sandbox, start_receiver: Start
) -> None:
    await sandbox.restart(runs_errands=True)
    deaf, other = await start_receiver(), await start_receiver()
    deaf.deaf = True
    await sandbox.listen(deaf)
    await sandbox.listen(other)
    for number in range(3):
        await sandbox.charge("ok", key=f"key-{number}")
        await other.next()
        if number == 0:
            await deaf.next()
    assert len(deaf.got) == 1, "its second event comes when the sandbox has given up on the first"


async def test_an_address_where_nobody_is_does_no_harm(
    sandbox: Sandbox, receiver: Receiver, caplog: pytest.LogCaptureFixture
) -> None:
    for url in ("http://127.0.0.1:1/", "http://[::", "http://a..b/", "http://xn--a/"):
        body = {"url": url, "secret": "s"}
        await sandbox.call("POST", "/v1/webhook_endpoints", json=body)
    await sandbox.listen(receiver)
    await sandbox.charge("ok")
    await sandbox.errands.run_due()
    assert receiver.types == ["charge.succeeded"]
    assert [record for record in caplog.records if record.levelno > logging.INFO] == []


async def test_errands_go_on_after_one_has_failed(
    sandbox: Sandbox, receiver: Receiver, caplog: pytest.LogCaptureFixture
) -> None:
    await sandbox.restart(runs_errands=True)
    await sandbox.listen(receiver)
    told_time = sandbox.clock.time
    sandbox.clock.time = None  # type: ignore[assignment]  # a clock that is broken for a while
    async with asyncio.timeout(DEADLINE_SECONDS):
        while "errands failed" not in caplog.text:
            await sandbox.call("GET", "/health")
    sandbox.clock.time = told_time
    await sandbox.charge("ok")
    assert (await receiver.next())["type"] == "charge.succeeded"


async def test_a_lost_event_never_comes(sandbox: Sandbox, receiver: Receiver) -> None:
    await sandbox.restart(faults="webhook_drop=1")
    await sandbox.listen(receiver)
    await sandbox.charge("ok")
    sandbox.clock.advance(3600)
    await sandbox.errands.run_due()
    assert receiver.got == []
    assert (await sandbox.call("GET", "/_faults"))[1]["done"] == {"webhook_drop": 1}


async def test_a_doubled_event_comes_twice_with_one_id(
    sandbox: Sandbox, receiver: Receiver
) -> None:
    await sandbox.restart(faults="webhook_twice=1")
    await sandbox.listen(receiver)
    await sandbox.charge("ok")
    await sandbox.errands.run_due()
    assert len(receiver.got) == 2
    assert len({json.loads(body)["id"] for _, body in receiver.got}) == 1


async def test_a_late_event_comes_some_seconds_later(sandbox: Sandbox, receiver: Receiver) -> None:
    await sandbox.restart(faults="webhook_late=1")
    await sandbox.listen(receiver)
    await sandbox.charge("ok")
    sandbox.clock.advance(1.9)
    await sandbox.errands.run_due()
    assert receiver.got == []
    sandbox.clock.advance(6.2)
    await sandbox.errands.run_due()
    assert receiver.types == ["charge.succeeded"]


async def test_a_shuffled_event_is_overtaken_by_the_next(
    sandbox: Sandbox, receiver: Receiver
) -> None:
    await sandbox.restart(faults="webhook_shuffle=1")
    await sandbox.listen(receiver)
    await sandbox.charge("authentication_required")
    await sandbox.call("POST", "/_faults", json={"faults": ""})
    await sandbox.errands.run_due()
    assert receiver.got == []
    await sandbox.charge("ok", key="key-2")
    await sandbox.errands.run_due()
    await sandbox.errands.run_due()
    assert receiver.types == ["charge.succeeded", "charge.requires_action"]


async def test_a_shuffled_event_comes_though_nothing_overtakes_it(
    sandbox: Sandbox, receiver: Receiver
) -> None:
    await sandbox.restart(faults="webhook_shuffle=1")
    await sandbox.listen(receiver)
    await sandbox.charge("ok")
    sandbox.clock.advance(4)
    await sandbox.errands.run_due()
    assert receiver.types == ["charge.succeeded"]


async def test_sent_one_at_a_time_events_arrive_in_order(
    sandbox: Sandbox, receiver: Receiver
) -> None:
    await sandbox.restart(sends_at_once=1)
    await sandbox.listen(receiver)
    for number in range(5):
        await sandbox.charge("ok", key=f"key-{number}")
    for _ in range(5):
        await sandbox.errands.run_due()
    keys = [json.loads(body)["data"]["charge"]["idempotency_key"] for _, body in receiver.got]
    assert keys == [f"key-{number}" for number in range(5)]


async def test_many_events_all_arrive(sandbox: Sandbox, receiver: Receiver) -> None:
    await sandbox.restart(runs_errands=True)
    await sandbox.listen(receiver)
    await asyncio.gather(*(sandbox.charge("ok", key=f"key-{number}") for number in range(100)))
    told = {(await receiver.next())["data"]["charge"]["idempotency_key"] for _ in range(100)}
    assert told == {f"key-{number}" for number in range(100)}
