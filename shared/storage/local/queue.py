"""The message queue of one station, in SQLite."""

from __future__ import annotations

import itertools
import sqlite3
import uuid
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime, timedelta

from shared.errors import ConflictError
from shared.storage.local.database import Database, timestamp
from shared.storage.ports import DeadLetter, Delivery, Message, QueueStats, check_message

_LIVE = "queue = ? AND dead_utc IS NULL"
_HELD = "queue = ? AND dead_utc IS NULL AND lock_token = ? AND visible_utc > ?"
_FIRST_TRIES_FIRST = "delivery_count > 0, visible_utc, seq"
_LONGEST_DUE_FIRST = "visible_utc, seq"
_FAIR_TURN = 10  # one in so many: a retry may hold the only scorer for half a minute, a first try takes a second


class SqliteQueue:
    """A `MessageQueue`; several of different names may share a database, several processes may share a queue.

    First tries go before retries, so that a source whose messages all fail slowly does not hold up the others; retries
    go in the order they came due. One `receive` in ten gives what has been due longest, whichever it is: where first
    tries never run out, retries get a tenth of the turns, and none waits for ever.

    Args:
        database: Where the messages lie.
        name: Tells this queue's messages from those of others.
        lock_s: How long a receiver has to settle a delivery.
        max_deliveries: After so many deliveries without being settled a message is dead.
        duplicate_window_s: How long the id of a sent message is remembered.
        now: The clock; aware times.
    """

    def __init__(
        self,
        database: Database,
        name: str,
        *,
        lock_s: float,
        max_deliveries: int,
        duplicate_window_s: float,
        now: Callable[[], datetime],
    ) -> None:
        self._database = database
        self._name = name
        self._lock = timedelta(seconds=lock_s)
        self._max_deliveries = max_deliveries
        self._duplicate_window = timedelta(seconds=duplicate_window_s)
        self._now = now
        self._turns = itertools.count(1)

    def send(self, messages: Sequence[Message]) -> None:
        """See `MessageQueue.send`."""
        for message in messages:
            check_message(message)
        now = self._now()
        with self._database.transaction() as connection:
            connection.execute(
                "DELETE FROM sent_ids WHERE queue = ? AND sent_utc <= ?",
                (self._name, timestamp(now - self._duplicate_window)),
            )
            for message in messages:
                first_time = connection.execute(
                    "INSERT INTO sent_ids (queue, id, sent_utc) VALUES (?, ?, ?) ON CONFLICT DO NOTHING",
                    (self._name, message.id, timestamp(now)),
                ).rowcount
                if first_time:
                    self._append(connection, message, now)

    def receive(self) -> Delivery | None:
        """See `MessageQueue.receive`."""
        now = self._now()
        locked_until, token = now + self._lock, uuid.uuid4().hex
        order = _FIRST_TRIES_FIRST if next(self._turns) % _FAIR_TURN else _LONGEST_DUE_FIRST
        with self._database.transaction() as connection:
            self._bury_exhausted(connection, now)
            rows = connection.execute(
                f"""UPDATE messages SET delivery_count = delivery_count + 1, lock_token = ?, visible_utc = ?
                WHERE seq = (SELECT seq FROM messages WHERE {_LIVE} AND visible_utc <= ? ORDER BY {order} LIMIT 1)
                RETURNING id, body, delivery_count, enqueued_utc""",  # noqa: S608 - the parts are constants of this module
                (token, timestamp(locked_until), self._name, timestamp(now)),
            ).fetchall()
        return next((_delivery(row, locked_until, token) for row in rows), None)

    def complete(self, delivery: Delivery) -> None:
        """See `MessageQueue.complete`."""
        self._settle(delivery, "DELETE FROM messages")

    def abandon(self, delivery: Delivery, *, reason: str, delay_s: float = 0.0) -> None:
        """See `MessageQueue.abandon`. The reason is kept, for the case that the message dies of an ended lock later."""
        if delivery.delivery_count >= self._max_deliveries:
            self.dead_letter(delivery, reason=reason)
            return
        due = self._now() + timedelta(seconds=delay_s)
        self._settle(
            delivery, "UPDATE messages SET lock_token = NULL, visible_utc = ?, reason = ?", timestamp(due), reason
        )

    def dead_letter(self, delivery: Delivery, *, reason: str) -> None:
        """See `MessageQueue.dead_letter`."""
        dead = timestamp(self._now())
        self._settle(delivery, "UPDATE messages SET lock_token = NULL, dead_utc = ?, reason = ?", dead, reason)

    def dead_letters(self) -> list[DeadLetter]:
        """See `MessageQueue.dead_letters`."""
        with self._database.transaction() as connection:
            self._bury_exhausted(connection, self._now())
            rows = connection.execute(
                "SELECT * FROM messages WHERE queue = ? AND dead_utc IS NOT NULL ORDER BY dead_utc, seq", (self._name,)
            ).fetchall()
        return [
            DeadLetter(
                message=Message(row["id"], row["body"]),
                reason=row["reason"],
                delivery_count=row["delivery_count"],
                dead_lettered_utc=datetime.fromisoformat(row["dead_utc"]),
            )
            for row in rows
        ]

    def replay(self, message_ids: Iterable[str]) -> int:
        """See `MessageQueue.replay`. Duplicate detection is passed by, as it stands at the door of `send` alone."""
        now = self._now()
        count = 0
        with self._database.transaction() as connection:
            self._bury_exhausted(connection, now)
            for message_id in dict.fromkeys(message_ids):
                rows = connection.execute(
                    "DELETE FROM messages WHERE queue = ? AND id = ? AND dead_utc IS NOT NULL RETURNING body",
                    (self._name, message_id),
                ).fetchall()
                count += len(rows)
                for row in rows:
                    self._append(connection, Message(message_id, row["body"]), now)
        return count

    def stats(self, *, at_most: int = 5000) -> QueueStats:  # noqa: ARG002 - SQLite counts all as easily
        """See `MessageQueue.stats`: everything is counted."""
        now = self._now()
        with self._database.transaction() as connection:
            self._bury_exhausted(connection, now)
            row = connection.execute(
                """SELECT count(*) FILTER (WHERE dead_utc IS NULL) AS active,
                count(*) FILTER (WHERE dead_utc IS NOT NULL) AS dead,
                min(enqueued_utc) FILTER (WHERE dead_utc IS NULL) AS oldest,
                count(*) FILTER (WHERE dead_utc IS NULL
                    AND delivery_count > (lock_token IS NOT NULL AND visible_utc > ?)) AS retries
                FROM messages WHERE queue = ?""",
                (timestamp(now), self._name),
            ).fetchone()
        oldest = datetime.fromisoformat(row["oldest"]) if row["oldest"] else now
        return QueueStats(row["active"], row["dead"], max(0.0, (now - oldest).total_seconds()), row["retries"])

    def release_all(self) -> int:
        """End every lock now, and return how many there were.

        For the start of a process that knows itself alone (it holds the station's lock file): what a former process
        had received and not settled is due at once. The interrupted delivery stays counted, so that a message that
        kills its receiver every time is dead in the end.
        """
        now = timestamp(self._now())
        with self._database.transaction() as connection:
            return connection.execute(
                f"UPDATE messages SET visible_utc = ? WHERE {_LIVE} AND lock_token IS NOT NULL AND visible_utc > ?",  # noqa: S608 - as above
                (now, self._name, now),
            ).rowcount

    def _append(self, connection: sqlite3.Connection, message: Message, now: datetime) -> None:
        connection.execute(
            "INSERT INTO messages (queue, id, body, enqueued_utc, visible_utc) VALUES (?, ?, ?, ?, ?)",
            (self._name, message.id, message.body, timestamp(now), timestamp(now)),
        )

    def _bury_exhausted(self, connection: sqlite3.Connection, now: datetime) -> None:
        connection.execute(
            f"""UPDATE messages SET lock_token = NULL, dead_utc = ?,
            reason = 'delivered ' || delivery_count || ' times and never settled before its lock ended'
                || coalesce('; given back before because: ' || reason, '')
            WHERE {_LIVE} AND lock_token IS NOT NULL AND visible_utc <= ? AND delivery_count >= ?""",  # noqa: S608 - as above
            (timestamp(now), self._name, timestamp(now), self._max_deliveries),
        )

    def _settle(self, delivery: Delivery, statement: str, *parameters: str) -> None:
        held = (self._name, delivery.lock_token, timestamp(self._now()))
        with self._database.transaction() as connection:
            if not connection.execute(f"{statement} WHERE {_HELD}", (*parameters, *held)).rowcount:
                raise ConflictError(
                    f"message {delivery.message.id} is no longer locked by this delivery (its lock ended at "
                    f"{delivery.locked_until_utc:%H:%M:%S} UTC, or it was settled): leave it to the next delivery"
                )


def _delivery(row: sqlite3.Row, locked_until: datetime, token: str) -> Delivery:
    return Delivery(
        message=Message(row["id"], row["body"]),
        delivery_count=row["delivery_count"],
        enqueued_utc=datetime.fromisoformat(row["enqueued_utc"]),
        locked_until_utc=locked_until.astimezone(UTC),
        lock_token=token,
    )
