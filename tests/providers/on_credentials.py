"""What every adapter must do where its provider refuses our key, or says that we call too often.

A server that answers every call so stands in for the provider: its body is an error in the words of
all of them, as they write it where the key is none of theirs.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final

import msgspec
from aiohttp import web

from recoup.providers.protocol import TOO_OFTEN, Declined, Lost, Provider
from tests.providers.on_methods import a_customer, a_set_up
from tests.providers.on_refunds import RefundOrders
from tests.providers.stand_in import StandIn

A_REFUSAL: Final = {
    "error": {
        "type": "invalid_request_error",
        "code": "api_key_invalid",
        "message": "No such key.",
        "errors": [{"reason": "access_token_not_found"}],
    },
    "status": 401,
    "errorCode": "000",
    "errorType": "security",
    "message": "HTTP Status Response - Unauthorized",
}
A_PAGE: Final = "<!doctype html><title>Log in</title>"  # of what stands before the provider


@asynccontextmanager
async def answering(status: int, body: Any = A_REFUSAL) -> AsyncIterator[str]:
    """Run a server that answers every call so; its base URL."""

    async def answer(_request: web.Request) -> web.Response:
        if isinstance(body, str):
            return web.Response(text=body, status=status, content_type="text/html")
        return web.json_response(body, status=status)

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


class CredentialConformance(RefundOrders):
    """A key that is refused, and too many calls."""

    async def test_a_refused_key_is_no_decline(self, psp: StandIn) -> None:
        charge = self.charge(psp, self.paid_by)
        refund = self.refund(psp, await self.paid(psp, 1))
        async with answering(401) as base:
            provider = psp.asking(base)
            for told in (await provider.charge(charge), await provider.refund(refund)):
                assert isinstance(told, Lost), told
                assert told.key_refused
                assert not told.is_outage
            again = await provider.charge(msgspec.structs.replace(charge, sent_before=True))
            assert isinstance(again, Lost), again
        # Nothing was done, so the first call is made anew with a key that is taken.
        assert isinstance(await psp.provider.charge(charge), psp.truth)
        assert isinstance(await psp.provider.refund(refund), psp.refund_truth)

    async def test_a_refused_key_is_told_to_every_question(self, psp: StandIn) -> None:
        async with answering(401) as base:
            for told in await self._asked(psp, psp.asking(base)):
                assert isinstance(told, Lost), told
                assert told.key_refused

    async def test_a_401_of_somebody_elses_is_no_word_about_the_key(self, psp: StandIn) -> None:
        async with answering(401, A_PAGE) as base:
            told = await psp.asking(base).charge(self.charge(psp, self.paid_by))
        assert isinstance(told, Lost), told
        assert not told.key_refused

    async def test_what_a_key_may_not_do_is_a_no_to_that_alone(self, psp: StandIn) -> None:
        async with answering(403) as base:
            told = await psp.asking(base).charge(self.charge(psp, self.paid_by))
        assert isinstance(told, Declined), told

    async def test_too_often_is_told_also_without_a_time(self, psp: StandIn) -> None:
        async with answering(429) as base:
            told = await psp.asking(base).charge(self.charge(psp, self.paid_by))
        assert told == Lost(TOO_OFTEN)

    async def _asked(self, psp: StandIn, provider: Provider) -> list[object]:
        """What the provider says to all that it is asked, where it is asked at all."""
        charge = self.charge(psp, self.paid_by)
        told: list[object] = [
            await provider.find_method(psp.method_id(self.paid_by), psp.customer_id),
            await provider.list_methods(psp.customer_id),
            await provider.set_up_page(a_set_up(psp, 0)),
        ]
        if psp.answers_look_ups:
            told.append(await provider.look_up(charge))
        if psp.makes_customers:
            told.append(await provider.create_customer(a_customer(0)))
        return told
