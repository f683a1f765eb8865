"""`recoup serve` with settings that it cannot start with."""

from __future__ import annotations

import pytest

from recoup.store.secret_box import SecretBox
from tests.cli.conftest import Recoup


@pytest.mark.parametrize(
    ("environment", "says"),
    [
        ({"RECOUP_SECRET_KEY": ""}, "RECOUP_SECRET_KEY is missing"),
        ({"RECOUP_SECRET_KEY": "c2hvcnQ="}, "RECOUP_SECRET_KEY is wrong"),
        ({"RECOUP_DATABASE_URL": "mysql://db/recoup"}, "RECOUP_DATABASE_URL is wrong"),
        ({"RECOUP_DATABASE_URL": "", "RECOUP_SECRET_KEY": "", "RECOUP_DATA_DIR": "/proc/recoup"},
            "RECOUP_DATA_DIR is wrong"),
        ({"RECOUP_PUBLIC_URL": "billing"}, "RECOUP_PUBLIC_URL is wrong"),
    ],
)  # fmt: skip
async def test_a_wrong_setting_is_said_and_nothing_starts(
    recoup: Recoup, environment: dict[str, str], says: str
) -> None:
    ended = await recoup("serve", "--port", "0", **environment)
    assert (ended.status, ended.out) == (1, "")
    assert ended.err.startswith(says)
    assert "Traceback" not in ended.err


async def test_a_secret_key_that_did_not_seal_this_database_is_refused_by_name(
    recoup: Recoup,
) -> None:
    assert (await recoup("check")).status == 0
    ended = await recoup("check", RECOUP_SECRET_KEY=SecretBox.new_key())
    assert ended.status == 1
    assert "RECOUP_SECRET_KEY" in ended.err
    assert "Traceback" not in ended.err
