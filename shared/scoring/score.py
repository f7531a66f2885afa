"""The stage: one batch of segments becomes one result, with its audio and, for a detection, its picture.

The result JSON is written last, because its arrival is what starts recording. A batch that was scored before is not
scored again. Silent and unintelligible clips are scored like any other: their health stands in the result, and whoever
reads coverage can leave them out.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from time import perf_counter

from shared.documents import ClipResult, Gap, Provenance, SegmentBatch, WindowScore, result_blob_name, trace_parent
from shared.hydrophones import Hydrophone
from shared.scoring.audio import AudioLimits
from shared.scoring.clip import ClipScores, score_clip
from shared.scoring.decision import decide, decision_spans_s
from shared.scoring.detector import Detector
from shared.scoring.fetch import Fetched, FetchPolicy, SegmentSource, fetch_segments
from shared.scoring.frontend import LogMel
from shared.scoring.health import assess
from shared.scoring.keep import KeepPolicy, keep_audio, keep_picture
from shared.scoring.model_file import FrontEnd
from shared.scoring.segments import DecodedClip, Part, decode_segments
from shared.storage.ports import BlobStore
from shared.telemetry import metrics

__all__ = ["KeepPolicy", "ScoredClip", "score_batch"]


@dataclass(frozen=True)
class ScoredClip:
    """A result and where it lies. `fresh` is False when it had been written before."""

    result: ClipResult
    result_blob: str
    fresh: bool

    def told(self) -> dict[str, str | bool | float]:
        """What a trace says of it: the outcome, and the seconds of each step where it was scored now."""
        result = self.result
        steps = {f"{step}_s": seconds for step, seconds in result.timings_s.items() if self.fresh}
        return {"detected": result.detected, "model_version": result.model_version, "fresh": self.fresh, **steps}


def score_batch(
    batch: SegmentBatch,
    *,
    http: SegmentSource,
    blobs: BlobStore,
    detector: Detector,
    keep: KeepPolicy,
    limits: AudioLimits,
    hydrophones: Mapping[str, Hydrophone],
    now: Callable[[], datetime],
    last_try: bool,
    late_s: float = 120.0,
) -> ScoredClip:
    """Fetch, decode, score and decide on one batch, then write audio, picture and result, in this order.

    Every segment of the batch is in the result once: among the provenance's `segment_indices`, or in `gaps`.

    Args:
        batch: the message from the queue.
        http: where the segments are fetched.
        blobs: where audio, picture and result are written.
        detector: the model, whose policy decides.
        keep: which audio is written.
        limits: the most bytes and seconds of one clip; a segment beyond them is a gap.
        hydrophones: by id; a hydrophone's own threshold stands in place of the policy's.
        now: the clock, which says whether a segment that is not there may still come.
        last_try: whether what cannot be fetched now is given up, because the message will not come again.
        late_s: how long after its end a segment may still be uploaded.

    Raises:
        StreamNotFound, StreamUnreachable: a segment may be had later: leave the message on the queue.
        StorageError: the result could not be written: the same.
    """
    name = result_blob_name(batch.id)
    if blobs.exists(name):
        return _written_before(name, blobs)
    steps = _Steps()
    policy = FetchPolicy(late_s, limits.max_bytes, last_try=last_try)
    fetched = fetch_segments(batch.segments, http, policy, now=now())
    steps.done("fetch")
    clip = decode_segments([_part(batch, one) for one in fetched], limits)
    steps.done("decode")
    health = assess(*(run.waveform for run in clip.runs))
    steps.done("health")
    metadata, site = detector.metadata, hydrophones.get(batch.hydrophone_id)
    scores = score_clip(clip.runs, _log_mel(metadata.front_end), detector)
    decision = decide(metadata.decision, scores.scores, threshold=site.threshold if site else None)
    steps.done("score", scores.timings_s)
    unheard = _unheard(batch, clip, scores)
    duration_s = (batch.end_utc - batch.start_utc).total_seconds()
    audio_blob, no_audio_because = keep_audio(batch, clip.runs, detected=decision.detected, policy=keep, blobs=blobs)
    steps.done("audio")
    spans_s = decision_spans_s(metadata.decision, scores.spans_s, hop_s=metadata.front_end.hop_s)
    decision_windows = _windows(spans_s, decision.values)
    image_blob, no_image_because = None, None
    if decision.detected:
        from shared.scoring.spectrogram import Caption, render  # noqa: PLC0415 - half a second that few clips need

        caption = Caption(site.name if site else batch.hydrophone_id, batch.start_utc, decision.confidence)
        positives = [decision_windows[index] for index in decision.positive_windows]
        png = render(clip.runs, duration_s=duration_s, caption=caption, positives=positives)
        image_blob, no_image_because = keep_picture(batch, png, blobs)
        steps.done("picture")
    result = ClipResult(
        batch_id=batch.id,
        hydrophone_id=batch.hydrophone_id,
        origin=batch.origin,
        start_utc=batch.start_utc,
        duration_s=duration_s,
        sample_rate_hz=max((run.waveform.sample_rate_hz for run in clip.runs), default=0),
        model_version=metadata.model_version,
        policy=metadata.decision.policy,
        threshold=decision.threshold,
        detected=decision.detected,
        confidence=decision.confidence,
        windows=_windows(scores.spans_s, scores.scores.tolist()),
        decision_windows=decision_windows,
        positive_windows=decision.positive_windows,
        health=health,
        gaps=_gaps(batch, fetched, clip, unheard),
        provenance=_provenance(batch, clip, unheard),
        audio_blob=audio_blob,
        image_blob=image_blob,
        not_kept_because=no_audio_because or no_image_because,
        timings_s=steps.timings_s,
    )
    trace = {"traceparent": trace_parent(batch.id)}
    if not blobs.put(name, result.model_dump_json().encode(), overwrite=False, metadata=trace):
        return _written_before(name, blobs)  # another worker had the same message and was quicker
    metrics.clip_scored(result, now())
    return ScoredClip(result, name, fresh=True)


def _written_before(name: str, blobs: BlobStore) -> ScoredClip:
    return ScoredClip(ClipResult.parse(blobs.get(name), source=name), name, fresh=False)


def _part(batch: SegmentBatch, fetched: Fetched) -> Part:
    segment = fetched.segment
    start_s = (segment.start_utc - batch.start_utc).total_seconds()
    return Part(segment.index, fetched.data, start_s, segment.duration_s)


def _unheard(batch: SegmentBatch, clip: DecodedClip, scores: ClipScores) -> dict[int, str]:
    """Segments that decode, but stand alone with too little sound for any window; and why."""
    starts_s = {clip.runs[position].start_s for position in scores.unheard}
    return {
        segment.index: "too short to score, and nothing joins it"
        for segment in batch.segments
        if segment.index in clip.decoded and (segment.start_utc - batch.start_utc).total_seconds() in starts_s
    }


def _gaps(
    batch: SegmentBatch, fetched: Sequence[Fetched], clip: DecodedClip, unheard: Mapping[int, str]
) -> tuple[Gap, ...]:
    """One gap per segment that could not be had or not be used."""
    unusable = {**unheard, **{failure.index: failure.reason for failure in clip.failures}}
    return tuple(
        Gap(
            hydrophone_id=batch.hydrophone_id,
            epoch=batch.epoch,
            first_index=one.segment.index,
            last_index=one.segment.index,
            start_utc=one.segment.start_utc,
            end_utc=one.segment.end_utc,
            reason=one.reason or "corrupt",
            detail=one.detail or unusable[one.segment.index],
        )
        for one in fetched
        if one.data is None or one.segment.index in unusable
    )


def _provenance(batch: SegmentBatch, clip: DecodedClip, unheard: Mapping[int, str]) -> Provenance:
    return Provenance(
        epoch=batch.epoch,
        first_index=batch.first_index,
        last_index=batch.last_index,
        segment_indices=tuple(index for index in clip.decoded if index not in unheard),
        offset_s=batch.offset_s,
        time_source=batch.time_source,
        first_pts_s=clip.first_pts_s,
    )


def _windows(spans_s: Sequence[tuple[float, float]], scores: Sequence[float]) -> tuple[WindowScore, ...]:
    return tuple(
        WindowScore(start_s=start_s, end_s=end_s, score=score)
        for (start_s, end_s), score in zip(spans_s, scores, strict=True)
    )


@lru_cache(maxsize=4)
def _log_mel(front_end: FrontEnd) -> LogMel:
    """A model's front end, whose filters are laid out once per process."""
    return LogMel(front_end)


class _Steps:
    """How long each step took since the one before it."""

    def __init__(self) -> None:
        self.timings_s: dict[str, float] = {}
        self._began = perf_counter()

    def done(self, step: str, within_s: Mapping[str, float] | None = None) -> None:
        """Note the step, or what it says of itself where it knows better."""
        now = perf_counter()
        self.timings_s |= {name: round(seconds, 4) for name, seconds in (within_s or {step: now - self._began}).items()}
        self._began = now
