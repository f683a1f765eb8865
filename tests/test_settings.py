"""Each setting that is missing or wrong is named at start, with what to do."""

from __future__ import annotations

from ipaddress import ip_network
from pathlib import Path

import pytest

from recoup.settings import WrongSettingsError, read_settings

GOOD = {
    "RECOUP_DATABASE_URL": "postgresql://recoup@db.internal:5433/recoup",
    "RECOUP_WEBHOOK_ALLOW_NETWORKS": "10.0.0.0/8, ::1/128",
    "RECOUP_API_SERVERS": "https://eu.example.com,https://us.example.com",
    "RECOUP_PUBLIC_URL": "https://billing.example.com",
    "RECOUP_LOG_LEVEL": "DEBUG",
    "RECOUP_API_CALLS_PER_SECOND": "2.5",
    "RECOUP_API_CALLS_AT_ONCE": "5",
}
WRONG = {
    "RECOUP_DATABASE_URL": ["mysql://db/recoup", "postgresql://db:port/recoup", "db.internal"],
    "RECOUP_PUBLIC_URL": ["billing.example.com", "ftp://billing.example.com"],
    "RECOUP_SANDBOX_API_BASE": ["127.0.0.1:8400"],
    "RECOUP_WEBHOOK_ALLOW_NETWORKS": ["10.0.0.0/33", "localhost", "10.0.0.1/8"],
    "RECOUP_STRIPE_API_BASE": ["api.stripe.com"],
    "RECOUP_ADYEN_API_BASE": ["ftp://checkout.example.com"],
    "RECOUP_GOCARDLESS_API_BASE": ["api.gocardless.com", "http://proxy.internal/gocardless"],
    # The last is right, but without a bucket documents would go into a folder of this machine.
    "RECOUP_DOCUMENTS_S3_ENDPOINT": ["minio.internal", "https://minio.internal"],
    "RECOUP_API_SERVERS": ["eu.example.com", "https://eu.example.com,nonsense"],
    "RECOUP_LOG_LEVEL": ["LOUD"],
    "RECOUP_API_CALLS_PER_SECOND": ["-1", "many", "nan", "inf"],
    "RECOUP_RETENTION_WEBHOOK_DELIVERIES_DAYS": ["-1", "90d", "36501"],
    "RECOUP_RETENTION_EVENT_BODIES_DAYS": ["1.5"],
    "RECOUP_RETENTION_PROVIDER_EVENT_BODIES_DAYS": ["never"],
    "RECOUP_RETENTION_MAILS_DAYS": ["a year"],
    "RECOUP_RETENTION_IDEMPOTENCY_KEYS_DAYS": ["0"],
    "RECOUP_RETENTION_JOB_LOG_DAYS": ["0"],
    "RECOUP_API_CALLS_AT_ONCE": ["0", "1.5", "5"],  # the last: no pace is set
    "RECOUP_MOST_BODY_BYTES": ["0", "1MB"],
    "RECOUP_CALL_ARRIVES_WITHIN_SECONDS": ["0", "3601", "a minute"],
    "RECOUP_MOST_WEBHOOK_BODY_BYTES": ["9999", "100000001"],
}

UNSET = ("RECOUP_SECRET_KEY", "RECOUP_DATA_DIR", "RECOUP_DOCUMENTS_URL")


@pytest.fixture(autouse=True)
def nothing_set(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever runs the tests may have settings of their own."""
    for name in (*GOOD, *WRONG, *UNSET):
        monkeypatch.delenv(name, raising=False)


def test_what_is_right_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in GOOD.items():
        monkeypatch.setenv(name, value)
    settings = read_settings()
    assert settings.database_url == GOOD["RECOUP_DATABASE_URL"]
    assert settings.webhook_allow_networks == (ip_network("10.0.0.0/8"), ip_network("::1/128"))
    assert settings.api_servers == ("https://eu.example.com", "https://us.example.com")
    assert str(settings.public_url) == "https://billing.example.com/"
    assert settings.log_level == "DEBUG"
    assert (settings.api_calls_per_second, settings.api_calls_at_once) == (2.5, 5)


def test_without_settings_everything_has_its_default() -> None:
    settings = read_settings()
    assert settings.database_url is None
    assert settings.data_dir == Path.home() / ".local/share/recoup"
    assert str(settings.sandbox_api_base) == "http://127.0.0.1:8400/"
    assert settings.webhook_allow_networks == ()
    assert settings.api_calls_per_second == 0, "no key is held back"
    assert (settings.most_body_bytes, settings.most_webhook_body_bytes) == (1_000_000, 2_000_000)


@pytest.mark.parametrize(
    ("name", "value"), [(name, value) for name, values in WRONG.items() for value in values]
)
def test_a_wrong_one_is_named_with_what_to_do(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(WrongSettingsError) as error:
        read_settings()
    assert str(error.value).startswith(f"{name} is wrong (")
    assert "Set it to " in str(error.value)


def test_all_that_are_wrong_are_named_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, values in WRONG.items():
        monkeypatch.setenv(name, values[0])
    with pytest.raises(WrongSettingsError) as error:
        read_settings()
    named = {line.partition(" ")[0] for line in str(error.value).splitlines()}
    assert named == {*WRONG}
