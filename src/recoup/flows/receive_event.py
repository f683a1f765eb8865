"""Take in a provider's webhook: check it, keep it once, promise the work, hang up.

Someone else's request is no place to think: what the event means is `apply_event`'s to find out.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Final
from uuid import UUID

from recoup.flows.open_provider import Providers
from recoup.providers.protocol import Forged
from recoup.rules.refusal import Refusal, RefusalKind, Refused
from recoup.store import db, jobs, provider_accounts, provider_events
from recoup.store.db import Pool
from recoup.store.jobs import Job
from recoup.store.provider_events import ProviderEvent
from recoup.store.secret_box import WrongSecretKeyError

# One answer for all of them: who forges an event learns nothing of which accounts there are.
NOT_TAKEN: Final = Refusal(RefusalKind.MALFORMED, "Bad Request")


async def receive_event(
    pool: Pool,
    providers: Providers,
    organization_id: UUID,
    *,
    kind: str,
    code: str | None,
    body: bytes,
    headers: Mapping[str, str],
    new_id: Callable[[], UUID],
    now: datetime,
) -> int:
    """Keep what a provider delivered, and answer how many events were new.

    `headers` by lower-case name. `code` names the account where the tenant has several.

    :raises Refused: 400 for a bad signature, an unknown tenant or account, or several and no code.
    :raises WrongSecretKeyError: the account's secrets do not open; the provider delivers it again.
    """
    async with db.transaction(pool, tenants=[organization_id]) as conn:
        # A removed account is listened to as long as something was sent through it: one that was
        # added anew in its place has the same secret, and knows nothing of what the first has sent.
        heard = []
        unopened: WrongSecretKeyError | None = None
        for account in await provider_accounts.of_code(conn, organization_id, kind, code):
            try:
                verified = providers.of(account).verify(body, headers, now=now)
            except WrongSecretKeyError as error:  # whether it is genuine, this account cannot tell
                unopened = error
                continue
            if not isinstance(verified, Forged):
                heard += [
                    ProviderEvent(organization_id, new_id(), account.id, one.event_id, one.body)
                    for one in verified
                ]
        if not heard:
            raise unopened or Refused(NOT_TAKEN)
        kept = await provider_events.keep(conn, heard, now=now)
        await jobs.promise(conn, Job.APPLY_EVENT, kept)
    return len(kept)
