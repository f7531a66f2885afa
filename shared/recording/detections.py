"""From a scored clip to the documents people and tools read. Pure.

The detection document has OrcaHello's fields, names and scales, so that its moderator tools read it unchanged; what
Haro knows beyond them stands beside under the one key `haro`.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Literal, cast

from shared.documents import ClipRecord, ClipResult
from shared.errors import MessageError
from shared.hydrophones import Hydrophone
from shared.storage.ports import Json

Found = Literal["yes", "no", "don't know"]
_FOUND: tuple[str, ...] = ("yes", "no", "don't know")


@dataclass(frozen=True)
class Verdict:
    """What a moderator says of a detection."""

    found: str
    moderator: str
    comments: str = ""
    tags: tuple[str, ...] = ()


def utc_seconds(moment: datetime) -> str:
    """`yyyy-MM-ddTHH:mm:ssZ`: the form of every time OrcaHello stores, whole seconds in UTC, cut and not rounded."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def detection_document(
    result: ClipResult, hydrophone: Hydrophone | None, *, audio_uri: str, image_uri: str, result_blob: str
) -> Json:
    """The detection document of a clip in which orcas were heard.

    `whaleFoundConfidence` is 0-100 and the `confidence` of a prediction 0-1; a prediction's `id` is the index of its
    window, and only positive windows are listed. `startTime` and `duration` are seconds from the clip's start. A
    hydrophone nobody knows goes by its id, without coordinates.
    """
    windows = [(index, result.decision_windows[index]) for index in result.positive_windows]
    return {
        "id": result.detection_id,
        "modelId": result.model_version,
        "audioUri": audio_uri,
        "imageUri": image_uri,
        "reviewed": False,
        "timestamp": utc_seconds(result.start_utc),
        "whaleFoundConfidence": result.confidence * 100,
        "location": {
            "id": result.hydrophone_id,
            "name": hydrophone.name if hydrophone else result.hydrophone_id,
            "longitude": hydrophone.longitude if hydrophone else None,
            "latitude": hydrophone.latitude if hydrophone else None,
        },
        "source_guid": result.hydrophone_id,
        "predictions": [
            {
                "id": index,
                "startTime": window.start_s,
                "duration": round(window.end_s - window.start_s, 6),
                "confidence": window.score,
            }
            for index, window in windows
        ],
        "haro": {
            "batch_id": result.batch_id,
            "origin": result.origin,
            "start_utc": result.start_utc.isoformat(),
            "duration_s": result.duration_s,
            "policy": result.policy,
            "threshold": result.threshold,
            "provenance": result.provenance.to_json(),
            "health": result.health.to_json(),
            "gap_s": gap_s(result),
            "result_blob": result_blob,
            "audio_blob": result.audio_blob,
            "image_blob": result.image_blob,
            "not_kept_because": result.not_kept_because,
        },
    }


def detection_start(detection: Json) -> datetime:
    """When the clip of a detection starts: to the microsecond where Haro wrote it, else OrcaHello's whole seconds.

    Raises MessageError for a document, written by somebody else, that does not say.
    """
    written = str((detection.get("haro") or {}).get("start_utc") or detection.get("timestamp") or "")
    try:
        return datetime.fromisoformat(written).astimezone(UTC)
    except ValueError:
        raise MessageError(f"detection {detection['id']} has {written!r} for its timestamp, which is no time") from None


def clip_record(result: ClipResult, *, result_blob: str) -> ClipRecord:
    """The small document that every scored minute leaves, positive or not."""
    scores = [window.score for window in result.windows]
    return ClipRecord(
        id=result.clip_id,
        hydrophone_id=result.hydrophone_id,
        start_utc=result.start_utc,
        end_utc=result.start_utc + timedelta(seconds=result.duration_s),
        model_version=result.model_version,
        detected=result.detected,
        confidence=result.confidence,
        max_score=max(scores, default=0.0),
        mean_score=sum(scores) / len(scores) if scores else 0.0,
        health=result.health,
        gap_s=gap_s(result),
        result_blob=result_blob,
        audio_blob=result.audio_blob,
        detection_id=result.detection_id if result.detected else None,
    )


def gap_s(result: ClipResult) -> float:
    """Seconds of the batch that were not scored."""
    return round(sum(gap.duration_s for gap in result.gaps), 6)


def moderated(detection: Json, verdict: Verdict, *, now: datetime) -> Json:
    """The detection with a moderator's verdict in the fields OrcaHello adds; every other field stays.

    `found` is lower-cased and, left empty, means "no"; a comma in tags means the same as `;`; tags are trimmed and
    named once. Raises MessageError for a verdict that is none of yes, no and don't know.
    """
    return {
        **detection,
        "reviewed": True,
        "SRKWFound": _found(verdict.found),
        "comments": verdict.comments.strip(),
        "dateModerated": utc_seconds(now),
        "moderator": verdict.moderator.strip(),
        "tags": _joined(verdict.tags),
    }


def is_confirmed(detection: Json) -> bool:
    """Whether a moderator has said that orcas are to be heard."""
    return detection.get("reviewed") is True and str(detection.get("SRKWFound", "")).strip().lower() == "yes"


def _found(said: str) -> Found:
    found = said.strip().lower().replace("\N{RIGHT SINGLE QUOTATION MARK}", "'") or "no"
    if found not in _FOUND:
        raise MessageError(f"a verdict is one of {', '.join(_FOUND)}, not {said!r}")
    return cast("Found", found)


def _joined(tags: tuple[str, ...]) -> str:
    trimmed = (tag.strip() for tag in ";".join(tags).replace(",", ";").split(";"))
    return ";".join(dict.fromkeys(tag for tag in trimmed if tag))
