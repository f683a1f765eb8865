"""What does a campaign ask a late customer for, when, and when does it stop? All of it is here.

Called by `flows/dun_customer`, which looks at one customer at a time. Source: contract section 8.2;
where this is otherwise, `docs/decisions/0019-a-campaign-begins-where-retries-end.md` says why.

What would surprise you:
- Thresholds are compared with what is due now, and of that with what could be asked for: not with
  what is being collected, is held for a person, or will be charged by the retry schedule.
- An attempt is counted for a currency, however many requests it takes: one for each billing entity.
- A campaign never charges what charging again is no use for, or what a network wants left alone:
  then it reminds, and that is an attempt as well. So it does where a bank transfer is awaited:
  that has no end of its own, and would keep its payer from ever being reminded.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

import msgspec

from recoup.rules.declines import DeclineClass
from recoup.rules.method_choice import NoAttempt
from recoup.rules.money import MAX_CENTS
from recoup.rules.payment_requests import MOST_INVOICES
from recoup.rules.records.collection import Debt
from recoup.rules.records.dunning import Count, Dunning, DunningCampaign, Overdue
from recoup.rules.records.keys import RowKey
from recoup.rules.retry_policy import Failure

# Visa lets a card be tried twenty times within thirty days for one amount (`rules/retry_policy`).
MOST_CHARGES: Final = 15
WITHIN: Final = timedelta(days=30)
WHILE_COLLECTED: Final = timedelta(hours=1)  # until it is known what becomes of that
OTHERWISE: Final = timedelta(days=1)  # what has changed by itself, as what was paid by hand

_WORTH_ANOTHER: Final = {DeclineClass.SOFT, DeclineClass.TECHNICAL, DeclineClass.CUSTOMER}


class History(msgspec.Struct, frozen=True):
    """How the method was declined that a request would charge: the customer's default."""

    failures: Mapping[RowKey, Sequence[Failure]] = {}  # by overdue invoice, oldest first
    last_decline: DeclineClass | None = None  # of its last charge for whatever; None: it was none


class Demand(msgspec.Struct, frozen=True):
    """One payment request to make: of invoices of one billing entity and currency."""

    billing_entity_id: UUID
    currency: str
    invoices: tuple[RowKey, ...]
    instead: NoAttempt | None  # why it reminds alone; None: it charges, where that can be


class Plan(msgspec.Struct, frozen=True):
    """What is to be done now, and how far the campaign has come with it."""

    dunning: Dunning | None  # None: nothing is overdue any more, so nothing is counted
    demands: tuple[Demand, ...] = ()
    is_finished: bool = False  # to be told, now


def plan(
    dunning: Dunning,
    campaign: DunningCampaign,
    overdue: Sequence[Overdue],
    history: History,
    *,
    settled: Collection[str],
    now: datetime,
) -> Plan:
    """Decide what this campaign does about a customer now.

    :param settled: the currencies in which something was paid that the campaign had asked for.
    """
    if not overdue:
        return Plan(None)
    counted = _counted(dunning, campaign, settled)
    rests_until = _rests_until(counted, campaign)
    if now < rests_until:
        return Plan(msgspec.structs.replace(counted, look_at=rests_until))
    free = [one for one in overdue if _may_be_asked_for(one, history, now=now)]
    reached = _reached(campaign, free)
    wanted = [one for one in reached if _attempts(counted, one) < campaign.max_attempts]
    if wanted:
        begun = {
            currency: Count(_attempts(counted, currency) + 1, _since(counted, currency, now))
            for currency in wanted
        }
        dunned = msgspec.structs.replace(
            counted,
            counts={**counted.counts, **begun},
            finished_at=None,
            look_at=now + timedelta(days=campaign.days_between_attempts),
        )
        return Plan(dunned, tuple(_demands(overdue, free, wanted, history, now=now)))
    limits = {threshold.currency for threshold in campaign.thresholds}
    awaited = [
        one
        for one in overdue
        if one.debt.currency in limits and (one.is_open or one.try_at is not None)
    ]
    is_finished = bool(reached) and not awaited and counted.finished_at is None
    wait = WHILE_COLLECTED if any(one.is_open for one in awaited) else OTHERWISE
    waiting = msgspec.structs.replace(
        counted,
        finished_at=now if is_finished else counted.finished_at,
        look_at=now + wait,
    )
    return Plan(waiting, is_finished=is_finished)


