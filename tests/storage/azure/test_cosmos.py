"""What the Cosmos DB adapter does beyond the contract: failing services, money, several threads."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Any

import pytest
from azure.cosmos import CosmosClient
from azure.cosmos._change_feed.change_feed_iterable import ChangeFeedIterable

from shared.documents import CONTAINERS, DETECTIONS
from shared.errors import ConflictError, HaroError, StorageError, UnknownMark
from shared.recording.channels import Channel
from shared.recording.notify import NoticePolicy
from shared.recording.record import plan_confirmed
from shared.storage.azure.cosmos import CLIENT_OPTIONS, CosmosDocuments
from shared.storage.azure.indexing import ensure_containers
from shared.storage.ports import Container, Json
from tests.clock import FakeClock
from tests.contract.azure_documents import azure_documents
from tests.emulators.cosmos import Answer, CosmosEmulator, Drop, Slow

CLIPS = Container("clips", partition_key="site", indexed=("start_utc", "state"))
OTHERS = Container("others", partition_key="site")
SESSIONS = Container("sessions", partition_key="site", ttl_s=60)


@dataclass(frozen=True)
class Cloud:
    """The store, the emulator behind it and its time."""

    documents: CosmosDocuments
    emulator: CosmosEmulator
    advance: Callable[[float], None]

    def asked(self) -> list[str]:
        """The methods of the requests for documents so far, from now on forgotten."""
        asked = [request.method for request in self.emulator.requests if request.is_for_documents]
        self.emulator.requests.clear()
        return asked


@pytest.fixture
def cloud() -> Iterator[Cloud]:
    """An empty store."""
    with azure_documents(CLIPS, OTHERS, SESSIONS) as (documents, advance, emulator):
        yield Cloud(documents, emulator, advance)


def clip(doc_id: str, **fields: object) -> Json:
    """A document of `CLIPS`."""
    return {"id": doc_id, "site": "bush-point", **fields}


def etag_of(cloud: Cloud, doc_id: str) -> str:
    """The etag as it is read."""
    stored = cloud.documents.get(CLIPS, "bush-point", doc_id)
    assert stored is not None
    return stored.etag


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
        documents = CosmosDocuments(wrong.get_database_client("predictions"), [CLIPS])
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
            CosmosDocuments(database, [absent]).get(absent, "bush-point", "a")
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


@pytest.mark.parametrize("doc_id", ["", "a/b", "a?b", "..", "x" * 300, "#"])
def test_ids_that_cannot_be_are_absent(cloud: Cloud, doc_id: str) -> None:
    """What may not be an id is not there, and is not made part of an address."""
    cloud.documents.create(CLIPS, clip("a"))
    assert cloud.documents.get(CLIPS, "bush-point", doc_id) is None
    assert not cloud.documents.delete(CLIPS, "bush-point", doc_id)
    assert len(cloud.documents.query(CLIPS)) == 1


@pytest.mark.parametrize("name", ["ä ö", "a%2Fb", "a+b", "🐋", "a&b=c", "node:1:2-3"])
def test_ids_and_partitions_of_any_letters(cloud: Cloud, name: str) -> None:
    """Whatever letters an id and a partition have, the document is found by them and can be written and deleted."""
    body = {"id": name, "site": name}
    assert cloud.documents.create(CLIPS, body)
    stored = cloud.documents.get(CLIPS, name, name)
    assert stored is not None
    cloud.documents.replace(CLIPS, {**body, "n": 1}, etag=stored.etag)
    assert [one.body for one in cloud.documents.query(CLIPS, partition=name)] == [{**body, "n": 1}]
    assert cloud.documents.delete(CLIPS, name, name)


def test_a_limit_with_an_indexed_order_fetches_no_more(cloud: Cloud) -> None:
    """Of 60 documents in 12 partitions, the last 2 cost two answers of 2 documents: one per physical partition."""
    for n in range(60):
        cloud.documents.create(CLIPS, {"id": f"{n:02}", "site": f"site-{n % 12}", "start_utc": f"{n:02}"})
    cloud.emulator.charge = 0.0
    found = cloud.documents.query(CLIPS, order_by="start_utc", descending=True, limit=2)
    assert [one.body["id"] for one in found] == ["59", "58"]
    assert cloud.emulator.charge < 10
    everything = cloud.documents.query(CLIPS, order_by="start_utc", descending=True)
    assert [one.body["id"] for one in everything] == [f"{n:02}" for n in reversed(range(60))]


@pytest.mark.parametrize("descending", [False, True])
@pytest.mark.parametrize("partition", [None, "site-1"])
@pytest.mark.parametrize("order_by", [None, "id", "site", "start_utc", "unindexed"])
def test_a_limit_takes_the_first_of_the_whole_order(
    cloud: Cloud, order_by: str | None, partition: str | None, *, descending: bool
) -> None:
    """Strings, numbers, nulls, other values and nothing at all, over all partitions: a limit cuts the same order."""
    values: list[Any] = ["b", 2, None, "a", 1.5, ..., True, "b", 2, [1], "a", ...]
    for n, value in enumerate(values):
        fields = {} if value is ... else {"start_utc": value, "unindexed": value}
        cloud.documents.create(CLIPS, {"id": f"{n:02}", "site": f"site-{n % 4}", **fields})

    def ask(limit: int | None) -> list[str]:
        return [
            one.body["id"]
            for one in cloud.documents.query(
                CLIPS, partition=partition, order_by=order_by, descending=descending, limit=limit
            )
        ]

    everything = ask(None)
    assert len(everything) == (12 if partition is None else 3)
    assert [ask(limit) for limit in range(1, 14)] == [everything[:limit] for limit in range(1, 14)]


def test_within_one_partition_one_question(cloud: Cloud) -> None:
    """A query within a partition is one request, and so is a point read; neither asks for a plan."""
    cloud.documents.create(CLIPS, clip("a", state="open", start_utc="1"))
    cloud.asked()
    cloud.documents.query(CLIPS, partition="bush-point", where={"state": "open"})
    cloud.documents.get(CLIPS, "bush-point", "a")
    assert cloud.asked() == ["POST", "GET"]


def test_many_documents_come_page_by_page() -> None:
    """What the service gives in small pages arrives whole, whatever the order."""
    with azure_documents(CLIPS) as (documents, _, emulator):
        emulator.routes.page_items = 2
        for n in range(9):
            documents.create(CLIPS, {"id": f"{n}", "site": f"site-{n % 3}", "start_utc": f"{9 - n}"})
        assert len(documents.query(CLIPS)) == 9
        assert [one.body["id"] for one in documents.query(CLIPS, order_by="start_utc", limit=7)] == list("8765432")
        assert len(documents.query(CLIPS, partition="site-1")) == 3


def test_finding_nothing_new_costs_little(cloud: Cloud) -> None:
    """A look at the changes that finds none costs a request unit per physical partition, and comes back to its mark."""
    for n in range(20):
        cloud.documents.create(CLIPS, {"id": f"{n}", "site": f"site-{n}"})
    mark, more = "", True
    while more:
        changes = cloud.documents.changes(CLIPS, after=mark)
        mark, more = changes.mark, changes.more
    cloud.emulator.charge = 0.0
    changes = cloud.documents.changes(CLIPS, after=mark)
    assert (changes.documents, changes.more) == ((), False)
    assert cloud.emulator.charge == 2.0


def test_marks_are_those_of_their_own_answer(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another thread's request, answered right after a page of changes came, does not lend its etag to the mark."""
    fetch = ChangeFeedIterable._fetch_next
    busy = ThreadPoolExecutor(1)

    def overtaken(feed: ChangeFeedIterable, *args: Any) -> Any:
        try:
            return fetch(feed, *args)
        finally:
            busy.submit(cloud.documents.get, OTHERS, "bush-point", "a").result()

    monkeypatch.setattr(ChangeFeedIterable, "_fetch_next", overtaken)
    cloud.documents.create(OTHERS, clip("a"))
    with busy:
        mark, seen = "", []
        for n in range(3):
            cloud.documents.create(CLIPS, clip(f"{n}"))
            more = True
            while more:
                changes = cloud.documents.changes(CLIPS, after=mark)
                seen += [one.body["id"] for one in changes.documents]
                mark, more = changes.mark, changes.more
    assert seen == ["0", "1", "2"]


