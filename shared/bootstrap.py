"""The one composition root: settings become storage, storage and the rest become stages ready to be called.

Everything is made once per process and closed at its end. The model is loaded on first use, so that a process that only
polls never pays for it.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import cached_property, partial
from importlib import resources
from pathlib import Path

import stamina.instrumentation
from filelock import FileLock, Timeout

from shared.documents import CONTAINERS, SegmentBatch
from shared.errors import NotificationError, SettingsError, StationBusy
from shared.http import Http, HttpLimits
from shared.hydrophones import Hydrophone, bundled_hydrophones, by_id, load_hydrophones
from shared.ingest.backfill import BackfillReport, enqueue_backfills
from shared.ingest.batches import Rules
from shared.ingest.enqueue import Backoff, PollReport, enqueue_new_batches
from shared.ingest.hls import HttpStreams
from shared.recording.channels import Channel, SenderByScheme
from shared.recording.detections import Verdict
from shared.recording.lease import end_lease
from shared.recording.notify import NoticePolicy
from shared.recording.orcasite import station_sender
from shared.recording.outbox import Delivered, deliver_due
from shared.recording.record import Recorded, moderate, plan_confirmed, record_result
from shared.scoring.audio import AudioLimits
from shared.scoring.detector import Detector
from shared.scoring.score import KeepPolicy, ScoredClip, score_batch
from shared.settings import Settings
from shared.storage.local.blobs import FolderBlobs
from shared.storage.local.database import Database
from shared.storage.local.documents import SqliteDocuments
from shared.storage.local.queue import SqliteQueue
from shared.storage.local.retention import sweep
from shared.storage.ports import Json

_DUPLICATE_WINDOW_S = 7 * 86_400.0
_GB = 10**9
_log = logging.getLogger(__name__)


def utc_now() -> datetime:
    """The time now, aware."""
    return datetime.now(UTC)


def bundled_model() -> Path:
    """The model file that comes with Haro."""
    return Path(str(resources.files("model").joinpath("haro-orca.onnx")))


def load_detector(settings: Settings) -> Detector:
    """The detector the settings name. Raises ModelError."""
    return Detector.load(
        settings.model or bundled_model(), threads=settings.score_threads, batch_size=settings.score_batch_size
    )


def the_hydrophones(settings: Settings) -> tuple[Hydrophone, ...]:
    """The hydrophones the settings name. Raises HydrophoneError."""
    return load_hydrophones(settings.hydrophones) if settings.hydrophones else bundled_hydrophones()


@dataclass(frozen=True)
class Storage:
    """Where everything is kept: the two queues, documents and blobs."""

    batches: SqliteQueue
    results: SqliteQueue
    documents: SqliteDocuments
    blobs: FolderBlobs


class House:
    """The stages of this process, each with its collaborators in place."""

    def __init__(
        self,
        settings: Settings,
        hydrophones: Sequence[Hydrophone],
        storage: Storage,
        http: Http,
        now: Callable[[], datetime],
    ) -> None:
        self.settings = settings
        self.hydrophones = tuple(hydrophones)
        self.storage = storage
        self.now = now
        self.streams = HttpStreams(http)
        self.rules = Rules(
            stall_s=settings.stall_s, far_behind_s=settings.far_behind_s, first_contact_s=settings.first_contact_s
        )
        self._http = http
        self._by_id: Mapping[str, Hydrophone] = by_id(self.hydrophones)
        self._backoff = Backoff(first_s=settings.poll_interval_s)

    @cached_property
    def detector(self) -> Detector:
        """The model, loaded on first use. Raises ModelError."""
        return load_detector(self.settings)

    @cached_property
    def channels(self) -> tuple[Channel, ...]:
        """Everybody who is told."""
        settings = self.settings
        return (
            *(Channel.of(url.get_secret_value(), "moderators") for url in settings.moderator_channels),
            *(Channel.of(url.get_secret_value(), "subscribers") for url in settings.subscriber_channels),
            *(Channel.of(url.get_secret_value(), "orcasite") for url in settings.orcasite_channels),
        )

    @cached_property
    def policy(self) -> NoticePolicy:
        """How often people are told."""
        return NoticePolicy(bout_gap_s=self.settings.bout_gap_s, moderators_every_s=self.settings.bout_update_s)

    @cached_property
    def _sender(self) -> SenderByScheme:
        return station_sender(self._by_id)

    def check_channels(self) -> None:
        """Raise SettingsError naming every channel that nothing could ever be sent to. Sends nothing."""
        wrong = []
        for channel in self.channels:
            try:
                self._sender.check(channel)
            except NotificationError as error:
                wrong.append(str(error))
        if wrong:
            raise SettingsError("; ".join(wrong))

    def take_over(self) -> None:
        """Take up what an earlier process left unfinished. Only for who holds the station's lock."""
        self.storage.batches.release_all()
        self.storage.results.release_all()
        self.storage.blobs.remove_temporary_files()
        for channel in self.channels:
            end_lease(self.storage.documents, channel.id)

    def poll(self) -> list[PollReport]:
        """The first stage, for every hydrophone."""
        return enqueue_new_batches(
            self.hydrophones,
            streams=self.streams,
            documents=self.storage.documents,
            queue=self.storage.batches,
            rules=self.rules,
            now=self.now,
            backoff=self._backoff,
        )

    def backfill(self) -> list[BackfillReport]:
        """One step of every open backfill, as far as the queue has room."""
        return enqueue_backfills(
            self._by_id,
            streams=self.streams,
            documents=self.storage.documents,
            queue=self.storage.batches,
            room=self.settings.backfill_room - self.storage.batches.stats().active,
            now=self.now,
        )

    def score(self, batch: SegmentBatch, *, last_try: bool) -> ScoredClip:
        """The second stage, for one batch."""
        settings = self.settings
        return score_batch(
            batch,
            http=self._http,
            blobs=self.storage.blobs,
            detector=self.detector,
            keep=KeepPolicy(clips=settings.keep_clips, clip_format=settings.clip_format),
            limits=AudioLimits(max_bytes=settings.max_clip_bytes, max_duration_s=settings.max_clip_s),
            hydrophones=self._by_id,
            now=self.now,
            last_try=last_try,
            late_s=settings.late_s,
        )

    def record(self, result_blob: str) -> Recorded:
        """The third stage, for one result."""
        return record_result(
            result_blob,
            blobs=self.storage.blobs,
            documents=self.storage.documents,
            hydrophones=self._by_id,
            channels=self.channels,
            policy=self.policy,
            now=self.now,
        )

    def moderate(self, hydrophone_id: str, detection_id: str, verdict: Verdict) -> Json | None:
        """Write a moderator's verdict; a yes is planned to be told. None when there is no such detection."""
        return moderate(
            self.storage.documents,
            hydrophone_id,
            detection_id,
            verdict,
            channels=self.channels,
            policy=self.policy,
            now=self.now,
        )

    def deliver(self, *, hold_nothing_back: bool = False) -> Delivered:
        """Tell people what is due; with `hold_nothing_back`, also what would wait for the bout's next update."""
        policy = replace(self.policy, moderators_every_s=0.0) if hold_nothing_back else self.policy
        documents = self.storage.documents
        plan_confirmed(documents, self.channels, policy=policy, now=self.now)
        return deliver_due(documents, self.channels, self._sender, policy=policy, now=self.now)

    def clean(self) -> None:
        """Forget what is too old, and make room on the disk; a disk that stays short is said aloud."""
        self.storage.documents.sweep()
        report = sweep(
            self.storage.blobs,
            now=self.now(),
            keep_days=self.settings.keep_days,
            min_free_bytes=int(self.settings.min_free_gb * _GB),
        )
        if report.still_short_bytes:
            _log.error(
                "the disk is %.1f GB short of HARO_MIN_FREE_GB and nothing is left to delete: clips are not kept until "
                "somebody makes room; listening, scoring and telling people go on",
                report.still_short_bytes / _GB,
            )


