"""The commands: `recoup serve`, `recoup organization create`, …

Each finds the database by `RECOUP_DATA_DIR` (or `--data-dir`) or `RECOUP_DATABASE_URL` alone, works
while a server runs on it, and prints one JSON object with `--json`.
"""

from __future__ import annotations

import asyncio
import json
import logging
import sys
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, NoReturn, TypeVar
from uuid import UUID

import structlog
import typer

from recoup.rules.attempt_state import Verdict
from recoup.settings import Settings, WrongSettingsError, read_settings

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Collect invoices: charge them, find out what really happened, retry when it makes sense.",
)
organization = typer.Typer(no_args_is_help=True, help="Tenants.")
key = typer.Typer(no_args_is_help=True, help="API keys.")
provider = typer.Typer(no_args_is_help=True, help="Accounts at payment providers.")
payment = typer.Typer(no_args_is_help=True, help="Payment attempts that need a person.")
invoice = typer.Typer(no_args_is_help=True, help="Invoices that need a person.")
app.add_typer(organization, name="organization")
app.add_typer(key, name="key")
app.add_typer(provider, name="provider")
app.add_typer(payment, name="payment")
app.add_typer(invoice, name="invoice")

DataDir = Annotated[Path | None, typer.Option(help="Folder of the embedded database and keys.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]
OrganizationId = Annotated[UUID, typer.Option("--organization", help="The organization's id.")]
Answer = TypeVar("Answer")


@app.command()
def serve(
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port to listen on; 0 takes any free one.")] = 8000,
    data_dir: DataDir = None,
) -> None:
    """Run the API, the workers and the schedule in one process."""
    _serve(data_dir, host=host, port=port)


@app.command()
def api(
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port to listen on; 0 takes any free one.")] = 8000,
    data_dir: DataDir = None,
) -> None:
    """Run the API alone: any number of them, on any number of hosts."""
    _serve(data_dir, host=host, port=port, with_worker=False)


@app.command()
def work(data_dir: DataDir = None) -> None:
    """Run the workers and the schedule alone: any number of them, on any number of hosts."""
    _serve(data_dir, host="127.0.0.1", port=0, with_api=False)


@app.command()
def sandbox(
    port: Annotated[int, typer.Option(help="Port to listen on; 0 takes any free one.")] = 8400,
    ledger: Annotated[Path, typer.Option(help="Its books: an SQLite file.")] = Path(
        "sandbox.sqlite"
    ),
    faults: Annotated[str, typer.Option(help="drop_before=0.05,slow=0.1, …")] = "",
    seed: Annotated[int, typer.Option(help="Makes random faults repeatable.")] = 0,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
) -> None:
    """Run a payment provider to play with: a program of its own, with its own books."""
    import sqlite3  # only here: no other command needs it, nor the sandbox

    from recoup.sandbox.faults import FaultsError
    from recoup.sandbox.program import serve as run_sandbox

    try:
        asyncio.run(run_sandbox(host, port, str(ledger), faults, seed))
    except (FaultsError, OSError, sqlite3.Error) as error:
        _fail(str(error))


@app.command()
def check(data_dir: DataDir = None, as_json: AsJson = False) -> None:
    """Check that the books are right, also while a server runs; exit status 1 if they are not."""
    from recoup import clock
    from recoup.flows.check_books import Finding, check_books
    from recoup.store import db
    from recoup.wiring import Opened

    def told(finding: Finding) -> dict[str, Any]:
        return {
            "name": finding.name,
            "says": finding.says,
            "count": finding.offenders.count,
            "examples": [
                {"organization_id": str(one.organization_id), "id": str(one.id)}
                for one in finding.offenders.examples
            ],
        }

    async def run(base: Opened) -> dict[str, Any]:
        # Each invariant reads everything: no look-ups by index, and as much time as it takes.
        reader = await db.connect(base.dsn, by_index=False, command_timeout=None, most=1)
        try:
            checked = await check_books(reader, base.scout, now=clock.now())
        finally:
            await reader.close()
        return {
            "ok": not checked.broken,
            "organizations": checked.organizations,
            "invariants": [told(finding) for finding in checked.invariants],
            "reported": [told(finding) for finding in checked.reported],
        }

    answer = _with_database(data_dir, run)
    if as_json:
        _print(answer, as_json=True)
    else:
        _print_check(answer)
    if not answer["ok"]:
        raise typer.Exit(1)


def _print_check(answer: dict[str, Any]) -> None:
    from rich.console import Console

    show = Console(soft_wrap=True, highlight=False).print
    for one in [*answer["invariants"], *answer["reported"]]:
        if one in answer["reported"]:
            show(f"{one['count']:>6} {one['name']}: {one['says']}")
        elif one["count"]:
            show(f"[red]broken[/red] {one['name']}: {one['says']}")
        else:
            show(f"[green] holds[/green] {one['name']}: {one['says']}")
        for example in one["examples"]:
            show(f"       {example['id']} of organization {example['organization_id']}")
        if more := one["count"] - len(one["examples"]):
            show(f"       and {more} more")
    broken = sum(1 for one in answer["invariants"] if one["count"])
    verdict = "The books are right." if answer["ok"] else f"Invariants broken: {broken}."
    show(f"{verdict} Organizations checked: {answer['organizations']}.")


@organization.command("create")
def create_organization_command(
    name: Annotated[str, typer.Argument(help="The organization's name.")],
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Create a tenant, its default billing entity and its first API key, shown once."""
    from recoup import clock
    from recoup.flows.create_organization import NewOrganization, create_organization
    from recoup.wiring import Opened

    if not name.strip():
        _fail("NAME is empty: give the organization a name.")

    async def run(base: Opened) -> dict[str, Any]:
        asked = NewOrganization(
            name=name.strip(),
            organization_id=clock.new_id(),
            billing_entity_id=clock.new_id(),
            key_id=clock.new_id(),
            api_key=clock.new_secret("recoup_"),
            hmac_key=clock.new_secret(""),
        )
        code = await create_organization(base.pool, asked, box=base.box, now=clock.now())
        return {
            "organization_id": str(asked.organization_id),
            "api_key": asked.api_key,
            "hmac_key": asked.hmac_key,
            "billing_entity_code": code,
        }

    _print(_with_database(data_dir, run), as_json=as_json)


@key.command("create")
def create_key(
    organization_id: OrganizationId,
    name: Annotated[str, typer.Option(help="What it is for.")] = "",
    expires_at: Annotated[
        datetime | None, typer.Option(help="When it ends, UTC; never if left out.")
    ] = None,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Create an API key, shown once."""
    from datetime import UTC

    from recoup import clock
    from recoup.flows.manage_keys import create_key as flow
    from recoup.wiring import Opened

    async def run(base: Opened) -> dict[str, Any]:
        key_id, secret = clock.new_id(), clock.new_secret("recoup_")
        until = expires_at.replace(tzinfo=UTC) if expires_at else None
        await flow(
            base.pool, organization_id, key_id=key_id, key=secret, name=name, expires_at=until,
            now=clock.now(),
        )  # fmt: skip
        return {"key_id": str(key_id), "api_key": secret, "expires_at": _text(until)}

    _print(_with_database(data_dir, run), as_json=as_json)


@key.command("list")
def list_keys(
    organization_id: OrganizationId, data_dir: DataDir = None, as_json: AsJson = False
) -> None:
    """List an organization's API keys: their ids and last four characters, never the keys."""
    from recoup.flows.manage_keys import list_keys as flow
    from recoup.wiring import Opened

    async def run(base: Opened) -> dict[str, Any]:
        keys = await flow(base.pool, organization_id)
        return {
            "keys": [
                {
                    "key_id": str(one.id),
                    "name": one.name,
                    "last4": one.last4,
                    "created_at": _text(one.created_at),
                    "expires_at": _text(one.expires_at),
                    "revoked_at": _text(one.revoked_at),
                }
                for one in keys
            ]
        }

    _print(_with_database(data_dir, run), as_json=as_json)


@key.command("revoke")
def revoke_key(
    key_id: Annotated[UUID, typer.Argument(help="The key's id, as `key list` shows it.")],
    organization_id: OrganizationId,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Revoke an API key: its next request is refused."""
    from recoup import clock
    from recoup.flows.manage_keys import revoke_key as flow
    from recoup.wiring import Opened

    async def run(base: Opened) -> dict[str, Any]:
        await flow(base.pool, organization_id, key_id, now=clock.now())
        return {"key_id": str(key_id), "revoked": True}

    _print(_with_database(data_dir, run), as_json=as_json)


@provider.command("add")
def add_provider(
    kind: Annotated[str, typer.Argument(help="sandbox; stripe, adyen and gocardless follow.")],
    organization_id: OrganizationId,
    code: Annotated[str, typer.Option(help="What customers name it by.")],
    name: Annotated[
        str | None, typer.Option(help="What people call it; the code otherwise.")
    ] = None,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Add an account at a payment provider. The sandbox needs no secrets: it is given new ones."""
    from recoup import clock
    from recoup.flows.add_provider_account import add_provider_account
    from recoup.store import db
    from recoup.wiring import Opened

    if kind != "sandbox":
        _fail(f"There is no adapter for {kind} yet: this version charges through the sandbox.")

    async def run(base: Opened) -> dict[str, Any]:
        account_id = clock.new_id()
        secrets = {
            "api_key": clock.new_secret("sk_sandbox_"),
            "webhook_secret": clock.new_secret("whsec_sandbox_"),
        }
        async with db.transaction(base.pool, tenants=[organization_id]) as conn:
            await add_provider_account(
                conn, organization_id, kind=kind, code=code, name=name or code, secrets=secrets,
                box=base.box, account_id=account_id, now=clock.now(),
            )  # fmt: skip
        return {
            "provider_account_id": str(account_id),
            "payment_provider": kind,
            "payment_provider_code": code,
        }

    _print(_with_database(data_dir, run), as_json=as_json)


@payment.command("list")
def list_payments(
    organization_id: OrganizationId,
    needs_review: Annotated[
        bool, typer.Option("--needs-review", help="Those alone that wait for a person.")
    ] = False,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """List the payment attempts that have not ended, oldest first."""
    from recoup.flows.settle_by_hand import list_open_attempts
    from recoup.rules.records.collection import idempotency_key
    from recoup.wiring import Opened

    async def run(base: Opened) -> dict[str, Any]:
        found = await list_open_attempts(base.pool, organization_id, needs_review=needs_review)
        return {
            "payments": [
                {
                    "payment_id": str(one.id),
                    "state": one.state.value,
                    "amount_cents": one.amount_cents,
                    "currency": one.currency,
                    "invoice_ids": [str(invoice.id) for invoice in one.invoices],
                    "invoice_numbers": [invoice.number for invoice in one.invoices],
                    "external_customer_id": one.external_customer_id,
                    "payment_provider": one.provider_kind,
                    "payment_provider_code": one.provider_code,
                    "provider_customer_id": one.provider_customer_id,
                    "provider_payment_id": one.provider_payment_id,
                    "idempotency_key": idempotency_key(one.id),
                    "created_at": _text(one.created_at),
                }
                for one in found
            ]
        }

    _print(_with_database(data_dir, run), as_json=as_json)


@payment.command("settle")
def settle_payment(
    payment_id: Annotated[UUID, typer.Argument(help="The attempt's id, as `payment list` shows.")],
    organization_id: OrganizationId,
    outcome: Annotated[Verdict, typer.Option(help="What the provider's own pages say.")],
    by: Annotated[str, typer.Option(help="Who says so: it is kept in the audit log.")],
    reason: Annotated[str, typer.Option(help="How they know: it is kept in the audit log.")],
    provider_payment_id: Annotated[
        str | None, typer.Option(help="The charge's id at the provider; needed for `paid`.")
    ] = None,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Settle an attempt of which no provider tells any more: it must be waiting for review."""
    from recoup import clock
    from recoup.flows.settle_by_hand import Decided, settle_by_hand
    from recoup.rules.records.keys import RowKey
    from recoup.wiring import Opened

    decided = Decided(
        verdict=outcome, by=by, reason=reason, provider_payment_id=provider_payment_id
    )

    async def run(base: Opened) -> dict[str, Any]:
        audit_id = clock.new_id()
        key = RowKey(organization_id, payment_id)
        state = await settle_by_hand(base.pool, key, decided, audit_id=audit_id, now=clock.now())
        return {"payment_id": str(payment_id), "state": state.value, "audit_id": str(audit_id)}

    _print(_with_database(data_dir, run), as_json=as_json)


@invoice.command("held")
def list_held(
    organization_id: OrganizationId, data_dir: DataDir = None, as_json: AsJson = False
) -> None:
    """List the invoices that nobody is charged for until a person has looked, oldest first."""
    from recoup.flows.release_invoice import list_held_invoices
    from recoup.wiring import Opened

    async def run(base: Opened) -> dict[str, Any]:
        return {
            "invoices": [
                {
                    "invoice_id": str(one.debt.id),
                    "number": one.debt.number,
                    "status": one.debt.status,
                    "payment_status": one.debt.payment_status,
                    "due_cents": one.debt.due_cents,
                    "currency": one.debt.currency,
                    "held_because": one.debt.held_because,
                    "told": [
                        {
                            "payment_id": str(told.contradiction.payment.id),
                            "was": told.contradiction.was,
                            "told": told.contradiction.told,
                            "reason": told.contradiction.reason,
                            "amount_cents": told.contradiction.amount_cents,
                            "currency": told.contradiction.currency,
                            "provider_payment_id": told.contradiction.provider_payment_id,
                            "at": _text(told.at),
                        }
                        for told in one.told
                    ],
                }
                for one in await list_held_invoices(base.pool, organization_id)
            ]
        }

    _print(_with_database(data_dir, run), as_json=as_json)


@invoice.command("release")
def release(
    invoice_id: Annotated[UUID, typer.Argument(help="The invoice's id, as `invoice held` shows.")],
    organization_id: OrganizationId,
    by: Annotated[str, typer.Option(help="Who says so: it is kept in the audit log.")],
    reason: Annotated[str, typer.Option(help="What was found: it is kept in the audit log.")],
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Let a held invoice be collected again, once somebody has looked at what was told of it."""
    from recoup import clock
    from recoup.flows.release_invoice import release_invoice
    from recoup.rules.records.keys import RowKey
    from recoup.wiring import Opened

    async def run(base: Opened) -> dict[str, Any]:
        audit_id = clock.new_id()
        key = RowKey(organization_id, invoice_id)
        await release_invoice(
            base.pool, key, by=by, reason=reason, audit_id=audit_id, now=clock.now()
        )
        return {"invoice_id": str(invoice_id), "released": True, "audit_id": str(audit_id)}

    _print(_with_database(data_dir, run), as_json=as_json)


def _serve(data_dir: Path | None, **how: Any) -> None:
    from recoup.store.embedded_postgres import DatabaseUnavailableError

    settings = _settings(data_dir)
    with _postgres_starting(settings):
        from recoup.flows.prepare_installation import SecretKeyChangedError
        from recoup.wiring import serve as run

        _log(settings.log_level)
        try:
            _run(run(settings, say=lambda line: print(line, flush=True), **how))  # noqa: T201
        except (WrongSettingsError, DatabaseUnavailableError, SecretKeyChangedError) as error:
            _fail(str(error))


@contextmanager
def _postgres_starting(settings: Settings) -> Iterator[None]:
    """Start the embedded PostgreSQL while the rest is still being imported: each takes a second.

    `wiring` joins the one that runs then, and says what is wrong where none does.
    """
    from recoup.store.embedded_postgres import DatabaseUnavailableError, EmbeddedPostgres

    if settings.database_url:
        yield
        return
    with suppress(OSError):
        settings.data_dir.mkdir(parents=True, exist_ok=True)
    with ThreadPoolExecutor(max_workers=1) as thread:
        starting = thread.submit(lambda: asyncio.run(EmbeddedPostgres.start(settings.data_dir)))
        try:
            yield
        finally:
            with suppress(DatabaseUnavailableError):
                asyncio.run(starting.result().stop())


def _with_database(
    data_dir: Path | None, run: Callable[[Any], Coroutine[Any, Any, dict[str, Any]]]
) -> dict[str, Any]:
    """Run a command on the opened database; a refusal ends it with its code."""
    from recoup.flows.prepare_installation import SecretKeyChangedError
    from recoup.rules.refusal import Refused
    from recoup.store.embedded_postgres import DatabaseUnavailableError
    from recoup.wiring import opened

    settings = _settings(data_dir)
    _log(settings.log_level)

    async def opened_and_run() -> dict[str, Any]:
        async with opened(settings) as base:
            return await run(base)

    try:
        return _run(opened_and_run())
    except Refused as error:
        _fail(f"Refused: {error.refusal.code} {json.dumps(error.refusal.details or {})}")
    except (WrongSettingsError, DatabaseUnavailableError, SecretKeyChangedError) as error:
        _fail(str(error))


def _run(work: Coroutine[Any, Any, Answer]) -> Answer:
    import uvloop

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(work)


def _settings(data_dir: Path | None) -> Settings:
    try:
        return read_settings(data_dir=data_dir)
    except WrongSettingsError as error:
        _fail(str(error))


def _log(level: str) -> None:
    """JSON lines on standard error, whoever writes them: standard output is for answers."""
    number = logging.getLevelName(level)
    complete: list[structlog.typing.Processor] = [
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso"),
        structlog.processors.format_exc_info,
    ]
    render = structlog.processors.JSONRenderer()
    structlog.configure(
        wrapper_class=structlog.make_filtering_bound_logger(number),
        logger_factory=structlog.WriteLoggerFactory(file=sys.stderr),
        processors=[*complete, render],
    )
    others = logging.StreamHandler(sys.stderr)  # uvicorn's lines, asyncio's, and Python's warnings
    others.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=complete,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, render],
        )
    )
    logging.basicConfig(level=number, handlers=[others])
    logging.captureWarnings(True)
    logging.getLogger("pgqueuer").setLevel(max(number, logging.WARNING))
    if number > logging.DEBUG:  # each start and stop is four lines of uvicorn's
        logging.getLogger("uvicorn").setLevel(max(number, logging.WARNING))


def _print(answer: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        print(json.dumps(answer))  # noqa: T201
        return
    from rich import print as show

    for name, value in answer.items():
        show(f"[bold]{name}[/bold]: {json.dumps(value) if isinstance(value, list) else value}")


def _text(at: datetime | None) -> str | None:
    return at.isoformat() if at else None


def _fail(message: str) -> NoReturn:
    print(message, file=sys.stderr)  # noqa: T201
    raise typer.Exit(1)
