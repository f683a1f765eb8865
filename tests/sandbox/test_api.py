"""Idempotency keys, requests that are turned away, look-ups, and what survives a restart."""

import asyncio
import json
from typing import Any

import pytest

from tests.sandbox.conftest import KEY, Clock, Sandbox


async def test_the_same_key_and_body_are_answered_again(sandbox: Sandbox) -> None:
    first = await sandbox.charge("ok")
    assert "Idempotent-Replayed" not in sandbox.headers
    assert await sandbox.charge("ok") == first
    assert sandbox.headers["Idempotent-Replayed"] == "true"
    assert len(await sandbox.listed()) == 1


async def test_a_decline_is_replayed_as_a_decline(sandbox: Sandbox) -> None:
    first = await sandbox.charge("do_not_honor")
    assert first[0] == 402
    assert await sandbox.charge("do_not_honor") == first
    assert len(await sandbox.listed()) == 1


async def test_a_replay_says_what_was_said_and_a_look_up_what_is(sandbox: Sandbox) -> None:
    first = await sandbox.charge("processing_ok")
    sandbox.clock.advance(5)
    assert [charge["status"] for charge in await sandbox.look_up()] == ["succeeded"]
    assert await sandbox.charge("processing_ok") == first
    shown = await sandbox.call("GET", f"/v1/charges/{first[1]['charge']['id']}")
    assert shown[1]["charge"]["status"] == "succeeded"


async def test_another_body_under_a_used_key_is_refused(sandbox: Sandbox) -> None:
    await sandbox.charge("ok")
    status, answer = await sandbox.charge("ok", amount=1251)
    assert (status, answer["error"]["type"]) == (400, "idempotency_error")
    assert answer["error"]["code"] == "idempotency_key_reused"
    assert [charge["amount"] for charge in await sandbox.listed()] == [1250]


async def test_keys_and_charges_belong_to_one_account(sandbox: Sandbox) -> None:
    _, answer = await sandbox.charge("ok")
    other = "sk_sandbox_somebody_else"
    path = f"/v1/charges/{answer['charge']['id']}"
    assert (await sandbox.call("GET", path))[0] == 200
    assert (await sandbox.call("GET", path, account=other))[0] == 404
    assert (await sandbox.call("POST", f"{path}/cancel", account=other))[0] == 404
    assert await sandbox.look_up(account=other) == []


@pytest.mark.parametrize(
    "window",
    [
        "",
        "?since=2027-03-01T00:00:00Z",
        "?since=2027-03-01T00:00:00&before=2027-03-02T00:00:00",
        "?since=yesterday&before=2027-03-02T00:00:00Z",
    ],
    ids=["none", "half", "no zone", "no instant"],
)
async def test_a_list_without_a_window_is_turned_away(sandbox: Sandbox, window: str) -> None:
    status, answer = await sandbox.call("GET", f"/v1/charges{window}")
    assert (status, answer["error"]["code"]) == (400, "parameter_missing")


async def test_many_calls_at_once_under_one_key_are_one_charge(sandbox: Sandbox) -> None:
    answers = await asyncio.gather(*(sandbox.charge("ok") for _ in range(20)))
    assert {status for status, _ in answers} == {200}
    assert len({answer["charge"]["id"] for _, answer in answers}) == 1
    assert len(await sandbox.listed()) == 1


async def test_a_call_that_overtakes_a_slow_one_hears_that_its_key_is_in_use(
    sandbox: Sandbox,
) -> None:
    sandbox.awake.clear()
    slow = asyncio.create_task(sandbox.charge("ok", fault="slow"))
    await sandbox.asleep.wait()
    status, answer = await sandbox.charge("ok")
    assert (status, answer["error"]["code"]) == (409, "idempotency_key_in_use")
    assert await sandbox.look_up() == []  # still deciding: nothing to be found yet
    sandbox.awake.set()
    assert (await slow)[0] == 200
    assert (await sandbox.charge("ok"))[0] == 200
    assert len(await sandbox.listed()) == 1


async def test_the_books_survive_a_restart(sandbox: Sandbox) -> None:
    first = await sandbox.charge("ok", metadata={"lago_invoice_id": "ü", "b": "\u0000"})
    await sandbox.charge("stolen_card", key="key-2")
    before = await sandbox.listed()
    await sandbox.restart()
    assert await sandbox.listed() == before
    assert [charge["idempotency_key"] for charge in before] == ["key-1", "key-2"]
    again = await sandbox.charge("ok", metadata={"lago_invoice_id": "ü", "b": "\u0000"})
    assert again == first
    assert sandbox.headers["Idempotent-Replayed"] == "true"


async def test_the_whole_books_are_open_to_everybody(sandbox: Sandbox) -> None:
    await sandbox.charge("ok")
    [charge] = await sandbox.listed()
    assert list(charge) == [
        *("id", "amount", "currency", "status", "idempotency_key", "payment_method"),
        *("customer", "metadata", "created_at"),
    ]


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"amount": 0}, "parameter_invalid"),
        ({"amount": -1}, "parameter_invalid"),
        ({"amount": True}, "parameter_invalid"),
        ({"amount": 12.5}, "parameter_invalid"),
        ({"amount": 10**30}, "parameter_invalid"),
        ({"currency": "eur"}, "parameter_invalid"),
        ({"currency": "EUR\n"}, "parameter_invalid"),
        ({"customer": ""}, "parameter_invalid"),
        ({"metadata": {"a": 1}}, "parameter_invalid"),
        ({"payment_method": "pm_card_visa"}, "payment_method_unknown"),
    ],
)
async def test_an_invalid_request_charges_nothing_and_leaves_its_key_free(
    sandbox: Sandbox, change: dict[str, Any], code: str
) -> None:
    status, answer = await sandbox.charge("ok", **change)
    assert (status, answer["error"]["type"]) == (400, "invalid_request_error")
    assert answer["error"]["code"] == code
    assert await sandbox.listed() == []
    assert (await sandbox.charge("ok"))[0] == 200


