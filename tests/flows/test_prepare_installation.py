"""What the first start makes, and what a later one checks."""

from __future__ import annotations

import asyncio

import asyncpg
import pytest
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_pem_private_key,
)

from recoup import clock
from recoup.flows.prepare_installation import SecretKeyChangedError, prepare
from recoup.store.db import Pool
from recoup.store.secret_box import SecretBox, WrongSecretKeyError

KEY = SecretBox.new_key()


async def test_the_first_start_makes_a_key_pair_and_later_ones_keep_it(pool: Pool) -> None:
    box = SecretBox.from_text(KEY)
    made = await prepare(pool, box=box, now=clock.now())
    private = box.open(made.jwt_key_sealed, organization_id=None, row=None, field="jwt_key")
    key = load_pem_private_key(private, password=None)
    public = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    assert public.decode() == made.jwt_public_key
    assert await prepare(pool, box=SecretBox.from_text(KEY), now=clock.now()) == made


async def test_processes_that_start_together_agree(pool: Pool, owner: asyncpg.Connection) -> None:
    box = SecretBox.from_text(KEY)
    made = await asyncio.gather(*(prepare(pool, box=box, now=clock.now()) for _ in range(3)))
    assert made[0] == made[1] == made[2]
    assert await owner.fetchval("SELECT count(*) FROM installation") == 1


async def test_another_secret_key_is_refused_in_a_sentence(
    pool: Pool, owner: asyncpg.Connection
) -> None:
    made = await prepare(pool, box=SecretBox.from_text(KEY), now=clock.now())
    with pytest.raises(SecretKeyChangedError, match="RECOUP_SECRET_KEY") as refused:
        await prepare(pool, box=SecretBox.from_text(SecretBox.new_key()), now=clock.now())
    assert isinstance(refused.value, WrongSecretKeyError)
    assert await owner.fetchval("SELECT jwt_public_key FROM installation") == made.jwt_public_key


async def test_a_key_sealed_for_another_field_is_no_key_check(
    pool: Pool, owner: asyncpg.Connection
) -> None:
    await prepare(pool, box=SecretBox.from_text(KEY), now=clock.now())
    await owner.execute("UPDATE installation SET key_check = jwt_key_sealed")
    with pytest.raises(SecretKeyChangedError):
        await prepare(pool, box=SecretBox.from_text(KEY), now=clock.now())
