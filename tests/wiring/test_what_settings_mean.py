"""The settings of limits and of retention reach what they are for, each its own."""

from __future__ import annotations

from datetime import timedelta
from typing import Final

from recoup.api.limits import Limits
from recoup.flows.tidy import USUAL, Retention
from recoup.rules.call_pace import CallLimit
from recoup.settings import Settings
from recoup.wiring.http_server import limits_of
from recoup.wiring.working import retention_of

# What may be kept for ever (docs/limits.md): the other two are only in the way some time later.
FOR_EVER: Final = ("webhook_deliveries", "event_bodies", "provider_event_bodies", "mails")


def days_of(**days: int) -> Settings:
    return Settings.model_validate({f"retention_{name}_days": said for name, said in days.items()})


def test_each_thing_is_kept_for_its_own_days() -> None:
    days = {name: number for number, name in enumerate(Retention.__struct_fields__, 100)}
    kept = retention_of(days_of(**days))
    assert {name: getattr(kept, name) for name in days} == {
        name: timedelta(days=said) for name, said in days.items()
    }


def test_without_settings_things_are_kept_as_usual() -> None:
    assert retention_of(Settings()) == USUAL


def test_no_days_are_for_ever() -> None:
    kept = retention_of(days_of(**dict.fromkeys(FOR_EVER, 0)))
    assert [getattr(kept, name) for name in FOR_EVER] == [None] * len(FOR_EVER)


def test_calls_and_bodies_have_the_limits_that_are_set() -> None:
    settings = Settings(
        api_calls_per_second=2.5, api_calls_at_once=7, most_body_bytes=20_000,
        most_webhook_body_bytes=30_000,
    )  # fmt: skip
    assert limits_of(settings) == Limits(
        calls=CallLimit(2.5, 7), most_body_bytes=20_000, most_webhook_body_bytes=30_000
    )


def test_a_key_has_ten_seconds_worth_in_hand_and_is_not_held_back_unless_told() -> None:
    assert limits_of(Settings(api_calls_per_second=2.5)).calls == CallLimit(2.5, 25)
    assert limits_of(Settings(api_calls_per_second=0.01)).calls == CallLimit(0.01, 1)
    assert limits_of(Settings()).calls is None
