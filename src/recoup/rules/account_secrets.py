"""What an account of each kind of provider needs and may have, by the adapters' names.

The one table: the command line, the REST resource and the checks below are made from it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Final

import msgspec


class AccountSecret(msgspec.Struct, frozen=True):
    """One value of an account: its name in the adapter's struct, and the variable that holds it."""

    name: str
    variable: str
    mandatory: bool = True
    made_as: str | None = None  # how one begins that is made up where none is given


# The previous ones are believed beside the new ones while a webhook's secret is exchanged.
ACCOUNT_SECRETS: Final[Mapping[str, tuple[AccountSecret, ...]]] = {
    "stripe": (
        AccountSecret("secret_key", "RECOUP_STRIPE_SECRET_KEY"),
        AccountSecret("webhook_secret", "RECOUP_STRIPE_WEBHOOK_SECRET"),
        AccountSecret("previous_webhook_secret", "RECOUP_STRIPE_PREVIOUS_WEBHOOK_SECRET", False),
    ),
    "adyen": (
        AccountSecret("api_key", "RECOUP_ADYEN_API_KEY"),
        AccountSecret("hmac_key", "RECOUP_ADYEN_HMAC_KEY"),
        AccountSecret("merchant_account", "RECOUP_ADYEN_MERCHANT_ACCOUNT"),
        AccountSecret("previous_hmac_key", "RECOUP_ADYEN_PREVIOUS_HMAC_KEY", False),
        AccountSecret("live_prefix", "RECOUP_ADYEN_LIVE_PREFIX", False),  # without it: test
    ),
    "gocardless": (
        AccountSecret("access_token", "RECOUP_GOCARDLESS_ACCESS_TOKEN"),
        AccountSecret("webhook_secret", "RECOUP_GOCARDLESS_WEBHOOK_SECRET"),
        AccountSecret(
            "previous_webhook_secret", "RECOUP_GOCARDLESS_PREVIOUS_WEBHOOK_SECRET", False
        ),
    ),
    "sandbox": (
        AccountSecret("api_key", "RECOUP_SANDBOX_API_KEY", made_as="sk_sandbox_"),
        AccountSecret("webhook_secret", "RECOUP_SANDBOX_WEBHOOK_SECRET", made_as="whsec_sandbox_"),
        AccountSecret("previous_webhook_secret", "RECOUP_SANDBOX_PREVIOUS_WEBHOOK_SECRET", False),
    ),
}
# What a secret is kept as once another takes its place, so that both are believed for a while.
KEPT_AS: Final[Mapping[str, str]] = {
    "webhook_secret": "previous_webhook_secret",
    "hmac_key": "previous_hmac_key",
}
_OF_WEBHOOKS: Final = frozenset({*KEPT_AS, *KEPT_AS.values()})  # they make no call
# What says at which account of the provider's, or in which of its worlds, money moves.
_SAYS_WHERE: Final = frozenset({"merchant_account", "live_prefix"})
_IN_TEST: Final[Mapping[str, tuple[str, ...]]] = {
    "secret_key": ("sk_test_", "rk_test_"),  # Stripe's
    "access_token": ("sandbox_",),  # GoCardless's
}
LONGEST_SECRET: Final = 1_024  # Adyen's API keys, the longest of them, have some two hundred
# Those that are more than some text. A live prefix becomes part of the host that is called, so
# whoever could write anything there would say where our calls go.
_HEX: Final = re.compile(r"([0-9A-Fa-f]{2})+")
_FORMS: Final[Mapping[str, re.Pattern[str]]] = {
    "hmac_key": _HEX,
    "previous_hmac_key": _HEX,
    "live_prefix": re.compile(r"[A-Za-z0-9]([A-Za-z0-9-]{0,46}[A-Za-z0-9])?"),
}


def with_made_up(
    kind: str, given: Mapping[str, str], new_secret: Callable[[str], str]
) -> dict[str, str]:
    """The secrets given for a new account, and those of its kind that are made up if missing."""
    made = {
        one.name: new_secret(one.made_as)
        for one in ACCOUNT_SECRETS.get(kind, ())
        if one.made_as is not None and one.name not in given
    }
    return {**given, **made}


