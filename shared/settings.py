"""Every setting Haro reads: typed, validated once, all mistakes named together. docs/settings.md lists them."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, SecretStr, ValidationError, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from shared.errors import SettingsError

_PREFIX = "HARO_"
_DAY_S = 86_400.0
_CENTURY_DAYS = 36_525.0


class Settings(BaseSettings):
    """The settings, from the environment (`HARO_` and the upper-case name; an empty value counts as not given)."""

    model_config = SettingsConfigDict(
        env_prefix=_PREFIX,
        env_ignore_empty=True,
        frozen=True,
        extra="ignore",
        allow_inf_nan=False,
        hide_input_in_errors=True,  # channels are secrets
    )

    data: Path = Field(default=Path("data"), description="Folder for database, clips, pictures and results.")
    hydrophones: Path | None = Field(
        default=None, description="File of hydrophones (TOML or JSON); without it, Orcasound's public ones."
    )
    model: Path | None = Field(default=None, description="ONNX model file; without it, the bundled model.")

    poll_schedule: str = Field(
        default="*/20 * * * * *", description="When the timer function polls (NCRONTAB); `haro run` does not use it."
    )
    poll_interval_s: float = Field(default=10.0, ge=0.05, le=3600, description="Seconds between two polls.")
    stall_s: float = Field(
        default=120.0, ge=0, le=_DAY_S, description="A stream silent for so long gets its last, shorter batch scored."
    )
    far_behind_s: float = Field(
        default=600.0, ge=60, le=7 * _DAY_S, description="More unread audio than this becomes a backfill."
    )
    first_contact_s: float = Field(
        default=3600.0,
        ge=0,
        le=30 * _DAY_S,
        description="How much of the past to score where Haro never listened before.",
    )
    backfill_room: int = Field(
        default=4, ge=1, le=1000, description="How many batches may wait on the queue when old audio is added to it."
    )
    connect_timeout_s: float = Field(default=4.0, gt=0, le=60, description="Seconds to wait for a connection.")
    read_timeout_s: float = Field(default=8.0, gt=0, le=120, description="Seconds to wait for a server's next bytes.")
    http_attempts: int = Field(default=3, ge=1, le=10, description="Attempts at one request before giving up.")
    late_s: float = Field(
        default=120.0,
        ge=0,
        le=_DAY_S,
        description="A segment still not uploaded so long after its end counts as missing.",
    )

    score_threads: int = Field(default=1, ge=1, le=64, description="Threads the model may use.")
    score_batch_size: int = Field(default=8, ge=1, le=256, description="Windows given to the model at once.")
    max_clip_bytes: int = Field(default=64 * 2**20, ge=2**16, le=2**32, description="Largest clip accepted, in bytes.")
    max_clip_s: float = Field(default=600.0, ge=1, le=_DAY_S, description="Longest clip accepted, in decoded seconds.")
    clip_format: Literal["flac", "wav"] = Field(default="flac", description="How clips are stored.")
    keep_clips: Literal["all", "detections"] = Field(
        default="all", description="Which clips to store: all for some days, or only those with a detection."
    )

    lock_s: float = Field(
        default=300.0, ge=1, le=_DAY_S, description="How long a batch stays with the worker that took it."
    )
    max_deliveries: int = Field(
        default=12, ge=1, le=100, description="Deliveries before a batch is a dead letter; 12 take most of an hour."
    )
    keep_days: float = Field(
        default=2.0, ge=0, le=_CENTURY_DAYS, description="Days that clips without a detection are kept."
    )
    min_free_gb: float = Field(default=1.0, ge=0, le=1e9, description="Free disk space that clips must leave, in GB.")

    moderator_channels: Annotated[tuple[SecretStr, ...], NoDecode] = Field(
        default=(), description="Apprise URLs told of every detection, separated by spaces."
    )
    subscriber_channels: Annotated[tuple[SecretStr, ...], NoDecode] = Field(
        default=(), description="Apprise URLs told of confirmed detections only, separated by spaces."
    )
    orcasite_channels: Annotated[tuple[SecretStr, ...], NoDecode] = Field(
        default=(), description="Orcasite servers that get confirmed detections, as orcasite://:KEY@HOST."
    )
    bout_gap_s: float = Field(
        default=900.0, ge=60, le=_DAY_S, description="Detections closer together than this belong to one bout."
    )
    bout_update_s: float = Field(
        default=300.0, ge=0, le=_DAY_S, description="Moderators hear of a bout's further detections at most this often."
    )
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field(default="INFO", description="How much to log.")

    @field_validator("moderator_channels", "subscriber_channels", "orcasite_channels", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        return tuple(value.split()) if isinstance(value, str) else value


def load_settings(**overrides: object) -> Settings:
    """Read the settings from the environment; `overrides` (None: not given) come first.

    Raises SettingsError that names every setting that is wrong, and every `HARO_` name nobody knows.
    """
    given = {name: value for name, value in overrides.items() if value is not None}
    known = {variable_name(name) for name in Settings.model_fields}
    wrong = [
        f"{name}: is no setting of Haro's (docs/settings.md lists them)"
        for name in sorted(os.environ)
        if name.upper().startswith(_PREFIX) and name.upper() not in known
    ]
    settings = None
    try:
        settings = Settings(**given)  # type: ignore[arg-type]  # pydantic checks the values, that is the point
    except ValidationError as error:
        wrong += [f"{variable_name(str(item['loc'][0]))}: {item['msg']}" for item in error.errors()]
    if settings is None or wrong:
        raise SettingsError("wrong settings: " + "; ".join(wrong))
    return settings


def variable_name(field: str) -> str:
    """The environment variable that carries a setting."""
    return _PREFIX + field.upper()
