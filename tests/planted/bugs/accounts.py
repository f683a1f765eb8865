"""How often an account at a provider is called, when it is left alone, and who waits for whom."""

from __future__ import annotations

from typing import Final

from tests.planted.bugs.bug import Bug, Edit
from tests.planted.bugs.places import LOOK_UP

PACE: Final = "tests/flows/test_provider_pace.py::"
REFUSED: Final = "tests/flows/test_refused_keys.py::"
UNMADE: Final = "tests/flows/test_unmade_calls.py"
LOST_WEBHOOKS: Final = "tests/flows/test_lost_webhooks.py::"
THREADS: Final = "tests/providers/test_sdk_threads.py::"

BUGS: Final = (
    Bug(
        "what was refused without a call is an answer",
        "An account that is down is called by everybody, since a mistyped id was turned away here.",
        (
            Edit(
                "flows/note_outcome.py",
                "    if isinstance(told, NotKnown | Declined):\n",
                "    if isinstance(told, NotKnown):\n",
            ),
        ),
        (UNMADE,),
    ),
    Bug(
        "a provider that is down is called all the same",
        "Every attempt waits for an answer that does not come, and takes a slot from the others.",
        (
            Edit(
                "flows/take_calls.py",
                "            return _Given(health, _each(callers, said.until, HeldBack.OUTAGE))\n",
                "            return _Given(health, {})\n",
            ),
        ),
        ("tests/flows/test_provider_pace.py",),
    ),
    Bug(
        "a provider that answers again stays left alone",
        "The outage is over, and everything still waits: until somebody looks at /health.",
        (
            Edit(
                "flows/note_outcome.py",
                "    answered = msgspec.structs.replace(before, breaker=after_answer())\n",
                "    answered = before\n",
            ),
        ),
        ("tests/flows/test_provider_pace.py",),
    ),
    Bug(
        "all call at once when an account may be tried again",
        "A provider that is just getting up is called by everything that waited for it.",
        (
            Edit(
                "rules/provider_pace.py",
                "    if now < breaker.open_until:\n        return Wait(breaker.open_until)\n",
                "    if now < breaker.open_until:\n        return Wait(breaker.open_until)\n"
                "    return Call()\n",
            ),
        ),
        ("tests/flows/test_provider_pace.py",),
    ),
    Bug(
        "a look-up goes round the breaker",
        "Each attempt whose answer was lost calls a provider that is down, and holds a slot.",
        (
            Edit(
                "flows/take_calls.py",
                "        return permit_question(breaker, now=now)\n",
                "        return Call()\n",
            ),
        ),
        ("tests/flows/test_provider_pace.py",),
    ),
    Bug(
        "a charge is sent again without a call of its own",
        "An account at its limit is pushed over it by what was lost before.",
        (
            Edit(
                LOOK_UP,
                "told = await line.order(lambda provider: provider.charge(charge))",
                "told = await line.provider.charge(charge)",
            ),
        ),
        ("tests/flows/test_provider_pace.py",),
    ),
    Bug(
        "while an account is left alone hardly anybody asks there",
        "What is unknown stays so for a quarter of an hour after its provider answers again.",
        (
            Edit(
                "rules/provider_pace.py",
                "PROBE_FOR: Final = timedelta(seconds=30)",
                "PROBE_FOR: Final = timedelta(minutes=14)",
            ),
        ),
        (LOST_WEBHOOKS + "test_stripe_is_asked", LOST_WEBHOOKS + "test_the_sandbox_is_asked"),
    ),
    Bug(
        "told at every refused call",
        "Every two minutes, and by every call that was under way, the same alarm goes off again.",
        (
            Edit(
                "flows/note_outcome.py",
                "        if _begins_to_refuse(before, after):\n            await",
                "        if after.key.since is not None:\n            await",
            ),
        ),
        (
            REFUSED + "test_its_organization_is_told_once_however_many_find_out_at_once",
            REFUSED + "test_it_is_told_again_only_after_the_key_was_taken",
        ),
    ),
    Bug(
        "a 429 without a time is no news",
        "The account is called on as often as before, and refused as often.",
        (
            Edit(
                "flows/note_outcome.py",
                "told.key_refused or told.why == TOO_OFTEN",
                "told.key_refused or told.retry_after_seconds is not None",
            ),
        ),
        ("tests/flows/test_provider_pace.py",),
    ),
    Bug(
        "a refused key is taken back whoever has looked it up",
        "Somebody sends it again at that moment, and it is charged while it says that it is ready.",
        (
            Edit(
                "store/attempts.py",
                "AND id = $2 AND state = 'sent' AND sent_at = $3\n    RETURNING id",
                "AND id = $2 AND sent_at = $3\n    RETURNING id",
            ),
        ),
        ("tests/flows/test_refused_keys.py",),
    ),
    Bug(
        "one account may have every slot",
        "A provider that hangs holds up the charges of all others.",
        (
            Edit(
                "flows/calls_under_way.py",
                "        return max(more, 1 if own == 0 else 0)\n",
                "        return max(more, 1_000)\n",
            ),
        ),
        ("tests/workers/test_bulkhead.py",),
    ),
    Bug(
        "a look-up that asks nobody keeps the probe",
        "An account at Adyen that answers again is left alone until nobody's call is over.",
        (
            Edit(
                "flows/call_account.py",
                "            await self._give_back(used)\n            return told\n",
                "            return told\n",
            ),
        ),
        (UNMADE,),
    ),
    Bug(
        "a call that was not made is taken off the limit",
        "What no provider was asked for holds up the charges of an account.",
        (
            Edit(
                "flows/take_calls.py",
                "        bucket=put_back(health.bucket, used.calls),\n",
                "        bucket=health.bucket,\n",
            ),
        ),
        (UNMADE,),
    ),
    Bug(
        "what follows a look-up that asks nobody is no question",
        "An account at Adyen is never asked before its time, however long its silence lasts.",
        (
            Edit(
                "flows/call_account.py",
                "            questions=self._had_no_way_to_ask,\n",
                "",
            ),
        ),
        (UNMADE,),
    ),
    Bug(
        "of what an account held back only the first thousand are woken",
        "The others wait for as long as they were put off, with an account that answers.",
        (
            Edit(
                "flows/wake_account.py",
                "            if most is not None:\n                break\n",
                "            break\n",
            ),
        ),
        (PACE + "test_however_many_were_held_back_all_are_due",),
    ),
    Bug(
        "who wakes attempts waits for those that somebody holds",
        "One that is held keeps all others of its account waiting.",
        (
            Edit(
                "store/waiting_attempts.py",
                "ORDER BY id LIMIT $5\n           FOR NO KEY UPDATE SKIP LOCKED\n",
                "ORDER BY id LIMIT $5\n           FOR NO KEY UPDATE\n",
            ),
        ),
        (PACE + "test_what_somebody_holds_keeps_nobody_waiting",),
    ),
    Bug(
        "a page of a provider's list locks its invoices in two goes",
        "Two who take in news of the same invoices wait for each other, and neither is done.",
        (
            Edit(
                "flows/mend_from_list.py",
                "        await collection.lock_together(self._conn, lost, list(known))\n",
                "        await collection.lock_covered(self._conn, list(known))\n"
                "        await collection.lock(self._conn, lost)\n",
            ),
        ),
        ("tests/flows/test_mend_from_list.py",),
    ),
    Bug(
        "all accounts at a provider share their threads",
        "One whose provider hangs has them all, and the calls of the others are never begun.",
        (
            Edit(
                "providers/sdk_threads.py",
                "MOST_AT_ONCE: Final = 32  # of one account\n",
                "MOST_AT_ONCE: Final = 32\n_OF_ALL: Final[dict[str, asyncio.Semaphore]] = {}\n",
            ),
            Edit(
                "providers/sdk_threads.py",
                "self._places = asyncio.Semaphore(MOST_AT_ONCE)",
                "self._places = _OF_ALL.setdefault(name, asyncio.Semaphore(MOST_AT_ONCE))",
            ),
        ),
        (THREADS + "test_an_account_that_hangs_stops_no_other",),
    ),
    Bug(
        "a call that was given up leaves its place to the next",
        "Of an account that hangs there are ever more threads, until there is room for none.",
        (
            Edit(
                "providers/sdk_threads.py",
                "                return await self._begin(work, deadline)\n",
                "                try:\n"
                "                    return await self._begin(work, deadline)\n"
                "                finally:\n"
                "                    self._places.release()\n",
            ),
            Edit(
                "providers/sdk_threads.py",
                "            self._places.release()\n            if not told.done():",
                "            if not told.done():",
            ),
        ),
        (THREADS + "test_a_call_that_was_given_up_counts_until_it_ends",),
    ),
    Bug(
        "accounts at Stripe share a number of connections",
        "One that hangs has them all, and each of the others seems to be down as well.",
        (
            Edit(
                "flows/open_provider.py",
                "limits=httpx.Limits(max_connections=None)",
                "limits=httpx.Limits(max_connections=400)",
            ),
        ),
        ("tests/flows/test_open_provider.py",),
    ),
    Bug(
        "two who call an account at once do not see each other",
        "Together they go over the limit that the provider publishes.",
        (
            Edit(
                "store/provider_health.py",
                "     ORDER BY h.organization_id, h.provider_account_id\n"
                "       FOR NO KEY UPDATE OF h\n",
                "",
            ),
        ),
        ("tests/flows/test_provider_pace.py",),
    ),
    Bug(
        "one account whose secrets do not open ends the telling of the sandbox",
        "No new account is told where its events go until the process begins anew.",
        (
            Edit(
                "flows/register_sandbox_webhooks.py",
                "            not_told += 1\n            continue\n",
                "            raise\n",
            ),
        ),
        ("tests/flows/test_register_sandbox_webhooks.py",),
    ),
)
