"""What every adapter must do with an id that no provider would give: ask for that thing, or nobody.

Ids come from callers, webhooks and imports. Whatever stands in one is a name and never a place: it
makes no request to another path of the provider, and is answered by a word.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Awaitable, Callable, Mapping
from itertools import count
from typing import Any, Final
from urllib.parse import parse_qsl, unquote

import msgspec

from recoup.providers.protocol import Charge, Lost, Provider
from tests.providers.on_changed_bytes import WORDS
from tests.providers.on_refunds import RefundOrders
from tests.providers.stand_in import StandIn
from tests.providers.wire import Sent, WireFault, broken_wire

ORDINARY: Final = "an_ordinary_1"
AWKWARD: Final[Mapping[str, str]] = {
    "nothing": "",
    "a blank": " ",
    "a slash": "/",
    "a slash ahead": "/x",
    "a slash within": "x/y",
    "this folder": ".",
    "the folder above": "..",
    "another folder": "../x",
    "a query": "x?y=z",
    "one more parameter": "x&y=z",
    "a fragment": "x#y",
    "an encoded slash": "x%2Fy",
    "the folder above, encoded": "%2e%2e",
    "another folder, twice encoded": "%252e%252e%252fx",
    "another server": "//x.example/y",
    "a whole address": "http://x.example/y",
    "a backslash": "..\\x",
    "a parameter of a path": "x;y=z",
    "a header": "x\r\nX-Header: y",
    "a NUL": "x\0y",
    "letters of elsewhere": "é…漢",
    "half a letter": "\ud800",
    "ten kilobytes": "x" * 10_000,
}
Ask = Callable[[Provider, str], Awaitable[Any]]
Shape = tuple[str, tuple[str, ...], tuple[str, ...]]


class AwkwardIdConformance(RefundOrders):
    """Every call that is given an id, the provider's or a caller's."""

    async def test_an_awkward_id_leads_nowhere_else(self, psp: StandIn) -> None:
        real = await self._known_here(psp)
        async with broken_wire(psp.base, WireFault.CLOSED, is_done=True) as wire:
            wire.mend()
            provider = psp.asking(wire.base)

            async def asked(ask: Ask, text: str) -> tuple[Any, list[Sent]]:
                wire.sent.clear()
                return await ask(provider, text), list(wire.sent)

            for what, (call, ask) in self._asks(psp).items():
                shapes: set[Shape] = set()
                for text in (ORDINARY, real[what]):
                    _, requests = await asked(ask, text)
                    shapes |= {shape(sent, text) for sent in requests}
                for name, awkward in AWKWARD.items():
                    for text in {awkward, real[what] + awkward}:
                        told, requests = await asked(ask, text)
                        assert isinstance(told, WORDS[call]), f"{what}, {name}: {told}"
                        for sent in requests:
                            assert shape(sent, text) in shapes, f"{what}, {name}: {sent}"

    async def _known_here(self, psp: StandIn) -> Mapping[str, str]:
        """Ids that the provider knows, by what they are of: an awkward one may begin like them."""
        paid = await self.paid(psp)
        known = defaultdict(str, {"a charge": paid.provider_payment_id or ""})
        if psp.has_pages:
            opened = await self.begun(psp, self.page(psp, 1))
            known["a page"] = opened.provider_payment_id or ""
        return known

    def _asks(self, psp: StandIn) -> Mapping[str, tuple[str, Ask]]:
        charge, method_id = self.charge(psp, self.paid_by), psp.method_id(self.paid_by)
        page = self.page(psp, 1) if psp.has_pages else charge
        numbers = count()  # each refund has a key of its own

        def known_as(text: str, what: Charge) -> Charge:
            return msgspec.structs.replace(what, provider_payment_id=text)

        async def refund(provider: Provider, text: str) -> Any:
            if not is_text(text):
                return Lost("cannot be rendered, so it is never kept")
            return await provider.refund(self.refund(psp, known_as(text, charge), next(numbers)))

        return {
            "a method": (
                "find_method",
                lambda provider, text: provider.find_method(text, psp.customer_id),
            ),
            "a method of whomever": (
                "find_method",
                lambda provider, text: provider.find_method(text, None),
            ),
            "a method's customer": (
                "find_method",
                lambda provider, text: provider.find_method(method_id, text),
            ),
            "a customer": ("list_methods", lambda provider, text: provider.list_methods(text)),
            "a charge": (
                "look_up",
                lambda provider, text: provider.look_up(known_as(text, charge)),
            ),
            "a page": ("look_up", lambda provider, text: provider.look_up(known_as(text, page))),
            "a charge to end": (
                "cancel",
                lambda provider, text: provider.cancel(known_as(text, charge)),
            ),
            "a page to close": (
                "cancel",
                lambda provider, text: provider.cancel(known_as(text, page)),
            ),
            "a charge to pay back": ("refund", refund),
        }


def shape(sent: Sent, text: str) -> Shape:
    """Where a request leads, whatever the text is: method, folders, names of parameters."""
    path, _, query = sent.target.partition("?")
    folders = [unquote(folder) for folder in path.split("/")]
    assert all(folder not in {".", ".."} for folder in folders), f"{path} leads elsewhere"
    named = ["{}" if folder == text else folder for folder in folders[1:]]
    parameters = parse_qsl(query, keep_blank_values=True)
    return sent.method, tuple(named), tuple(sorted(name for name, _ in parameters))


def is_text(text: str) -> bool:
    """Whether UTF-8 can say it, and so JSON and PostgreSQL."""
    try:
        text.encode()
    except UnicodeError:
        return False
    return True
