"""`recoup provider add`: secrets come from the environment, and are shown nowhere."""

from __future__ import annotations

import pytest

from tests.account_secrets import spoiled
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


async def test_an_account_is_listed_and_changed_and_its_old_webhook_secret_stays_good(
    recoup: Recoup, owner
) -> None:
    made, _ = await add(recoup, **GOOD)
    whose = ("--organization", made["organization_id"], "--json")
    new = {"RECOUP_GOCARDLESS_WEBHOOK_SECRET": "canary_next_secret"}
    changes = ("--name", "Debits", "--success-redirect-url", "https://shop.example/thanks")
    words = ("provider", "update", "debits eu", "--by", "ann", *whose)
    changed = await recoup(*words, *changes, "--refund-surprises", **new)
    assert changed.json["name"] == "Debits"
    assert changed.json["secrets_given"] == ["webhook_secret"]
    [listed] = (await recoup("provider", "list", *whose)).json["provider_accounts"]
    assert (listed["name"], listed["refund_surprises"]) == ("Debits", True)
    assert listed["success_redirect_url"] == "https://shop.example/thanks"
    kept = await owner.fetchrow(
        "SELECT actor, action, detail FROM audit_log WHERE actor <> 'operator'"
    )
    assert tuple(kept)[:2] == ("ann", "payment_provider.changed")
    for secret in (*GOOD.values(), *new.values()):
        assert secret not in changed.out + changed.err + kept["detail"] + str(listed)


async def test_who_adds_an_account_says_who_they_are(recoup: Recoup, owner) -> None:
    made = (await recoup("organization", "create", "Acme", "--json")).json
    words = ("provider", "add", "sandbox", "--organization", made["organization_id"])
    refused = await recoup(*words, "--code", "play", "--by", " ")
    assert (refused.status, refused.out) == (1, "")
    assert '"by": ["value_is_mandatory"]' in refused.err
    assert await owner.fetchval("SELECT count(*) FROM provider_accounts") == 0


async def test_a_wrong_change_is_refused_and_leaves_nothing(recoup: Recoup, owner) -> None:
    made, _ = await add(recoup, **GOOD)
    whose = ("--organization", made["organization_id"], "--by", "ann")
    for words in (
        ("debits eu", "--name", " "),
        ("debits eu", "--success-redirect-url", "javascript:1"),
        ("nothing", "--name", "Debits"),
    ):
        refused = await recoup("provider", "update", *words, *whose)
        assert (refused.status, refused.out) == (1, "")
    assert await owner.fetchval("SELECT name FROM provider_accounts") == "debits eu"
    assert await owner.fetchval("SELECT count(*) FROM audit_log WHERE actor <> 'operator'") == 0


async def test_a_secret_of_another_world_is_refused_and_not_repeated(recoup: Recoup, owner) -> None:
    made, _ = await add(recoup, **GOOD)
    before = await owner.fetchval("SELECT secrets_sealed FROM provider_accounts")
    words = ("provider", "update", "debits eu", "--by", "ann")
    whose = ("--organization", made["organization_id"])
    refused = await recoup(*words, *whose, RECOUP_GOCARDLESS_ACCESS_TOKEN="live_canary")
    assert (refused.status, refused.out) == (1, "")
    assert "access_token" in refused.err
    assert "canary" not in refused.err
    assert await owner.fetchval("SELECT secrets_sealed FROM provider_accounts") == before


async def test_an_account_that_is_removed_is_listed_no_more_and_its_code_is_free(
    recoup: Recoup, owner
) -> None:
    made, _ = await add(recoup, **GOOD)
    whose = ("--organization", made["organization_id"], "--json")
    removed = await recoup("provider", "remove", "debits eu", "--by", "ann", *whose)
    assert removed.json["removed"] is True
    assert (await recoup("provider", "list", *whose)).json == {"provider_accounts": []}
    again = await recoup("provider", "remove", "debits eu", "--by", "ann", *whose)
    assert again.status == 1
    words = ("provider", "add", "gocardless", *whose, "--code", "debits eu")
    assert (await recoup(*words, **GOOD)).status == 0
    assert await owner.fetchval("SELECT count(deleted_at) FROM provider_accounts") == 1


async def test_secrets_that_do_not_open_are_a_sentence_of_what_to_do(recoup: Recoup, owner) -> None:
    made, _ = await add(recoup, **GOOD)
    sealed = await owner.fetchval("SELECT secrets_sealed FROM provider_accounts")
    await owner.execute("UPDATE provider_accounts SET secrets_sealed = $1", spoiled(sealed))
    whose = ("--organization", made["organization_id"])
    [listed] = (await recoup("provider", "list", *whose, "--json")).json["provider_accounts"]
    assert listed["secrets_set"] is None
    words = ("provider", "update", "debits eu", "--by", "ann", *whose)
    for refused in (
        await recoup(*words, RECOUP_GOCARDLESS_ACCESS_TOKEN="sandbox_canary_next"),
        await recoup(*words, "--drop-previous"),
    ):
        assert (refused.status, refused.out) == (1, "")
        assert "RECOUP_PREVIOUS_SECRET_KEY" in refused.err
        assert "Traceback" not in refused.err
        assert "canary" not in refused.err
    assert (await recoup(*words, "--name", "Debits")).status == 0, "that needs no secret"


async def test_a_third_webhook_secret_waits_for_a_word_about_the_first(recoup: Recoup) -> None:
    made, _ = await add(recoup, **GOOD)
    words = ("provider", "update", "debits eu", "--by", "ann")
    whose = ("--organization", made["organization_id"], "--json")

    def named(secret: str) -> dict[str, str]:
        return {"RECOUP_GOCARDLESS_WEBHOOK_SECRET": secret}

    assert (await recoup(*words, *whose, **named("canary_2"))).status == 0
    refused = await recoup(*words, *whose, **named("canary_3"))
    assert (refused.status, refused.out) == (1, "")
    assert "--drop-previous" in refused.err
    assert "canary" not in refused.err
    assert (await recoup(*words, *whose, "--drop-previous")).status == 0
    changed = await recoup(*words, *whose, **named("canary_3"))
    assert "previous_webhook_secret" in changed.json["secrets_set"]
