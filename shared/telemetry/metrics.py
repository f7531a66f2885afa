"""Metrics: the instruments, and one small function for each thing that happens."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import Literal

from opentelemetry.metrics import get_meter

from shared.documents import Audience, ClipResult, Gap

_LAG_S = (10, 20, 30, 45, 60, 90, 120, 180, 300, 600, 1200, 1800, 3600)
_TENTHS = tuple(tenth / 10 for tenth in range(1, 10))

_meter = get_meter("haro")
_clips = _meter.create_counter("haro.clips.scored", unit="{clip}", description="Clips scored")
_to_scored = _meter.create_histogram(
    "haro.audio.to_scored",
    unit="s",
    description="From the end of a live clip's sound to its result",
    explicit_bucket_boundaries_advisory=_LAG_S,
)
_to_recorded = _meter.create_histogram(
    "haro.audio.to_recorded",
    unit="s",
    description="From the end of a live clip's sound to its record",
    explicit_bucket_boundaries_advisory=_LAG_S,
)
_gaps = _meter.create_counter("haro.gaps", unit="{gap}", description="Stretches of sound that were not scored")
_score = _meter.create_histogram(
    "haro.score",
    description="The model's score of each window",
    explicit_bucket_boundaries_advisory=_TENTHS,
)
_queue_age = _meter.create_gauge("haro.queue.age", unit="s", description="Age of the oldest batch waiting or at work")
_queue_waiting = _meter.create_gauge("haro.queue.waiting", unit="{batch}", description="Batches waiting or at work")
_queue_dead = _meter.create_gauge("haro.queue.dead", unit="{batch}", description="Batches set aside: dead letters")
_newest = _meter.create_gauge(
    "haro.hydrophone.newest", unit="s", description="Age of the newest sound a hydrophone published"
)
_polls_failed = _meter.create_counter(
    "haro.polls.failed", unit="{poll}", description="Polls that failed by Haro's own fault, not the stream's"
)
_load_failures = _meter.create_counter(
    "haro.model.load_failures", unit="{failure}", description="Looks that found a model which cannot be used"
)
_resent = _meter.create_counter("haro.resent", unit="{batch}", description="Batches that vanished and were sent again")
_notifications = _meter.create_counter(
    "haro.notifications", unit="{notification}", description="Messages sent, failed or given up; entries suppressed"
)

Outcome = Literal["sent", "failed", "given_up", "suppressed"]


def clip_scored(result: ClipResult, now: datetime) -> None:
    """Count a new result, its windows' scores and, for live sound, how late it is.

    A clip of which all sound is missing is counted, but late it cannot be: it is no sign that its hydrophone is heard.
    Every window is in `haro.score`, not each clip's best: most of them hear the sea and not orcas, so that the whole
    moves with the hydrophone and the model, while the best moves with every visit of orcas.
    """
    where = {"hydrophone": result.hydrophone_id}
    model = {"model_version": result.model_version}
    _clips.add(1, {**where, **model, "detected": result.detected})
    for window in result.windows:
        _score.record(window.score, {**where, **model})
    if result.origin == "live" and result.windows:
        _to_scored.record(_late_s(result, now), where)


def clip_recorded(result: ClipResult, now: datetime) -> None:
    """For live sound, note how late its record is. What a backfill brings is late on purpose and would only blur it."""
    if result.origin == "live" and result.windows:
        _to_recorded.record(_late_s(result, now), {"hydrophone": result.hydrophone_id})


def gap_found(gap: Gap) -> None:
    """Count a gap that is new."""
    _gaps.add(1, {"hydrophone": gap.hydrophone_id, "reason": gap.reason})


def queue_seen(*, waiting: int, dead: int, oldest_age_s: float) -> None:
    """How the queue of batches stands."""
    _queue_waiting.set(waiting)
    _queue_dead.set(dead)
    _queue_age.set(oldest_age_s)


def hydrophones_polled(newest_utc: Mapping[str, datetime], failed: Iterable[str], now: datetime) -> None:
    """How old the newest published sound is that is known of each hydrophone, and whose polls Haro itself failed."""
    for hydrophone_id in failed:
        _polls_failed.add(1, {"hydrophone": hydrophone_id})
    for hydrophone_id, moment in newest_utc.items():
        _newest.set(max(0.0, (now - moment).total_seconds()), {"hydrophone": hydrophone_id})


def model_failed() -> None:
    """Count a model that could not be loaded, or a promoted one that cannot be used."""
    _load_failures.add(1)


def batches_resent(count: int) -> None:
    """Count batches that vanished from the queue and were sent again."""
    _resent.add(count)


def notified(audience: Audience, outcome: Outcome) -> None:
    """Count a message that was sent, failed or was given up, or an entry of the outbox that was suppressed."""
    _notifications.add(1, {"audience": audience, "outcome": outcome})


def _late_s(result: ClipResult, now: datetime) -> float:
    """Seconds since the end of a clip's sound; no less than 0, should the clocks disagree."""
    return max(0.0, (now - result.start_utc - timedelta(seconds=result.duration_s)).total_seconds())
