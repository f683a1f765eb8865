"""Run worlds by their seeds, and say what went wrong so that anybody can see it again."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

from tests.simulation.audit import broken_invariants, disagreements
from tests.simulation.world import Database, open_world

STEPS = 260
LOOK_EVERY = 60  # steps
SHOWN_LINES = 150


class WorldFailed(AssertionError):  # noqa: N818  it is an assertion about a whole world
    """The seed, what happened, and the command that brings it back."""


async def run_world(
    database: Database,
    seed: int,
    *,
    steps: int = STEPS,
    tell: Callable[[str], object] | None = None,
) -> tuple[str, Counter[str]]:
    """Run one world to its settled end; answer its trace in one word, and what happened in it.

    :raises WorldFailed: something went wrong, or the books do not agree.
    """
    async with open_world(database, seed, tell=tell) as world:
        try:
            wrong = []
            for step in range(steps):
                await world.step()
                if step % LOOK_EVERY == LOOK_EVERY - 1:
                    wrong += await broken_invariants(world, in_between=True)
            await world.settle_down()
            wrong += await disagreements(world)
        except Exception as error:
            raise WorldFailed(_told(seed, steps, world.trace, [repr(error)])) from error
        if wrong:
            raise WorldFailed(_told(seed, steps, world.trace, wrong))
        return world.digest(), world.happened + Counter(world.psp.done())


def _told(seed: int, steps: int, trace: list[str], wrong: list[str]) -> str:
    return "\n".join(
        [
            f"seed {seed}:",
            *trace[-SHOWN_LINES:],
            *wrong,
            f"again: python -m tests.simulation 1 --seed {seed} --steps {steps}",
        ]
    )
