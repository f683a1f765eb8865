"""The application with its own tenant filters switched off, for tests of row-level security.

A pool like any, but for what happens to statements on their way to PostgreSQL: wherever one says
that a row's tenant is the caller's, it says here that it is the caller's *or the victim's*. In a
database of these two that is the same as no filter. The transaction still names the caller alone,
so that row-level security is all that is left between them.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final
from uuid import UUID

from recoup.store.db import Pool

_PARAMETER: Final = r"(?<![<>!])=\s*\${n}(?!\d)(?:::uuid\b(?!\[))?"


class Widened:
    """Stands before a pool, and widens every filter by `caller` to `victim`."""

    def __init__(self, pool: Pool, *, caller: UUID, victim: UUID) -> None:
        self._pool = pool
        self._caller = caller
        self._victim = victim
        self.widened = 0
        self.as_they_were: set[str] = set()  # statements that got the caller's id all the same

    def acquire(self) -> Any:
        return self._acquired()

    @asynccontextmanager
    async def _acquired(self) -> AsyncIterator[Any]:
        async with self._pool.acquire() as conn:
            yield _Connection(conn, self)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._pool, name)

    def widen(self, statement: str, values: Sequence[Any]) -> tuple[str, list[Any]]:
        """The statement and its values, with the victim wherever the caller is asked for.

        What is inserted stays the caller's: a filter is what chooses rows, and that chooses none.
        """
        widened, said = statement, list(values)
        many = [n for n, value in enumerate(values) if self._is_caller_many(value)]
        inserts = re.search(r"\bINSERT\s+INTO\b", statement) is not None
        for n, value in enumerate(values):
            if value == self._caller:
                any_of = f"= ANY (ARRAY[${n + 1}::uuid, '{self._victim}'::uuid])"
                widened = re.sub(_PARAMETER.replace("{n}", str(n + 1)), any_of, widened)
        if many and not inserts:
            size = len(values[many[0]])
            said = [
                [*value, *value] if isinstance(value, list) and len(value) == size else value
                for value in values
            ]
            for n in many:
                said[n] = [*values[n], *([self._victim] * size)]
        if widened != statement or said != list(values):
            self.widened += 1
        elif many or self._caller in values:
            self.as_they_were.add(" ".join(statement.split()))
        return widened, said

    def _is_caller_many(self, value: Any) -> bool:
        return (
            isinstance(value, list) and bool(value) and set(map(str, value)) == {str(self._caller)}
        )


class _Connection:
    """A connection whose statements are widened."""

    def __init__(self, conn: Any, widened: Widened) -> None:
        self._conn = conn
        self._widened = widened

    async def fetch(self, statement: str, *values: Any, **more: Any) -> Any:
        statement, said = self._widened.widen(statement, values)
        return await self._conn.fetch(statement, *said, **more)

    async def fetchrow(self, statement: str, *values: Any, **more: Any) -> Any:
        statement, said = self._widened.widen(statement, values)
        return await self._conn.fetchrow(statement, *said, **more)

    async def fetchval(self, statement: str, *values: Any, **more: Any) -> Any:
        statement, said = self._widened.widen(statement, values)
        return await self._conn.fetchval(statement, *said, **more)

    async def execute(self, statement: str, *values: Any, **more: Any) -> Any:
        statement, said = self._widened.widen(statement, values)
        return await self._conn.execute(statement, *said, **more)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._conn, name)
