"""Verdicts that other tools write straight into the store, followed: what they confirm is planned to be told."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from datetime import timedelta

from shared.clock import Clock
from shared.documents import DETECTIONS, OUTBOX, Bookmark
from shared.errors import ConflictError, MessageError, StorageError, UnknownMark
from shared.recording.channels import Channel
from shared.recording.detections import is_confirmed, utc_seconds
from shared.recording.notify import NoticePolicy
from shared.recording.planning import CONFIRMED, plan
from shared.storage.ports import DocumentStore, Json, Stored

_log = logging.getLogger(__name__)


def plan_confirmed(documents: DocumentStore, channels: Iterable[Channel], *, policy: NoticePolicy, now: Clock) -> int:
    """Plan who is told of confirmed detections, whoever wrote the verdict; returns how many entries are new.

    For verdicts that other tools write straight into the store, and for a crash between verdict and plan. Run before
    each delivery. What changed since the last run is read page by page, and a bookmark moved on after each: finding
    nothing new costs one small read, and a crash before the bookmark moves repeats a page, which changes nothing.
    Verdicts older than `policy.max_age_s` when the reading began from the first change were there before; all later
    ones count, however long nobody read.
    """
    told = [channel for channel in channels if channel.audience in CONFIRMED]
    if not told:
        return 0
    start = Bookmark(mark="", since_utc=now() - timedelta(seconds=policy.max_age_s))
    stored = documents.get(OUTBOX, start.channel_id, start.id)
    bookmark = Bookmark.model_validate(stored.body) if stored else start
    new, more = 0, True
    while more:
        try:
            changes = documents.changes(DETECTIONS, after=bookmark.mark)
        except UnknownMark as error:  # the container was made anew; planning twice plans once
            _log.warning("the detections are looked through from the first one: %s", error)
            bookmark = start
            changes = documents.changes(DETECTIONS)
        # By the time of the verdict, not of the call: Orcasite gets old calls too, and `plan` spares subscribers those.
        since = utc_seconds(bookmark.since_utc)
        new += sum(_plan_if_confirmed(documents, one.body, told, since, policy, now) for one in changes.documents)
        bookmark = bookmark.model_copy(update={"mark": changes.mark})
        if changes.documents:
            if not _moved(documents, stored, bookmark):
                return new  # another process is reading on from here
            stored = documents.get(OUTBOX, start.channel_id, start.id)
        more = changes.more
    return new


def _plan_if_confirmed(
    documents: DocumentStore, detection: Json, told: Iterable[Channel], since: str, policy: NoticePolicy, now: Clock
) -> int:
    moderated_utc = detection.get("dateModerated")
    if not is_confirmed(detection) or not isinstance(moderated_utc, str) or moderated_utc < since:
        return 0
    try:
        return plan(documents, detection, told, audiences=CONFIRMED, policy=policy, now=now)
    except StorageError:
        raise  # no fault of this document: it is read again
    except MessageError as error:
        _log.warning("nobody is told: %s", error)
    except Exception:  # noqa: BLE001 - a bug met with one document must not hold up for ever all that follow it
        _log.exception("nobody is told of detection %s: a bug", detection.get("id"))
    return 0


def _moved(documents: DocumentStore, stored: Stored | None, bookmark: Bookmark) -> bool:
    """Write the bookmark as it now is; False when another process did so first."""
    if stored is None:
        return documents.create(OUTBOX, bookmark.to_json())
    try:
        documents.replace(OUTBOX, bookmark.to_json(), etag=stored.etag)
    except ConflictError:
        return False
    return True
