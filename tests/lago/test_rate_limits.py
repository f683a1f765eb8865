"""Lago's clients, as published, where they call more often than their key may."""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from lago_python_client import Client
from lago_python_client.exceptions import LagoApiError, LagoRateLimitError

from demo.processes import Program, ask_recoup, own_environment

HERE = Path(__file__).parent

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def slow_shop() -> Iterator[dict[str, str]]:
    """A server at which each key may call once in two seconds, and three times after a pause."""
    with tempfile.TemporaryDirectory(prefix="recoup-paces-") as folder:
        environment = own_environment(
            Path(folder), RECOUP_API_CALLS_PER_SECOND="0.5", RECOUP_API_CALLS_AT_ONCE="3"
        )
        log = Path(folder) / "serve.log"
        with Program("serve", "--port", "0", environment=environment, log=log) as server:
            yield {"url": server.wait_until_ready(), "folder": folder}


def new_key(slow_shop: dict[str, str], *words: str) -> str:
    environment = own_environment(Path(slow_shop["folder"]))
    made = ask_recoup("organization", "create", "Shop", environment=environment)
    if not words:
        return str(made["api_key"])
    whose = ("--organization", made["organization_id"])
    return str(ask_recoup("key", "create", *whose, *words, environment=environment)["api_key"])


def test_the_client_waits_as_it_is_told_and_gets_its_answer(slow_shop: dict[str, str]) -> None:
    told: list[Any] = []
    client = Client(new_key(slow_shop), slow_shop["url"], on_rate_limit_info=told.append)
    for _ in range(4):  # the fourth is refused once, and waits by itself
        assert client.taxes.find_all()["taxes"] == []
    assert {info.limit for info in told} == {3}
    assert [info.remaining for info in told][:3] == [2, 1, 0]
    assert all(info.reset >= 1 for info in told)
    assert told[3].remaining == 0


def test_a_client_that_does_not_wait_is_told_why(slow_shop: dict[str, str]) -> None:
    client = Client(new_key(slow_shop), slow_shop["url"], retry_on_rate_limit=False)

    def call_on() -> None:
        for _ in range(30):
            client.taxes.find_all()

    with pytest.raises(LagoRateLimitError) as refused:
        call_on()
    assert refused.value.status_code == 429
    headers = refused.value.headers
    assert (headers["x-ratelimit-limit"], headers["x-ratelimit-remaining"]) == ("3", "0")
    assert headers["x-ratelimit-reset"] == headers["retry-after"]


def test_the_javascript_client_waits_as_it_is_told_or_says_why(
    slow_shop: dict[str, str], node: str
) -> None:
    keys = {name: new_key(slow_shop) for name in ("RECOUP_KEY", "RECOUP_OTHER_KEY")}
    called = subprocess.run(
        [node, HERE / "paces.mjs"], cwd=HERE, timeout=60, capture_output=True, text=True,
        env=os.environ | keys | {"RECOUP_API": slow_shop["url"]}, check=False,
    )  # fmt: skip
    assert called.returncode == 0, called.stderr
    patient, hasty = (json.loads(called.stdout)[name] for name in ("patient", "hasty"))
    # The fourth is refused, and waits by itself; unless these have taken two seconds.
    assert patient["statuses"] == [200] * 4
    assert {info["limit"] for info in patient["told"]} == {3}
    assert [info["remaining"] for info in patient["told"]][:3] == [2, 1, 0]
    assert set(hasty["statuses"]) == {200}
    refused = hasty["refused"]
    assert (refused["limit"], refused["remaining"]) == (3, 0)
    assert refused["reset"] >= 1


def test_a_client_reads_what_its_key_may_not_do(slow_shop: dict[str, str]) -> None:
    client = Client(new_key(slow_shop, "--permission", "tax:read"), slow_shop["url"])
    assert client.taxes.find_all()["taxes"] == []
    with pytest.raises(LagoApiError) as refused:
        client.invoices.find_all()
    assert refused.value.status_code == 403
    assert refused.value.response["code"] == "read_action_not_allowed_for_invoice"
