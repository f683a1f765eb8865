from __future__ import annotations

from datetime import UTC, datetime, timedelta
from urllib.parse import parse_qs, urlsplit
from uuid import UUID

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from recoup.rules.document_address import GOOD_FOR, DocumentAddresses, Opens, signing_key
from recoup.rules.records.keys import RowKey

NOW = datetime(2026, 3, 2, tzinfo=UTC)
ADDRESSES = DocumentAddresses("https://billing.example", signing_key(b"secret"))
KEY = RowKey(UUID(int=1), UUID(int=2))


def _carried(url: str) -> dict[str, str]:
    return {name: value for name, (value,) in parse_qs(urlsplit(url).query).items()}


def test_an_address_opens_its_document_until_its_end() -> None:
    url = ADDRESSES.of(KEY, now=NOW)
    assert url.startswith(f"https://billing.example/documents/{UUID(int=1)}/{UUID(int=2)}?")
    said = _carried(url)
    assert ADDRESSES.check(KEY, **said, now=NOW) is Opens.YES
    assert ADDRESSES.check(KEY, **said, now=NOW + GOOD_FOR - timedelta(seconds=1)) is Opens.YES
    assert ADDRESSES.check(KEY, **said, now=NOW + GOOD_FOR) is Opens.EXPIRED


@given(st.uuids(), st.uuids())
def test_a_signature_is_bound_to_organization_and_document(tenant: UUID, document: UUID) -> None:
    said = _carried(ADDRESSES.of(KEY, now=NOW))
    for key in (
        RowKey(tenant, KEY.id), RowKey(KEY.organization_id, document), RowKey(tenant, document),
    ):  # fmt: skip
        assert ADDRESSES.check(key, **said, now=NOW) is (Opens.YES if key == KEY else Opens.NO)


@given(st.text(), st.text())
def test_whatever_is_carried_that_is_not_ours_opens_nothing(expires: str, signature: str) -> None:
    ours = _carried(ADDRESSES.of(KEY, now=NOW))
    for said in ({"expires": expires}, {"signature": signature}, {"expires": f"{expires}0"}):
        assert ADDRESSES.check(KEY, **ours | said, now=NOW) is Opens.NO
    assert ADDRESSES.check(KEY, expires=expires, signature=signature, now=NOW) is Opens.NO
    assert ADDRESSES.check(KEY, expires=None, signature=None, now=NOW) is Opens.NO


def test_another_key_signs_otherwise() -> None:
    other = msgspec.structs.replace(ADDRESSES, key=signing_key(b"another"))
    assert other.check(KEY, **_carried(ADDRESSES.of(KEY, now=NOW)), now=NOW) is Opens.NO
