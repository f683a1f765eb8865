"""The headers are verified as a receiver would, by other people's code."""

import base64
import hashlib
import hmac
import json
from datetime import UTC, datetime, timedelta
from uuid import UUID

import jwt
import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from standardwebhooks.webhooks import Webhook, WebhookVerificationError

from recoup.rules.webhook_signature import standard_secret
from recoup.senders.webhook_headers import Algorithm, JwtSigner, signed_headers

NOW = datetime.fromtimestamp(1_772_820_000, UTC)
BODY = '{"webhook_type":"payment.succeeded","note":"12 € \\u003c"}'.encode()
DELIVERY_ID = UUID("01890a5d-ac96-774b-bcce-b302099a8057")
ISSUER = "https://recoup.example"
HMAC_KEY = "b2c0ff3e-an-organizations-key"
PRIVATE_KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)
PEM = PRIVATE_KEY.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def _headers(algorithm: Algorithm, *, now: datetime = NOW, body: bytes = BODY) -> dict[str, str]:
    signer = JwtSigner.load(PEM, issuer=ISSUER)
    return signed_headers(
        body,
        algorithm=algorithm,
        delivery_id=DELIVERY_ID,
        hmac_key=HMAC_KEY,
        jwt_signer=signer,
        now=now,
    )


def test_lagos_hmac_fits_the_body() -> None:
    headers = _headers("hmac")
    digest = hmac.new(HMAC_KEY.encode(), BODY, hashlib.sha256).digest()
    assert base64.b64decode(headers["X-Lago-Signature"], validate=True) == digest
    assert headers["X-Lago-Signature-Algorithm"] == "hmac"


def test_lagos_token_holds_the_body_and_the_issuer_and_no_time() -> None:
    headers = _headers("jwt")
    token = headers["X-Lago-Signature"]
    claims = jwt.decode(token, PRIVATE_KEY.public_key(), algorithms=["RS256"], issuer=ISSUER)
    assert claims == {"data": BODY.decode(), "iss": ISSUER}
    assert headers["X-Lago-Signature-Algorithm"] == "jwt"


def test_the_token_is_verified_without_a_jwt_library() -> None:
    head, claims, signature = _headers("jwt")["X-Lago-Signature"].split(".")
    PRIVATE_KEY.public_key().verify(
        base64.urlsafe_b64decode(signature + "=="),
        f"{head}.{claims}".encode(),
        padding.PKCS1v15(),
        hashes.SHA256(),
    )
    assert json.loads(base64.urlsafe_b64decode(head + "=="))["alg"] == "RS256"


@pytest.mark.parametrize("algorithm", ["jwt", "hmac"])
def test_standard_webhooks_verifies_either(
    algorithm: Algorithm, monkeypatch: pytest.MonkeyPatch
) -> None:
    _stop_their_clock(monkeypatch, NOW)
    headers = _headers(algorithm)
    assert Webhook(standard_secret(HMAC_KEY)).verify(BODY, headers) == json.loads(BODY)
    with pytest.raises(WebhookVerificationError):
        Webhook(standard_secret(HMAC_KEY)).verify(BODY + b" ", headers)


def test_each_try_has_the_same_id_and_its_own_time() -> None:
    first, second = _headers("hmac"), _headers("hmac", now=NOW + timedelta(hours=1))
    changed = {name for name in first if first[name] != second[name]}
    assert changed == {"webhook-timestamp", "webhook-signature"}
    assert first["webhook-id"] == first["X-Lago-Unique-Key"] == str(DELIVERY_ID)
    assert first["Content-Type"] == "application/json"


def test_a_key_that_cannot_sign_rs256_is_refused() -> None:
    curve = ec.generate_private_key(ec.SECP256R1())
    pem = curve.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    for wrong in (pem, b"no pem"):
        with pytest.raises(ValueError):
            JwtSigner.load(wrong, issuer=ISSUER)


def _stop_their_clock(monkeypatch: pytest.MonkeyPatch, now: datetime) -> None:
    class Stopped(datetime):
        @classmethod
        def now(cls, tz: object = None) -> datetime:  # type: ignore[override]
            return now

    monkeypatch.setattr("standardwebhooks.webhooks.datetime", Stopped)
