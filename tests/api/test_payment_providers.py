"""`/payment_providers`: secrets go in and never come out; what is wrong is refused by name."""

from __future__ import annotations

import json
from typing import Any
from uuid import UUID

import asyncpg
import httpx
import pytest

from recoup.flows.add_provider_account import open_secrets
from recoup.rules.records.keys import RowKey
from recoup.store import db, provider_accounts
from recoup.store.db import Pool
from recoup.store.secret_box import SecretBox
from tests.account_secrets import SECRETS_OF
from tests.api.conftest import BOX, Tenant

CANARY = "canary5b1f0c"
SECRETS = {"secret_key": f"sk_test_{CANARY}", "webhook_secret": f"whsec_{CANARY}"}
STRIPE = {"provider_type": "stripe", "code": "cards eu", "name": "Cards", "secrets": SECRETS}
NOBODYS = "00000000-0000-7000-8000-00000000abcd"


async def connect(tenant: Tenant, **fields: Any) -> Any:
    answer = await tenant.post("/payment_providers", {"payment_provider": STRIPE | fields})
    assert answer.status_code == 200, answer.text
    return answer.json()["payment_provider"]


async def change(tenant: Tenant, lago_id: str, **fields: Any) -> Any:
    answer = await tenant.put(f"/payment_providers/{lago_id}", {"payment_provider": fields})
    assert answer.status_code == 200, answer.text
    return answer.json()["payment_provider"]


async def secrets_of(pool: Pool, tenant: Tenant, lago_id: str) -> dict[str, str]:
    key = RowKey(tenant.organization_id, UUID(lago_id))
    async with db.transaction(pool, tenants=[tenant.organization_id]) as conn:
        return open_secrets((await provider_accounts.by_ids(conn, [key]))[key], BOX)


def details(answer: httpx.Response) -> Any:
    assert answer.status_code == 422, answer.text
    assert CANARY not in answer.text
    said = answer.json()
    assert (said["error"], said["code"]) == ("Unprocessable Entity", "validation_errors")
    return said["error_details"]


@pytest.mark.parametrize("kind", sorted(SECRETS_OF))
async def test_an_account_of_each_kind_is_connected_and_names_its_secrets(
    tenant: Tenant, pool: Pool, kind: str
) -> None:
    secrets = {name: f"{secret}ca" for name, secret in SECRETS_OF[kind].items()}
    made = await connect(tenant, provider_type=kind, secrets=secrets)
    path = f"/webhooks/{kind}/{tenant.organization_id}?code=cards%20eu"
    assert made == {
        "lago_id": made["lago_id"],
        "lago_organization_id": str(tenant.organization_id),
        "provider_type": kind,
        "code": "cards eu",
        "name": "Cards",
        "success_redirect_url": None,
        "supports_3ds": True,
        "refund_surprises": False,
        "secrets_set": sorted(secrets),
        "previous_secret_is_good": False,
        "webhook_path": path,
        "webhook_url": f"https://recoup.test{path}",
        "created_at": made["created_at"],
    }
    assert await secrets_of(pool, tenant, made["lago_id"]) == secrets
    found = await tenant.get(f"/payment_providers/{made['lago_id']}")
    listed = await tenant.get("/payment_providers")
    assert found.json() == {"payment_provider": made}
    assert listed.json()["payment_providers"] == [made]
    for secret in secrets.values():
        assert secret not in found.text + listed.text + str(made)


async def test_the_sandbox_is_given_secrets_and_a_name(tenant: Tenant, pool: Pool) -> None:
    asked = {"payment_provider": {"provider_type": "sandbox", "code": "play"}}
    made = (await tenant.post("/payment_providers", asked)).json()["payment_provider"]
    assert (made["name"], made["secrets_set"]) == ("play", ["api_key", "webhook_secret"])
    kept = await secrets_of(pool, tenant, made["lago_id"])
    assert kept["api_key"].startswith("sk_sandbox_")


