"""Secrets: where they may be seen, and how one takes the place of another."""

from __future__ import annotations

from typing import Final

from tests.planted.bugs.bug import Bug, Edit
from tests.planted.bugs.places import HOOKS

ROTATION: Final = (
    "tests/processes/test_key_rotation.py::test_keys_are_exchanged_under_load_and_no_call_fails"
)
CANARIES: Final = "tests/processes/test_secrets.py::test_no_secret_is_anywhere_but_in_ciphertext"

BUGS: Final = (
    Bug(
        "a call that fails is logged with its body, and secrets with it",
        "Whoever reads the log can charge in the tenants' names.",
        (
            Edit(
                "api/errors.py",
                "        path=request.url.path,\n",
                "        path=request.url.path,\n"
                '        body=repr(request.scope.get("recoup_body")),\n',
            ),
        ),
        (CANARIES,),
    ),
    Bug(
        "a provider's error text is kept, and secrets with it",
        "It repeats the key that it was shown: in the database, and in what the tenant is told.",
        (
            Edit(
                "providers/stripe_http.py",
                "return TurnedAway(error.http_status, type(error).__name__, said.error)",
                "return TurnedAway(error.http_status, str(error), said.error)",
            ),
        ),
        (CANARIES,),
    ),
    Bug(
        "a call's secrets are kept under its idempotency key",
        "The body that connects an account lies there for a month, beside the ciphertext.",
        (
            Edit(
                "api/edge.py",
                "body_digest=sha256(await request.body()).hexdigest(),",
                "body_digest=(await request.body()).hex(),",
            ),
        ),
        (CANARIES,),
    ),
    Bug(
        "an answer shows the secrets",
        "Every API key of a tenant can read the tenant's keys at its provider.",
        (
            Edit(
                "flows/add_provider_account.py",
                "return sorted(name for name, secret in",
                'return sorted(f"{name}: {secret}" for name, secret in',
            ),
        ),
        (CANARIES,),
    ),
    Bug(
        "the audit log has the secrets",
        "What is added there can never be taken away again.",
        (
            Edit(
                "flows/manage_provider_accounts.py",
                '"secrets_given": sorted(change.secrets),',
                '"secrets_given": dict(change.secrets),',
            ),
        ),
        (CANARIES,),
    ),
    Bug(
        "a refusal repeats a secret that stands where a name belongs",
        "Error texts are logged by whoever called.",
        (
            Edit(
                "rules/account_secrets.py",
                "known are: {', '.join(known)}",
                "{', '.join(given.keys() - known.keys())}",
            ),
        ),
        (CANARIES,),
    ),
    Bug(
        "a process that ends hangs up at once",
        "A balancer that has not asked yet sends it calls, and they fail.",
        (Edit("wiring/http_server.py", "timeout=settings.drain_seconds)", "timeout=0)"),),
        (ROTATION,),
    ),
    Bug(
        "the previous master key opens nothing",
        "While it is exchanged, what one process has sealed is closed to the other.",
        (
            Edit(
                "store/secret_box.py",
                "fitting = tuple(key for key in self._keys.all if key.id == key_id)",
                "fitting = tuple(key for key in self._keys.all[:1] if key.id == key_id)",
            ),
        ),
        (ROTATION,),
    ),
    Bug(
        "a new webhook secret ends the old one",
        "The provider signs with the old one for a while yet, and its events are refused.",
        (
            Edit(
                "rules/account_secrets.py",
                "            new[previous] = kept[name]\n",
                "            new.pop(previous, None)\n",
            ),
            Edit(
                "flows/manage_provider_accounts.py",
                "for name in ending}:",
                "for name in ending if False}:",
            ),
        ),
        ("tests/flows/test_manage_provider_accounts.py", ROTATION),
    ),
    Bug(
        "a third webhook secret ends the first",
        "The provider may sign with it still, and its events are refused.",
        (
            Edit(
                "flows/manage_provider_accounts.py",
                "for name in ending}:",
                "for name in ending if change.drops_previous}:",
            ),
        ),
        (
            f"{HOOKS}::test_no_webhook_secret_ends_before_somebody_says_that_it_is_over",
            "tests/cli/test_provider.py",
        ),
    ),
    Bug(
        "a new webhook secret counts as a new key",
        "The key that is refused is tried by all that waits, and the alarm goes off anew.",
        (
            Edit(
                "flows/manage_provider_accounts.py",
                "makes_other_calls = are_of_other_calls(kept, secrets)",
                "makes_other_calls = secrets != kept",
            ),
        ),
        ("tests/flows/test_refused_keys.py",),
    ),
)
