"""`recoup check`: are the books right?"""

from __future__ import annotations

from typing import Any

import typer

from recoup.cli.running import AsJson, DataDir, show_answer, with_database


def check(data_dir: DataDir = None, as_json: AsJson = False) -> None:
    """Check that the books are right, also while a server runs; exit status 1 if they are not."""
    from recoup import clock
    from recoup.flows.check_books import Finding, check_books
    from recoup.store import db
    from recoup.wiring.opening import Opened

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

    answer = with_database(data_dir, run)
    if as_json:
        show_answer(answer, as_json=True)
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