def test_a_mark_of_a_container_made_anew(cloud: Cloud) -> None:
    """A container deleted and created again does not know the marks of the old one."""
    cloud.documents.create(OTHERS, clip("a"))
    mark = cloud.documents.changes(OTHERS).mark
    with CosmosClient(cloud.emulator.endpoint, cloud.emulator.key, **CLIENT_OPTIONS) as client:
        database = client.get_database_client("predictions")
        database.delete_container("others")
        ensure_containers(database, [OTHERS])
        anew = CosmosDocuments(database, [OTHERS])
        with pytest.raises(UnknownMark, match="read them from the start"):
            anew.changes(OTHERS, after=mark)


def test_verdicts_are_followed_by_their_bookmark() -> None:
    """On Haro's own containers: a verdict is planned once, later looks find only what is new, and cost little."""
    with azure_documents(*CONTAINERS, page_items=2) as (documents, _, emulator):
        now = FakeClock()
        channels = [Channel.of("json://hooks.example/n", "subscribers", name="subs")]
        look = partial(plan_confirmed, documents, channels, policy=NoticePolicy(), now=now)
        verdict = {"reviewed": True, "SRKWFound": "yes", "dateModerated": "2026-03-20T22:30:00Z"}
        for n in range(7):
            said = verdict if n % 2 else {"reviewed": False, "SRKWFound": "no"}
            detection = {"id": f"{n}", "source_guid": f"site-{n}", "timestamp": "2026-03-20T22:00:00Z", **said}
            assert documents.create(DETECTIONS, detection)
        assert [look(), look()] == [3, 0]
        stored = documents.get(DETECTIONS, "site-0", "0")
        assert stored is not None
        documents.replace(DETECTIONS, {**stored.body, **verdict}, etag=stored.etag)
        assert look() == 1
        emulator.charge = 0.0
        assert look() == 0
        assert emulator.charge <= 3.0


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
