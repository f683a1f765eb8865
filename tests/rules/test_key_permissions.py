"""What a key may do: by resource, and by reading or writing."""

from __future__ import annotations

from itertools import product

import pytest

from recoup.rules.key_permissions import (
    RESOURCES,
    by_resource,
    read_permissions,
    why_not_permitted,
)
from recoup.rules.refusal import RefusalKind, Refused

METHODS = {"GET": "read", "POST": "write", "PUT": "write", "PATCH": "write", "DELETE": "write"}


@pytest.mark.parametrize(("resource", "method"), [*product(sorted(RESOURCES), METHODS)])
def test_a_key_may_do_what_it_holds_and_nothing_beside_it(resource: str, method: str) -> None:
    needed = f"{resource}:{METHODS[method]}"
    assert why_not_permitted(None, resource, method) is None
    assert why_not_permitted([needed], resource, method) is None
    everything_else = set(read_permissions(RESOURCES)) - {needed}
    refusal = why_not_permitted(everything_else, resource, method)
    assert refusal is not None
    assert refusal.kind is RefusalKind.FORBIDDEN
    assert refusal.code == f"{METHODS[method]}_action_not_allowed_for_{resource}"
    assert why_not_permitted([], resource, method) == refusal


def test_permissions_are_read_as_they_are_written() -> None:
    said = [" tax:write", "invoice", "tax:write", "fee:read"]
    assert read_permissions(said) == ("fee:read", "invoice:read", "invoice:write", "tax:write")
    assert by_resource(read_permissions(said)) == {
        "fee": ["read"], "invoice": ["read", "write"], "tax": ["write"],
    }  # fmt: skip
    assert {*by_resource(None)} == RESOURCES
    assert by_resource(()) == {}


@pytest.mark.parametrize("word", ["", "invoices", "invoice:", "invoice:delete", ":read", "a:b:c"])
def test_what_is_no_permission_is_named(word: str) -> None:
    with pytest.raises(Refused) as refused:
        read_permissions(["tax:read", word])
    assert refused.value.refusal.details == {"permissions": [f"value_is_invalid: {word}"]}
