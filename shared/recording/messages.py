"""What people read. Pure: detection documents in, a notice out."""

from __future__ import annotations

from datetime import datetime
from zoneinfo import ZoneInfo

from shared.documents import Audience
from shared.recording.channels import Notice
from shared.recording.detections import detection_start
from shared.recording.notify import Due
from shared.storage.ports import Json

PACIFIC = ZoneInfo("America/Los_Angeles")
LISTED = 20  # more would bury the reader; the rest are counted


def notice_for(audience: Audience, due: Due, detections: tuple[Json, ...]) -> Notice:
    """The message that tells an audience of these detections, at least one, all on one hydrophone."""
    ordered = tuple(sorted(detections, key=detection_start))
    write = _to_moderators if audience == "moderators" else _to_subscribers
    title, body = write(due, ordered)
    return Notice(title=title, body=body, idempotency_key=due.notice_id, detections=ordered)


def local_and_utc(moment: datetime) -> str:
    """A time as people on the coast read it, with UTC beside it: `2025-08-31 08:13:53 PDT (15:13:53 UTC)`."""
    return f"{moment.astimezone(PACIFIC):%Y-%m-%d %H:%M:%S %Z} ({moment:%H:%M:%S} UTC)"


def _to_moderators(due: Due, detections: tuple[Json, ...]) -> tuple[str, str]:
    place = _place(detections[0])
    count = len(detections)
    more = "more " if due.bout_size > count else ""
    title = (
        f"Orca call candidate at {place}"
        if count == 1 and not more
        else f"{count} {more}orca call candidate{_s(count)} at {place}"
    )
    lines = [f"Haro heard what may be orcas at {place}.", ""]
    for detection in detections[:LISTED]:
        lines += [
            f"{local_and_utc(detection_start(detection))}, confidence {detection['whaleFoundConfidence']:.0f} %",
            f"  audio:     {detection.get('audioUri') or 'not kept'}",
            f"  picture:   {detection.get('imageUri') or 'not kept'}",
            f"  detection: {detection['id']}",
            "",
        ]
    if count > LISTED:
        lines += [f"and {count - LISTED} more: {', '.join(detection['id'] for detection in detections[LISTED:])}", ""]
    if due.bout_size > 1:
        lines.append(f"This bout began {local_and_utc(due.bout_start_utc)}: {due.bout_size} detections so far.")
    lines.append("These are candidates: please listen, and say what you hear.")
    return title, "\n".join(lines)


def _to_subscribers(_due: Due, detections: tuple[Json, ...]) -> tuple[str, str]:
    place = _place(detections[0])
    lines = [f"Orcas were heard at {place}, and a moderator has confirmed it.", ""]
    for detection in detections[:LISTED]:
        lines.append(local_and_utc(detection_start(detection)))
        if detection.get("comments"):
            lines.append(f"  {detection.get('moderator') or 'The moderator'} writes: {detection['comments']}")
        audio_uri = detection.get("audioUri") or ""
        if audio_uri.startswith("http"):  # a path on the station's own disk leads a subscriber nowhere
            lines.append(f"  listen: {audio_uri}")
    if len(detections) > LISTED:
        lines.append(f"and {len(detections) - LISTED} more")
    where = detections[0].get("location") or {}
    if where.get("latitude") is not None and where.get("longitude") is not None:
        lines += ["", f"Where: {where['latitude']:.5f}, {where['longitude']:.5f}"]
    return f"Orcas heard at {place}", "\n".join(lines)


def _place(detection: Json) -> str:
    return str((detection.get("location") or {}).get("name") or detection.get("source_guid") or "an unknown place")


def _s(count: int) -> str:
    return "" if count == 1 else "s"