def wrong_secrets(kind: str, given: Mapping[str, object], *, is_new: bool) -> dict[str, list[str]]:
    """Say by name what is wrong with secrets that somebody gives for an account of this kind.

    Nothing of what was given is repeated, names included: a secret may stand where a name belongs.
    """
    known = {one.name: one for one in ACCOUNT_SECRETS[kind]}
    wrong: dict[str, list[str]] = {}
    if given.keys() - known.keys():
        wrong["secrets"] = [f"contains unknown names; known are: {', '.join(known)}"]
    for name, one in known.items():
        if name in given:
            if (why := why_wrong(one, given[name])) is not None:
                wrong[name] = [why]
        elif one.mandatory and is_new:
            wrong[name] = ["value_is_mandatory"]
    return wrong


def why_wrong(one: AccountSecret, secret: object) -> str | None:
    """Say what is wrong with a secret by itself; None: nothing that can be seen.

    All of them go into headers, or are compared byte by byte, so blanks around one and characters
    beyond ASCII are slips of whoever has copied it.
    """
    if not isinstance(secret, str):
        return "value_is_invalid"
    if not secret.strip() and one.mandatory:
        return "value_is_mandatory"
    if len(secret) > LONGEST_SECRET:
        return "value_is_too_long"
    is_plain = secret.isascii() and secret.isprintable() and secret == secret.strip()
    form = _FORMS.get(one.name)
    fits = is_plain and (form is None or form.fullmatch(secret) is not None)
    return None if fits and secret else "value_is_invalid"


def secrets_after(
    kept: Mapping[str, str], given: Mapping[str, str], *, drops_previous: bool
) -> dict[str, str]:
    """The secrets from now on. One of webhooks whose place another takes is good beside it.

    `drops_previous` ends the one of before first: what is in force now is still good after it.
    """
    new = dict(kept)
    for name, previous in KEPT_AS.items():
        if drops_previous:
            new.pop(previous, None)
        if name in given and name in kept and given[name] != kept[name]:
            new[previous] = kept[name]
    return {**new, **given}  # last: who says what the previous one was, is believed


def names_that_end_a_good_one(
    kept: Mapping[str, str], given: Mapping[str, str], *, drops_previous: bool
) -> list[str]:
    """Name those of `given` that would end a webhook secret which nobody has said to be over.

    The provider may sign with it still: it learns of a new one when a person tells it so. Two are
    good at a time, so a third has to wait for a word about the first.
    """
    new = secrets_after(kept, given, drops_previous=drops_previous)
    names: list[str] = []
    for pair in KEPT_AS.items():
        said_good = pair[:1] if drops_previous else pair
        still_good = {kept[name] for name in said_good if name in kept}
        if not still_good <= {new.get(name) for name in pair}:
            names += [name for name in pair if name in given]
    return names


def are_of_other_calls(kept: Mapping[str, str], new: Mapping[str, str]) -> bool:
    """Whether calls are made otherwise than before: by another key, or to another place."""
    return any(kept.get(name) != new.get(name) for name in {*kept, *new} - _OF_WEBHOOKS)


def names_of_another_account(kept: Mapping[str, str], new: Mapping[str, str]) -> list[str]:
    """Name those of `new` that visibly belong to another account than what is `kept`.

    A charge whose answer was lost is asked about, and sent again, by the secrets of that day: at
    another account nobody knows its key, and it would be charged a second time. That a key is one
    of another account of the same world is not to be seen here.
    """
    return sorted(
        name
        for name, secret in new.items()
        if (name in _SAYS_WHERE and kept.get(name, "") != secret)
        or _is_in_test(name, kept.get(name, secret)) != _is_in_test(name, secret)
    )


def _is_in_test(name: str, secret: str) -> bool:
    return secret.startswith(_IN_TEST.get(name, ()))  # no text begins with one of none
