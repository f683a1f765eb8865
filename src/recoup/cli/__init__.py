"""The commands: `recoup serve`, `recoup organization create`, …

Each finds the database by `RECOUP_DATA_DIR` (or `--data-dir`) or `RECOUP_DATABASE_URL` alone, works
while a server runs on it, and prints one JSON object with `--json`.

What would surprise you: a command imports what it needs when it is called. Most need little, and
whoever types `--help` waits for none of it.
"""

from __future__ import annotations

import typer

from recoup.cli import checking, providers, restoring, review, secrets, serving, tenants, webhooks

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Collect invoices: charge them, find out what really happened, retry when it makes sense.",
)
for command in (serving.serve, serving.api, serving.work, serving.sandbox, checking.check):
    app.command()(command)
app.add_typer(tenants.organization, name="organization")
app.add_typer(tenants.key, name="key")
app.add_typer(providers.provider, name="provider")
app.add_typer(secrets.secrets, name="secrets")
app.add_typer(review.payment, name="payment")
app.add_typer(restoring.quarantine, name="quarantine")
app.add_typer(restoring.reconciliation, name="reconciliation")
app.add_typer(review.refund, name="refund")
app.add_typer(review.invoice, name="invoice")
app.add_typer(webhooks.webhook, name="webhook")
