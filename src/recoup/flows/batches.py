"""Let asks that arrive while a batch is running wait, and go together in the next one.

No timer and no added delay: a lone ask goes at once, and under load the database's own pace makes
the batches. Used by the HTTP edge for retries and key look-ups, and by the workers.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, TypeVar

from recoup.store.db import DATABASE_AWAY

Ask = TypeVar("Ask")
Answer = TypeVar("Answer")

MOST_PER_BATCH = 200  # bounds how long one batch holds its locks


class Batches(Generic[Ask, Answer]):
    """Calls `serve` with the waiting asks, one batch at a time, and hands each its answer.

    `serve` takes a sequence and answers in its order. A batch that fails is run again ask by ask
    (with the same ids in the asks), so that one bad or locked row never refuses the others; an
    ask that fails alone raises to whoever asked it.
    """

    def __init__(self, serve: Callable[[Sequence[Ask]], Awaitable[Sequence[Answer]]]) -> None:
        self._serve = serve
        self._waiting: list[tuple[Ask, asyncio.Future[Answer]]] = []
        self._running: asyncio.Task[None] | None = None

    async def ask(self, ask: Ask) -> Answer:
        """Answer one ask, together with whoever else is waiting.

        :raises BaseException: what `serve` raised for this ask alone.
        """
        future: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self._waiting.append((ask, future))
        if self._running is None:
            self._running = asyncio.create_task(self._run())
        return await future

    async def _run(self) -> None:
        try:
            while self._waiting:
                batch = self._waiting[:MOST_PER_BATCH]
                del self._waiting[:MOST_PER_BATCH]
                # Whoever was cancelled meanwhile wants nothing any more: a worker whose queue was
                # cut off asks for the same attempt again, and is not to find itself beside itself.
                await self._serve_batch([one for one in batch if not one[1].done()])
        finally:
            self._running = None

    async def _serve_batch(self, batch: list[tuple[Ask, asyncio.Future[Answer]]]) -> None:
        if not batch:
            return
        answers = await serve_each(self._serve, [ask for ask, _ in batch])
        for (_, future), answer in zip(batch, answers, strict=True):
            if future.done():  # the asker may have hung up meanwhile
                continue
            if isinstance(answer, Failed):
                future.set_exception(answer.error)
            else:
                future.set_result(answer)


class Failed:
    """An ask that failed also when it was alone."""

    def __init__(self, error: Exception) -> None:
        self.error = error


async def serve_each(
    serve: Callable[[Sequence[Ask]], Awaitable[Sequence[Answer]]], asks: Sequence[Ask]
) -> list[Answer | Failed]:
    """Serve the asks together, or, where that fails, each alone; answers in their order."""
    try:
        return list(await serve(asks))
    except Exception as error:  # noqa: BLE001  whose it was is found out, and it is handed on
        if len(asks) == 1:
            return [Failed(error)]
    answers: list[Answer | Failed] = []
    for ask in asks:
        answers += await serve_each(serve, [ask])
        if isinstance(last := answers[-1], Failed) and isinstance(last.error, DATABASE_AWAY):
            # It would be away for each of the others as well, and each would wait for that.
            return answers + [last] * (len(asks) - len(answers))
    return answers
