"""How the faults setting is read, and that chance follows it."""

from collections import Counter
from random import Random

import pytest

from recoup.sandbox.faults import (
    STRIKES_BEFORE,
    CallFault,
    CallTrouble,
    Faults,
    FaultsError,
    Journey,
    WebhookFault,
)


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("drop_befor=0.1", "unknown fault 'drop_befor'"),
        ("drop_before=1.1", "drop_before needs a probability from 0 to 1, not '1.1'"),
        ("slow=-0.1", "slow needs"),
        ("slow=often", "slow needs"),
        ("slow=nan", "slow needs"),
        ("slow", "slow needs"),
        ("html=0.1,=0.2", "unknown fault ''"),
    ],
)
def test_a_setting_that_cannot_be_read_is_named(text: str, named: str) -> None:
    with pytest.raises(FaultsError, match=r"^faults: ") as error:
        Faults(text)
    assert named in str(error.value)


def test_a_setting_that_cannot_be_read_changes_nothing() -> None:
    faults = Faults("slow=1")
    with pytest.raises(FaultsError):
        faults.change("html=1,quick=1")
    assert faults.chances == {CallFault.SLOW: 1.0}


def test_every_fault_can_be_set_with_spaces_and_a_last_comma() -> None:
    names = [*CallFault, *WebhookFault]
    assert set(Faults(", ".join(f"{name} = 0.5" for name in names) + ",").chances) == {*names}


def test_no_faults_means_no_trouble() -> None:
    faults = Faults("")
    assert faults.draw_call(Random(1)) == CallTrouble()
    assert faults.draw_journey(Random(1)) == Journey()


def test_a_lost_event_is_neither_late_nor_doubled() -> None:
    faults = Faults("webhook_drop=1,webhook_twice=1,webhook_late=1,webhook_shuffle=1")
    assert faults.draw_journey(Random(1)) == Journey(copies=0)
    assert faults.done == {WebhookFault.DROP: 1}


def test_faults_strike_as_often_as_they_should() -> None:
    faults, rng = Faults("drop_before=0.1,html=0.2,slow=0.5"), Random(3)
    drawn = [faults.draw_call(rng) for _ in range(10_000)]
    struck = Counter(trouble.fault for trouble in drawn)
    assert struck[CallFault.DROP_BEFORE] == pytest.approx(1_000, rel=0.1)
    assert struck[CallFault.HTML] == pytest.approx(1_800, rel=0.1)  # of those not dropped
    slow = [trouble.slow_seconds for trouble in drawn if trouble.slow_seconds]
    assert len(slow) == pytest.approx(5_000, rel=0.1)
    assert 0.2 <= min(slow) <= 0.25
    assert 0.95 <= max(slow) <= 1.0


def test_the_same_seed_draws_the_same_faults() -> None:
    text = "drop_after=0.3,slow=0.3,webhook_late=0.3,webhook_twice=0.3,webhook_drop=0.1"
    one, two = (
        [(faults.draw_call(rng), faults.draw_journey(rng)) for _ in range(100)]
        for faults, rng in [(Faults(text), Random(5)), (Faults(text), Random(5))]
    )
    assert one == two


def test_a_fault_that_strikes_before_does_nothing() -> None:
    before = {fault for fault in CallFault if fault.endswith("_before")}
    assert before | {CallFault.RATE_LIMITED} == STRIKES_BEFORE