@pytest.mark.parametrize(
    "body",
    [b"", b"{", b"\xff", b'"\xff"', b"[]", b'{"a":' + b"[" * 100_000, b'{"currency": "\\ud800"}'],
)
async def test_a_body_that_is_no_charge_is_refused(sandbox: Sandbox, body: bytes) -> None:
    headers = {"Idempotency-Key": "key-1"}
    status, answer = await sandbox.call("POST", "/v1/charges", data=body, headers=headers)
    assert (status, answer["error"]["type"]) == (400, "invalid_request_error")


@pytest.mark.parametrize("key", ["", "k" * 256, "schlüssel"])
async def test_a_key_must_be_short_and_printable(sandbox: Sandbox, key: str) -> None:
    status, answer = await sandbox.charge("ok", key=key)
    assert (status, answer["error"]["code"]) == (400, "idempotency_key_invalid")


async def test_the_longest_key_is_taken(sandbox: Sandbox) -> None:
    assert (await sandbox.charge("ok", key="k" * 255))[0] == 200
    assert len(await sandbox.look_up("k" * 255)) == 1


@pytest.mark.parametrize("account", ["", "sk_live_123", "secret"])
async def test_other_keys_are_unauthorized(sandbox: Sandbox, account: str) -> None:
    for method, path in [
        ("POST", "/v1/charges"),
        ("GET", "/v1/charges?idempotency_key=a"),
        ("GET", "/v1/charges/ch_sandbox_1"),
        ("POST", "/v1/charges/ch_sandbox_1/cancel"),
        ("POST", "/v1/webhook_endpoints"),
        ("GET", "/v1/webhook_endpoints"),
    ]:
        status, answer = await sandbox.call(method, path, account=account)
        assert (status, answer["error"]["type"]) == (401, "authentication_error")


@pytest.mark.parametrize(
    ("method", "path", "expected"),
    [("GET", "/nowhere", 404), ("DELETE", "/charges", 405), ("GET", "/v1/charges", 400)],
)
async def test_errors_are_json_everywhere(
    sandbox: Sandbox, method: str, path: str, expected: int
) -> None:
    status, answer = await sandbox.call(method, path)
    assert (status, answer["error"]["type"]) == (expected, "invalid_request_error")


async def test_a_bug_is_answered_with_500_in_json(
    sandbox: Sandbox, caplog: pytest.LogCaptureFixture
) -> None:
    sandbox.books.close()
    status, answer = await sandbox.charge("ok")
    assert (status, answer["error"]["type"]) == (500, "api_error")
    assert "Cannot operate on a closed database" in caplog.text


@pytest.mark.parametrize("method", ["authentication_required", "processing_ok"])
async def test_an_open_charge_can_be_canceled_and_stays_so(sandbox: Sandbox, method: str) -> None:
    _, answer = await sandbox.charge(method)
    path = f"/v1/charges/{answer['charge']['id']}/cancel"
    status, answer = await sandbox.call("POST", path)
    assert (status, answer["charge"]["status"]) == (200, "failed")
    assert answer["charge"]["decline"]["code"] == "canceled"
    assert answer["charge"]["next_action"] is None
    sandbox.clock.advance(60)
    assert await sandbox.statuses() == ["failed"]


async def test_a_charge_that_has_ended_cannot_be_canceled(sandbox: Sandbox) -> None:
    _, answer = await sandbox.charge("processing_ok")
    sandbox.clock.advance(2)  # it has settled, though nobody has looked since
    path = f"/v1/charges/{answer['charge']['id']}/cancel"
    status, answer = await sandbox.call("POST", path)
    assert (status, answer["charge"]["status"]) == (409, "succeeded")
    assert answer["error"]["code"] == "charge_not_cancelable"


async def test_the_same_calls_with_the_same_seed_give_the_same_answers(sandbox: Sandbox) -> None:
    answers = []
    for attempt in ("one", "two"):
        sandbox.ledger = sandbox.ledger.with_name(f"{attempt}.sqlite")
        sandbox.clock = Clock()
        await sandbox.restart(seed=7)
        said = [await sandbox.charge("processing_ok", key=f"k{i}") for i in range(5)]
        sandbox.clock.advance(1.2)
        answers.append((json.dumps(said), await sandbox.listed()))
    assert answers[0] == answers[1]
    assert {charge["status"] for charge in answers[0][1]} == {"processing", "succeeded"}


async def test_health_says_that_it_answers(sandbox: Sandbox) -> None:
    assert await sandbox.call("GET", "/health") == (200, {"status": "ok"})


async def test_endpoints_are_listed_without_their_secrets(sandbox: Sandbox) -> None:
    path, url = "/v1/webhook_endpoints", "http://127.0.0.1:9/a"
    for secret in ("one", "two"):  # again, for the same address: nothing is doubled
        await sandbox.call("POST", path, json={"url": url, "secret": secret})
    assert await sandbox.call("GET", path) == (200, {"webhook_endpoints": [{"url": url}]})
    assert await sandbox.call("GET", path, account=KEY + "2") == (200, {"webhook_endpoints": []})
    assert (await sandbox.call("POST", path, json={"url": "ftp://a", "secret": "s"}))[0] == 400
