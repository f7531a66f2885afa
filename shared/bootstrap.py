"""The one composition root: settings become storage, storage and the rest become stages ready to be called.

Everything is made once per process and closed at its end. The model is loaded on first use, so that a process that only
polls never pays for it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from datetime import UTC, datetime
from functools import partial
from importlib import resources
from pathlib import Path

import stamina.instrumentation

from shared.documents import BUNDLED, ModelRef
from shared.errors import StationBusy
from shared.house import House
from shared.http import Http, HttpLimits
from shared.hydrophones import Hydrophone, bundled_hydrophones, load_hydrophones
from shared.registry.registry import Registry
from shared.registry.served import ServedModel
from shared.registry.trial import admit
from shared.scoring.detector import Detector
from shared.settings import Settings
from shared.storage.local.station import open_station
from shared.storage.ports import BlobStore, Storage


def utc_now() -> datetime:
    """The time now, aware."""
    return datetime.now(UTC)


def bundled_model() -> Path:
    """The model file that comes with Haro."""
    return Path(str(resources.files("model").joinpath("haro-orca.onnx")))


def bundled_card() -> str:
    """The card of the model that comes with Haro, Markdown."""
    return resources.files("model").joinpath("MODEL_CARD.md").read_text(encoding="utf-8")


def load_bundled(settings: Settings) -> Detector:
    """The detector of the model that comes with Haro."""
    return _load(bundled_model(), settings)


def load_detector(settings: Settings) -> Detector:
    """The detector of the file the settings name, or else the bundled one. Raises ModelError."""
    return _load(settings.model or bundled_model(), settings)


def _load(path: Path, settings: Settings) -> Detector:
    return Detector.load(path, threads=settings.score_threads, batch_size=settings.score_batch_size)


def served_model(settings: Settings, blobs: BlobStore, *, now: Callable[[], datetime] = utc_now) -> ServedModel:
    """What scores: the file the settings name; else the model promoted in these blobs; else the bundled one."""
    pinned = settings.model_version
    return ServedModel(
        partial(load_detector, settings),
        None if settings.model or pinned == BUNDLED else Registry(blobs, now=now),
        partial(admit, threads=settings.score_threads, batch_size=settings.score_batch_size),
        pinned=ModelRef.named(pinned) if pinned and pinned != BUNDLED else None,
    )


def the_hydrophones(settings: Settings) -> tuple[Hydrophone, ...]:
    """The hydrophones the settings name. Raises HydrophoneError."""
    return load_hydrophones(settings.hydrophones) if settings.hydrophones else bundled_hydrophones()


@contextmanager
def open_house(
    settings: Settings,
    *,
    hydrophones: Sequence[Hydrophone] | None = None,
    exclusive: bool = False,
    now: Callable[[], datetime] = utc_now,
) -> Iterator[House]:
    """The house for these settings, closed at the end.

    With `exclusive`, what an earlier process left unfinished is taken up: only one such house at a time may be open on
    a data folder. Raises HydrophoneError, StorageError; StationBusy when another one is open.
    """
    stamina.instrumentation.set_on_retry_hooks(())  # what is given up is reported; each retry is not news
    listened_to = the_hydrophones(settings) if hydrophones is None else tuple(hydrophones)
    http = Http(HttpLimits(settings.connect_timeout_s, settings.read_timeout_s, settings.http_attempts))
    try:
        with _open_storage(settings, exclusive=exclusive, now=now) as storage:
            house = House(settings, listened_to, storage, http, served_model(settings, storage.blobs, now=now), now)
            if exclusive:
                house.take_over()
            yield house
    finally:
        http.close()


def _open_storage(
    settings: Settings, *, exclusive: bool, now: Callable[[], datetime]
) -> AbstractContextManager[Storage]:
    if settings.storage == "local":
        return open_station(settings, exclusive=exclusive, now=now)
    if exclusive:
        raise StationBusy("HARO_STORAGE is azure: there the functions do the work; set it to local to listen from here")
    from shared.storage.azure.account import open_account  # noqa: PLC0415 - a second of SDKs that no station needs

    return open_account(settings)
