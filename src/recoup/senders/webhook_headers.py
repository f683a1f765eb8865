"""Make the headers of an outgoing webhook: Lago's, and those of Standard Webhooks beside them.

Called by `flows/deliver_webhook` for every try: the delivery's id stays, the time does not.

What surprises: Lago's JWT holds the whole body as a claim, and neither `iat` nor `exp`. It says who
wrote the body, not when; `webhook-timestamp` and its signature do.
"""

from datetime import datetime
from typing import Final, Literal, Self
from uuid import UUID

import jwt
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from recoup.rules.webhook_signature import (
    lago_signature,
    standard_secret,
    standard_signature,
    unix_seconds,
)

Algorithm = Literal["jwt", "hmac"]  # Lago's words, as an endpoint's `signature_algo` holds them
JWT_ALGORITHM: Final = "RS256"


class JwtSigner:
    """Signs as one issuer with one RSA key. Load it once: reading a PEM costs more than signing."""

    def __init__(self, private_key: RSAPrivateKey, *, issuer: str) -> None:
        self._private_key = private_key
        self._issuer = issuer

    @classmethod
    def load(cls, pem: bytes, *, issuer: str) -> Self:
        """Read an unencrypted private key.

        :raises ValueError: it is no PEM, or no RSA key.
        """
        private_key = load_pem_private_key(pem, password=None)
        if not isinstance(private_key, RSAPrivateKey):
            raise ValueError("webhooks are signed with RS256, which takes an RSA key")
        return cls(private_key, issuer=issuer)

    def sign(self, body: bytes) -> str:
        """Make Lago's token for this exact body (contract, 7.2)."""
        claims = {"data": body.decode(), "iss": self._issuer}
        return jwt.encode(claims, self._private_key, algorithm=JWT_ALGORITHM)


def signed_headers(
    body: bytes,
    *,
    algorithm: Algorithm,
    delivery_id: UUID,
    hmac_key: str,
    jwt_signer: JwtSigner,
    now: datetime,
) -> dict[str, str]:
    """Make all headers of one try, for a body of UTF-8 that is sent as it is given.

    :param delivery_id: the same for every try, so that a receiver knows what it has had.
    :param hmac_key: the organization's. It makes Lago's `hmac` and Standard Webhooks' signature;
        the latter's libraries take it as `whsec_` and the base64 of its bytes.
    """
    signature = (
        jwt_signer.sign(body) if algorithm == "jwt" else lago_signature(body, hmac_key=hmac_key)
    )
    return {
        "Content-Type": "application/json",
        "X-Lago-Signature": signature,
        "X-Lago-Signature-Algorithm": algorithm,
        "X-Lago-Unique-Key": str(delivery_id),
        "webhook-id": str(delivery_id),
        "webhook-timestamp": str(unix_seconds(now)),
        "webhook-signature": standard_signature(
            body, secret=standard_secret(hmac_key), message_id=str(delivery_id), sent_at=now
        ),
    }
