"""The outbox: at least once to the channel, at most once to the person.

An entry per (detection, channel) is written before anything is sent and marked after. Who sends holds the channel's
lease; what is sent together is written down, under one notice id, before it goes out. A crash between sending and
marking therefore repeats the same message with the same idempotency key, which a receiver can recognise; nothing else
repeats anything.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from shared.documents import DETECTIONS, OUTBOX, Audience, OutboxEntry
from shared.errors import CannotBeTold, ConflictError, HaroError, NotificationError
from shared.recording.channels import Channel, Sender
from shared.recording.detections import detection_start, is_confirmed
from shared.recording.lease import Lease
from shared.recording.messages import notice_for
from shared.recording.notify import Due, NoticePolicy, next_due, suppressed_by_now, suppressed_from_the_start
from shared.storage.ports import DocumentStore, Json, Stored

Clock = Callable[[], datetime]

_log = logging.getLogger(__name__)
_WITHDRAWN = "no longer confirmed"
_LOOK_BACK = timedelta(days=2)  # further than a bout or the age limit of subscribers reaches


@dataclass(frozen=True)
class Delivered:
    """What one round of delivery did: messages sent and failed (to be tried again, or given up), entries suppressed."""

    sent: int = 0
    failed: int = 0
    suppressed: int = 0


def plan(
    documents: DocumentStore,
    detection: Json,
    channels: Iterable[Channel],
    *,
    audiences: frozenset[Audience],
    policy: NoticePolicy,
    now: Clock,
) -> int:
    """Write down who is to be told of a detection, and return how many entries are new.

    What is written already stays, but for what was suppressed because a yes was withdrawn: the yes is back. Raises
    MessageError for a detection that does not say when it was.
    """
    moment = now()
    start_utc = detection_start(detection)
    origin = str((detection.get("haro") or {}).get("origin", "live"))
    new = 0
    for channel in channels:
        if channel.audience not in audiences:
            continue
        reason = suppressed_from_the_start(
            channel.audience, origin=origin, detection_utc=start_utc, now=moment, policy=policy
        )
        entry = OutboxEntry(
            id=f"{channel.id}:{detection['id']}",
            channel_id=channel.id,
            audience=channel.audience,
            detection_id=detection["id"],
            hydrophone_id=detection["source_guid"],
            detection_utc=start_utc,
            created_utc=moment,
            due_utc=moment,
            state="suppressed" if reason else "waiting",
            suppressed_because=reason,
        )
        new += documents.create(OUTBOX, entry.to_json()) or _revive(documents, entry)
    return new


def _revive(documents: DocumentStore, entry: OutboxEntry) -> bool:
    """Put the entry in the place of a withdrawn one; whoever writes that at the same time does the same."""
    stored = documents.get(OUTBOX, entry.channel_id, entry.id)
    if stored is None or stored.body["suppressed_because"] != _WITHDRAWN:
        return False
    try:
        documents.replace(OUTBOX, entry.to_json(), etag=stored.etag)
    except ConflictError:
        return False
    return True


def deliver_due(
    documents: DocumentStore, channels: Iterable[Channel], sender: Sender, *, policy: NoticePolicy, now: Clock
) -> Delivered:
    """Send what is due, channel by channel. One that fails is left alone until the next round, and costs no other."""
    done: Counter[str] = Counter()
    for channel in channels:
        try:
            done += _Round(documents, channel, sender, policy, now).run()
        except HaroError as error:
            _log.warning("%s: delivery broke off and goes on next round: %s", channel.label, error)
        except Exception:  # noqa: BLE001 - a bug met at one channel must not stop the others
            _log.exception("%s: a bug broke delivery off, and it goes on next round", channel.label)
    return Delivered(sent=done["sent"], failed=done["failed"], suppressed=done["suppressed"])


class _Round:
    """One round of delivery to one channel."""

    def __init__(
        self, documents: DocumentStore, channel: Channel, sender: Sender, policy: NoticePolicy, now: Clock
    ) -> None:
        self._documents = documents
        self._channel = channel
        self._sender = sender
        self._policy = policy
        self._now = now
        self._etags: dict[str, str] = {}
        self._lease = Lease(documents, channel.id, length_s=policy.lease_s, now=now)
        self._done: Counter[str] = Counter()

    def run(self) -> Counter[str]:
        """Send one message after another, each decided on what is stored at that moment."""
        try:
            while (entries := self._read()) and self._has_work(entries) and self._lease.take():
                # Read again: whoever held the lease before may have sent what was seen without it.
                entries = self._settle(self._read())
                due = next_due(entries, now=self._now(), policy=self._policy)
                if due and not self._deliver(due):
                    break
        finally:
            self._lease.release()
        return self._done

    def _read(self) -> list[OutboxEntry]:
        """All entries that matter: those waiting, and all beside them that tell what was sent and where bouts begin."""
        waiting = self._documents.query(OUTBOX, partition=self._channel.id, where={"state": "waiting"})
        if not waiting:
            return []
        earliest = min(OutboxEntry.model_validate(stored.body).detection_utc for stored in waiting) - _LOOK_BACK
        since = ("detection_utc", earliest.strftime("%Y-%m-%dT%H:%M:%S"))
        found = self._documents.query(OUTBOX, partition=self._channel.id, since=since)
        self._etags = {stored.body["id"]: stored.etag for stored in found}
        return [OutboxEntry.model_validate(stored.body) for stored in found]

    def _has_work(self, entries: Sequence[OutboxEntry]) -> bool:
        told = _told(entries)
        if any(self._settled(entry, told) is not entry for entry in entries):
            return True
        return next_due(entries, now=self._now(), policy=self._policy) is not None

    def _settle(self, entries: Sequence[OutboxEntry]) -> list[OutboxEntry]:
        """Write down what needs no sending, and return the entries as they then stand."""
        told = _told(entries)
        settled = []
        for entry in entries:
            changed = self._settled(entry, told)
            if changed is not entry:
                self._write(changed)
                self._done["suppressed"] += changed.state == "suppressed"
            settled.append(changed)
        return settled

    def _settled(self, entry: OutboxEntry, told: Sequence[OutboxEntry]) -> OutboxEntry:
        if entry.state != "waiting":
            return entry
        # A crash while marking: the message of this entry went out, for another entry of it is marked.
        sent_utc = next((o.sent_utc for o in told if entry.notice_id and o.notice_id == entry.notice_id), None)
        if sent_utc is not None:
            return entry.model_copy(update={"state": "sent", "sent_utc": sent_utc})
        reason = suppressed_by_now(entry, told, now=self._now(), policy=self._policy)
        return entry.model_copy(update={"state": "suppressed", "suppressed_because": reason}) if reason else entry

    def _deliver(self, due: Due) -> bool:
        """Claim, send, mark. Returns whether the channel took the message, or there was nothing left to tell."""
        detections = {}
        for entry in due.entries:
            stored = self._documents.get(DETECTIONS, entry.hydrophone_id, entry.detection_id)
            reason = _withdrawn(entry, stored)
            if reason or stored is None:
                self._suppress(entry, reason)
            else:
                detections[entry.id] = stored.body
        claim = {"notice_id": due.notice_id, "bout_id": due.bout_id}
        entries = [
            self._write(entry.model_copy(update={**claim, "attempts": entry.attempts + 1}))
            for entry in due.entries
            if entry.id in detections
        ]
        if not entries:
            return True
        try:
            notice = notice_for(self._channel.audience, due, tuple(detections.values()))
            self._sender.send(self._channel, notice)
        except CannotBeTold as error:
            for entry in entries:
                self._suppress(entry, str(error))
            return True
        except NotificationError as error:
            self._mark_failed(entries, str(error))
            return False
        except Exception as error:  # noqa: BLE001 - a bug met by one message must not keep the next from its turn
            _log.exception("%s: a bug, met with detection %s", self._channel.label, entries[0].detection_id)
            self._mark_failed(entries, f"a bug: {type(error).__name__}")
            return False
        for entry in entries:
            self._write(entry.model_copy(update={"state": "sent", "sent_utc": self._now(), "last_error": ""}))
        self._done["sent"] += 1
        _log.info("%s: told of %d detections at %s", self._channel.label, len(entries), entries[0].hydrophone_id)
        return True

    def _suppress(self, entry: OutboxEntry, reason: str) -> None:
        self._write(entry.model_copy(update={"state": "suppressed", "suppressed_because": reason}))
        self._done["suppressed"] += 1

    def _mark_failed(self, entries: Sequence[OutboxEntry], error: str) -> None:
        self._done["failed"] += 1
        for entry in entries:
            changes: dict[str, Any] = {"last_error": error}
            if self._policy.gives_up(entry, self._now()):
                changes["state"] = "failed"
                _log.error(
                    "gave up after %d attempts, NOT told: detection %s: %s", entry.attempts, entry.detection_id, error
                )
            else:
                changes["due_utc"] = self._now() + self._policy.retry_after(entry.attempts)
                _log.warning("detection %s is told again at %s: %s", entry.detection_id, changes["due_utc"], error)
            self._write(entry.model_copy(update=changes))

    def _write(self, entry: OutboxEntry) -> OutboxEntry:
        self._etags[entry.id] = self._documents.replace(OUTBOX, entry.to_json(), etag=self._etags[entry.id])
        return entry


def _told(entries: Sequence[OutboxEntry]) -> list[OutboxEntry]:
    return [entry for entry in entries if entry.state == "sent"]


def _withdrawn(entry: OutboxEntry, detection: Stored | None) -> str:
    if detection is None:
        return "the detection is no longer there"
    if entry.audience != "moderators" and not is_confirmed(detection.body):
        return _WITHDRAWN
    return ""
