"""How the walk is shown: one panel per step, with what was sent and what came back."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from rich.box import ROUNDED
from rich.console import Console
from rich.highlighter import ReprHighlighter
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

WIDTH = 100
STYLES = {"sent": "cyan", "back": "green", "told": "magenta", "so": "bold"}


class Step:
    """What one step has to show; it is printed when the step is over."""

    def __init__(self, title: str) -> None:
        self.title = title
        self._rows = Table.grid(padding=(0, 2))
        self._rows.add_column(width=4)
        self._rows.add_column(overflow="fold")

    def sent(self, what: str) -> None:
        """A command, or a call of the API."""
        self._add("sent", what)

    def back(self, what: str) -> None:
        """What was answered."""
        self._add("back", what)

    def told(self, what: str) -> None:
        """What a webhook said."""
        self._add("told", what)

    def so(self, what: str) -> None:
        """What it means."""
        self._add("so", what)

    def panel(self, style: str, seconds: float) -> Panel:
        return Panel(
            self._rows,
            title=self.title,
            title_align="left",
            subtitle=f"{seconds:.1f} s",
            subtitle_align="right",
            border_style=style,
        )

    def _add(self, label: str, what: str) -> None:
        told = Text(what) if label == "so" else ReprHighlighter()(what)
        self._rows.add_row(Text(label, style=STYLES[label]), told)


class Screen:
    """The terminal, or whatever stands in for it: without colours it reads as well."""

    def __init__(self) -> None:
        self._console = Console(highlight=False)
        self._console.width = min(self._console.width, WIDTH)
        self._steps = 0

    def headline(self, title: str, text: str) -> None:
        self._console.print(Panel(text, title=title, title_align="left", border_style="bold blue"))

    @contextmanager
    def step(self, title: str) -> Iterator[Step]:
        """Show the title while the step is on its way, and all of it when it is over."""
        self._steps += 1
        step = Step(f"{self._steps}. {title}")
        style, began = "red", time.monotonic()
        try:
            with self._console.status(step.title):
                yield step
            style = "blue"
        finally:
            self._console.print(step.panel(style, time.monotonic() - began))

    def charges(self, rows: Sequence[Sequence[str]]) -> None:
        """The provider's books."""
        table = Table("charge of", "status", "idempotency key", box=ROUNDED)
        for row in rows:
            table.add_row(*row, style="green" if "succeeded" in row else "yellow")
        self._console.print(table)

    def good(self, text: str) -> None:
        self._console.print(Panel(f"[bold]{text}[/bold]", border_style="bold green"))

    def bad(self, title: str, text: str) -> None:
        self._console.print(
            Panel(Text(text), title=title, title_align="left", border_style="bold red")
        )

    def line(self, text: str) -> None:
        """One line as it is, however long: somebody may copy it."""
        self._console.print(Text(text), soft_wrap=True)
