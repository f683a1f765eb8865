"""Holds an answer against the contract."""

from __future__ import annotations

from tests.contract.contract import Contract, faults
from tests.contract.world import Exchange


def wrong(contract: Contract, exchange: Exchange) -> list[str]:
    """What of an answer is not as the contract says."""
    schema = contract.answer(exchange.operation, exchange.status)
    if schema is None or (exchange.body is None and exchange.operation.endswith("/download")):
        return [] if exchange.body is None else [f"the body is not empty: {exchange.text}"]
    found = faults(schema, exchange.body)
    if exchange.status == 200:
        found += contract.without_extras(exchange.operation, exchange.body)
    return found
