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
from tests.storage.azure.cosmos_store import CLIPS, OTHERS, CosmosStore, clip, etag_of


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


def test_too_many_requests_are_waited_out(store: CosmosStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """A 429 is tried again after the time that the service names, for reads and writes, and then it is done."""
    slept = noted_sleeps(monkeypatch)
    store.emulator.faults.add(Answer(429, substatus=3200, retry_after_ms=1234), times=3)
    assert store.documents.create(CLIPS, clip("a"))
    store.emulator.faults.add(Answer(429, substatus=3200, retry_after_ms=50))
    assert store.documents.get(CLIPS, "bush-point", "a")
    store.emulator.faults.add(Answer(429, substatus=3200, retry_after_ms=7))
    assert len(store.documents.query(CLIPS)) == 1
    assert slept == [1.234, 1.234, 1.234, 0.05, 0.007]


def test_too_many_requests_for_too_long(store: CosmosStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """After nine times in vain, or 10 s in all, it is an error that says what to do, and nothing was written."""
    slept = noted_sleeps(monkeypatch)
    for retry_after_ms, times in ((10, 9), (20_000, 1)):
        slept.clear()
        store.emulator.faults.add(Answer(429, retry_after_ms=retry_after_ms), times=100)
        with pytest.raises(StorageError, match=r"status 429.*more requests than it has throughput for"):
            store.documents.create(CLIPS, clip("a"))
        assert slept == [retry_after_ms / 1000] * times
        store.emulator.faults.clear()
        assert store.documents.get(CLIPS, "bush-point", "a") is None


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
    store: CosmosStore, call: Callable[[CosmosDocuments, str], object], method: str, *, after_work: bool
) -> None:
    """It is sent once, and the error says that nobody knows whether it was done."""
    store.documents.create(CLIPS, clip("a", n=1))
    etag = etag_of(store, "a")
    store.asked()
    store.emulator.faults.add(Drop(after_work=after_work))
    with pytest.raises(StorageError, match="whether it was done is not known; do it again") as caught:
        call(store.documents, etag)
    assert not isinstance(caught.value, ConflictError)
    assert store.asked() == ([method] if after_work else [])
    found = {(one.body["id"], one.body.get("n")) for one in store.documents.query(CLIPS)}
    done = {"POST": {("a", 1), ("new", None)}, "PUT": {("a", 2)}, "DELETE": set()}[method]
    assert found == (done if after_work else {("a", 1)})


def test_doing_it_again_is_safe(store: CosmosStore) -> None:
    """After a lost answer the same create says False, and the same replace a conflict: what is stored is ours."""
    store.emulator.faults.add(Drop(after_work=True))
    with pytest.raises(StorageError):
        store.documents.create(CLIPS, clip("a", n=1))
    assert store.documents.create(CLIPS, clip("a", n=1)) is False
    etag = etag_of(store, "a")
    store.emulator.faults.add(Drop(after_work=True))
    with pytest.raises(StorageError):
        store.documents.replace(CLIPS, clip("a", n=2), etag=etag)
    with pytest.raises(ConflictError):
        store.documents.replace(CLIPS, clip("a", n=2), etag=etag)
    assert [one.body for one in store.documents.query(CLIPS)] == [clip("a", n=2)]


def test_a_read_whose_answer_is_lost_is_sent_again(store: CosmosStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """Reads, queries and changes go through dropped connections as if nothing had been."""
    noted_sleeps(monkeypatch)
    store.documents.create(CLIPS, clip("a", start_utc="1"))
    for read in (
        lambda: store.documents.get(CLIPS, "bush-point", "a"),
        lambda: store.documents.query(CLIPS, order_by="start_utc", limit=1),
        lambda: store.documents.changes(CLIPS).documents,
    ):
        store.emulator.faults.add(Drop(), times=2)
        assert read()


def test_a_service_that_is_away(store: CosmosStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """One 503 is gone through; more of them are an error that says to try later; afterwards all is well."""
    noted_sleeps(monkeypatch)
    store.emulator.faults.add(Answer(503))
    assert store.documents.create(CLIPS, clip("a"))
    store.emulator.faults.add(Answer(503), times=10)
    with pytest.raises(StorageError, match=r"status 503.*try again later"):
        store.documents.create(CLIPS, clip("b"))
    store.emulator.faults.clear()
    assert store.documents.create(CLIPS, clip("b"))


def test_a_slow_answer_is_waited_for(store: CosmosStore) -> None:
    """A service that takes its time has it."""
    store.emulator.faults.add(Slow(0.1))
    assert store.documents.create(CLIPS, clip("a"))


def test_errors_keep_the_key_to_themselves(store: CosmosStore) -> None:
    """With a wrong key, and with none that answers, the error says what to look at, and holds neither key nor body."""
    key = "d3JvbmcgaW5kZWVk"
    emulator = store.emulator
    wrong = CosmosClient(store.emulator.endpoint, store.emulator.key, **CLIENT_OPTIONS)
    with wrong:
        wrong.client_connection.master_key = key
        documents = CosmosDocuments(lambda: wrong.get_database_client("predictions"), [CLIPS])
        with pytest.raises(StorageError, match=r"status 401.*the key is wrong") as caught:
            documents.create(CLIPS, clip("a", words="hush"))
    assert key not in str(caught.value)
    assert emulator.key not in str(caught.value)
    assert "hush" not in str(caught.value)


def test_a_container_that_is_not_there(store: CosmosStore) -> None:
    """A container that was not set up, or is deleted later, is an error, and never a document that is absent."""
    with CosmosClient(store.emulator.endpoint, store.emulator.key, **CLIENT_OPTIONS) as client:
        database = client.get_database_client("predictions")
        absent = Container("absent", partition_key="site")
        with pytest.raises(StorageError, match=r"cannot use container absent.*deploy infra"):
            CosmosDocuments(lambda: database, [absent]).get(absent, "bush-point", "a")
        assert store.documents.get(OTHERS, "bush-point", "a") is None
        database.delete_container("others")
    for call in (
        lambda: store.documents.get(OTHERS, "bush-point", "a"),
        lambda: store.documents.create(OTHERS, clip("a")),
        lambda: store.documents.delete(OTHERS, "bush-point", "a"),
        lambda: store.documents.replace(OTHERS, clip("a"), etag="any"),
        lambda: store.documents.query(OTHERS),
        lambda: store.documents.changes(OTHERS),
    ):
        with pytest.raises(StorageError) as caught:
            call()
        assert not isinstance(caught.value, ConflictError)


def test_every_error_is_ours(store: CosmosStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever status the service answers, what is raised is an error of Haro's."""
    noted_sleeps(monkeypatch)
    for status in (400, 401, 403, 404, 408, 410, 412, 413, 423, 429, 449, 500, 502, 503):
        for call in (
            lambda: store.documents.create(CLIPS, clip("a")),
            lambda: store.documents.replace(CLIPS, clip("a"), etag="any"),
            lambda: store.documents.query(CLIPS),
            lambda: store.documents.changes(CLIPS),
        ):
            store.emulator.faults.add(Answer(status), times=100)
            with pytest.raises(HaroError):
                call()
            store.emulator.faults.clear()
