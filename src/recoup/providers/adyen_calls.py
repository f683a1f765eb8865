"""Call Adyen through its SDK, and keep the answer as it came.

Called by `providers/adyen` alone. The SDK is synchronous, so each call runs in a thread of the
account's (`providers/sdk_threads`).

What would surprise you:
- Who stops waiting for a thread has not stopped the sending: that call is `Lost`, never undone. One
  that has no thread yet when its time is up is never sent.
- The SDK rewrites `-live` and `-test` wherever they stand in an address, re-encodes what is sent,
  follows redirects, and reads `.netrc` and proxies from the environment. `_Client` and `_Transport`
  do none of it. Its errors hold the whole request, so none is ever made.
"""

from __future__ import annotations

import http.client
import time
from collections.abc import Callable, Mapping
from typing import Any, Final

import msgspec
import requests
import urllib3
from Adyen import AdyenClient
from Adyen.services.checkout.modifications_api import ModificationsApi
from Adyen.services.checkout.payment_links_api import PaymentLinksApi
from Adyen.services.checkout.payments_api import PaymentsApi
from Adyen.services.checkout.recurring_api import RecurringApi

from recoup.providers.protocol import Lost
from recoup.providers.sdk_threads import SdkThreads

CONNECT_SECONDS: Final = 2.0
READ_SECONDS: Final = 10.0
MOST_ANSWER_BYTES: Final = 1_000_000
_READ_AT_ONCE: Final = 65_536
_OUTAGES: Final = (
    requests.ConnectionError,
    requests.Timeout,
    urllib3.exceptions.HTTPError,
    http.client.HTTPException,
    OSError,
)


class Answer(msgspec.Struct, frozen=True):
    """What Adyen answered: its body as bytes, its headers by their names in small letters."""

    status: int
    body: bytes
    headers: Mapping[str, str]


class _TooLateError(Exception):
    """The time is up, with nothing sent."""


class _Transport:
    """Sends what it is given to the letter, once, and reads no more than an answer has."""

    user_agent = "recoup"

    def __init__(self, deadline: float) -> None:
        self._deadline = deadline

    def request(
        self,
        method: str,
        url: str,
        *,
        json: str | None,
        xapikey: str,
        headers: Mapping[str, str],
    ) -> tuple[bytes, None, int, Mapping[str, str]]:
        """Send one request; `json` is the text of its body. The shape is the SDK's."""
        left = self._deadline - time.monotonic()
        if left <= CONNECT_SECONDS:
            raise _TooLateError
        with requests.Session() as session:
            session.trust_env = False  # no proxies and no .netrc of whoever runs us
            response = session.request(
                method,
                url,
                data=None if json is None else json.encode(),
                headers={**headers, "x-api-key": xapikey, "Content-Type": "application/json"},
                timeout=(CONNECT_SECONDS, min(READ_SECONDS, left - CONNECT_SECONDS)),
                allow_redirects=False,
                stream=True,
            )
            told = {name.lower(): value for name, value in response.headers.items()}
            return self._read(response.raw), None, response.status_code, told

    def _read(self, raw: Any) -> bytes:
        read = b""
        while piece := raw.read1(_READ_AT_ONCE, decode_content=True):
            read += piece
            if time.monotonic() > self._deadline:
                raise TimeoutError
            if len(read) > MOST_ANSWER_BYTES:  # cut off, it cannot be read; its status still can
                break
        return read


class _Client(AdyenClient):  # type: ignore[misc]  # the SDK ships no types
    def __init__(self, api_key: str, deadline: float) -> None:
        super().__init__(xapikey=api_key, platform="test")
        self.http_client, self.http_init = _Transport(deadline), True

    def _determine_api_url(self, platform: str, endpoint: str) -> str:  # noqa: ARG002
        return endpoint

    def _handle_response(
        self, url: str, raw: bytes, sent: None, status: int, headers: Mapping[str, str]  # noqa: ARG002
    ) -> Answer:  # fmt: skip
        return Answer(status, raw, headers)


class Services(msgspec.Struct, frozen=True):
    """The parts of the SDK's Checkout that we call. Each method answers an `Answer`."""

    payments: PaymentsApi
    links: PaymentLinksApi
    modifications: ModificationsApi
    methods: RecurringApi


class Calls:
    """Calls of one account."""

    def __init__(self, base: str, api_key: str) -> None:
        self._base = base.rstrip("/")
        self._api_key = api_key
        self._threads = SdkThreads("adyen")

    async def ask(self, question: Callable[[Services], Any]) -> Answer | Lost:
        """Make one call in a thread, and wait for it within `LONGEST_CALL`.

        :param question: is given the services, and calls one method of one.
        """
        return await self._threads.run(lambda deadline: self._ask(question, deadline))

    def _ask(self, question: Callable[[Services], Any], deadline: float) -> Answer | Lost:
        client = _Client(self._api_key, deadline)
        services = Services(
            PaymentsApi(client), PaymentLinksApi(client), ModificationsApi(client),
            RecurringApi(client),
        )  # fmt: skip
        for name in services.__struct_fields__:
            getattr(services, name).baseUrl = self._base
        try:
            answer = question(services)
        except _TooLateError:
            return Lost("no_time_was_left")
        # ValueError: an address or a header that cannot be sent.
        except (*_OUTAGES, requests.RequestException, ValueError) as error:
            return Lost(type(error).__name__, is_outage=isinstance(error, _OUTAGES))
        assert isinstance(answer, Answer)
        return answer