def why_remind_alone(debts: Iterable[Debt], history: History, *, now: datetime) -> NoAttempt | None:
    """Say why the customer's method is not to be charged by a campaign; None: it may be.

    Asked of all that is overdue at once, and of what was paid since: a card that is dead for one
    invoice is dead for the next.
    """
    if history.last_decline and history.last_decline not in _WORTH_ANOTHER:
        return NoAttempt.NO_USE
    for debt in debts:
        failures = history.failures.get(debt.key, ())
        if failures and failures[-1].decline_class not in _WORTH_ANOTHER:
            return NoAttempt.NO_USE
        if sum(one.at > now - WITHIN for one in failures) >= MOST_CHARGES:
            return NoAttempt.TOO_OFTEN
    return None


def _counted(dunning: Dunning, campaign: DunningCampaign, settled: Collection[str]) -> Dunning:
    """What still counts: nothing under other terms, nor of a currency in which some was paid."""
    same = (dunning.campaign_id, dunning.terms_changed_at) == (
        campaign.id,
        campaign.terms_changed_at,
    )
    counts = {
        currency: count
        for currency, count in dunning.counts.items()
        if same and currency not in settled
    }
    return msgspec.structs.replace(
        dunning,
        campaign_id=campaign.id,
        terms_changed_at=campaign.terms_changed_at,
        counts=counts,
        finished_at=dunning.finished_at if counts.keys() == dunning.counts.keys() else None,
    )


def _rests_until(dunning: Dunning, campaign: DunningCampaign) -> datetime:
    """Nobody is asked twice within the campaign's days, whatever was changed or paid meanwhile."""
    if dunning.last_attempt_at is None:
        return dunning.look_at
    return dunning.last_attempt_at + timedelta(days=campaign.days_between_attempts)


def _may_be_asked_for(one: Overdue, history: History, *, now: datetime) -> bool:
    """Whether nobody else collects it, will, or has a reason not to."""
    debt = one.debt
    return (
        debt.status == "finalized"
        and debt.payment_status != "succeeded"
        and debt.due_cents > 0
        and debt.held_because is None
        and not debt.self_billed
        and not one.is_open
        and one.try_at is None
        and all(failure.not_before <= now for failure in history.failures.get(debt.key, ()))
    )


def _reached(campaign: DunningCampaign, free: Sequence[Overdue]) -> list[str]:
    """The currencies in which so much is due that the campaign asks for it."""
    due: dict[str, int] = defaultdict(int)
    for one in free:
        due[one.debt.currency] += one.debt.due_cents
    return [
        threshold.currency
        for threshold in campaign.thresholds
        if threshold.currency in due and due[threshold.currency] >= threshold.amount_cents
    ]


def _attempts(dunning: Dunning, currency: str) -> int:
    count = dunning.counts.get(currency)
    return count.attempts if count else 0


def _since(dunning: Dunning, currency: str, now: datetime) -> datetime:
    count = dunning.counts.get(currency)
    return count.since if count else now


def _demands(
    overdue: Sequence[Overdue],
    free: Sequence[Overdue],
    wanted: Collection[str],
    history: History,
    *,
    now: datetime,
) -> list[Demand]:
    """The requests to make, each of so much as one can be of.

    What is to be paid by hand, or by a transfer that is awaited, is asked for apart, and does not
    keep the rest from being charged.
    """
    for_all = why_remind_alone((one.debt for one in overdue), history, now=now)
    groups: dict[tuple[str, UUID, NoAttempt | None], list[Debt]] = defaultdict(list)
    for one in free:
        debt = one.debt
        if debt.currency in wanted:
            instead = _never_charged(one) or for_all
            groups[debt.currency, debt.billing_entity_id, instead].append(debt)
    return [
        Demand(entity_id, currency, tuple(debt.key for debt in _fitting(debts)), instead)
        for (currency, entity_id, instead), debts in groups.items()
    ]


def _never_charged(one: Overdue) -> NoAttempt | None:
    """Why a campaign charges an invoice on no method at all."""
    if one.is_awaited:
        return NoAttempt.TRANSFER_IS_AWAITED
    if one.debt.skip_psp:
        return NoAttempt.SKIPS_PROVIDER
    return NoAttempt.METHOD_IS_MANUAL if one.debt.payment_method_type == "manual" else None


def _fitting(debts: Sequence[Debt]) -> list[Debt]:
    """As many as one request can be of, oldest first; the others wait until these are paid."""
    fitting: list[Debt] = []
    left = MAX_CENTS
    for debt in debts[:MOST_INVOICES]:
        if debt.due_cents <= left:
            fitting.append(debt)
            left -= debt.due_cents
    return fitting
