"""The house: every stage of this process with its collaborators in place, ready to be called."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from functools import cached_property, partial

from shared.deliveries import handle
from shared.documents import SegmentBatch, batch_id_of
from shared.errors import HaroError, ModelError, NotificationError, SettingsError
from shared.http import Http
from shared.hydrophones import Hydrophone, by_id
from shared.ingest.backfill import BackfillReport, enqueue_backfills
from shared.ingest.batches import Rules
from shared.ingest.enqueue import Backoff, PollReport, enqueue_new_batches
from shared.ingest.hls import HttpStreams
from shared.recording.channels import Channel, SenderByScheme, shared_ids
from shared.recording.confirmed import plan_confirmed
from shared.recording.detections import Verdict
from shared.recording.lease import end_lease
from shared.recording.moderate import moderate
from shared.recording.notify import NoticePolicy
from shared.recording.orcasite import station_sender
from shared.recording.outbox import Delivered, deliver_due
from shared.recording.record import Recorded, record_result
from shared.registry.registry import Registry
from shared.registry.served import ServedModel
from shared.scoring.audio import AudioLimits
from shared.scoring.detector import Detector
from shared.scoring.score import KeepPolicy, ScoredClip, score_batch
from shared.settings import Settings
from shared.storage.ports import Delivery, Json, Storage
from shared.telemetry import metrics
from shared.telemetry.traces import span
from shared.upkeep.deadletters import DeadReport, replay, tend_dead_letters
from shared.upkeep.reconcile import Reconciled, reconcile

_DAY_S = 86_400.0
_RETRIES_COUNTED = 250  # to find the first tries behind them; each 250 are a page of a peek at Service Bus
_MESSAGES_AT_ONCE = 10  # to each channel; each costs a reading of all that wait there
_log = logging.getLogger(__name__)


class House:
    """The stages of this process, each with its collaborators in place."""

    def __init__(
        self,
        settings: Settings,
        hydrophones: Sequence[Hydrophone],
        storage: Storage,
        http: Http,
        model: ServedModel,
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
        self._model = model
        self._by_id: Mapping[str, Hydrophone] = by_id(self.hydrophones)
        self._backoff = Backoff(first_s=settings.poll_interval_s)
        self._newest_utc: dict[str, datetime] = {}

    @property
    def detector(self) -> Detector:
        """The model for the next clip, loaded on first use. Raises ModelError."""
        try:
            return self._model()
        except ModelError:
            metrics.model_failed()
            raise

    @property
    def model_problem(self) -> str:
        """Why the model that scores is not the one that should; empty when it is."""
        return self._model.problem

    @property
    def registry(self) -> Registry:
        """The models kept beside the recordings."""
        return Registry(self.storage.blobs, now=self.now)

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
        """Raise SettingsError naming every channel that nothing could ever be sent to. Sends nothing.

        Channels that share an id are named too: of those, one would be told for all.
        """
        wrong = shared_ids(self.channels)
        for channel in self.channels:
            try:
                self._sender.check(channel)
            except NotificationError as error:
                wrong.append(str(error))
        if wrong:
            raise SettingsError("; ".join(wrong))

    def take_over(self) -> None:
        """Take up what an earlier process left unfinished. Only for who is alone on the storage."""
        self.storage.take_over()
        for channel in self.channels:
            end_lease(self.storage.documents, channel.id)

    def poll(self) -> list[PollReport]:
        """The first stage, for every hydrophone."""
        reports = enqueue_new_batches(
            self.hydrophones,
            streams=self.streams,
            documents=self.storage.documents,
            queue=self.storage.batches,
            rules=self.rules,
            now=self.now,
            backoff=self._backoff,
        )
        self._newest_utc |= {one.hydrophone_id: one.newest_utc for one in reports if one.newest_utc}
        failed = (one.hydrophone_id for one in reports if one.state == "failed")
        metrics.hydrophones_polled(self._newest_utc, failed, self.now())
        return reports

    def backfill(self) -> list[BackfillReport]:
        """One step of every open backfill, as far as the queue has room."""
        return enqueue_backfills(
            self._by_id,
            streams=self.streams,
            documents=self.storage.documents,
            queue=self.storage.batches,
            room=self._backfill_room(),
            now=self.now,
        )

    def _backfill_room(self) -> int:
        """How many batches of old audio the queue has room for. Retries take none: they let first tries pass."""
        at_most = self.settings.backfill_room + _RETRIES_COUNTED
        stats = self.storage.batches.stats(at_most=at_most)
        if not stats.complete and stats.active >= at_most:
            return 0  # nobody knows how many first tries stand behind those counted
        return self.settings.backfill_room - (stats.active - stats.retries)

    def score_message(self, delivery: Delivery) -> ScoredClip:
        """The second stage, for a message from the queue. Raises MessageError when it is no batch."""
        batch = SegmentBatch.parse(delivery.message.body, source=f"message {delivery.message.id}")
        return self.score(batch, last_try=delivery.delivery_count >= self.settings.max_deliveries)

    def score_hosted(self, delivery: Delivery) -> None:
        """The same for a message that a function host received: what fails now is tried again later, or set aside.

        Raises HaroError where only the host can set it aside.
        """
        handle(delivery, self.score_message, settle=self.storage.hosted, max_deliveries=self.settings.max_deliveries)

    def score(self, batch: SegmentBatch, *, last_try: bool) -> ScoredClip:
        """The second stage, for one batch: by the model in production or, where that one fails with it, the bundled."""
        settings, detector = self.settings, self.detector
        score = partial(
            score_batch,
            batch,
            http=self._http,
            blobs=self.storage.blobs,
            keep=KeepPolicy(clips=settings.keep_clips, clip_format=settings.clip_format),
            limits=AudioLimits(max_bytes=settings.max_clip_bytes, max_duration_s=settings.max_clip_s),
            hydrophones=self._by_id,
            now=self.now,
            last_try=last_try,
            late_s=settings.late_s,
        )
        with span("score", batch.id, hydrophone=batch.hydrophone_id, origin=batch.origin) as note:
            try:
                scored = score(detector=detector)
            except ModelError as error:
                other = self._model.instead_of(detector)
                if other is None:
                    raise
                scored = score(detector=other)  # where it fails as well, the sound is at fault, and the model stays
                self._model.refuse(detector, str(error))
            note(**scored.told())
        return scored

    def record(self, result_blob: str) -> Recorded:
        """The third stage, for one result."""
        with span("record", batch_id_of(result_blob)) as note:
            recorded = record_result(
                result_blob,
                blobs=self.storage.blobs,
                documents=self.storage.documents,
                hydrophones=self._by_id,
                channels=self.channels,
                policy=self.policy,
                now=self.now,
            )
            note(gaps=recorded.new_gaps, detection=recorded.detection_id, entries=recorded.new_entries)
        return recorded

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
        """Tell people what is due, so many messages to each channel that the next poll need not wait for long.

        With `hold_nothing_back` all of it, also what would wait for the bout's next update.
        """
        policy = replace(self.policy, moderators_every_s=0.0) if hold_nothing_back else self.policy
        documents = self.storage.documents
        try:
            plan_confirmed(documents, self.channels, policy=policy, now=self.now)
        except HaroError as error:  # what is planned already need not wait for it
            _log.error("new verdicts are not told yet, and are read again next time: %s", error)
        return deliver_due(
            documents,
            self.channels,
            self._sender,
            policy=policy,
            now=self.now,
            link=partial(self.storage.blobs.link, valid_s=self.settings.link_days * _DAY_S),
            at_most=None if hold_nothing_back else _MESSAGES_AT_ONCE,
        )

    def tend_dead_letters(self) -> DeadReport:
        """Report dead letters, and put back those whose cause may be past."""
        storage = self.storage
        stats = storage.batches.stats()
        metrics.queue_seen(waiting=stats.active, dead=stats.dead, oldest_age_s=stats.oldest_age_s)
        if not stats.dead:
            return DeadReport()
        return tend_dead_letters(queue=storage.batches, documents=storage.documents, blobs=storage.blobs, now=self.now)

    def replay_dead_letters(self) -> int:
        """Put all dead letters back on their queues, whatever their turn; returns how many there were."""
        storage = self.storage
        count = replay(storage.batches.dead_letters(), queue=storage.batches, documents=storage.documents, now=self.now)
        if storage.results is not None:
            count += storage.results.replay([letter.message.id for letter in storage.results.dead_letters()])
        return count

    def reconcile(self) -> Reconciled:
        """Set right what was sent long ago and is not recorded."""
        storage = self.storage
        return reconcile(
            documents=storage.documents,
            blobs=storage.blobs,
            queue=storage.batches,
            record=self.record,
            grace_s=self.settings.reconcile_after_s,
            now=self.now,
        )

    def clean(self) -> None:
        """Forget what is too old."""
        self.storage.clean()
