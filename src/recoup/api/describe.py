"""Say what an operation answers, for the OpenAPI document and the pages made from it.

Every handler below `/api/v1` says it in its decorator:

    @post("/taxes", status_code=200, opt=answers(TaxAnswer))
    @get("/taxes", opt=answers(TaxesAnswer, query=PAGES))
    @get("/invoices", opt=answers(InvoicesAnswer, refuses=[422], query=[*PAGES, Query("currency",
         "Only invoices in this currency")]))
    @post("/invoices/{lago_id:str}/retry_payment", status_code=200, opt=answers(refuses=[405]))

The rest is read off the handler by `openapi_document`: the summary (first line of its docstring),
the body (its `data`), the path's parameters, and the refusals that follow from those: 401, 403,
408, 414, 429, 431 and 503 always, 413 where it is no GET, 404 where the path names something, 400
and 422 where there is a body, 409 and 422 for a POST (its `Idempotency-Key`). `refuses` names the
others.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any, Final

import msgspec

OPTION: Final = "described"  # the handler's option that holds its `Described`
JSON: Final = "application/json"


class Query(msgspec.Struct, frozen=True):
    """A query parameter: one that the handler reads from `request.query_params`."""

    name: str
    says: str
    of: Any = str  # a type: `int`, `date`, `list[str]`, an enum


class Described(msgspec.Struct, frozen=True):
    """What an operation answers."""

    answer: Any  # a type; None for an empty body
    media_type: str
    refuses: tuple[int, ...]
    query: tuple[Query, ...]
    may_be_empty: bool = False  # there may be nothing to answer yet


class SilentProvider(msgspec.Struct, frozen=True):
    """Our account at the provider that gave no answer."""

    code: str


class ErrorBody(msgspec.Struct, frozen=True, omit_defaults=True):
    """A refusal. `code` is a word to act on; `error_details` lists such words by field."""

    status: int
    error: str
    code: str | None = None
    provider: SilentProvider | None = None
    error_details: dict[str, Any] | None = None


PAGES: Final = (
    Query("page", "Which page, from 1.", int),
    Query("per_page", "How many on a page: 100 unless told, 1000 at most.", int),
)


def answers(
    answer: Any = None,
    *,
    refuses: Collection[int] = (),
    query: Sequence[Query] = (),
    media_type: str = JSON,
    may_be_empty: bool = False,
) -> dict[str, Any]:
    """Describe an operation that answers 200 with `answer`, for its decorator's `opt`.

    :param answer: the struct of the body, `str` or `bytes` for other media; None for an empty body.
    :param refuses: HTTP statuses that do not follow from the path and the body.
    :param may_be_empty: an empty body is an answer, too.
    """
    return {OPTION: Described(answer, media_type, tuple(refuses), tuple(query), may_be_empty)}
