"""`recoup provider add`: secrets come from the environment, and are shown nowhere."""

from __future__ import annotations

import pytest

from tests.cli.conftest import Recoup

GOOD = {
    "RECOUP_GOCARDLESS_ACCESS_TOKEN": "sandbox_canary_token",
    "RECOUP_GOCARDLESS_WEBHOOK_SECRET": "canary_webhook_secret",
}


async def add(recoup: Recoup, **environment: str):
    owner = (await recoup("organization", "create", "Acme", "--json")).json
    words = ("provider", "add", "gocardless", "--organization", owner["organization_id"])
    return owner, await recoup(*words, "--code", "debits eu", "--json", **environment)


async def test_an_account_is_added_and_its_secrets_are_not_shown(recoup: Recoup, owner) -> None:
    made, added = await add(recoup, **GOOD)
    assert added.json["payment_provider"] == "gocardless"
    assert added.json["webhook_path"] == (
        f"/webhooks/gocardless/{made['organization_id']}?code=debits%20eu"
    )
    sealed = await owner.fetchval("SELECT secrets_sealed FROM provider_accounts")
    for secret in GOOD.values():
        assert secret not in added.out + added.err
        assert secret.encode() not in sealed


@pytest.mark.parametrize("wrong", ["with a newline\n", " blank", "\t"])
async def test_a_wrong_secret_is_named_and_not_repeated(recoup: Recoup, wrong: str) -> None:
    _, added = await add(recoup, **GOOD | {"RECOUP_GOCARDLESS_WEBHOOK_SECRET": wrong})
    assert (added.status, added.out) == (1, "")
    assert added.err.startswith("RECOUP_GOCARDLESS_WEBHOOK_SECRET is wrong")


async def test_a_kind_without_an_adapter_is_refused(recoup: Recoup) -> None:
    owner = (await recoup("organization", "create", "Acme", "--json")).json
    whose = ("--organization", owner["organization_id"], "--code", "x")
    refused = await recoup("provider", "add", "cashfree", *whose)
    assert (refused.status, refused.out) == (1, "")
    assert "no adapter for cashfree" in refused.err
