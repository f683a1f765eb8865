"""What was measured, against what is wanted: a table for people, JSON for machines."""

from __future__ import annotations

import os
import platform
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import Final

import msgspec
from rich.console import Console
from rich.markup import escape
from rich.table import Table

RESULTS: Final = Path(__file__).with_name("results")
TARGET_KINDS: Final = {">=": float.__ge__, "<=": float.__le__, "<": float.__lt__}


class Target(msgspec.Struct, frozen=True):
    """What a figure must be, beside a limit. `of_ratio`: the ratio must be, not the figure."""

    sign: str
    limit: float
    of_ratio: bool = False

    def is_met_by(self, value: float) -> bool:
        """Say whether a figure, or its ratio, is what is wanted."""
        return TARGET_KINDS[self.sign](value, self.limit)


class Figure(msgspec.Struct, frozen=True, kw_only=True):
    """One figure: the median of its rounds. Without a target it is told for information."""

    part: str  # a … h
    name: str
    unit: str
    rounds: Sequence[float]
    ratios: Sequence[float] = ()  # of each round to its pair, measured just before
    compared_with: str = ""
    target: Target | None = None
    p99: float | None = None  # in the same unit, of what the rounds are medians of
    beside_p99: float | None = None  # the same of what it is compared with

    @property
    def value(self) -> float:
        """The median of the rounds."""
        return median(self.rounds)

    @property
    def ratio(self) -> float | None:
        """The median of the ratios: a pair has seen the same minute of a busy machine."""
        return median(self.ratios) if self.ratios else None

    @property
    def is_met(self) -> bool | None:
        """Whether the target is met; None where there is none."""
        if self.target is None:
            return None
        judged = self.ratio if self.target.of_ratio else self.value
        assert judged is not None, f"{self.name} has a target for a ratio that it does not have"
        return self.target.is_met_by(float(judged))


def show(figures: Sequence[Figure]) -> None:
    """Print the table."""
    table = Table(title="Recoup, measured from outside", title_justify="left")
    for heading, justify in [
        ("", "left"), ("what", "left"), ("figure", "right"), ("ratio", "right"),
        ("target", "left"), ("met", "left"),
    ]:  # fmt: skip
        table.add_column(heading, justify="left" if justify == "left" else "right")
    for figure in figures:
        table.add_row(
            figure.part,
            escape(figure.name),
            f"{_number(figure.value)} {figure.unit}"
            + (f", 99 % {_number(figure.p99)}" if figure.p99 is not None else ""),
            f"{figure.ratio:.2f} {figure.compared_with}" if figure.ratio is not None else "",
            _target(figure),
            {True: "[green]yes[/green]", False: "[red]no[/red]", None: ""}[figure.is_met],
        )
    Console(width=None if sys.stdout.isatty() else 120).print(table)


def keep(figures: Sequence[Figure], *, quick: bool, seconds: float, load_before: float) -> Path:
    """Write the figures and the machine that they are of to a new file."""
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / time.strftime("%Y-%m-%dT%H%M%SZ.json", time.gmtime())
    content = {
        "quick": quick,
        "seconds": round(seconds),
        "machine": {
            "system": platform.platform(),
            "python": platform.python_version(),
            "cpus": os.cpu_count(),
            "load_before": load_before,
        },
        "figures": [
            msgspec.structs.asdict(figure)
            | {"value": figure.value, "ratio": figure.ratio, "met": figure.is_met}
            for figure in figures
        ],
    }
    path.write_bytes(msgspec.json.format(msgspec.json.encode(content)) + b"\n")
    return path


def _target(figure: Figure) -> str:
    if figure.target is None:
        return ""
    what = "ratio" if figure.target.of_ratio else ""
    limit = f"{figure.target.sign} {_number(figure.target.limit)}"
    return f"{what} {limit} {'' if what else figure.unit}".strip()


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"
