"""The Cosmos DB adapter when the service fails: what is tried again, what is an error, and what it says."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import pytest
from azure.cosmos import CosmosClient

from shared.errors import ConflictError, HaroError, StorageError
from shared.storage.azure.cosmos import CLIENT_OPTIONS, CosmosDocuments
from shared.storage.ports import Container
from tests.emulators.cosmos import Answer, Drop, Slow
from tests.storage.azure.cloud import CLIPS, OTHERS, Cloud, clip, etag_of


def noted_sleeps(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """How long this thread would have slept; other threads sleep as they always did."""
    slept: list[float] = []
    sleep, here = time.sleep, threading.current_thread()

    def note(seconds: float) -> None:
        if threading.current_thread() is here:
            slept.append(seconds)
        else:
            sleep(seconds)

    monkeypatch.setattr("time.sleep", note)
    return slept


def test_too_many_requests_are_waited_out(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
    """A 429 is tried again after the time that the service names, for reads and writes, and then it is done."""
    slept = noted_sleeps(monkeypatch)
    cloud.emulator.faults.add(Answer(429, substatus=3200, retry_after_ms=1234), times=3)
    assert cloud.documents.create(CLIPS, clip("a"))
    cloud.emulator.faults.add(Answer(429, substatus=3200, retry_after_ms=50))
    assert cloud.documents.get(CLIPS, "bush-point", "a")
    cloud.emulator.faults.add(Answer(429, substatus=3200, retry_after_ms=7))
    assert len(cloud.documents.query(CLIPS)) == 1
    assert slept == [1.234, 1.234, 1.234, 0.05, 0.007]


def test_too_many_requests_for_too_long(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
    """After nine times in vain, or 10 s in all, it is an error that says what to do, and nothing was written."""
    slept = noted_sleeps(monkeypatch)
    for retry_after_ms, times in ((10, 9), (20_000, 1)):
        slept.clear()
        cloud.emulator.faults.add(Answer(429, retry_after_ms=retry_after_ms), times=100)
        with pytest.raises(StorageError, match=r"status 429.*more requests than it has throughput for"):
            cloud.documents.create(CLIPS, clip("a"))
        assert slept == [retry_after_ms / 1000] * times
        cloud.emulator.faults.clear()
        assert cloud.documents.get(CLIPS, "bush-point", "a") is None


@pytest.mark.parametrize(
    ("call", "method"),
    [
        pytest.param(lambda store, etag: store.create(CLIPS, clip("new")), "POST", id="create"),
        pytest.param(lambda store, etag: store.replace(CLIPS, clip("a", n=2), etag=etag), "PUT", id="replace"),
        pytest.param(lambda store, etag: store.delete(CLIPS, "bush-point", "a"), "DELETE", id="delete"),
    ],
)
@pytest.mark.parametrize("after_work", [False, True])
def test_a_write_whose_answer_is_lost(
    cloud: Cloud, call: Callable[[CosmosDocuments, str], object], method: str, *, after_work: bool
) -> None:
    """It is sent once, and the error says that nobody knows whether it was done."""
    cloud.documents.create(CLIPS, clip("a", n=1))
    etag = etag_of(cloud, "a")
    cloud.asked()
    cloud.emulator.faults.add(Drop(after_work=after_work))
    with pytest.raises(StorageError, match="whether it was done is not known; do it again") as caught:
        call(cloud.documents, etag)
    assert not isinstance(caught.value, ConflictError)
    assert cloud.asked() == ([method] if after_work else [])
    found = {(one.body["id"], one.body.get("n")) for one in cloud.documents.query(CLIPS)}
    done = {"POST": {("a", 1), ("new", None)}, "PUT": {("a", 2)}, "DELETE": set()}[method]
    assert found == (done if after_work else {("a", 1)})


def test_doing_it_again_is_safe(cloud: Cloud) -> None:
    """After a lost answer the same create says False, and the same replace a conflict: what is stored is ours."""
    cloud.emulator.faults.add(Drop(after_work=True))
    with pytest.raises(StorageError):
        cloud.documents.create(CLIPS, clip("a", n=1))
    assert cloud.documents.create(CLIPS, clip("a", n=1)) is False
    etag = etag_of(cloud, "a")
    cloud.emulator.faults.add(Drop(after_work=True))
    with pytest.raises(StorageError):
        cloud.documents.replace(CLIPS, clip("a", n=2), etag=etag)
    with pytest.raises(ConflictError):
        cloud.documents.replace(CLIPS, clip("a", n=2), etag=etag)
    assert [one.body for one in cloud.documents.query(CLIPS)] == [clip("a", n=2)]


def test_a_read_whose_answer_is_lost_is_sent_again(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
    """Reads, queries and changes go through dropped connections as if nothing had been."""
    noted_sleeps(monkeypatch)
    cloud.documents.create(CLIPS, clip("a", start_utc="1"))
    for read in (
        lambda: cloud.documents.get(CLIPS, "bush-point", "a"),
        lambda: cloud.documents.query(CLIPS, order_by="start_utc", limit=1),
        lambda: cloud.documents.changes(CLIPS).documents,
    ):
        cloud.emulator.faults.add(Drop(), times=2)
        assert read()


def test_a_service_that_is_away(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
    """One 503 is gone through; more of them are an error that says to try later; afterwards all is well."""
    noted_sleeps(monkeypatch)
    cloud.emulator.faults.add(Answer(503))
    assert cloud.documents.create(CLIPS, clip("a"))
    cloud.emulator.faults.add(Answer(503), times=10)
    with pytest.raises(StorageError, match=r"status 503.*try again later"):
        cloud.documents.create(CLIPS, clip("b"))
    cloud.emulator.faults.clear()
    assert cloud.documents.create(CLIPS, clip("b"))


def test_a_slow_answer_is_waited_for(cloud: Cloud) -> None:
    """A service that takes its time has it."""
    cloud.emulator.faults.add(Slow(0.1))
    assert cloud.documents.create(CLIPS, clip("a"))


def test_errors_keep_the_key_to_themselves(cloud: Cloud) -> None:
    """With a wrong key, and with none that answers, the error says what to look at, and holds neither key nor body."""
    key = "d3JvbmcgaW5kZWVk"
    emulator = cloud.emulator
    wrong = CosmosClient(cloud.emulator.endpoint, cloud.emulator.key, **CLIENT_OPTIONS)
    with wrong:
        wrong.client_connection.master_key = key
        documents = CosmosDocuments(lambda: wrong.get_database_client("predictions"), [CLIPS])
        with pytest.raises(StorageError, match=r"status 401.*the key is wrong") as caught:
            documents.create(CLIPS, clip("a", words="hush"))
    assert key not in str(caught.value)
    assert emulator.key not in str(caught.value)
    assert "hush" not in str(caught.value)


def test_a_container_that_is_not_there(cloud: Cloud) -> None:
    """A container that was not set up, or is deleted later, is an error, and never a document that is absent."""
    with CosmosClient(cloud.emulator.endpoint, cloud.emulator.key, **CLIENT_OPTIONS) as client:
        database = client.get_database_client("predictions")
        absent = Container("absent", partition_key="site")
        with pytest.raises(StorageError, match=r"cannot use container absent.*deploy infra"):
            CosmosDocuments(lambda: database, [absent]).get(absent, "bush-point", "a")
        assert cloud.documents.get(OTHERS, "bush-point", "a") is None
        database.delete_container("others")
    for call in (
        lambda: cloud.documents.get(OTHERS, "bush-point", "a"),
        lambda: cloud.documents.create(OTHERS, clip("a")),
        lambda: cloud.documents.delete(OTHERS, "bush-point", "a"),
        lambda: cloud.documents.replace(OTHERS, clip("a"), etag="any"),
        lambda: cloud.documents.query(OTHERS),
        lambda: cloud.documents.changes(OTHERS),
    ):
        with pytest.raises(StorageError) as caught:
            call()
        assert not isinstance(caught.value, ConflictError)


def test_every_error_is_ours(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever status the service answers, what is raised is an error of Haro's."""
    noted_sleeps(monkeypatch)
    for status in (400, 401, 403, 404, 408, 410, 412, 413, 423, 429, 449, 500, 502, 503):
        for call in (
            lambda: cloud.documents.create(CLIPS, clip("a")),
            lambda: cloud.documents.replace(CLIPS, clip("a"), etag="any"),
            lambda: cloud.documents.query(CLIPS),
            lambda: cloud.documents.changes(CLIPS),
        ):
            cloud.emulator.faults.add(Answer(status), times=100)
            with pytest.raises(HaroError):
                call()
            cloud.emulator.faults.clear()
