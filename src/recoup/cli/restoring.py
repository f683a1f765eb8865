"""`recoup quarantine` and `reconciliation`: after a restore, and what sides do not say alike."""

from __future__ import annotations

from typing import Annotated, Any, Final
from uuid import UUID

import typer

from recoup.cli.running import (
    AsJson,
    By,
    DataDir,
    OrganizationId,
    instant,
    show_answer,
    with_database,
)

TEN_YEARS_HOURS: Final = 10 * 366 * 24
quarantine = typer.Typer(no_args_is_help=True, help="Charge nothing until providers are asked.")
reconciliation = typer.Typer(no_args_is_help=True, help="What providers and we do not say alike.")


@quarantine.command("begin")
def begin(
    by: By,
    reason: Annotated[str, typer.Option(help="Why: it is kept with the quarantine.")],
    since_hours: Annotated[
        int,
        typer.Option(
            min=1, max=TEN_YEARS_HOURS, help="How many hours back charges may be unknown here."
        ),
    ] = 72,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Send nothing through any account until its provider's list has been compared with ours."""
    from datetime import timedelta

    from recoup import clock
    from recoup.flows.notice_restore import hold_all_back
    from recoup.wiring.opening import Opened

    async def run(base: Opened) -> dict[str, Any]:
        now = clock.now()
        since = now - timedelta(hours=since_hours)
        held = await hold_all_back(
            base.pool,
            base.scout,
            because=reason,
            by=by,
            since=since,
            new_id=clock.new_id,
            now=now,
        )
        return {"quarantine": True, "accounts": held, "compare_since": instant(since)}

    show_answer(with_database(data_dir, run), as_json=as_json)


@quarantine.command("status")
def status(
    organization_id: OrganizationId, data_dir: DataDir = None, as_json: AsJson = False
) -> None:
    """List the organization's accounts through which nothing is sent."""
    from recoup.store import db, quarantines, reconciliations
    from recoup.wiring.opening import Opened

    async def run(base: Opened) -> dict[str, Any]:
        async with db.transaction(base.pool, tenants=[organization_id]) as conn:
            found = await quarantines.live(conn, [organization_id])
            latest = await reconciliations.latest(conn, organization_id)
        compared = {one.account: one.state for one in latest}
        return {
            "accounts": [
                {
                    "provider_account_id": str(one.provider_account_id),
                    "because": one.because,
                    "compare_since": instant(one.compare_since),
                    "began_at": instant(one.began_at),
                    "last_comparison": compared.get(one.account),
                }
                for one in found.values()
            ]
        }

    show_answer(with_database(data_dir, run), as_json=as_json)


@quarantine.command("release")
def release(
    organization_id: OrganizationId,
    by: By,
    reason: Annotated[str, typer.Option(help="How they know: it is kept in the audit log.")],
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Let the organization's accounts be charged through again, on a person's word."""
    from recoup import clock
    from recoup.flows.release_quarantine import release_quarantine
    from recoup.wiring.opening import Opened

    async def run(base: Opened) -> dict[str, Any]:
        released = await release_quarantine(
            base.pool, organization_id, by=by, reason=reason, new_id=clock.new_id, now=clock.now()
        )
        return {"released": released}

    show_answer(with_database(data_dir, run), as_json=as_json)


@reconciliation.command("list")
def list_findings(
    organization_id: OrganizationId, data_dir: DataDir = None, as_json: AsJson = False
) -> None:
    """List the last comparisons, and what they found that nobody has resolved."""
    from recoup.store import db, findings, reconciliations
    from recoup.wiring.opening import Opened

    async def run(base: Opened) -> dict[str, Any]:
        async with db.transaction(base.pool, tenants=[organization_id]) as conn:
            last = await reconciliations.latest(conn, organization_id)
            found = await findings.open_ones(conn, organization_id)
        return {
            "comparisons": [
                {
                    "provider_account_id": str(one.provider_account_id),
                    "state": one.state,
                    "since": instant(one.since),
                    "before": instant(one.before),
                    "listed": one.listed,
                    "foreign_charges": one.foreign_charges,
                    "ended_at": instant(one.ended_at),
                }
                for one in last
            ],
            "findings": [
                {
                    "finding_id": str(one.id),
                    "provider_account_id": str(one.provider_account_id),
                    "what": one.what.value,
                    "detail": one.detail,
                    "idempotency_key": one.idempotency_key,
                    "provider_id": one.charge_known_as,
                    "invoice_id": str(one.invoice_id) if one.invoice_id else None,
                    "amount_cents": one.amount_cents,
                    "currency": one.currency,
                    "amount_here_cents": one.here_cents,
                    "here": one.here,
                    "there": one.there,
                    "found_at": instant(one.found_at),
                }
                for one in found
            ],
        }

    show_answer(with_database(data_dir, run), as_json=as_json)


@reconciliation.command("resolve")
def resolve(
    finding_id: Annotated[
        UUID, typer.Argument(help="The finding's id, as `reconciliation list` shows.")
    ],
    organization_id: OrganizationId,
    by: By,
    reason: Annotated[str, typer.Option(help="What was done: it is kept in the audit log.")],
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Say that a finding is dealt with: it stays so, and nothing is booked for it any more."""
    from recoup import clock
    from recoup.flows.resolve_finding import Resolved, resolve_finding
    from recoup.rules.records.keys import RowKey
    from recoup.store import db
    from recoup.wiring.opening import Opened

    async def run(base: Opened) -> dict[str, Any]:
        audit_id, key = clock.new_id(), RowKey(organization_id, finding_id)
        said = Resolved(by=by, reason=reason)
        async with db.transaction(base.pool, tenants=[organization_id]) as conn:
            await resolve_finding(conn, key, said, audit_id=audit_id, now=clock.now())
        return {"finding_id": str(finding_id), "resolved": True, "audit_id": str(audit_id)}

    show_answer(with_database(data_dir, run), as_json=as_json)


@reconciliation.command("run")
def run_now(data_dir: DataDir = None, as_json: AsJson = False) -> None:
    """Ask the workers to compare every account now."""
    from recoup.store import db, jobs, provider_accounts
    from recoup.store.jobs import Job
    from recoup.wiring.opening import Opened

    async def run(base: Opened) -> dict[str, Any]:
        async with db.nameless(base.scout) as conn:
            accounts = await provider_accounts.everybodys(conn)
        async with db.nameless(base.pool) as conn:
            await jobs.promise(conn, Job.RECONCILE_ACCOUNT, accounts)
        return {"promised": len(accounts)}

    show_answer(with_database(data_dir, run), as_json=as_json)
