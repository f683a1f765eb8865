"""Row ids in paths (contract section 1.5)."""

from __future__ import annotations

from uuid import UUID

import pytest

from recoup.api.identifiers import row_id

ROW = UUID("0190a4ab-0c3f-7d9e-8b1a-1f2e3d4c5b6a")


@pytest.mark.parametrize(
    "text", [str(ROW), str(ROW).upper(), ROW.hex, f"{{{ROW}}}", f"{{{ROW.hex.upper()}}}"]
)
def test_a_row_is_found_however_its_id_is_written(text: str) -> None:
    assert row_id(text) == ROW


@pytest.mark.parametrize(
    "text",
    ["", "x", "1", str(ROW)[:-1], f"{ROW}0", f"{{{ROW}", f"{ROW}}}", f"urn:uuid:{ROW}",
     f"{ROW}\n", f" {ROW}", "0-190a4ab0c3f7d9e8b1a1f2e3d4c5b6a", ROW.hex.replace("0", "٠"),
     "0190a4ab_0c3f_7d9e_8b1a_1f2e3d4c5b6a"],
)  # fmt: skip
def test_what_is_no_uuid_names_no_row(text: str) -> None:
    assert row_id(text) is None
