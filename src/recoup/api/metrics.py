"""`/metrics`: figures for Prometheus. Needs no key, and holds no tenant's name or number.

What this process did (calls, by route) is counted as it happens; what waits in the database is read
when somebody asks, and callers who ask while a reading runs share the next one.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from itertools import accumulate
from time import perf_counter
from typing import Any, Final

from litestar import Response, Router, get
from litestar.enums import ScopeType
from litestar.types import ASGIApp, Message, Receive, Scope, Send
from prometheus_client import CollectorRegistry
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.registry import Collector

from recoup.flows.batches import Batches
from recoup.rules.attempt_state import FINAL, State
from recoup.rules.reconciliation import What
from recoup.rules.records.provider_accounts import ProviderKind
from recoup.store import figures
from recoup.store.db import Pool
from recoup.store.figures import Figures, Waiting

# Anybody may send any word as a method, and each would be a time series of its own.
METHODS: Final = frozenset({"GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"})
NO_ROUTE: Final = "none"
BUCKETS: Final = (0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)


class _Collected(Collector):
    """What a registry asks for figures that were read already."""

    def __init__(self, read: Figures) -> None:
        self._read = read

    def collect(self) -> Iterator[Metric]:
        return families(self._read)


class _Tally:
    """The calls of one method, route and status: how many took how long."""

    __slots__ = ("by_bucket", "seconds")

    def __init__(self) -> None:
        self.by_bucket = [0] * (len(BUCKETS) + 1)  # the last one: slower than all of them
        self.seconds = 0.0


CALLER_GONE: Final = 499  # the word of nginx for it


class Calls(Collector):
    """What this process has answered, by method, route and status.

    Plain numbers, since one event loop alone writes them: the client library's own, with a lock
    each, cost more than twice as much a call.
    """

    def __init__(self) -> None:
        self._tallies: dict[tuple[str, str, int], _Tally] = {}

    def count(self, method: str, route: str, status: int, seconds: float) -> None:
        """Count one call that took so long."""
        key = (method if method in METHODS else "other", route, status)
        if (tally := self._tallies.get(key)) is None:
            tally = self._tallies[key] = _Tally()
        tally.by_bucket[bisect_left(BUCKETS, seconds)] += 1
        tally.seconds += seconds

    def collect(self) -> Iterator[Metric]:
        """The counts as Prometheus has them."""
        calls = HistogramMetricFamily(
            "recoup_http_request_seconds",
            "How long calls took, by method, route and status.",
            labels=["method", "route", "status"],
        )
        upper = [*map(str, BUCKETS), "+Inf"]
        for (method, route, status), tally in self._tallies.items():
            buckets = list(zip(upper, accumulate(tally.by_bucket), strict=True))
            calls.add_metric([method, route, str(status)], buckets, tally.seconds)
        yield calls


class Measured:
    """Wraps the whole application, and counts every call, whatever becomes of it."""

    def __init__(self, app: ASGIApp, calls: Calls) -> None:
        self._app = app
        self._calls = calls

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != ScopeType.HTTP:
            await self._app(scope, receive, send)
            return
        status = CALLER_GONE  # where nothing was answered

        async def watched(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        began = perf_counter()
        try:
            await self._app(scope, receive, watched)
        except Exception:
            status = 500  # what the server answers then
            raise
        finally:
            seen: Any = scope  # the router adds its template where it has found a route
            route = seen.get("path_template") or NO_ROUTE
            self._calls.count(seen["method"], route, status, perf_counter() - began)


def make_routes(
    scout: Pool, counted: Sequence[Collector], *, now: Callable[[], datetime]
) -> Router:
    """Build the route. `scout` reads the figures; `counted` is what this process has counted."""

    async def read_once(asks: Sequence[None]) -> Sequence[Figures]:
        return [await figures.read(scout, now=now())] * len(asks)

    readings: Batches[None, Figures] = Batches(read_once)

    @get("/metrics", include_in_schema=False)
    async def metrics() -> Response[bytes]:
        """Everything there is to know in figures."""
        registry = CollectorRegistry()
        for one in counted:
            registry.register(one)
        registry.register(_Collected(await readings.ask(None)))
        return Response(generate_latest(registry), headers={"Content-Type": CONTENT_TYPE_LATEST})

    return Router("/", route_handlers=[metrics])


def families(read: Figures) -> Iterator[Metric]:
    """The figures as Prometheus has them."""
    yield from _attempts(read)
    yield from _accounts(read)
    yield from _comparisons(read)
    yield from _jobs(read)
    yield from _webhooks(read)
    yield from _documents(read)
    yield from _customers(read)


def _attempts(read: Figures) -> Iterator[Metric]:
    """Where money is under way, and what has come of it that nobody expected."""
    attempts = GaugeMetricFamily(
        "recoup_payment_attempts", "Attempts that have not ended, by state.", labels=["state"]
    )
    for state in State:
        if state not in FINAL:
            attempts.add_metric([state], read.attempts.get(state, Waiting()).count)
    yield attempts
    yield GaugeMetricFamily(
        "recoup_oldest_unknown_attempt_seconds",
        "Age of the oldest attempt of which nobody knows whether money moved.",
        value=read.attempts.get(State.UNKNOWN, Waiting()).oldest_seconds,
    )
    yield GaugeMetricFamily(
        "recoup_attempts_needing_review",
        "Attempts that a person must decide.",
        value=read.attempts.get(State.NEEDS_REVIEW, Waiting()).count,
    )
    yield CounterMetricFamily(
        "recoup_contradictions",
        "News from a provider that did not fit what was known.",
        value=read.contradictions,
    )


def _accounts(read: Figures) -> Iterator[Metric]:
    """Which provider accounts are left alone, and what waits for them."""
    down = GaugeMetricFamily(
        "recoup_provider_accounts_down",
        "Provider accounts that are left alone since they did not answer, by kind.",
        labels=["provider"],
    )
    for kind in ProviderKind:
        down.add_metric([kind.value], read.providers_down.get(kind.value, 0))
    yield down
    refused = GaugeMetricFamily(
        "recoup_provider_keys_refused",
        "Provider accounts that are left alone since the provider refuses our key, by kind.",
        labels=["provider"],
    )
    for kind in ProviderKind:
        refused.add_metric([kind.value], read.keys_refused.get(kind.value, 0))
    yield refused
    yield GaugeMetricFamily(
        "recoup_attempts_held_back",
        "Attempts that wait until their provider account may be called.",
        value=read.held_back,
    )


def _comparisons(read: Figures) -> Iterator[Metric]:
    """What waits for a person, or for a comparison with a provider's list."""
    yield GaugeMetricFamily(
        "recoup_accounts_in_quarantine",
        "Provider accounts through which nothing is sent, since the database was restored.",
        value=read.quarantined,
    )
    found = GaugeMetricFamily(
        "recoup_reconciliation_findings",
        "What comparisons with providers' lists found and nobody has resolved, by what it is.",
        labels=["what"],
    )
    for what in What:
        found.add_metric([what.value], read.findings.get(what.value, 0))
    yield found
    yield GaugeMetricFamily(
        "recoup_invoices_held",
        "Invoices that nobody is charged for until a person has looked.",
        value=read.invoices_held,
    )


