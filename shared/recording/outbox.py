"""The outbox: every message at least once to its channel, and to the person once, as far as Haro can know.

An entry per (detection, channel) is written before anything is sent and marked after. Who sends holds the channel's
lease; what is sent together is written down, under one notice id, before it goes out. A message that went out is
repeated only where Haro cannot know that it did (the channel's answer is lost, the process dies before it marks, the
store fails at every try to mark) and where sending outlasts the lease. The repeat carries the same idempotency key, by
which a receiver can recognise it; mail programs do not look at it, so there a person may read the message twice.
"""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from itertools import count
from typing import Any

from shared.clock import Clock
from shared.documents import DETECTIONS, OutboxEntry
from shared.errors import CannotBeTold, HaroError, NotificationError
from shared.recording.channels import Channel, Sender
from shared.recording.detections import is_confirmed
from shared.recording.entries import ChannelEntries
from shared.recording.lease import Lease
from shared.recording.links import Link, with_links
from shared.recording.messages import notice_for
from shared.recording.notify import Due, NoticePolicy, next_due, suppressed_by_now
from shared.recording.planning import WITHDRAWN
from shared.storage.ports import DocumentStore, Json, Stored
from shared.telemetry import metrics
from shared.telemetry.traces import span

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Delivered:
    """What one round of delivery did: messages sent and failed (to be tried again, or given up), entries suppressed."""

    sent: int = 0
    failed: int = 0
    suppressed: int = 0


def deliver_due(
    documents: DocumentStore,
    channels: Iterable[Channel],
    sender: Sender,
    *,
    policy: NoticePolicy,
    now: Clock,
    link: Link | None = None,
    pause: Callable[[float], None] = time.sleep,
    at_most: int | None = None,
) -> Delivered:
    """Send what is due, channel by channel. One that fails is left alone until the next round, and costs no other.

    `link` makes of a blob's name the address that people get in place of the stored one, which they may not open.
    `pause` waits for so many seconds, a second at most for a message, before a store that failed is asked again.
    `at_most` so many messages go to each channel in this round; None is no limit.
    """
    done: Counter[str] = Counter()
    for channel in channels:
        entries = ChannelEntries(documents, channel.id, pause=pause)
        try:
            _Round(documents, channel, entries, sender, policy, now, link, done).run(at_most)
        except HaroError as error:
            _log.warning("%s: delivery broke off and goes on next round: %s", channel.label, error)
        except Exception:  # noqa: BLE001 - a bug met at one channel must not stop the others
            _log.exception("%s: a bug broke delivery off, and it goes on next round", channel.label)
    return Delivered(sent=done["sent"], failed=done["failed"], suppressed=done["suppressed"])


class _Round:
    """One round of delivery to one channel; what it did is added to `done`, even where it breaks off."""

    def __init__(
        self,
        documents: DocumentStore,
        channel: Channel,
        entries: ChannelEntries,
        sender: Sender,
        policy: NoticePolicy,
        now: Clock,
        link: Link | None,
        done: Counter[str],
    ) -> None:
        self._documents = documents
        self._channel = channel
        self._entries = entries
        self._sender = sender
        self._policy = policy
        self._now = now
        self._link = link
        self._done = done
        self._lease = Lease(documents, channel.id, length_s=policy.lease_s, now=now)

    def run(self, at_most: int | None) -> None:
        """Send one message after another, each decided on what is stored at that moment."""
        rounds = count() if at_most is None else range(at_most)
        try:
            for _ in rounds:
                entries = self._entries.read()
                if not (entries and self._has_work(entries) and self._lease.take()):
                    break
                # Read again: whoever held the lease before may have sent what was seen without it.
                entries = self._settle(self._entries.read())
                due = next_due(entries, now=self._now(), policy=self._policy)
                if due and not self._deliver(due):
                    break
        finally:
            self._lease.release()

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
                self._entries.write(changed)
                if changed.state == "suppressed":
                    self._count("suppressed")
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
        """Read, claim, send, mark. Returns whether all that went through, or there was nothing left to tell."""
        found = self._still_to_tell(due.entries)
        if not found:
            return True
        detections = with_links(found.values(), self._link) if self._link else list(found.values())
        waiting = [entry for entry in due.entries if entry.id in found]
        for entry in due.held_back:
            self._entries.write(entry)  # who began the message may hang: no claim of its own adds to it from here on
        entries = self._entries.claim(waiting, notice_id=due.notice_id, bout_id=due.bout_id)
        if not self._lease.take():  # all this took time, and the lease must last while the message goes out
            _log.warning("%s: another process sends to it by now", self._channel.label)
            return False
        return self._send(due, entries, detections)

    def _send(self, due: Due, entries: Sequence[OutboxEntry], detections: Sequence[Json]) -> bool:
        try:
            notice = notice_for(self._channel.audience, due, tuple(detections))
            with self._span(due, detections):
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
        self._count("sent")
        about = f"{len(entries)} detections at {entries[0].hydrophone_id}, message {due.notice_id}"
        _log.info("%s: told of %s", self._channel.label, about)
        if self._entries.mark_sent(entries, self._now()):
            return True
        _log.error("%s: people may be told again of %s: it could not be marked", self._channel.label, about)
        return False

    def _still_to_tell(self, entries: Iterable[OutboxEntry]) -> dict[str, Json]:
        """The detections by entry; entries whose detection is not to be told any more are suppressed."""
        found = {}
        for entry in entries:
            stored = self._documents.get(DETECTIONS, entry.hydrophone_id, entry.detection_id)
            reason = _withdrawn(entry, stored)
            if reason or stored is None:
                self._suppress(entry, reason)
            else:
                found[entry.id] = stored.body
        return found

    def _span(self, due: Due, detections: Iterable[Json]) -> AbstractContextManager[object]:
        """The sending, in the trace of the first batch that it tells of."""
        batches = [str(batch) for one in detections if (batch := (one.get("haro") or {}).get("batch_id"))]
        first, *others = dict.fromkeys(batches) or [None]
        about = {"channel": self._channel.label, "audience": self._channel.audience, "notice": due.notice_id}
        return span("notify", first, linked=filter(None, others), **about, detections=len(due.entries))

    def _count(self, outcome: metrics.Outcome) -> None:
        self._done[outcome] += 1
        metrics.notified(self._channel.audience, outcome)

    def _suppress(self, entry: OutboxEntry, reason: str) -> None:
        self._entries.write(entry.model_copy(update={"state": "suppressed", "suppressed_because": reason}))
        self._count("suppressed")

    def _mark_failed(self, entries: Sequence[OutboxEntry], error: str) -> None:
        self._count("failed")
        if any(self._policy.gives_up(entry, self._now()) for entry in entries):
            metrics.notified(self._channel.audience, "given_up")
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
            self._entries.write(entry.model_copy(update=changes))


def _told(entries: Sequence[OutboxEntry]) -> list[OutboxEntry]:
    return [entry for entry in entries if entry.state == "sent"]


def _withdrawn(entry: OutboxEntry, detection: Stored | None) -> str:
    if detection is None:
        return "the detection is no longer there"
    if entry.audience != "moderators" and not is_confirmed(detection.body):
        return WITHDRAWN
    return ""
