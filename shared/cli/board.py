"""What the terminal shows while Haro listens: one line per hydrophone, and what happened last."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from shared.deliveries import SetAside
from shared.documents import Backfill, Gap
from shared.hydrophones import Hydrophone
from shared.ingest.backfill import BackfillReport
from shared.ingest.enqueue import PollReport
from shared.recording.outbox import Delivered
from shared.runner import Event
from shared.scoring.score import ScoredClip

_STYLE = {
    "listening": "green",
    "ended": "green",
    "stalled": "yellow",
    "waiting": "yellow",
    "unreachable": "red",
    "failed": "red",
}
_LAST_LINES = 8


@dataclass
class _Row:
    """One hydrophone's line."""

    state: str = "starting"
    message: str = ""
    newest_utc: datetime | None = None
    scored_utc: datetime | None = None
    clips: int = 0
    calls: int = 0
    gaps: int = 0


class Board:
    """Hears of every event, from any thread, and draws them, newest first; without a terminal, a line for each."""

    def __init__(self, console: Console, hydrophones: Sequence[Hydrophone], now: Callable[[], datetime]) -> None:
        self._console = console
        self._names = {hydrophone.id: hydrophone.name for hydrophone in hydrophones}
        self._rows = {hydrophone.id: _Row() for hydrophone in hydrophones}
        self._now = now
        self._lines: deque[Text] = deque(maxlen=_LAST_LINES)
        self._lock = threading.Lock()
        self._is_live = console.is_terminal

    @contextmanager
    def shown(self) -> Iterator[None]:
        """Draw until the end of the block."""
        if not self._is_live:
            yield
            return
        with Live(get_renderable=self._render, console=self._console, refresh_per_second=4):
            yield

    def tell(self, event: Event) -> None:
        """Take in what happened."""
        with self._lock:
            match event:
                case PollReport():
                    self._polled(event)
                case ScoredClip():
                    self._scored(event)
                case BackfillReport():
                    self._backfilled(event.job)
                case Delivered() if event.sent or event.failed:
                    self._line(f"told people: {event.sent} messages sent, {event.failed} to be tried again")
                case SetAside():
                    self._line(f"set aside {event.message_id}: {event.reason}", "red")
                case _:
                    pass

    def _polled(self, report: PollReport) -> None:
        if report.state == "postponed":
            return
        row = self._rows[report.hydrophone_id]
        news = (report.state, report.message) != (row.state, row.message)
        row.state, row.message = report.state, report.message
        row.newest_utc = report.newest_utc or row.newest_utc
        row.gaps += len(report.gaps)
        if news and (report.message or report.state == "listening"):
            self._say(report.hydrophone_id, f"{report.state}. {report.message}".rstrip(". "), _STYLE[report.state])
        for gap in report.gaps:
            self._gap(gap)

    def _backfilled(self, job: Backfill) -> None:
        if job.epoch is None or (job.state == "open" and job.tries == 0):
            return
        how = "done" if job.state == "done" else "will be tried again"
        what = f"backfill up to {job.end_utc:%Y-%m-%d %H:%M:%S} UTC {how}: {job.batches_sent} clips. {job.detail}"
        self._say(job.hydrophone_id, what.rstrip(". "), "cyan")

    def _scored(self, scored: ScoredClip) -> None:
        result = scored.result
        row = self._rows.setdefault(result.hydrophone_id, _Row())
        row.clips += 1
        row.gaps += len(result.gaps)
        row.scored_utc = max(filter(None, (row.scored_utc, result.start_utc)))
        for gap in result.gaps:
            self._gap(gap)
        if result.detected:
            row.calls += 1
            what = f"ORCA CALL at {result.start_utc:%H:%M:%S} UTC, confidence {result.confidence:.0%}"
            self._say(result.hydrophone_id, what, "bold magenta")

    def _gap(self, gap: Gap) -> None:
        self._say(gap.hydrophone_id, f"gap of {gap.duration_s:.0f} s: {gap.reason.replace('_', ' ')}", "yellow")

    def _say(self, hydrophone_id: str, what: str, style: str) -> None:
        self._line(f"{self._names.get(hydrophone_id, hydrophone_id)}: {what}", style)

    def _line(self, what: str, style: str = "") -> None:
        stamped = Text(f"{self._now():%H:%M:%S} ").append(" ".join(what.split()), style)
        if self._is_live:
            self._lines.appendleft(stamped)
        else:
            self._console.print(stamped, soft_wrap=True, highlight=False)

    def _render(self) -> RenderableType:
        with self._lock:
            table = Table(expand=True)
            table.add_column("hydrophone")  # the only column that may lose width
            for title in ("stream", "published\nto (UTC)", "last clip\n(UTC)"):
                table.add_column(title, no_wrap=True)
            for title in ("clips", "calls", "gaps"):
                table.add_column(title, justify="right", no_wrap=True, min_width=len(title))
            for hydrophone_id, row in self._rows.items():
                table.add_row(
                    _one_line(Text(self._names.get(hydrophone_id, hydrophone_id))),
                    Text(row.state, style=_STYLE.get(row.state, "")),
                    f"{row.newest_utc:%H:%M:%S}" if row.newest_utc else "-",
                    f"{row.scored_utc:%H:%M:%S}" if row.scored_utc else "-",
                    str(row.clips),
                    Text(str(row.calls), style="bold magenta" if row.calls else ""),
                    str(row.gaps),
                )
            room = self._console.height - len(self._console.render_lines(table))
            return Group(table, *(_one_line(line) for line in list(self._lines)[: max(0, room)]))


def _one_line(text: Text) -> Text:
    text.no_wrap, text.overflow = True, "ellipsis"
    return text
