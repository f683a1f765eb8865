"""What add-ons, taxes and dunning campaigns have in common: a name, and a code to name them by."""

from __future__ import annotations

from typing import Final

from recoup.rules.records.add_ons import AddOn
from recoup.rules.records.dunning import DunningCampaign
from recoup.rules.records.taxes import Tax

LONGEST_CODE: Final = 255  # an index holds it


def broken_texts(entry: AddOn | DunningCampaign | Tax) -> dict[str, list[str]]:
    """Say which of the entry's texts break a rule, and which, by field."""
    broken: dict[str, list[str]] = {}
    for field in entry.__struct_fields__:
        said = getattr(entry, field)
        if isinstance(said, str) and "\0" in said:
            broken[field] = ["value_is_invalid"]  # the database has no such character
    for field in ("name", "code"):
        if not (getattr(entry, field) or "").strip():
            broken[field] = ["value_is_mandatory"]
    if len(entry.code or "") > LONGEST_CODE:
        broken["code"] = ["value_is_too_long"]
    return broken