def _jobs(read: Figures) -> Iterator[Metric]:
    """How far the workers are behind."""
    jobs = GaugeMetricFamily(
        "recoup_queued_jobs", "Jobs that nobody has taken, by what is to be done.", labels=["job"]
    )
    for job, waiting in read.jobs.items():
        jobs.add_metric([job], waiting.count)
    yield jobs
    yield GaugeMetricFamily(
        "recoup_queue_lag_seconds",
        "How long the job that is due longest has waited for a worker.",
        value=max((waiting.oldest_seconds for waiting in read.jobs.values()), default=0.0),
    )


def _webhooks(read: Figures) -> Iterator[Metric]:
    """What is to be told to others, and what providers have told."""
    yield GaugeMetricFamily(
        "recoup_webhooks_waiting",
        "Webhook deliveries that are still to be made.",
        value=read.webhooks.count,
    )
    yield GaugeMetricFamily(
        "recoup_oldest_due_webhook_seconds",
        "How long the webhook delivery that is due longest has waited.",
        value=read.webhooks.oldest_seconds,
    )
    yield GaugeMetricFamily(
        "recoup_provider_events_waiting",
        "Providers' webhooks that are kept and not applied yet.",
        value=read.provider_events.count,
    )
    yield GaugeMetricFamily(
        "recoup_oldest_provider_event_seconds",
        "Age of the oldest provider's webhook that is not applied yet.",
        value=read.provider_events.oldest_seconds,
    )


def _documents(read: Figures) -> Iterator[Metric]:
    """How far the PDFs are behind, and which of them nobody will make."""
    yield GaugeMetricFamily(
        "recoup_documents_waiting",
        "Documents that are still to be made, or removed.",
        value=read.documents_waiting,
    )
    yield GaugeMetricFamily(
        "recoup_documents_failing",
        "Documents that could not be made at the last try, and are tried again.",
        value=read.documents_failing,
    )
    yield GaugeMetricFamily(
        "recoup_documents_given_up",
        "Documents that nobody tries to make any more: see `recoup document list`.",
        value=read.documents_given_up,
    )


def _customers(read: Figures) -> Iterator[Metric]:
    """What customers wait for: their mails, and drafts that are to be final by now."""
    yield GaugeMetricFamily(
        "recoup_mails_waiting",
        "Mails that are still to be sent, or tried again: see `recoup mail list`.",
        value=read.mails.count,
    )
    yield GaugeMetricFamily(
        "recoup_oldest_due_mail_seconds",
        "How long the mail that is due longest has waited.",
        value=read.mails.oldest_seconds,
    )
    yield GaugeMetricFamily(
        "recoup_oldest_due_draft_seconds",
        "How long ago the grace of a draft ended that is not final yet.",
        value=read.drafts.oldest_seconds,
    )
