"""The sandbox over HTTP: every route, and how whatever goes wrong is answered."""

import logging
from collections.abc import Awaitable, Callable
from datetime import datetime
from random import Random

from aiohttp import web

from recoup.sandbox.account_api import AccountApi
from recoup.sandbox.acquirer import Acquirer
from recoup.sandbox.answers import Refused, invalid_request
from recoup.sandbox.books import Books
from recoup.sandbox.charges_api import ChargesApi
from recoup.sandbox.faults import Faults
from recoup.sandbox.payer_pages import PayerPages
from recoup.sandbox.refunds import Refunds
from recoup.sandbox.set_ups import SetUps
from recoup.sandbox.testers_api import TestersApi
from recoup.sandbox.trouble import INTERNAL_ERROR, Trouble, plain

log = logging.getLogger(__name__)


def routes(
    acquirer: Acquirer,
    refunds: Refunds,
    set_ups: SetUps,
    books: Books,
    *,
    now: Callable[[], datetime],
    trouble: Trouble,
    faults: Faults,
    rng: Random,
    public_url: str | None,
) -> list[web.RouteDef]:
    """List every route, with trouble around those of the API."""
    return [
        *ChargesApi(acquirer, refunds, public_url=public_url).routes(trouble),
        *AccountApi(set_ups, books, public_url=public_url).routes(trouble),
        *PayerPages(acquirer, set_ups, now=now).routes(),
        *TestersApi(acquirer, refunds, faults=faults, rng=rng).routes(),
    ]


@web.middleware
async def errors_in_json(
    request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
) -> web.StreamResponse:
    """Answer in JSON whatever goes wrong: a refusal, aiohttp's own errors, our bugs."""
    try:
        return await handler(request)
    except Refused as refused:
        return plain(refused.answer)
    except web.HTTPError as error:  # no such route, wrong method, body too large
        code = error.reason.lower().replace(" ", "_")
        return plain(invalid_request(code, error.reason, status=error.status))
    except (web.HTTPException, ConnectionError):
        raise  # a redirect; a caller who has hung up
    except Exception:  # the edge: a bug is answered like a provider's bad day
        log.exception("%s %s failed", request.method, request.path)
        return plain(INTERNAL_ERROR)
