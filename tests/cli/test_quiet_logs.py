"""At DEBUG no third party's lines get out in which keys stand, and secrets are never shown."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from recoup.providers.adyen import AdyenSecrets
from recoup.providers.gocardless import GoCardlessSecrets
from recoup.providers.sandbox import SandboxSecrets
from recoup.providers.stripe import StripeSecrets
from recoup.rules.account_secrets import ACCOUNT_SECRETS

CANARY = "canary_5b1f0c"
LOUD = """
import logging, sys
from recoup.cli.running import log_json
log_json("DEBUG")
for level in (logging.DEBUG, logging.INFO):
    logging.getLogger(sys.argv[1]).log(level, "Authorization: Bearer %s", sys.argv[2])
"""
FAILING = """
import logging, structlog, sys
from recoup.cli.running import log_json
log_json("DEBUG")
def failing(text):
    try:
        raise ValueError(text)
    except ValueError as error:
        raise LookupError(text) from error
try:
    failing(sys.argv[1])
except LookupError as error:
    structlog.get_logger().error("failed", exc_info=error)
    logging.getLogger("uvicorn").exception("failed")
"""


def told(logger: str) -> str:
    """Standard error of a process that logs at DEBUG, and in which `logger` writes the canary."""
    words = [sys.executable, "-c", LOUD, logger, CANARY]
    return subprocess.run(words, check=True, capture_output=True, text=True).stderr


def test_an_error_is_told_by_its_kind_and_place_and_never_by_its_text() -> None:
    """The text of an SDK's error can hold the whole request."""
    said = subprocess.run(
        [sys.executable, "-c", FAILING, CANARY], check=True, capture_output=True, text=True
    ).stderr
    assert CANARY not in said
    ours, theirs = (json.loads(line) for line in said.splitlines())
    for line in (ours, theirs):
        assert line["exception"].startswith("LookupError < ValueError\n")
        assert "in failing" in line["exception"]


@pytest.mark.parametrize(
    "logger",
    ["Adyen.client", "aiohttp.client", "gocardless_pro", "httpcore.http11", "httpx", "requests",
     "stripe", "urllib3.connectionpool"],
)  # fmt: skip
def test_what_sends_to_providers_is_quiet_at_debug(logger: str) -> None:
    assert CANARY not in told(logger)


def test_other_lines_get_out_at_debug() -> None:
    assert CANARY in told("recoup.planted")


@pytest.mark.parametrize("kind", [AdyenSecrets, GoCardlessSecrets, SandboxSecrets, StripeSecrets])
def test_secrets_are_not_shown(kind: type) -> None:
    full = kind(**dict.fromkeys(kind.__struct_fields__, CANARY))
    assert CANARY not in repr(full) + str(full) + f"{[full]}"


@pytest.mark.parametrize(
    ("kind", "wanted"),
    [("adyen", AdyenSecrets), ("gocardless", GoCardlessSecrets), ("sandbox", SandboxSecrets),
     ("stripe", StripeSecrets)],
)  # fmt: skip
def test_the_table_names_all_that_an_adapter_reads(kind: str, wanted: type) -> None:
    assert {one.name for one in ACCOUNT_SECRETS[kind]} == set(wanted.__struct_fields__)
