from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import psutil
import pytest
import pytest_asyncio

from recoup.documents.typesetter import NotTypeset, Typesetter
from recoup.documents.typesetting_child import MOST_MEMORY_BYTES
from tests.conftest import eventually
from tests.documents import pages
from tests.documents.reading import text_of


@pytest_asyncio.fixture
async def typesetter() -> AsyncIterator[Typesetter]:
    made = Typesetter(idle_seconds=0.2)
    yield made
    await made.close()


def _process(typesetter: Typesetter) -> psutil.Process:
    assert typesetter.process_id is not None
    return psutil.Process(typesetter.process_id)


async def test_nobody_sets_pages_until_somebody_asks(typesetter: Typesetter) -> None:
    assert typesetter.process_id is None
    pdf = await typesetter.typeset(pages.invoice(), logo=pages.LOGO)
    assert isinstance(pdf, bytes)
    assert "MOR-7F31-042-007" in text_of(pdf)


async def test_many_ask_at_once_and_each_gets_its_own(typesetter: Typesetter) -> None:
    made = await asyncio.gather(
        *(typesetter.typeset(pages.invoice(number=f"N-{number}-")) for number in range(8))
    )
    for number, pdf in enumerate(made):
        assert isinstance(pdf, bytes)
        assert f"N-{number}-" in text_of(pdf)


async def test_the_process_is_bound_and_waits_for_everybody_else(typesetter: Typesetter) -> None:
    await typesetter.typeset(pages.invoice())
    process = _process(typesetter)
    limits = Path(f"/proc/{process.pid}/limits").read_text()
    (bound,) = (line for line in limits.splitlines() if line.startswith("Max address space"))
    assert str(MOST_MEMORY_BYTES) in bound
    assert process.nice() > psutil.Process().nice() or process.nice() == 19


@pytest.mark.parametrize("meant_for_us", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
async def test_it_ends_when_its_parent_says_so_and_not_with_the_whole_group(
    typesetter: Typesetter, meant_for_us: signal.Signals
) -> None:
    await typesetter.typeset(pages.invoice())
    process = _process(typesetter)
    process.send_signal(meant_for_us)  # a terminal, and a service manager, tell every process
    assert isinstance(await typesetter.typeset(pages.invoice()), bytes)
    assert typesetter.process_id == process.pid


async def test_it_is_not_told_the_secrets_of_its_parent(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("RECOUP_SECRET_KEY", "AWS_SECRET_ACCESS_KEY", "PGPASSWORD"):
        monkeypatch.setenv(name, "a-secret-of-ours")
    typesetter = Typesetter()
    try:
        await typesetter.typeset(pages.invoice())
        told = Path(f"/proc/{typesetter.process_id}/environ").read_text()
    finally:
        await typesetter.close()
    assert "a-secret-of-ours" not in told


async def test_a_page_that_takes_for_ever_is_given_up_and_the_next_one_made() -> None:
    typesetter = Typesetter(deadline_seconds=5)
    await typesetter.typeset(pages.invoice())
    stuck = _process(typesetter)
    stuck.send_signal(signal.SIGSTOP)
    try:
        answer = await typesetter.typeset(pages.invoice())
        assert answer == NotTypeset("it took more than 5 s")
        assert not stuck.is_running()
        assert isinstance(await typesetter.typeset(pages.invoice()), bytes)
    finally:
        await typesetter.close()


async def test_a_process_that_dies_is_told_of_and_started_again(typesetter: Typesetter) -> None:
    await typesetter.typeset(pages.invoice())
    process = _process(typesetter)
    process.send_signal(signal.SIGSTOP)  # it is at a page when it dies
    asked = asyncio.create_task(typesetter.typeset(pages.invoice()))
    await asyncio.sleep(0)
    os.kill(process.pid, signal.SIGKILL)
    answer = await asked
    assert isinstance(answer, NotTypeset | bytes)  # a new one, where its death was seen before
    assert isinstance(await typesetter.typeset(pages.invoice()), bytes)
    assert typesetter.process_id != process.pid


async def test_what_cannot_be_set_is_an_answer(typesetter: Typesetter) -> None:
    answer = await typesetter.typeset(pages.invoice(), logo="<svg")
    assert isinstance(answer, NotTypeset)
    assert answer.why.startswith("TypstError")
    assert isinstance(await typesetter.typeset(pages.invoice()), bytes)


async def test_an_idle_process_ends_and_another_is_started(typesetter: Typesetter) -> None:
    await typesetter.typeset(pages.invoice())
    first = _process(typesetter)

    async def has_ended() -> bool:
        return not first.is_running() or first.status() == psutil.STATUS_ZOMBIE

    await eventually(has_ended, what="the idle process ended")
    assert isinstance(await typesetter.typeset(pages.invoice()), bytes)
    assert typesetter.process_id != first.pid


async def test_whoever_is_cut_off_leaves_no_answer_to_the_next(typesetter: Typesetter) -> None:
    await typesetter.typeset(pages.invoice())
    cut_off = asyncio.create_task(typesetter.typeset(pages.invoice(number="FIRST")))
    await asyncio.sleep(0)
    cut_off.cancel()
    await asyncio.gather(cut_off, return_exceptions=True)
    pdf = await typesetter.typeset(pages.invoice(number="SECOND"))
    assert isinstance(pdf, bytes)
    assert "SECOND" in text_of(pdf)


async def test_closed_it_leaves_no_process(typesetter: Typesetter) -> None:
    await typesetter.typeset(pages.invoice())
    process = _process(typesetter)
    await typesetter.close()
    assert not process.is_running()
