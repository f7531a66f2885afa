"""Local storage under several processes, and under SIGKILL."""

from __future__ import annotations

import random
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path

import pytest

from shared.storage.local.blobs import FolderBlobs
from shared.storage.local.database import Database
from shared.storage.ports import Message
from tests.conftest import ROOT
from tests.storage.local.writer import COUNTS, blob_bytes, open_documents, open_queue


@contextmanager
def _started(program: str, folder: Path) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-m", "tests.storage.local.writer", program, str(folder)]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


def _killed_after(program: str, folder: Path, lines: int) -> list[str]:
    """Start the program, send SIGKILL once it has said so many lines, and return all that it said."""
    with _started(program, folder) as process:
        assert process.stdout is not None
        said = [line.strip() for line in islice(process.stdout, lines)]
        process.kill()
        return said + [line.strip() for line in process.stdout if line.endswith("\n")]


@pytest.mark.parametrize("seed", range(3))
def test_a_killed_writer_tears_no_row(tmp_path: Path, seed: int) -> None:
    """After SIGKILL in a loop of writes, all that was committed is there, and of the last send all or nothing."""
    said = _killed_after("write_rows", tmp_path, random.Random(seed).randrange(5, 60))
    with Database(tmp_path / "haro.sqlite") as database:
        assert [row[0] for row in database.rows("PRAGMA integrity_check")] == ["ok"]
        queue, stored = open_queue(database), open_documents(database).get(COUNTS, "x", "count")
        assert stored is not None
        committed = int(said[-1])
        assert stored.body["n"] in {committed, committed + 1}
        sends, torn = divmod(queue.stats().active, 2)
        assert not torn
        assert sends - 1 in {stored.body["n"], stored.body["n"] + 1}
        for n in range(sends):
            for half in ("first", "second"):
                delivery = queue.receive()
                assert delivery is not None
                assert delivery.message.id == f"{n}-{half}"
                queue.complete(delivery)


@pytest.mark.parametrize("seed", range(3))
def test_a_killed_writer_tears_no_blob(tmp_path: Path, seed: int) -> None:
    """After SIGKILL in a loop of puts, every blob is whole, all that was promised are there, and no litter stays."""
    said = _killed_after("write_blobs", tmp_path, random.Random(seed).randrange(3, 25))
    blobs = FolderBlobs(tmp_path / "blobs", min_free_bytes=0)
    blobs.remove_temporary_files()
    names = [info.name for info in blobs.list("results/many/")]
    numbers = sorted(int(name.rsplit("/", 1)[1]) for name in names)
    assert numbers in (list(range(len(said))), list(range(len(said) + 1)))
    assert all(blobs.get(f"results/many/{n}") == blob_bytes(n) for n in numbers)
    assert blobs.get("results/one") in {blob_bytes(n) for n in range(len(said) - 1, len(said) + 1)}
    assert blobs.put(f"results/many/{len(numbers)}", b"on we go", overwrite=False)
    files = {path.relative_to(blobs.root).as_posix() for path in blobs.root.rglob("*") if path.is_file()}
    assert files == {info.name for info in blobs.list("")}


def test_what_a_killed_receiver_held_is_released(tmp_path: Path) -> None:
    """The next process gets the message at once after `release_all`, the interrupted delivery counted once."""
    with Database(tmp_path / "haro.sqlite") as database:
        queue = open_queue(database)
        queue.send([Message("a", "{}")])
        assert _killed_after("hold", tmp_path, 1) == ["a"]
        assert queue.receive() is None
        assert queue.release_all() == 1
        delivery = queue.receive()
        assert delivery is not None
        assert delivery.delivery_count == 2


def test_two_processes_share_a_queue(tmp_path: Path) -> None:
    """Two processes that drain one queue on one file get every message, and none of them twice."""
    sent = [f"m{index:03}" for index in range(200)]
    with Database(tmp_path / "haro.sqlite") as database:
        open_queue(database).send([Message(message_id, "{}") for message_id in sent])
        with _started("drain", tmp_path) as one, _started("drain", tmp_path) as other:
            shares = [process.communicate()[0].split() for process in (one, other)]
            assert (one.returncode, other.returncode) == (0, 0)
        assert sorted(shares[0] + shares[1]) == sent
        assert open_queue(database).stats().active == 0


def test_several_processes_may_make_the_database_at_once(tmp_path: Path) -> None:
    """Processes that all open a file that is not there yet all succeed."""
    with _started("drain", tmp_path) as one, _started("drain", tmp_path) as two, _started("drain", tmp_path) as three:
        processes = (one, two, three)
        for process in processes:
            process.communicate()
        assert [process.returncode for process in processes] == [0, 0, 0]
