"""Every setting Haro reads: typed, validated once, all mistakes named together. docs/settings.md lists them."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, SecretStr, ValidationError, ValidationInfo, field_validator
from pydantic_core import PydanticCustomError
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from shared.documents import BUNDLED, ModelRef
from shared.errors import ModelError, SettingsError

_PREFIX = "HARO_"
_DAY_S = 86_400.0
_CENTURY_DAYS = 36_525.0
_VAULT_REFERENCE = "@Microsoft.KeyVault("  # stands in place of the secret as long as Azure could not read it
_UNRESOLVED = (
    "the reference to the Key Vault was not resolved: the app's identity may not read the vault yet: "
    "restart the app in a minute"
)


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

    storage: Literal["local", "azure"] = Field(
        default="local", description="Where everything is kept: in HARO_DATA, or in Azure (see Connections)."
    )
    data: Path = Field(
        default=Path("data"), description="Folder for database, clips, pictures and results of local storage."
    )
    cosmos_database: str = Field(default="predictions", description="Cosmos DB database; the default is OrcaHello's.")
    hydrophones: Path | None = Field(
        default=None, description="File of hydrophones (TOML or JSON); without it, Orcasound's public ones."
    )
    model: Path | None = Field(
        default=None, description="ONNX model file to score with, whatever is promoted (docs/models.md)."
    )
    model_version: str | None = Field(
        default=None,
        description="Pin a model of the registry, as name/version, or `bundled`; default: what is promoted.",
    )

    poll_schedule: str = Field(
        default="*/20 * * * * *", description="When the timer function polls (NCRONTAB); `haro run` does not use it."
    )
    deadletter_schedule: str = Field(
        default="0 */5 * * * *", description="When the timer function tends dead letters (NCRONTAB)."
    )
    reconcile_schedule: str = Field(
        default="30 */10 * * * *", description="When the timer function reconciles sent and recorded (NCRONTAB)."
    )
    blob_source: Literal["eventgrid", "polling"] = Field(
        default="eventgrid", description="How the blob function hears of results: in Azure, or from an emulator."
    )
    reconcile_after_s: float = Field(
        default=1800.0,
        ge=600,
        le=_DAY_S,
        description="A batch neither recorded nor waiting so long after it was sent is sent again.",
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
        default=4, ge=1, le=1000, description="How many batches may wait for their first try when old audio is added."
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
    score_batch_size: int = Field(default=2, ge=1, le=256, description="Windows given to the model at once.")
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
    link_days: float = Field(
        default=7.0, gt=0, le=7, description="Days that links to clips in messages work (Azure allows 7 at most)."
    )
    metrics_host: str = Field(default="127.0.0.1", description="Address of the metrics page of `haro run`.")
    metrics_port: int = Field(
        default=0, ge=0, le=65535, description="Port of the metrics page of `haro run`, for Prometheus; 0: no page."
    )
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field(default="INFO", description="How much to log.")

    @field_validator("model_version")
    @classmethod
    def _names_a_model(cls, value: str | None, info: ValidationInfo) -> str | None:
        if value is None:
            return None
        if info.data.get("model") is not None:
            raise PydanticCustomError("two_models", "HARO_MODEL names a file already: set only one of the two")
        if value != BUNDLED:
            try:
                ModelRef.named(value)
            except ModelError as error:
                raise PydanticCustomError("no_model", "{error}", {"error": str(error)}) from error
        return value

    @field_validator("moderator_channels", "subscriber_channels", "orcasite_channels", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        if not isinstance(value, str):
            return value
        channels = tuple(value.split())
        if any(channel.startswith(_VAULT_REFERENCE) for channel in channels):
            raise PydanticCustomError("unresolved_reference", _UNRESOLVED)
        return channels


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