async def test_a_webhook_secret_is_exchanged_and_each_change_is_audited(
    tenant: Tenant, pool: Pool, owner: asyncpg.Connection
) -> None:
    made = await connect(tenant, refund_surprises=True, success_redirect_url="https://a.test/x")
    assert (made["refund_surprises"], made["success_redirect_url"]) == (True, "https://a.test/x")
    lago_id = made["lago_id"]
    new = {"webhook_secret": f"whsec_next_{CANARY}"}
    changed = await change(
        tenant, lago_id, secrets=new, name="Kaart", success_redirect_url=None, supports_3ds=False
    )
    assert changed == made | {
        "name": "Kaart",
        "success_redirect_url": None,
        "supports_3ds": False,
        "secrets_set": ["previous_webhook_secret", *sorted(SECRETS)],
        "previous_secret_is_good": True,
    }
    exchanged = SECRETS | new | {"previous_webhook_secret": SECRETS["webhook_secret"]}
    assert await secrets_of(pool, tenant, lago_id) == exchanged
    dropped = await change(tenant, lago_id, drop_previous_secret=True)
    assert (dropped["previous_secret_is_good"], dropped["name"]) == (False, "Kaart")
    assert await secrets_of(pool, tenant, lago_id) == SECRETS | new
    gone = await tenant.delete(f"/payment_providers/{lago_id}")
    assert gone.json() == {"payment_provider": dropped}
    assert (await tenant.get("/payment_providers")).json()["meta"]["total_count"] == 0
    entries = await owner.fetch("SELECT * FROM audit_log ORDER BY at, id")
    assert [one["action"].partition(".")[2] for one in entries] == [
        "added", "changed", "changed", "removed",
    ]  # fmt: skip
    key_id = await owner.fetchval("SELECT id FROM api_keys")
    assert {one["actor"] for one in entries} == {f"api_key {key_id}"}
    assert json.loads(entries[1]["detail"])["secrets_given"] == ["webhook_secret"]
    assert CANARY not in str(entries)


async def test_a_call_that_is_sent_again_makes_one_account_and_keeps_no_secret(
    tenant: Tenant, owner: asyncpg.Connection
) -> None:
    once = {"Idempotency-Key": "once"}
    first, again = [
        await tenant.post("/payment_providers", {"payment_provider": STRIPE}, **once)
        for _ in range(2)
    ]
    assert (first.status_code, again.content) == (200, first.content)
    assert again.headers["idempotent-replayed"] == "true"
    other = STRIPE | {"secrets": SECRETS | {"secret_key": "sk_test_other"}}
    reused = await tenant.post("/payment_providers", {"payment_provider": other}, **once)
    assert reused.json()["code"] == "idempotency_key_reused"
    [kept] = await owner.fetch("SELECT k::text AS row, body FROM idempotency_keys k")
    assert CANARY not in kept["row"] + kept["body"].decode()


@pytest.mark.parametrize(
    ("fields", "wrong"),
    [
        ({"provider_type": "paypal"}, {"provider_type": ["value_is_invalid"]}),
        ({"provider_type": None}, {"provider_type": ["value_is_mandatory"]}),
        ({"provider_type": []}, {"provider_type": ["value_is_invalid"]}),
        ({"code": None}, {"code": ["value_is_mandatory"]}),
        ({"code": "a\0b"}, {"code": ["value_is_invalid"]}),
        ({"code": "c" * 256}, {"code": ["value_is_too_long"]}),
        ({"code": "taken"}, {"code": ["value_already_exist"]}),
        ({"name": " "}, {"name": ["value_is_mandatory"]}),
        ({"name": "a\0b"}, {"name": ["value_is_invalid"]}),
        ({"secrets": None}, {name: ["value_is_mandatory"] for name in SECRETS}),
        ({"secrets": CANARY}, {"secrets": ["value_is_invalid"]}),
        ({"secrets": SECRETS | {"secret_key": 5}}, {"secret_key": ["value_is_invalid"]}),
        ({"secrets": SECRETS | {"secret_key": None}}, {"secret_key": ["value_is_invalid"]}),
        ({"secrets": SECRETS | {"secret_key": "sk\0"}}, {"secret_key": ["value_is_invalid"]}),
        ({"secrets": SECRETS | {CANARY: CANARY}},
         {"secrets": ["contains unknown names; known are: secret_key, webhook_secret,"
                      " previous_webhook_secret"]}),
        ({"secrets": SECRETS | {"webhook_secret": " "}},
         {"webhook_secret": ["value_is_mandatory"]}),
        ({"secrets": SECRETS | {"previous_webhook_secret": ""}},
         {"previous_webhook_secret": ["value_is_invalid"]}),
        ({"success_redirect_url": "javascript:1"}, {"success_redirect_url": ["url_is_invalid"]}),
        ({"success_redirect_url": "https://a\0"}, {"success_redirect_url": ["url_is_invalid"]}),
        ({"success_redirect_url": "https://"}, {"success_redirect_url": ["url_is_invalid"]}),
        ({"success_redirect_url": "https://shop.test@a.test"},
         {"success_redirect_url": ["url_is_invalid"]}),
        ({"success_redirect_url": "https://a.test/" + "x" * 1_024},
         {"success_redirect_url": ["value_is_too_long"]}),
        ({"supports_3ds": "perhaps"}, {"supports_3ds": ["value_is_invalid"]}),
    ],
    ids=["unknown_kind", "no_kind", "kind_list", "no_code", "code_nul", "code_long", "code_taken",
         "name_blank", "name_nul", "no_secrets", "secrets_text", "secret_number", "secret_null",
         "secret_nul", "unknown_name", "secret_blank", "optional_secret_blank", "url", "url_nul",
         "url_without_host", "url_with_user", "url_long", "yes_or_no"],
)  # fmt: skip
async def test_what_is_wrong_is_named_and_not_repeated(
    tenant: Tenant, owner: asyncpg.Connection, fields: Any, wrong: Any
) -> None:
    made = await connect(tenant, code="taken")
    asked = {"payment_provider": STRIPE | fields}
    assert details(await tenant.post("/payment_providers", asked)) == wrong
    assert await owner.fetchval("SELECT count(*) FROM provider_accounts") == 1
    if "provider_type" in fields or fields in ({"code": None}, {"secrets": None}):
        return  # a change may leave them out, and another kind is refused as such
    asked = {"payment_provider": fields}
    answer = await tenant.put(f"/payment_providers/{made['lago_id']}", asked)
    if fields == {"code": "taken"}:
        assert answer.status_code == 200, "it is its own"
    elif "code" in fields:
        assert details(answer) == {"code": ["value_cannot_be_changed"]}
    else:
        assert details(answer) == wrong


