"""What Azurite's https side needs: a certificate for loopback, and tokens it takes for storage."""

from __future__ import annotations

import base64
import ipaddress
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from time import time

from azure.core.credentials import AccessToken
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

_TENANT = "00000000-0000-0000-0000-000000000000"


def make_certificate(folder: Path) -> tuple[Path, Path]:
    """Write a certificate for 127.0.0.1, signed by itself and good for a day, and its key; returns both files."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "127.0.0.1")])
    loopback = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
    day = timedelta(days=1)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(datetime.now(UTC) - day)
        .not_valid_after(datetime.now(UTC) + day)
        .add_extension(loopback, critical=False)
        .sign(key, hashes.SHA256())
    )
    certificate_file, key_file = folder / "certificate.pem", folder / "key.pem"
    pem, plain = serialization.Encoding.PEM, serialization.NoEncryption()
    certificate_file.write_bytes(certificate.public_bytes(pem))
    key_file.write_bytes(key.private_bytes(pem, serialization.PrivateFormat.PKCS8, plain))
    return certificate_file, key_file


class UnsignedTokens:
    """A token credential: `--oauth basic` looks at audience, issuer and times of a token, not at its signature."""

    def get_token(self, *scopes: str, **_: object) -> AccessToken:
        """A token for storage, good for an hour."""
        now = int(time())
        claims = {
            "aud": scopes[0].removesuffix("/.default"),
            "iss": f"https://sts.windows.net/{_TENANT}/",
            "iat": now - 60,
            "nbf": now - 60,
            "exp": now + 3600,
            "oid": "11111111-1111-1111-1111-111111111111",
            "tid": _TENANT,
        }
        parts = (json.dumps({"alg": "RS256", "typ": "JWT"}).encode(), json.dumps(claims).encode(), b"no signature")
        return AccessToken(".".join(base64.urlsafe_b64encode(part).decode().rstrip("=") for part in parts), now + 3600)
