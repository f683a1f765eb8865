"""The bugs: each one mistake that somebody might make, in the very words that would make it.

A bug names a few tests that should notice it. One that gets through means that a test is missing;
one whose text is no longer in its file has to be planted anew.
"""

from __future__ import annotations

from typing import Final

from tests.planted.bugs import (
    accounts,
    answers,
    asks,
    limits,
    methods,
    payers,
    refunds,
    restores,
    secrets,
    sending,
    settling,
    tenants,
)
from tests.planted.bugs.bug import Bug

BUGS: Final[tuple[Bug, ...]] = (
    *accounts.BUGS,
    *answers.BUGS,
    *asks.BUGS,
    *limits.BUGS,
    *methods.BUGS,
    *payers.BUGS,
    *refunds.BUGS,
    *restores.BUGS,
    *secrets.BUGS,
    *sending.BUGS,
    *settling.BUGS,
    *tenants.BUGS,
)