async def test_neither_kind_nor_code_nor_the_account_behind_it_is_exchanged(
    tenant: Tenant, pool: Pool
) -> None:
    made = await connect(tenant)
    for fields, wrong in [
        ({"provider_type": "adyen"}, {"provider_type": ["value_cannot_be_changed"]}),
        ({"code": "other"}, {"code": ["value_cannot_be_changed"]}),
        ({"secrets": {"secret_key": f"sk_live_{CANARY}"}},
         {"secret_key": ["value_is_of_another_account"]}),
    ]:  # fmt: skip
        asked = {"payment_provider": fields}
        answer = await tenant.put(f"/payment_providers/{made['lago_id']}", asked)
        assert details(answer) == wrong
    assert await secrets_of(pool, tenant, made["lago_id"]) == SECRETS


@pytest.mark.parametrize("method", ["GET", "PUT", "PATCH", "DELETE"])
async def test_what_is_not_there_is_not_found(tenant: Tenant, method: str) -> None:
    made = await connect(tenant)
    await tenant.delete(f"/payment_providers/{made['lago_id']}")
    body = None if method in {"GET", "DELETE"} else {"payment_provider": {"secrets": {"x": "y"}}}
    for lago_id in (made["lago_id"], NOBODYS, "cards eu"):
        path = f"/api/v1/payment_providers/{lago_id}"
        answer = await tenant.client.request(method, path, json=body)
        assert (answer.status_code, answer.json()) == (
            404, {"status": 404, "error": "Not Found", "code": "payment_provider_not_found"},
        )  # fmt: skip


async def test_a_list_is_paged_newest_first(tenant: Tenant) -> None:
    codes = [(await connect(tenant, code=f"c{number}"))["code"] for number in range(3)]
    second = (await tenant.get("/payment_providers", page=2, per_page=2)).json()
    assert [one["code"] for one in second["payment_providers"]] == codes[:1]
    assert second["meta"] == {
        "current_page": 2, "next_page": None, "prev_page": 1, "total_pages": 2, "total_count": 3,
    }  # fmt: skip


async def test_secrets_that_open_with_no_key_are_not_called_unset(
    tenant: Tenant, owner: asyncpg.Connection
) -> None:
    made = await connect(tenant)
    other = SecretBox.from_text(SecretBox.new_key())
    sealed = other.seal(b"{}", organization_id=tenant.organization_id, row=None, field="secrets")
    await owner.execute("UPDATE provider_accounts SET secrets_sealed = $1", sealed)
    found = (await tenant.get(f"/payment_providers/{made['lago_id']}")).json()["payment_provider"]
    assert (found["secrets_set"], found["previous_secret_is_good"]) == (None, None)
    path = f"/payment_providers/{made['lago_id']}"
    for fields in (
        {"secrets": {"secret_key": f"sk_test_{CANARY}_2"}},
        {"drop_previous_secret": True},
    ):
        answer = await tenant.put(path, {"payment_provider": {"name": "Kaart"} | fields})
        assert answer.status_code == 503
        assert answer.json() == {
            "status": 503, "error": "Service Unavailable", "code": "secrets_do_not_open",
        }  # fmt: skip
    assert await owner.fetchval("SELECT secrets_sealed FROM provider_accounts") == sealed
    assert await owner.fetchval("SELECT count(*) FROM audit_log WHERE action ~ 'changed'") == 0
    changed = await change(tenant, made["lago_id"], name="Kaart", supports_3ds=False)
    assert (changed["name"], changed["secrets_set"]) == ("Kaart", None), "that needs no secret"
    assert (await tenant.delete(path)).status_code == 200


async def test_a_body_without_its_object_is_refused(tenant: Tenant) -> None:
    made = await connect(tenant)
    for answer in (
        await tenant.post("/payment_providers", {}),
        await tenant.put(f"/payment_providers/{made['lago_id']}", {"payment_provider": {}}),
    ):
        assert answer.status_code == 400
        assert answer.json()["error"].endswith("invalid: payment_provider")
