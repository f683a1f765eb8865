"""Tell the sandbox where each sandbox account's events go, as an operator would at a real provider.

Called every few seconds: accounts that are new are told at once, all others now and then, because
a sandbox that was begun anew has forgotten them.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final
from urllib.parse import urlencode

from recoup.flows.open_provider import Providers
from recoup.rules.records.keys import RowKey
from recoup.store import db, provider_accounts
from recoup.store.db import Pool
from recoup.store.secret_box import WrongSecretKeyError

AGAIN_AFTER: Final = timedelta(minutes=1)


async def register_sandbox_webhooks(
    pool: Pool,
    scout: Pool,
    providers: Providers,
    told: dict[RowKey, datetime],
    *,
    public_url: str,
    now: datetime,
) -> int:
    """Register the accounts that `told` does not have, or has from long ago; note it there.

    Answers how many could not be registered: the sandbox does not run, or does not take them; or
    their secrets do not open, which keeps nobody else from being told.
    """
    async with db.nameless(scout) as conn:
        keys = await provider_accounts.all_of_kind(conn, "sandbox")
    due = [key for key in keys if key not in told or told[key] + AGAIN_AFTER <= now]
    if not due:
        return 0
    tenants = {key.organization_id for key in due}
    async with db.transaction(pool, tenants=tenants) as conn:
        accounts = await provider_accounts.by_ids(conn, due)
    not_told = 0
    for key, account in accounts.items():
        try:
            sandbox = providers.sandbox(account)
        except WrongSecretKeyError:
            not_told += 1
            continue
        query = urlencode({"code": account.code})
        url = f"{public_url}/webhooks/sandbox/{key.organization_id}?{query}"
        if await sandbox.register_webhook(url):
            told[key] = now
        else:
            not_told += 1
    return not_told
