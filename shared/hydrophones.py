"""Who we listen to: the bundled list of Orcasound's public hydrophones, or a file of one's own.

A file may be TOML (`[[hydrophone]]` tables), JSON (a list of the same objects, or `{"hydrophones": […]}`), or the
JSON:API that Orcasite serves at `/api/json/feeds`.
"""

from __future__ import annotations

import json
import tomllib
from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from shared.errors import HydrophoneError, wrong_fields

ORCASOUND_BUCKET_URL = "https://s3-us-west-2.amazonaws.com/audio-orcasound-net"


class Hydrophone(BaseModel):
    """One hydrophone and its stream.

    `stream_url` is the folder that holds `latest.txt`; without one it is the folder `id` of Orcasound's bucket.
    `threshold` replaces the model's own decision threshold at this site.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: str = Field(pattern=r"^[a-z0-9][a-z0-9_\-]{0,62}$")
    name: str = ""
    slug: str = ""
    latitude: float | None = Field(default=None, ge=-90, le=90)
    longitude: float | None = Field(default=None, ge=-180, le=180)
    stream_url: str = ""
    orcasite_feed_id: str | None = None
    threshold: float | None = Field(default=None, ge=0, le=1)

    @model_validator(mode="before")
    @classmethod
    def _fill_in(cls, values: object) -> object:
        if not isinstance(values, dict) or not isinstance(values.get("id"), str):
            return values
        filled: dict[str, Any] = dict(values)
        node = filled["id"]
        filled["name"] = filled.get("name") or node
        filled["slug"] = filled.get("slug") or node.removeprefix("rpi_").replace("_", "-")
        filled["stream_url"] = filled.get("stream_url") or f"{ORCASOUND_BUCKET_URL}/{node}"
        return filled

    @field_validator("stream_url")
    @classmethod
    def _is_http(cls, url: str) -> str:
        parts = urlsplit(url)
        if parts.scheme not in {"http", "https"} or not parts.netloc:
            raise ValueError(f"{url!r} is not an http(s) address")
        return url.rstrip("/")

    @property
    def node_name(self) -> str:
        """The node's own name in its bucket: the last part of the stream's address."""
        return self.stream_url.rsplit("/", 1)[-1]

    @property
    def bucket_url(self) -> str:
        """The bucket the stream lies in: what is before the node's name."""
        return self.stream_url.rsplit("/", 1)[0]


def bundled_hydrophones() -> tuple[Hydrophone, ...]:
    """Orcasound's eight public hydrophones."""
    text = resources.files("shared").joinpath("hydrophones.toml").read_text(encoding="utf-8")
    return _validated(tomllib.loads(text)["hydrophone"], source="the bundled list")


def load_hydrophones(path: Path) -> tuple[Hydrophone, ...]:
    """Read a file of hydrophones. Raises HydrophoneError naming the file and every entry that is wrong."""
    try:
        text = path.read_text(encoding="utf-8-sig")  # some editors put a byte order mark first
    except (OSError, UnicodeDecodeError) as error:
        raise HydrophoneError(f"{path}: cannot be read as a list of hydrophones: {error}") from error
    try:
        content = _parsed(text, path)
    except (json.JSONDecodeError, tomllib.TOMLDecodeError) as error:
        raise HydrophoneError(f"{path}: is neither TOML nor JSON: {error}") from error
    return _validated(_entries(content, path), source=str(path))


def by_id(hydrophones: tuple[Hydrophone, ...]) -> Mapping[str, Hydrophone]:
    """The hydrophones under their ids."""
    return {hydrophone.id: hydrophone for hydrophone in hydrophones}


def find(hydrophones: tuple[Hydrophone, ...], name: str) -> Hydrophone:
    """The hydrophone of that id, slug or display name. Raises HydrophoneError listing those there are."""
    wanted = name.strip().casefold()
    for hydrophone in hydrophones:
        if wanted in {hydrophone.id.casefold(), hydrophone.slug.casefold(), hydrophone.name.casefold()}:
            return hydrophone
    known = ", ".join(hydrophone.id for hydrophone in hydrophones)
    raise HydrophoneError(f"no hydrophone is called {name!r}; there are: {known}")


def _parsed(text: str, path: Path) -> object:
    """The content, read as what the file's name says it is, or as whichever of the two it can be read as."""
    suffix = path.suffix.lower()
    if suffix != ".toml":
        try:
            return json.loads(text)
        except json.JSONDecodeError:
            if suffix == ".json":
                raise
    return tomllib.loads(text)


def _entries(content: object, path: Path) -> list[object]:
    entries = content
    if isinstance(content, dict):
        entries = next((content[key] for key in ("data", "hydrophone", "hydrophones") if key in content), None)
    if not isinstance(entries, list) or not entries:
        raise HydrophoneError(f"{path}: holds no hydrophones. Start each with [[hydrophone]] and give it an id.")
    return [_from_feed(entry) for entry in entries]


def _from_feed(feed: object) -> object:
    """One Orcasite feed as a hydrophone's fields; what is no feed stays as it is."""
    attributes = feed.get("attributes") if isinstance(feed, dict) else None
    if not isinstance(feed, dict) or not isinstance(attributes, dict):
        return feed
    lat_lng = attributes.get("lat_lng")
    position = lat_lng if isinstance(lat_lng, dict) else {}
    fields = {
        "id": attributes.get("node_name"),
        "name": attributes.get("name"),
        "slug": attributes.get("slug"),
        "latitude": position.get("lat"),
        "longitude": position.get("lng"),
        "orcasite_feed_id": feed.get("id"),
    }
    bucket, region = attributes.get("bucket"), attributes.get("bucket_region")
    if bucket and region:
        fields["stream_url"] = f"https://s3-{region}.amazonaws.com/{bucket}/{fields['id']}"
    return {key: value for key, value in fields.items() if value is not None}


def _validated(entries: list[Any], *, source: str) -> tuple[Hydrophone, ...]:
    hydrophones: list[Hydrophone] = []
    wrong: list[str] = []
    for number, entry in enumerate(entries, start=1):
        try:
            hydrophones.append(Hydrophone.model_validate(entry))
        except ValidationError as error:
            wrong += [f"hydrophone {number}: {field or 'entry'}: {reason}" for field, reason in wrong_fields(error)]
    ids = [hydrophone.id for hydrophone in hydrophones]
    wrong += [f"the id {name!r} is given twice" for name in sorted({name for name in ids if ids.count(name) > 1})]
    if wrong:
        raise HydrophoneError(f"{source}: " + "; ".join(wrong))
    return tuple(hydrophones)
