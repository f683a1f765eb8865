"""HTTP as uvicorn speaks it, with an end to what it would gather or wait for without one.

uvicorn's parser gathers an address, a header or a trailer for as long as one comes, and uvicorn
waits for the rest of a call for ever. Here both are cut off, in JSON, as everything above refuses.
"""

from __future__ import annotations

import asyncio
from typing import Any, Final

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from recoup.api import errors

MOST_HEAD_BYTES: Final = 128 * 1024  # more than `api/front` takes, which says so in more detail


class HttpProtocol(HttpToolsProtocol):
    """One connection.

    Who is cut off has lost nothing: `api/front` reads a body to its end before anything is done.
    """

    cycle: RequestResponseCycle | None  # type: ignore[assignment]  # the last call whose head came

    def __init__(self, *args: Any, arrives_within: float, **kwargs: Any) -> None:
        """
        :param arrives_within: how many seconds a call has, from its first byte to its last.
        """
        super().__init__(*args, **kwargs)
        self._arrives_within = arrives_within
        self._deadline: asyncio.TimerHandle | None = None  # of the call that is arriving
        self._has_begun = False  # that call, by more than empty lines
        self._gathered_bytes = 0  # since the parser last handed anything on; a body is handed on

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._await_call()

    def connection_lost(self, exc: Exception | None) -> None:
        self._has_arrived()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        self._gathered_bytes += len(data)
        super().data_received(data)
        if self.transport.is_closing():
            return
        if self._gathered_bytes > MOST_HEAD_BYTES:
            self._refuse(431, errors.bare(431))
        elif self.cycle is None or self.cycle.response_complete:
            self._await_call()  # empty lines, say: uvicorn's own wait for a next call is over

    def on_message_begin(self) -> None:
        self._has_begun = True
        self._await_call()
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        self._gathered_bytes = 0
        super().on_headers_complete()

    def on_chunk_header(self) -> None:
        self._gathered_bytes = 0

    def on_body(self, body: bytes) -> None:
        self._gathered_bytes = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        self._gathered_bytes = 0
        self._has_arrived()
        super().on_message_complete()

    def send_400_response(self, msg: str) -> None:  # noqa: ARG002  uvicorn's own words, in English
        self._refuse(*errors.encoded(errors.UNREADABLE))

    def _await_call(self) -> None:
        if self._deadline is None:
            self._deadline = self.loop.call_later(self._arrives_within, self._is_late)

    def _has_arrived(self) -> None:
        self._has_begun = False
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _is_late(self) -> None:
        self._deadline = None
        if self.transport.is_closing():
            return
        call = self.cycle
        if self.pipeline or (call and not call.more_body and not call.response_complete):
            self._await_call()  # whoever sends the next one ahead is not cut off from an answer
        elif not self._has_begun or (call and call.more_body and call.response_started):
            self.transport.close()  # nothing of it came, or it was answered before its end
        else:
            self._refuse(408, errors.bare(408))

    def _refuse(self, status: int, body: bytes) -> None:
        head = (
            f"HTTP/1.1 {status} {errors.phrase(status)}\r\ncontent-type: application/json\r\n"
            f"content-length: {len(body)}\r\nconnection: close\r\n\r\n"
        )
        self.transport.write(head.encode() + body)
        self.transport.close()
