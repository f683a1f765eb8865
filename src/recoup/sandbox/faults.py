"""What can go wrong between the sandbox and its callers, how often, and how often it did.

Faults are drawn from the sandbox's seeded chance. A header can ask for one on a single call.
"""

from collections import Counter
from collections.abc import Mapping
from enum import StrEnum
from random import Random
from typing import Final

import msgspec


class CallFault(StrEnum):
    """How a call to the charges API goes wrong. "Done" means that the books have changed."""

    DROP_BEFORE = "drop_before"  # connection closed, nothing done
    ERROR_BEFORE = "error_before"  # 500, nothing done
    RATE_LIMITED = "rate_limited"  # 429 with Retry-After, nothing done
    DROP_AFTER = "drop_after"  # done, then connection closed
    ERROR_AFTER = "error_after"  # done, then 500
    HANG_AFTER = "hang_after"  # done, then silence, then connection closed
    HTML = "html"  # done, then 200 with a page instead of JSON
    TRUNCATED = "truncated"  # done, then half an answer
    SLOW = "slow"  # thinks for a while before it does anything; comes with any of the others


class WebhookFault(StrEnum):
    """How an event goes wrong on its way to an endpoint."""

    DROP = "webhook_drop"  # lost for good: only a look-up will tell
    TWICE = "webhook_twice"  # the same event, sent twice in a row
    LATE = "webhook_late"  # some seconds late
    SHUFFLE = "webhook_shuffle"  # held back until a later event has overtaken it


STRIKES_BEFORE: Final = frozenset(
    {CallFault.DROP_BEFORE, CallFault.ERROR_BEFORE, CallFault.RATE_LIMITED}
)
SLOW_SECONDS: Final = (0.2, 1.0)
LATE_SECONDS: Final = (2.0, 8.0)
HELD_SECONDS: Final = (1.0, 4.0)  # the longest that a held event waits to be overtaken
NAMES: Final[Mapping[str, CallFault | WebhookFault]] = {
    fault.value: fault for fault in (*CallFault, *WebhookFault)
}


class FaultsError(ValueError):
    """The faults setting cannot be read; the message names what is wrong with it."""


class CallTrouble(msgspec.Struct, frozen=True):
    """What one call suffers."""

    slow_seconds: float = 0.0
    fault: CallFault | None = None


class Journey(msgspec.Struct, frozen=True):
    """How one event travels to one endpoint; `copies` is 0 for one that gets lost."""

    copies: int = 1
    late_seconds: float = 0.0
    is_held: bool = False


class Faults:
    """The chances of each fault, which may be changed while the sandbox runs, and a count."""

    def __init__(self, text: str = "") -> None:
        """Read the setting, as in `drop_before=0.05,slow=0.1`; empty means no faults.

        :raises FaultsError: for an unknown name or a probability outside 0..1.
        """
        self.chances: Mapping[CallFault | WebhookFault, float] = parse(text)
        self.done: Counter[CallFault | WebhookFault] = Counter()

    def change(self, text: str) -> None:
        """Replace all chances; the counts go on.

        :raises FaultsError: and the old chances stay.
        """
        self.chances = parse(text)

    def count(self, fault: CallFault | WebhookFault) -> None:
        """Note that this fault has struck."""
        self.done[fault] += 1

    def draw_call(self, rng: Random) -> CallTrouble:
        """Draw what a call suffers. Uncounted: whoever makes it happen counts it."""
        slow = rng.uniform(*SLOW_SECONDS) if self._strikes(CallFault.SLOW, rng) else 0.0
        others = (fault for fault in CallFault if fault is not CallFault.SLOW)
        return CallTrouble(slow, next((f for f in others if self._strikes(f, rng)), None))

    def draw_journey(self, rng: Random) -> Journey:
        """Draw how an event travels, and count it, since nothing can come between."""
        struck = {fault for fault in WebhookFault if self._strikes(fault, rng)}
        if WebhookFault.DROP in struck:
            struck = {WebhookFault.DROP}  # what is lost is neither late nor doubled
        self.done.update(struck)
        late = rng.uniform(*LATE_SECONDS) if WebhookFault.LATE in struck else 0.0
        held = rng.uniform(*HELD_SECONDS) if WebhookFault.SHUFFLE in struck else 0.0
        copies = 0 if WebhookFault.DROP in struck else 2 if WebhookFault.TWICE in struck else 1
        return Journey(copies, late + held, is_held=WebhookFault.SHUFFLE in struck)

    def _strikes(self, fault: CallFault | WebhookFault, rng: Random) -> bool:
        chance = self.chances.get(fault, 0.0)
        return chance > 0.0 and rng.random() < chance


def parse(text: str) -> Mapping[CallFault | WebhookFault, float]:
    """Read `name=probability` pairs, separated by commas.

    :raises FaultsError: for an unknown name or a probability outside 0..1.
    """
    chances: dict[CallFault | WebhookFault, float] = {}
    for pair in filter(None, (part.strip() for part in text.split(","))):
        name, _, number = (side.strip() for side in pair.partition("="))
        if name not in NAMES:
            known = ", ".join(NAMES)
            raise FaultsError(f"faults: unknown fault {name!r}; known are {known}")
        try:
            chance = float(number)
        except ValueError:
            chance = -1.0
        if not 0.0 <= chance <= 1.0:  # also false for "nan"
            raise FaultsError(f"faults: {name} needs a probability from 0 to 1, not {number!r}")
        chances[NAMES[name]] = chance
    return chances


def call_fault(name: str) -> CallFault:
    """Read the fault that a single call asks for by its `Sandbox-Fault` header.

    :raises FaultsError: for anything but the name of a call's fault.
    """
    try:
        return CallFault(name)
    except ValueError:
        known = ", ".join(CallFault)
        raise FaultsError(f"Sandbox-Fault: {name!r} is none of {known}") from None
