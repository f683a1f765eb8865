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
    credit_notes,
    drafts,
    dunning,
    limits,
    lists,
    mails,
    methods,
    papers,
    payers,
    refunds,
    requests,
    restores,
    secrets,
    sending,
    settling,
    sums,
    tenants,
    wire,
)
from tests.planted.bugs.bug import Bug

BUGS: Final[tuple[Bug, ...]] = (
    *accounts.BUGS,
    *answers.BUGS,
    *asks.BUGS,
    *limits.BUGS,
    *credit_notes.BUGS,
    *drafts.BUGS,
    *dunning.BUGS,
    *mails.BUGS,
    *lists.BUGS,
    *methods.BUGS,
    *papers.BUGS,
    *payers.BUGS,
    *refunds.BUGS,
    *requests.BUGS,
    *restores.BUGS,
    *secrets.BUGS,
    *sending.BUGS,
    *settling.BUGS,
    *sums.BUGS,
    *tenants.BUGS,
    *wire.BUGS,
)
