"""The board on a terminal of 80 columns and 24 lines, as an ssh session has it."""

from __future__ import annotations

from io import StringIO

from rich.console import Console
from rich.text import Text

from shared.cli.board import Board
from shared.hydrophones import Hydrophone
from shared.ingest.enqueue import PollReport
from shared.runner import Event
from shared.scoring.score import ScoredClip
from tests.recording.fakes import NOON, make_result

HYDROPHONES = [Hydrophone(id=f"node_{i}", name=f"North San Juan Channel {i}") for i in range(8)]


def scored(*, detected: bool) -> ScoredClip:
    """A minute of the first hydrophone."""
    return ScoredClip(make_result(hydrophone_id="node_0", detected=detected, gaps=()), "results/one.json", fresh=True)


def screen(*events: Event) -> list[str]:
    """The lines that stand on the screen once all the events have happened."""
    out = StringIO()
    console = Console(file=out, width=80, height=24, force_terminal=True, force_interactive=True)
    board = Board(console, HYDROPHONES, lambda: NOON)
    for event in events:
        board.tell(event)
    with board.shown():
        console.print("drawn")  # what is printed above a live display has it drawn at once
        return Text.from_ansi(out.getvalue()).plain.split("drawn")[-1].splitlines()[1:]


def test_counts_fit_a_narrow_terminal() -> None:
    """Beside long names the counts of clips, calls and gaps are on the screen, under their headings."""
    unreachable = PollReport("node_0", "unreachable", newest_utc=NOON)

    lines = screen(*[scored(detected=False)] * 5, *[scored(detected=True)] * 2, unreachable)

    assert all(heading in "\n".join(lines[:4]) for heading in ("clips", "calls", "gaps", "published", "last clip"))
    row = next(line for line in lines if "unreachable" in line)
    assert [cell.strip() for cell in row.split("│")[-4:-1]] == ["7", "2", "0"]
    assert row.count(f"{NOON:%H:%M:%S}") == 2
    assert "…" in row


def test_newest_event_is_on_the_screen_when_many_have_long_messages() -> None:
    """An orca call after eight long complaints stands first below the table, each event takes one line, and all fit."""
    why = "latest.txt could not be fetched:\n" + "the connection was refused, " * 8
    complaints = [PollReport(hydrophone.id, "unreachable", message=why) for hydrophone in HYDROPHONES]

    lines = screen(*complaints, scored(detected=True))

    assert len(lines) <= 24
    end = next(number for number, line in enumerate(lines) if line.startswith("└"))
    assert "ORCA CALL" in lines[end + 1]
    assert [one.name in line for one, line in zip(HYDROPHONES[:0:-1], lines[end + 2 :], strict=True)] == [True] * 7
