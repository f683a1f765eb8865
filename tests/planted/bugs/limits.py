"""What a key may do and how often, what is sent again, and what is forgotten."""

from __future__ import annotations

from typing import Final

from tests.planted.bugs.bug import Bug, Edit

PERMISSIONS: Final = "tests/api/test_key_permissions.py"
LIMITS: Final = "tests/api/test_limits.py"
KEYS: Final = "tests/flows/test_manage_keys.py"
REPLAYS: Final = "tests/flows/test_replay_webhooks.py"
TIDY: Final = "tests/flows/test_tidy.py"
LATE: Final = "tests/api/test_late_calls.py"
FRONT: Final = "api/front.py"
LISTS: Final = "store/delivery_lists.py"
DELIVERIES: Final = "store/webhook_deliveries.py"

BUGS: Final = (
    Bug(
        "a key that may read may write as well",
        "The key on a dashboard voids invoices.",
        (
            Edit(
                "rules/key_permissions.py",
                '    return Mode.READ if method == "GET" else Mode.WRITE\n',
                "    return Mode.READ\n",
            ),
        ),
        (PERMISSIONS, "tests/rules/test_key_permissions.py"),
    ),
    Bug(
        "a permission for one resource is one for all",
        "Whoever may make taxes may send money back.",
        (
            Edit(
                "rules/key_permissions.py",
                '    if permissions is None or f"{resource}:{mode}" in permissions:\n',
                "    if permissions is None or any(one.endswith(mode) for one in permissions):\n",
            ),
        ),
        (PERMISSIONS, "tests/rules/test_key_permissions.py"),
    ),
    Bug(
        "a key that may do nothing may do everything",
        "Taking away the last permission opens every door.",
        (
            Edit(
                "store/api_keys.py",
                'row["id"], None if held is None else frozenset(held))',
                'row["id"], frozenset(held) if held else None)',
            ),
        ),
        (PERMISSIONS,),
    ),
    Bug(
        "a route is of another resource than it says",
        "A key for customers reads every payment.",
        (
            Edit(
                "api/payments.py",
                'opt=needs("payment")',
                'opt=needs("customer")',
            ),
        ),
        (PERMISSIONS,),
    ),
    Bug(
        "a change of a key writes what was read before it",
        "Of two people who change a key at once, one gives back what the other has just taken.",
        (
            Edit(
                "flows/manage_keys.py",
                "        changed = await api_keys.change(conn, key, said)\n",
                "        held = [one for one in await api_keys.list_all(conn, key.organization_id)"
                " if one.id == key.id and one.revoked_at is None]\n"
                "        if not held:\n"
                '            raise Refused(not_found("api_key"))\n'
                "        whole = KeyChange(\n"
                "            name=held[0].name if said.name is UNSET else said.name,\n"
                "            expires_at=(\n"
                "                held[0].expires_at if said.expires_at is UNSET"
                " else said.expires_at\n"
                "            ),\n"
                "            permissions=(\n"
                "                held[0].permissions if said.permissions is UNSET"
                " else said.permissions\n"
                "            ),\n"
                "        )\n"
                "        changed = await api_keys.change(conn, key, whole)\n",
            ),
        ),
        (KEYS,),
    ),
    Bug(
        "all keys share one pace",
        "One tenant's loop keeps every other tenant out.",
        (
            Edit(
                FRONT,
                "edge.paces.take(caller.key, weight_of",
                "edge.paces.take(None, weight_of",
            ),
        ),
        (LIMITS,),
    ),
    Bug(
        "a bulk call weighs as much as any other",
        "Who may call ten times a second begins a hundred thousand charges.",
        (
            Edit(
                "api/needs.py",
                "    return max(len(listed), 1) if isinstance(listed, list) else 1\n",
                "    return 1\n",
            ),
        ),
        (LIMITS,),
    ),
    Bug(
        "a bulk call that is refused for its length weighs as if it were served",
        "One mistake of a client, and its key is kept out for hours.",
        (
            Edit(
                "api/needs.py",
                "    if isinstance(listed, list) and len(listed) > handler.opt[_WEIGHS_MOST]:\n"
                "        return 1\n",
                "",
            ),
        ),
        (LIMITS,),
    ),
    Bug(
        "who is held back is told a second too few",
        "Lago's clients come back too early, each of their three times, and give up.",
        (
            Edit(
                "rules/call_pace.py",
                "    seconds = ceil(",
                "    seconds = int(",
            ),
        ),
        ("tests/rules/test_call_pace.py",),
    ),
    Bug(
        "made-up keys stand in the queue of the callers that we know",
        "Whoever guesses keys fast enough makes everybody else wait.",
        (
            Edit(
                "api/callers.py",
                "            return await self._strangers.ask(digest)\n",
                "            return await self._known.ask(digest)\n",
            ),
        ),
        (LIMITS,),
    ),
    Bug(
        "a body is read to its end before it is found too large",
        "A single call fills the memory of the process.",
        (Edit(FRONT, "        if size > most:\n            return None\n", ""),),
        (f"{LIMITS}::test_a_body_is_read_up_to_its_cap",),
    ),
    Bug(
        "what is sent again begins with the oldest at every piece",
        "A thousand deliveries are sent again and again, and the others never.",
        (
            Edit(
                LISTS,
                '        where.add(f"{at} >= {{0}} AND ({at}, d.id) > ({{0}}, {{1}})",'
                " after.at, after.id)\n",
                "        pass\n",
            ),
        ),
        (REPLAYS,),
    ),
    Bug(
        "what is sent again has used up its tries",
        "A receiver that is back for a minute only is asked once, and given up for good.",
        (Edit(DELIVERIES, "d.tries - d.tries_before AS tries", "d.tries AS tries"),),
        (REPLAYS,),
    ),
    Bug(
        "a delivery that waits is sent again beside itself",
        "Two schedules run for one webhook, and its receiver hears twice of everything.",
        (
            Edit(
                "flows/replay_webhooks.py",
                "    if state is DeliveryState.WAITING:\n",
                "    if False:\n",
            ),
        ),
        (REPLAYS,),
    ),
    Bug(
        "an event that is not delivered yet loses its body when it is old",
        "A receiver that is down too long is told nothing at all, and takes it for an answer.",
        (
            Edit(
                "store/events.py",
                """     WHERE e.created_at < $1 AND e.body_forgotten_at IS NULL
       AND NOT EXISTS (SELECT FROM webhook_deliveries d
            WHERE (d.organization_id, d.event_id) = (e.organization_id, e.id))
""",
                "     WHERE e.created_at < $1 AND e.body_forgotten_at IS NULL\n",
            ),
            Edit(
                "store/events.py",
                """       AND e.body_forgotten_at IS NULL
       AND NOT EXISTS (SELECT FROM webhook_deliveries d
            WHERE (d.organization_id, d.event_id) = (e.organization_id, e.id))
\"\"\"
""",
                '       AND e.body_forgotten_at IS NULL\n"""\n',
            ),
        ),
        (TIDY,),
    ),
    Bug(
        "a delivery is forgotten by its age and not by its end",
        "What is still being tried, or was sent again yesterday, is gone.",
        (
            Edit(
                DELIVERIES,
                "     WHERE ended_at < $1 ORDER BY ended_at LIMIT $2\n",
                "     WHERE created_at < $1 ORDER BY created_at LIMIT $2\n",
            ),
            Edit(DELIVERIES, "            WHERE d.ended_at < $3\n", "            WHERE $3 = $3\n"),
        ),
        (TIDY,),
    ),
    Bug(
        "a provider's event is forgotten before it is applied",
        "The money that it tells of is never booked.",
        (
            Edit(
                "store/provider_events.py",
                "     WHERE applied_at < $1 AND body_forgotten_at IS NULL ORDER BY applied_at"
                " LIMIT $2\n",
                "     WHERE received_at < $1 AND body_forgotten_at IS NULL LIMIT $2\n",
            ),
            Edit(
                "store/provider_events.py",
                "       AND e.applied_at IS NOT NULL AND e.body_forgotten_at IS NULL\n",
                "       AND e.body_forgotten_at IS NULL\n",
            ),
        ),
        (TIDY,),
    ),
    Bug(
        "a kept connection is given no time for its next call",
        "Whoever sends half a call and nothing more holds a connection for ever, and so do ten"
        " thousand others.",
        (
            Edit(
                "wiring/http_protocol.py",
                "        self._has_begun = True\n        self._await_call()\n",
                "        self._has_begun = True\n",
            ),
            Edit(
                "wiring/http_protocol.py",
                "            self._await_call()  # empty lines, say: uvicorn's own wait for a next"
                " call is over\n",
                "            pass\n",
            ),
        ),
        (LATE,),
    ),
    Bug(
        "a call that was sent whole must be answered in that time, too",
        "A slow answer is cut off, and the caller cannot know what became of it.",
        (
            Edit(
                "wiring/http_protocol.py",
                "        self._gathered_bytes = 0\n        self._has_arrived()\n",
                "        self._gathered_bytes = 0\n",
            ),
            Edit(
                "wiring/http_protocol.py",
                "        if self.pipeline or (call and not call.more_body"
                " and not call.response_complete):\n",
                "        if self.pipeline:\n",
            ),
        ),
        (LATE,),
    ),
    Bug(
        "who sends the next call ahead is cut off from an answer",
        "A retry that was accepted ends without its answer.",
        (
            Edit(
                "wiring/http_protocol.py",
                "        if self.pipeline or (call and not call.more_body"
                " and not call.response_complete):\n",
                "        if self.pipeline:\n",
            ),
        ),
        (LATE,),
    ),
    Bug(
        "a mail that waits is forgotten like one that was sent",
        "A mail server is down for a year; or a clock is wrong, and nobody gets an invoice.",
        (
            Edit("store/mails.py", "            WHERE m.ended_at < $3\n", ""),
            Edit(
                "store/mails.py",
                "FROM mails WHERE ended_at < $1 ORDER BY",
                "FROM mails WHERE created_at < $1 ORDER BY",
            ),
            Edit(
                "store/migrations/0031_forgotten_mails.sql",
                "GRANT SELECT (ended_at)",
                "GRANT SELECT (ended_at, created_at)",
            ),
        ),
        (f"{TIDY}::test_a_mail_is_forgotten_so_long_after_its_end",),
    ),
    Bug(
        "mails are kept as long as deliveries",
        "Who set 0 to keep what was told for ever keeps everybody's address for ever.",
        (
            Edit(
                "wiring/working.py",
                "mails=days(settings.retention_mails_days)",
                "mails=days(settings.retention_webhook_deliveries_days)",
            ),
        ),
        ("tests/wiring/test_what_settings_mean.py",),
    ),
)
