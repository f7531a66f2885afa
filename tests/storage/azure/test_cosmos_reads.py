"""What reading from Cosmos DB is beyond the contract: any id, whole orders, small bills, marks that hold."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import pytest
from azure.cosmos import CosmosClient
from azure.cosmos._change_feed.change_feed_iterable import ChangeFeedIterable

from shared.documents import CONTAINERS, DETECTIONS
from shared.errors import UnknownMark
from shared.recording.channels import Channel
from shared.recording.confirmed import plan_confirmed
from shared.recording.notify import NoticePolicy
from shared.storage.azure.cosmos import CLIENT_OPTIONS, CosmosDocuments
from shared.storage.azure.indexing import ensure_containers
from tests.clock import FakeClock
from tests.contract.azure_documents import azure_documents
from tests.storage.azure.cosmos_store import CLIPS, OTHERS, CosmosStore, clip


@pytest.mark.parametrize("doc_id", ["", "a/b", "a?b", "..", "x" * 300, "#"])
def test_ids_that_cannot_be_are_absent(store: CosmosStore, doc_id: str) -> None:
    """What may not be an id is not there, and is not made part of an address."""
    store.documents.create(CLIPS, clip("a"))
    assert store.documents.get(CLIPS, "bush-point", doc_id) is None
    assert not store.documents.delete(CLIPS, "bush-point", doc_id)
    assert len(store.documents.query(CLIPS)) == 1


@pytest.mark.parametrize("name", ["ä ö", "a%2Fb", "a+b", "🐋", "a&b=c", "node:1:2-3"])
def test_ids_and_partitions_of_any_letters(store: CosmosStore, name: str) -> None:
    """Whatever letters an id and a partition have, the document is found by them and can be written and deleted."""
    body = {"id": name, "site": name}
    assert store.documents.create(CLIPS, body)
    stored = store.documents.get(CLIPS, name, name)
    assert stored is not None
    store.documents.replace(CLIPS, {**body, "n": 1}, etag=stored.etag)
    assert [one.body for one in store.documents.query(CLIPS, partition=name)] == [{**body, "n": 1}]
    assert store.documents.delete(CLIPS, name, name)


def test_a_limit_with_an_indexed_order_fetches_no_more(store: CosmosStore) -> None:
    """Of 60 documents in 12 partitions, the last 2 cost two answers of 2 documents: one per physical partition."""
    for n in range(60):
        store.documents.create(CLIPS, {"id": f"{n:02}", "site": f"site-{n % 12}", "start_utc": f"{n:02}"})
    store.emulator.charge = 0.0
    found = store.documents.query(CLIPS, order_by="start_utc", descending=True, limit=2)
    assert [one.body["id"] for one in found] == ["59", "58"]
    assert store.emulator.charge < 10
    everything = store.documents.query(CLIPS, order_by="start_utc", descending=True)
    assert [one.body["id"] for one in everything] == [f"{n:02}" for n in reversed(range(60))]


@pytest.mark.parametrize("descending", [False, True])
@pytest.mark.parametrize("partition", [None, "site-1"])
@pytest.mark.parametrize("order_by", [None, "id", "site", "start_utc", "unindexed"])
def test_a_limit_takes_the_first_of_the_whole_order(
    store: CosmosStore, order_by: str | None, partition: str | None, *, descending: bool
) -> None:
    """Strings, numbers, nulls, other values and nothing at all, over all partitions: a limit cuts the same order."""
    values: list[Any] = ["b", 2, None, "a", 1.5, ..., True, "b", 2, [1], "a", ...]
    for n, value in enumerate(values):
        fields = {} if value is ... else {"start_utc": value, "unindexed": value}
        store.documents.create(CLIPS, {"id": f"{n:02}", "site": f"site-{n % 4}", **fields})

    def ask(limit: int | None) -> list[str]:
        return [
            one.body["id"]
            for one in store.documents.query(
                CLIPS, partition=partition, order_by=order_by, descending=descending, limit=limit
            )
        ]

    everything = ask(None)
    assert len(everything) == (12 if partition is None else 3)
    assert [ask(limit) for limit in range(1, 14)] == [everything[:limit] for limit in range(1, 14)]


def test_within_one_partition_one_question(store: CosmosStore) -> None:
    """A query within a partition is one request, and so is a point read; neither asks for a plan."""
    store.documents.create(CLIPS, clip("a", state="open", start_utc="1"))
    store.asked()
    store.documents.query(CLIPS, partition="bush-point", where={"state": "open"})
    store.documents.get(CLIPS, "bush-point", "a")
    assert store.asked() == ["POST", "GET"]


def test_many_documents_come_page_by_page() -> None:
    """What the service gives in small pages arrives whole, whatever the order."""
    with azure_documents(CLIPS) as (documents, _, emulator):
        emulator.routes.page_items = 2
        for n in range(9):
            documents.create(CLIPS, {"id": f"{n}", "site": f"site-{n % 3}", "start_utc": f"{9 - n}"})
        assert len(documents.query(CLIPS)) == 9
        assert [one.body["id"] for one in documents.query(CLIPS, order_by="start_utc", limit=7)] == list("8765432")
        assert len(documents.query(CLIPS, partition="site-1")) == 3


def test_finding_nothing_new_costs_little(store: CosmosStore) -> None:
    """A look at the changes that finds none costs a request unit per physical partition, and comes back to its mark."""
    for n in range(20):
        store.documents.create(CLIPS, {"id": f"{n}", "site": f"site-{n}"})
    mark, more = "", True
    while more:
        changes = store.documents.changes(CLIPS, after=mark)
        mark, more = changes.mark, changes.more
    store.emulator.charge = 0.0
    changes = store.documents.changes(CLIPS, after=mark)
    assert (changes.documents, changes.more) == ((), False)
    assert store.emulator.charge == 2.0


def test_marks_are_those_of_their_own_answer(store: CosmosStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another thread's request, answered right after a page of changes came, does not lend its etag to the mark."""
    fetch = ChangeFeedIterable._fetch_next
    busy = ThreadPoolExecutor(1)

    def overtaken(feed: ChangeFeedIterable, *args: Any) -> Any:
        try:
            return fetch(feed, *args)
        finally:
            busy.submit(store.documents.get, OTHERS, "bush-point", "a").result()

    monkeypatch.setattr(ChangeFeedIterable, "_fetch_next", overtaken)
    store.documents.create(OTHERS, clip("a"))
    with busy:
        mark, seen = "", []
        for n in range(3):
            store.documents.create(CLIPS, clip(f"{n}"))
            more = True
            while more:
                changes = store.documents.changes(CLIPS, after=mark)
                seen += [one.body["id"] for one in changes.documents]
                mark, more = changes.mark, changes.more
    assert seen == ["0", "1", "2"]


def test_a_mark_of_a_container_made_anew(store: CosmosStore) -> None:
    """A container deleted and created again does not know the marks of the old one."""
    store.documents.create(OTHERS, clip("a"))
    mark = store.documents.changes(OTHERS).mark
    with CosmosClient(store.emulator.endpoint, store.emulator.key, **CLIENT_OPTIONS) as client:
        database = client.get_database_client("predictions")
        database.delete_container("others")
        ensure_containers(database, [OTHERS])
        anew = CosmosDocuments(lambda: database, [OTHERS])
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