@contextmanager
def _station_lock(data: Path) -> Iterator[None]:
    """Hold the data folder's lock, which ends with the process, however that ends."""
    lock = FileLock(data / "haro.lock", timeout=0)
    try:
        lock.acquire()
    except Timeout:
        raise StationBusy(
            f"another Haro is at work on {data.resolve()}: stop that one first, or choose another folder with --data"
        ) from None
    try:
        yield
    finally:
        lock.release()


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
    limits = HttpLimits(settings.connect_timeout_s, settings.read_timeout_s, settings.http_attempts)
    http = Http(limits)
    try:
        with Database(settings.data / "haro.sqlite") as database:
            queue = partial(
                SqliteQueue,
                database,
                lock_s=settings.lock_s,
                max_deliveries=settings.max_deliveries,
                duplicate_window_s=_DUPLICATE_WINDOW_S,
                now=now,
            )
            storage = Storage(
                batches=queue("segment-batches"),
                results=queue("results"),
                documents=SqliteDocuments(database, CONTAINERS, now=now),
                blobs=FolderBlobs(settings.data, min_free_bytes=int(settings.min_free_gb * _GB)),
            )
            with _station_lock(settings.data) if exclusive else nullcontext():
                house = House(settings, listened_to, storage, http, now)
                if exclusive:
                    house.take_over()
                yield house
    finally:
        http.close()
