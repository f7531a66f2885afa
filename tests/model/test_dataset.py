"""Which clips are used, and that no recording stands on both sides of a split."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from model.dataset import EXCLUDED, WHOLE_TEST_SOURCES, Clip, in_split, read_labels, split_of
from model.folds import FOLDS

COLUMNS = (
    *("file", "label", "species", "call_type", "site", "group"),
    *("duration_s", "sample_rate_hz", "source_repository", "source_path", "licence"),
)


def write_labels(folder: Path, rows: list[dict[str, str]]) -> None:
    """A `labels.csv` with the given columns filled in and sensible others."""
    usual = {"label": "call", "group": "g1", "duration_s": "2.0", "sample_rate_hz": "44100", "source_repository": "a/b"}
    with (folder / "labels.csv").open("w", newline="", encoding="utf-8") as lines:
        table = csv.DictWriter(lines, COLUMNS, restval="")
        table.writeheader()
        table.writerows(usual | row for row in rows)


@given(st.lists(st.text(min_size=1), unique=True, min_size=1))
def test_a_group_always_stands_on_the_same_side(groups: list[str]) -> None:
    """A group's side depends on its name alone, in whatever company and order."""
    together = {group: split_of(group) for group in groups}

    assert {group: split_of(group) for group in reversed(groups)} == together


def test_splits_have_the_promised_shares() -> None:
    """Of many groups about 70 % train, 12 % validate and 18 % test."""
    sides = [split_of(f"recording {index}") for index in range(5000)]

    assert sides.count("train") / 5000 == pytest.approx(0.70, abs=0.03)
    assert sides.count("validation") / 5000 == pytest.approx(0.12, abs=0.02)
    assert sides.count("test") / 5000 == pytest.approx(0.18, abs=0.02)


def test_unusable_clips_are_left_out(tmp_path: Path) -> None:
    """Unannotated mixtures, files that may hold unlabelled whales, and clips whose call nobody found take no part."""
    doubtful = next(iter(EXCLUDED))
    rows = [{"file": "a.flac"}, {"file": "b.flac", "label": "mixed"}, {"file": doubtful}, {"file": "c.flac"}]
    write_labels(tmp_path, rows)
    spans = tmp_path / "spans.csv"
    spans.write_text("file,start_s,end_s,sound\nc.flac,0.5,1.5,unsure\n", encoding="utf-8")

    assert [clip.path.name for clip in read_labels(tmp_path, spans)] == ["a.flac"]


def test_spans_say_where_calls_and_voices_are(tmp_path: Path) -> None:
    """A marked clip has its marks, an unmarked call is a call from end to end, and other sounds have no calls."""
    rows = [{"file": "a.flac"}, {"file": "b.flac"}, {"file": "c.flac", "label": "vessel"}]
    write_labels(tmp_path, rows)
    spans = tmp_path / "spans.csv"
    spans.write_text("file,start_s,end_s,sound\na.flac,1.0,1.5,call\na.flac,0.0,0.8,speech\n", encoding="utf-8")

    marked, whole, vessel = read_labels(tmp_path, spans)

    assert (marked.spans, marked.speech) == (((1.0, 1.5),), ((0.0, 0.8),))
    assert (whole.spans, whole.speech) == (((0.0, 2.0),), ())
    assert vessel.spans == ()


@pytest.fixture(scope="module")
def clips(shared_dir: Path) -> tuple[Clip, ...]:
    """The real labels."""
    return read_labels(shared_dir / "audio" / "training")


def test_no_recording_is_on_both_sides(clips: tuple[Clip, ...]) -> None:
    """No group is both trained on and tested, and the sources kept for the test are never trained on."""
    heard = in_split(clips, "train", "validation")
    kept = in_split(clips, "test")

    assert len(heard) + len(kept) == len(clips)
    assert not {clip.group for clip in heard} & {clip.group for clip in kept}
    assert not {clip.source for clip in heard} & WHOLE_TEST_SOURCES
    assert {clip.label for clip in kept} == {"call", "other_bio", "vessel", "ambient"}


@pytest.mark.parametrize("name", FOLDS)
def test_folds_judge_only_what_they_have_not_heard(clips: tuple[Clip, ...], name: str) -> None:
    """What judges a fold shares no group and no source with what it learns from; both kinds of sound are among it."""
    fold = FOLDS[name]
    candidates = in_split(clips, "train", "validation")
    judging = [clip for clip in candidates if fold.judges(clip)]
    learning = [clip for clip in candidates if not fold.leaves_out(clip)]

    assert {clip.is_call for clip in judging} == {True, False}
    assert not {clip.group for clip in judging} & {clip.group for clip in learning}
    assert not {clip.source for clip in judging} & {clip.source for clip in learning}


def test_spans_lie_within_their_clips(clips: tuple[Clip, ...]) -> None:
    """Every mark lies within the clip it is about, and no voice overlaps a call."""
    for clip in clips:
        for start_s, end_s in (*clip.spans, *clip.speech):
            assert 0 <= start_s < end_s <= clip.duration_s + 0.2, clip.path.name
        for start_s, end_s in clip.speech:
            assert all(end_s <= first or start_s >= last for first, last in clip.spans), clip.path.name
