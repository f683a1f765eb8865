"""What every adapter must do with a webhook: believe it by its signature, and never raise."""

from __future__ import annotations

from datetime import timedelta
from random import Random
from typing import get_args

from recoup.providers.protocol import Forged, Notice, Paid, Told
from tests.providers.nonsense import NONSENSE, can_be_kept, mutated
from tests.providers.stand_in import KEY, NOW, StandIn

MUTATIONS = 300
NOT_QUITE_NOW = timedelta(minutes=6)  # the providers that date their signatures give them five


class WebhookConformance:
    """Verify, read an event."""

    async def test_a_webhook_is_believed_by_its_signature(self, psp: StandIn) -> None:
        body, headers = psp.signed(psp.event())
        verified = psp.provider.verify(body, headers, now=NOW)
        assert not isinstance(verified, Forged)
        [delivery] = verified
        notice = psp.provider.read_event(delivery.body)
        assert isinstance(notice, Notice)
        assert notice.idempotency_key in {KEY, None}
        assert isinstance(notice.outcome, Paid)

    async def test_a_forged_webhook_is_not_believed(self, psp: StandIn) -> None:
        event = psp.event()
        body, headers = psp.signed(event)
        assert b"1000" in body
        forged = [
            ("another amount", body.replace(b"1000", b"9999"), headers, NOW),
            ("no signature", event, {}, NOW),
            ("another's signature", *psp.signed(event, psp.webhook_secrets[1]), NOW),
        ]
        if headers:
            spoilt = {
                name: value[:-1] + "0" * (value[-1] != "0") for name, value in headers.items()
            }
            forged.append(("one byte more", body + b" ", headers, NOW))
            forged.append(("a spoilt signature", body, spoilt, NOW))
        if psp.dates_signatures:
            forged.append(("too old", body, headers, NOW + NOT_QUITE_NOW))
            forged.append(("of the future", body, headers, NOW - NOT_QUITE_NOW))
        for why, forgery, said, now in forged:
            assert isinstance(psp.provider.verify(forgery, said, now=now), Forged), why

    async def test_two_secrets_are_believed_during_a_rotation_and_none_without_any(
        self, psp: StandIn
    ) -> None:
        first, second = psp.webhook_secrets
        for believed in ([first], [second], [first, second], [second, first], []):
            provider = psp.verifying(believed)
            for signer in (first, second):
                body, headers = psp.signed(psp.event(), signer)
                told = provider.verify(body, headers, now=NOW)
                assert isinstance(told, Forged) is (signer not in believed), (believed, signer)
        # Without a secret an empty one is none either: anybody can sign with that.
        for believed in ([], [""]):
            body, headers = psp.signed(psp.event(), "")
            assert isinstance(psp.verifying(believed).verify(body, headers, now=NOW), Forged)

    async def test_no_webhook_makes_it_raise(self, psp: StandIn) -> None:
        """Rightly signed by somebody who writes nonsense: not to be read, or read as something."""
        chance, seen = Random(2), set()
        bodies = [*NONSENSE.values(), *(mutated(psp.event(), chance) for _ in range(MUTATIONS))]
        for body in bodies:
            verified = psp.provider.verify(*psp.signed(body), now=NOW)
            seen.add(isinstance(verified, Forged))
            if not isinstance(verified, Forged):
                for delivery in verified:
                    told = psp.provider.read_event(delivery.body)
                    assert isinstance(told, get_args(Told))
                    assert can_be_kept(delivery)
                    assert can_be_kept(told)
        assert seen == {True, False}
