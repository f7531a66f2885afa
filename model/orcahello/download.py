"""Fetching the published weights: one file from the Hugging Face hub, checked against what the hub says of it."""

from __future__ import annotations

import re
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

import requests

from model.orcahello.safetensors import MAX_BYTES
from shared.errors import ModelError

REPOSITORY = "orcasound/orcahello-srkw-detector-v1"
HUB = "https://huggingface.co"
_TIMEOUT_S = (10.0, 30.0)
_CHUNK_BYTES = 2**20
_SHA256 = re.compile(r'"?([0-9a-f]{64})"?')

Progress = Callable[[int, int | None], None]


def fetch(target: Path, *, revision: str = "main", hub: str = HUB, progress: Progress | None = None) -> str:
    """Fetch `model.safetensors` of a revision (branch or commit) to `target`, and return its SHA-256.

    The hub answers with a redirect, and beside it names length and SHA-256 of a large file: both must agree. `progress`
    is told bytes so far and in all. Nothing is left behind when it fails. Raises ModelError.
    """
    url = f"{hub}/{REPOSITORY}/resolve/{revision}/model.safetensors"
    part = target.with_name(target.name + ".part")
    try:
        with requests.get(url, stream=True, timeout=_TIMEOUT_S) as response:
            if response.status_code != requests.codes.ok:
                raise ModelError(f"{url}: the hub answered HTTP {response.status_code}; check the revision {revision}")
            found = _save(response, part, url, progress)
        part.replace(target)
    except requests.RequestException as error:
        raise ModelError(
            f"{url}: cannot be fetched ({type(error).__name__}). Is there a network? Else fetch the file "
            "elsewhere, bring it here and name it with --weights."
        ) from error
    except OSError as error:
        raise ModelError(f"{target}: cannot be written ({error.strerror or error})") from error
    finally:
        part.unlink(missing_ok=True)
    return found


def _save(response: requests.Response, part: Path, url: str, progress: Progress | None) -> str:
    told = [answer.headers for answer in (*response.history, response)]
    lengths = [int(h[name]) for h in told for name in ("X-Linked-Size",) if h.get(name, "").isdecimal()]
    if response.headers.get("Content-Length", "").isdecimal() and "Content-Encoding" not in response.headers:
        lengths.append(int(response.headers["Content-Length"]))
    sums = [match[1] for h in told if (match := _SHA256.fullmatch(h.get("X-Linked-Etag", "")))]
    length, reckoned = 0, sha256()
    with part.open("wb") as file:
        for chunk in response.iter_content(_CHUNK_BYTES):
            length += len(chunk)
            if length > MAX_BYTES:
                raise ModelError(f"{url}: more than {MAX_BYTES} bytes came; these are not the weights we know")
            reckoned.update(chunk)
            file.write(chunk)
            if progress is not None:
                progress(length, lengths[0] if lengths else None)
    if any(length != wanted for wanted in lengths):
        raise ModelError(f"{url}: {length} bytes came of {lengths[0]}. Try again.")
    if any(reckoned.hexdigest() != wanted for wanted in sums):
        raise ModelError(f"{url}: what came has not the SHA-256 that the hub names ({sums[0]}). Try again.")
    return reckoned.hexdigest()
