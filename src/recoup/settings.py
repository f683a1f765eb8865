"""The settings, read from the environment once, at start; each wrong one is named."""

from __future__ import annotations

from ipaddress import IPv4Network, IPv6Network, ip_network
from pathlib import Path
from typing import Annotated, Final, Literal
from urllib.parse import urlsplit

from pydantic import (
    AnyHttpUrl,
    DirectoryPath,
    Field,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from recoup.rules.email_addresses import are_email_addresses
from recoup.senders.mail import MailServer

LONGEST_DAYS: Final = 36_500


class WrongSettingsError(Exception):
    """One line per setting that is wrong: its name, why, and what to do."""


class Settings(BaseSettings):
    """`RECOUP_…` of the environment."""

    model_config = SettingsConfigDict(env_prefix="RECOUP_", extra="ignore", frozen=True)

    data_dir: Path = Field(
        default_factory=lambda: Path.home() / ".local" / "share" / "recoup",
        description="a folder for the embedded database and the file secret.key",
    )
    database_url: str | None = Field(
        default=None,
        description="postgresql://user@host/database of a PostgreSQL 15 or later; leave it unset"
        " for the embedded one",
    )
    secret_key: str | None = Field(
        default=None,
        description="base64 of 32 random bytes, the same for all processes:"
        " python3 -c 'import base64, os; print(base64.b64encode(os.urandom(32)).decode())'",
    )
    previous_secret_key: str | None = Field(
        default=None,
        description="base64 of 32 bytes: a second key that opens what is sealed, while"
        " RECOUP_SECRET_KEY takes its place",
    )
    public_url: AnyHttpUrl | None = Field(
        default=None, description="the address at which the outside reaches Recoup, https://…"
    )
    api_servers: Annotated[tuple[str, ...], NoDecode] = Field(
        default=(),
        description="the addresses that OpenAPI names, comma-separated; one per region",
    )
    sandbox_api_base: AnyHttpUrl = Field(
        default=AnyHttpUrl("http://127.0.0.1:8400"),
        description="the address of `recoup sandbox`, http://…",
    )
    stripe_api_base: AnyHttpUrl | None = Field(
        default=None, description="the address of Stripe's API, if it is not Stripe's own"
    )
    adyen_api_base: AnyHttpUrl | None = Field(
        default=None,
        description="the address before `/payments` of Adyen's API, if it is not Adyen's own",
    )
    gocardless_api_base: AnyHttpUrl | None = Field(
        default=None, description="the address of GoCardless's API, if it is not GoCardless's own"
    )
    documents_url: str | None = Field(
        default=None,
        description="s3://BUCKET or s3://BUCKET/FOLDER for documents; leave it unset for the folder"
        " `documents` of RECOUP_DATA_DIR",
    )
    documents_s3_endpoint: AnyHttpUrl | None = Field(
        default=None,
        description="the address of an S3-compatible store, if it is not Amazon's own:"
        " https://minio.internal",
    )
    fonts_dir: DirectoryPath | None = Field(
        default=None,
        description="a folder with fonts for scripts that documents lack otherwise: Chinese,"
        " Japanese, Korean, emoji",
    )
    webhook_allow_networks: Annotated[tuple[IPv4Network | IPv6Network, ...], NoDecode] = Field(
        default=(),
        description="networks of yours that webhooks may go to, comma-separated: 127.0.0.0/8",
    )
    smtp_url: str | None = Field(
        default=None,
        description="the mail server: smtps://user:password@host, or smtp://host:587 with STARTTLS",
    )
    mail_from: str | None = Field(
        default=None, description="the address that mails come from: billing@example.com"
    )
    drain_seconds: int = Field(
        default=0,
        ge=0,
        le=3_600,
        description="for how many seconds of its end a process still answers calls, while /ready"
        " says 503: longer than a balancer takes to ask twice",
    )
    api_calls_per_second: float = Field(
        default=0,
        ge=0,
        le=1_000_000,
        description="how many calls a second each API key may make at each API process; 0 for as"
        " many as it likes",
    )
    api_calls_at_once: int | None = Field(
        default=None,
        ge=1,
        le=1_000_000,
        description="how many calls a key has in hand after a pause: a whole number, 1 or more; ten"
        " seconds' worth unless told",
    )
    most_body_bytes: int = Field(
        default=1_000_000,
        ge=10_000,
        le=100_000_000,
        description="how many bytes the body of an API call may have, 10000 to 100000000",
    )
    most_webhook_body_bytes: int = Field(
        default=2_000_000,
        ge=10_000,
        le=100_000_000,
        description="how many bytes the body of a provider's webhook may have, 10000 to 100000000",
    )
    call_arrives_within_seconds: int = Field(
        default=60,
        ge=1,
        le=3_600,
        description="within how many seconds a call must have been sent whole, 1 to 3600",
    )
    retention_webhook_deliveries_days: int = Field(
        default=90,
        ge=0,
        le=LONGEST_DAYS,
        description="for how many days a webhook's delivery and its tries are kept once it has"
        " ended, a whole number; 0 for ever",
    )
    retention_event_bodies_days: int = Field(
        default=365,
        ge=0,
        le=LONGEST_DAYS,
        description="for how many days what was told is kept to the letter, a whole number; 0 for"
        " ever",
    )
    retention_provider_event_bodies_days: int = Field(
        default=365,
        ge=0,
        le=LONGEST_DAYS,
        description="for how many days a provider's event is kept to the letter once it is applied,"
        " a whole number; 0 for ever",
    )
    retention_mails_days: int = Field(
        default=365,
        ge=0,
        le=LONGEST_DAYS,
        description="for how many days it is kept who was mailed about what, once that was sent or"
        " given up, a whole number; 0 for ever",
    )
    retention_idempotency_keys_days: int = Field(
        default=30,
        ge=1,
        le=LONGEST_DAYS,
        description="for how many days a call with the same Idempotency-Key gets the same answer,"
        " a whole number, 1 or more",
    )
    retention_job_log_days: int = Field(
        default=1,
        ge=1,
        le=LONGEST_DAYS,
        description="for how many days the log of jobs is kept, a whole number, 1 or more",
    )
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field(
        default="INFO", description="DEBUG, INFO, WARNING or ERROR"
    )

    @field_validator("api_calls_at_once")
    @classmethod
    def _of_a_pace(cls, said: int | None, others: ValidationInfo) -> int | None:
        if said is not None and others.data.get("api_calls_per_second") == 0:
            raise ValueError("it limits nothing without RECOUP_API_CALLS_PER_SECOND")
        return said

    @field_validator("webhook_allow_networks", mode="before")
    @classmethod
    def _networks(cls, said: object) -> object:
        return tuple(ip_network(one) for one in _words(said)) if isinstance(said, str) else said

    @field_validator("api_servers", mode="before")
    @classmethod
    def _servers(cls, said: object) -> object:
        return tuple(_words(said)) if isinstance(said, str) else said

    @field_validator("api_servers")
    @classmethod
    def _addresses(cls, said: tuple[str, ...]) -> tuple[str, ...]:
        for one in said:
            if not one.startswith(("https://", "http://")) or not urlsplit(one).hostname:
                raise ValueError(f"{one!r} is no http:// or https:// address")
        return said

    @field_validator("documents_url")
    @classmethod
    def _bucket(cls, said: str | None) -> str | None:
        if not said:
            return None
        parts = urlsplit(said)
        if parts.scheme != "s3" or not parts.netloc or parts.query or parts.fragment:
            raise ValueError("it is no s3:// address")
        if "@" in parts.netloc or ":" in parts.netloc:
            raise ValueError("it names a bucket alone: credentials come from AWS_… variables")
        return said

    @field_validator("documents_s3_endpoint")
    @classmethod
    def _of_a_bucket(cls, said: AnyHttpUrl | None, others: ValidationInfo) -> AnyHttpUrl | None:
        if said is not None and others.data.get("documents_url", "wrong") is None:
            raise ValueError("no document goes there without RECOUP_DOCUMENTS_URL")
        return said

    @field_validator("smtp_url")
    @classmethod
    def _mail_server(cls, said: str | None) -> str | None:
        if not said:
            return None
        MailServer.from_url(said)
        return said

    @field_validator("mail_from")
    @classmethod
    def _one_address(cls, said: str | None) -> str | None:
        if said and ("," in said or not are_email_addresses(said)):
            raise ValueError("it is no email address")
        return said or None

    @model_validator(mode="after")
    def _both_for_mail(self) -> Settings:
        if (self.smtp_url is None) != (self.mail_from is None):
            raise ValueError("RECOUP_SMTP_URL and RECOUP_MAIL_FROM go together: set both")
        return self

    @field_validator("gocardless_api_base")
    @classmethod
    def _origin(cls, said: AnyHttpUrl | None) -> AnyHttpUrl | None:
        if said is not None and said.path not in {None, "/"}:
            raise ValueError("GoCardless's SDK takes no path: give the address of a host alone")
        return said

    @field_validator("database_url")
    @classmethod
    def _postgres(cls, said: str | None) -> str | None:
        if not said:
            return None
        if not said.startswith(("postgresql://", "postgres://")):
            raise ValueError("it is no postgresql:// address")
        for host in urlsplit(said).netloc.rpartition("@")[2].split(","):  # libpq takes several
            port = host.rpartition("]")[2].partition(":")[2]
            if port and not (port.isascii() and port.isdigit() and int(port) < 65536):
                raise ValueError(f"{port!r} is no port")
        return said


def read_settings(**given: object) -> Settings:
    """Read the environment; `given` are options of the command line, which outrank it.

    :raises WrongSettingsError: naming each setting that is wrong, and what to do.
    """
    chosen = {name: value for name, value in given.items() if value is not None}
    try:
        return Settings(**chosen)  # type: ignore[arg-type]
    except ValidationError as error:
        raise WrongSettingsError(
            "\n".join(
                _explain(str(problem["loc"][0]), problem["msg"])
                if problem["loc"]
                else problem["msg"].removeprefix("Value error, ")
                for problem in error.errors()
            )
        ) from None


def _explain(field: str, problem: str) -> str:
    wanted = Settings.model_fields[field].description
    return f"RECOUP_{field.upper()} is wrong ({problem}). Set it to {wanted}."


def _words(said: object) -> list[str]:
    return [word.strip() for word in str(said).split(",") if word.strip()]
