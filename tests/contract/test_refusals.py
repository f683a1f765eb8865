"""Every refusal of the contract is provoked once, and answered in its words."""

from __future__ import annotations

from typing import Final

import pytest

from tests.contract.conftest import CONTRACT
from tests.contract.contract import Contract
from tests.contract.differences import NEVER_REFUSED, NEVER_SAID, OURS_REFUSED
from tests.contract.judge import wrong
from tests.contract.refusals import Refused, provoke, refused_by, said_by
from tests.contract.refused import REFUSED
from tests.contract.world import World

pytestmark = pytest.mark.slow

IMPLIED: Final = (
    [case for operation in CONTRACT.operations.values() for case in refused_by(operation)]
    if CONTRACT
    else []
)
CASES: Final = [*REFUSED, *IMPLIED]


@pytest.mark.parametrize("case", CASES, ids=[case.id for case in CASES])
async def test_a_refusal_is_said_in_the_contracts_words(
    contract: Contract, world: World, case: Refused
) -> None:
    exchange = await provoke(world, case)
    assert exchange.status == case.status, exchange.text
    assert case.code in said_by(exchange), exchange.text
    assert wrong(contract, exchange) == []


def test_every_status_of_every_operation_is_provoked(contract: Contract) -> None:
    provoked = {(case.operation, case.status) for case in CASES}
    wanted = {
        (operation.key, status)
        for operation in contract.operations.values()
        for status in operation.refusals
    }
    missing = wanted - provoked - set(NEVER_REFUSED)
    assert not missing, "\n".join(map(str, sorted(missing)))
    assert not provoked & set(NEVER_REFUSED)


def test_what_we_refuse_besides_is_provoked_and_named(contract: Contract) -> None:
    provoked = {(case.operation, case.status, case.code) for case in CASES}
    assert set(OURS_REFUSED) <= provoked
    ours = {
        (case.operation, case.status, case.code)
        for case in REFUSED
        if not case.is_in_words and not contract.text.names(case.code.rpartition(".")[2])
    }
    assert ours <= set(OURS_REFUSED)


@pytest.mark.parametrize(
    "code", ["third_party_error", "provider_error", "too_many_provider_requests"]
)
async def test_an_error_of_a_provider_has_the_texts_keys(
    contract: Contract, world: World, code: str
) -> None:
    [case] = [case for case in REFUSED if case.code == code]
    body = (await provoke(world, case)).body
    wanted = contract.text.error_keys(code)
    assert set(body) == set(wanted)
    for key, inner in wanted.items():
        assert not inner or set(body[key]) == inner


def test_every_code_of_the_text_is_provoked(contract: Contract) -> None:
    provoked = {(case.status, case.code) for case in CASES}
    provoked |= {(status, code.rpartition(".")[2]) for status, code in provoked}
    wanted = contract.text.refusals() | {
        (422, f"{field}.{code}") for field, code in contract.text.broken_rules()
    }
    missing = {one for one in wanted - provoked if one[1] not in NEVER_SAID}
    assert not missing, "\n".join(map(str, sorted(missing)))
    assert set(NEVER_SAID) <= {code for _, code in wanted}
    assert not set(NEVER_SAID) & {code for _, code in provoked}
