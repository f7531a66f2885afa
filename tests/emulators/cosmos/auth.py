"""The signature of a request: an HMAC of what it asks for, by the account's key.

Source: "Access control in the Azure Cosmos DB SQL API", the REST reference's page on the authorization header.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Sequence
from urllib.parse import unquote

# The key that Microsoft publishes for its own emulator: no secret, and scanners know it as none.
KEY = "C2y6yDjf5/R+ob0N8A7Cgv30VRDJIWEHLM+4QDU5DE2nQ9nDuVTqobD4b8mGGyPMbIZnqyMsEcaGQy67XIw/Jw=="


def resource_of(parts: Sequence[str]) -> tuple[str, str]:
    """Type and link of the resource that a path names: of `dbs/a/colls`, `colls` and `dbs/a`."""
    if len(parts) % 2:
        return parts[-1], "/".join(parts[:-1])
    return (parts[-2] if parts else ""), "/".join(parts)


def is_signed(authorization: str, *, key: str, method: str, parts: Sequence[str], date: str) -> bool:
    """Whether the authorization header holds the signature that this request should have."""
    fields = dict(field.split("=", 1) for field in unquote(authorization).split("&") if "=" in field)
    if fields.get("type") != "master" or fields.get("ver") != "1.0":
        return False
    resource_type, link = resource_of(parts)
    text = f"{method.lower()}\n{resource_type.lower()}\n{link}\n{date.lower()}\n\n"
    digest = hmac.new(base64.b64decode(key), text.encode(), hashlib.sha256).digest()
    return hmac.compare_digest(fields.get("sig", ""), base64.b64encode(digest).decode())
