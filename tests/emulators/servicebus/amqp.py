"""The AMQP 1.0 side: links, credit, transfers and settlement, on python-qpid-proton.

What the Service Bus SDK needs beyond plain AMQP: the delivery tag is the lock token's bytes in little-endian order, and
a settlement is answered with the outcome that was asked for. Events, links and deliveries are `Any` here: proton types
each part of an event as optional, and we hang the queue and the token on them.
"""

from __future__ import annotations

import uuid
from collections import deque
from collections.abc import Callable
from typing import Any

from proton import Delivery, Handler

from tests.emulators.servicebus import management, wire
from tests.emulators.servicebus.broker import Broker, LockLost, Queue
from tests.emulators.servicebus.faults import Effect, Faults, Step
from tests.emulators.servicebus.refusals import BUSY, LOCK_LOST, UNAUTHORISED, condition, drop, refuse, reject

MAX_MESSAGE_BYTES = 256 * 1024  # Service Bus, Standard tier
_CREDIT = 500  # messages a sender may have in flight; enough for any test
_TICK_S = 0.02


class AmqpServer(Handler):
    """Answers what clients ask of the broker; every method runs on the reactor's one thread."""

    def __init__(self, broker: Broker, faults: Faults, on_listening: Callable[[int], None]) -> None:
        self._broker = broker
        self._faults = faults
        self._on_listening = on_listening
        self._receivers: dict[Queue, deque[Any]] = {queue: deque() for queue in broker.all()}
        self._connections: list[Any] = []
        self.port = 0
        self.stopping = False

    # the life of the server, connections and links

    def on_reactor_init(self, event: Any) -> None:
        """Listen on the port asked for, or on a free one."""
        self._reactor = event.reactor
        self._acceptor = self._reactor.listen(f"127.0.0.1:{self.port}")
        self._on_listening(self._acceptor._selectable._delegate.getsockname()[1])
        self._reactor.schedule(_TICK_S, self)

    def on_timer_task(self, _event: Any) -> None:
        """Let time pass, and hand out what became due."""
        if self.stopping:
            self._acceptor.close()
            for connection in list(self._connections):
                drop(connection)
            self._reactor.stop()
            return
        for queue in self._receivers:
            self._hand_out(queue)
        self._reactor.schedule(_TICK_S, self)

    def on_connection_remote_open(self, event: Any) -> None:
        """Greet a client."""
        self._connections.append(event.connection)
        event.connection.container = "service-bus-emulator"
        event.connection.open()

    def on_session_remote_open(self, event: Any) -> None:
        """Open our end."""
        event.session.open()

    def on_link_remote_open(self, event: Any) -> None:
        """Attach a sender or receiver to its queue, or refuse it."""
        link = event.link
        link.source.copy(link.remote_source)
        link.target.copy(link.remote_target)
        link.snd_settle_mode, link.rcv_settle_mode = link.remote_snd_settle_mode, link.remote_rcv_settle_mode
        link.late = False
        link.address = _path(link.remote_source.address if link.is_sender else link.remote_target.address)
        link.queue = self._broker.find(link.address.removesuffix(management.SUFFIX))
        if link.address == management.TOKENS or (link.queue and link.address.endswith(management.SUFFIX)):
            self._open(link)
        elif link.queue is None:
            refuse(link, "amqp:not-found", f"The messaging entity '{link.address}' could not be found.")
        else:
            self._try(Step.ATTACH, link, lambda: self._attach(link), lambda *error: refuse(link, *error))

    def on_link_flow(self, event: Any) -> None:
        """A receiver has room for more, or wants back what it has not used."""
        link = event.link
        if link.is_sender and link in self._receivers.get(link.queue, ()):
            self._hand_out(link.queue)
            if link.drain_mode:
                link.drained()

    def on_link_remote_close(self, event: Any) -> None:
        """Close our end. What was locked stays locked until its time is over, as on Service Bus."""
        self._forget(lambda link: link == event.link)
        event.link.close()

    def on_link_remote_detach(self, event: Any) -> None:
        """The same for a detach."""
        self._forget(lambda link: link == event.link)
        event.link.detach()

    def on_session_remote_close(self, event: Any) -> None:
        """Close our end."""
        self._forget(lambda link: link.session == event.session)
        event.session.close()

    def on_connection_remote_close(self, event: Any) -> None:
        """Close our end."""
        event.connection.close()

    def on_transport_closed(self, event: Any) -> None:
        """A client is gone, politely or not."""
        if event.connection is not None:
            self._forget(lambda link: link.connection == event.connection)
            self._connections = [each for each in self._connections if each != event.connection]

    # messages

    def on_delivery(self, event: Any) -> None:
        """A message or request came in whole, or a receiver settled what it got."""
        delivery, link = event.delivery, event.link
        if link.is_receiver:
            if delivery.readable and not delivery.partial:
                payload = bytes(link.recv(delivery.pending))
                link.advance()
                link.flow(1)
                self._take(link, delivery, payload)
        elif delivery.updated and link in self._receivers.get(link.queue, ()):
            self._settle(link, delivery)

    def _take(self, link: Any, delivery: Any, payload: bytes) -> None:
        is_request = link.address == management.TOKENS or link.address.endswith(management.SUFFIX)
        step = Step.MANAGE if link.address.endswith(management.SUFFIX) else Step.SEND

        def work() -> None:
            if is_request:
                self._answer(link, payload)
            elif len(payload) > MAX_MESSAGE_BYTES:
                reject(delivery, "amqp:link:message-size-exceeded", f"The message is larger than {MAX_MESSAGE_BYTES}.")
                return
            else:
                for message in wire.incoming(payload):
                    link.queue.accept(message)
            delivery.update(Delivery.ACCEPTED)
            delivery.settle()

        def fail(name: str, text: str) -> None:
            if is_request:
                delivery.update(Delivery.ACCEPTED)
                delivery.settle()
                self._reply(link, management.failure(payload, name, text))
            else:
                reject(delivery, name, text)

        if link.address == management.TOKENS:
            work()
        else:
            self._try(step, link, work, fail)

    def _settle(self, link: Any, delivery: Any) -> None:
        outcome, queue, token = delivery.remote_state, link.queue, delivery.token
        told = delivery.remote.condition.info if outcome == Delivery.REJECTED and delivery.remote.condition else None

        def work() -> None:
            try:
                _apply(outcome, queue, token, {str(key): value for key, value in (told or {}).items()})
            except LockLost:
                fail(LOCK_LOST, "The lock supplied is invalid.")
            else:
                delivery.update(outcome)
                delivery.settle()

        def fail(name: str, text: str) -> None:
            if name == LOCK_LOST and any(entry.lock and entry.lock.token == token for entry in queue.entries()):
                queue.lose_lock(token)
            reject(delivery, name, text)

        self._try(Step.SETTLE, link, work, fail)

    def _hand_out(self, queue: Queue) -> None:
        """Deliver what is due to the receivers in turn, as far as their credit goes."""
        receivers = self._receivers[queue]
        queue.pass_time()
        for _ in range(len(receivers)):
            while receivers and receivers[0].credit > 0 and self._deliver(queue, receivers[0]):
                receivers.rotate(-1)
            receivers.rotate(-1)

    def _deliver(self, queue: Queue, link: Any) -> bool:
        """Lock the next message for this receiver and send it; whether that was done."""
        if link.late or not any(entry.lock is None and not entry.scheduled for entry in queue.entries()):
            return False

        def work() -> None:
            entry = queue.lock_next() if link.credit > 0 else None
            if entry is not None and entry.lock is not None:
                delivery = link.delivery(entry.lock.token.bytes_le)
                delivery.token = entry.lock.token
                link.stream(wire.outgoing(entry))
                link.advance()

        def fail(name: str, text: str) -> None:
            self._forget(lambda each: each == link)
            link.condition = condition(name, text)
            link.close()

        return self._try(Step.RECEIVE, link, work, fail)

    # requests

    def _answer(self, link: Any, payload: bytes) -> None:
        self._reply(link, management.answer(link.queue, payload))

    def _reply(self, link: Any, payload: bytes) -> None:
        """Send the answer over the link that the client opened beside the one it asked on."""
        for answers in self._links(link.connection):
            if answers.is_sender and answers.session == link.session and answers.address == link.address:
                delivery = answers.delivery(uuid.uuid4().bytes)
                answers.stream(payload)
                answers.advance()
                delivery.settle()

    # helpers

    def _try(self, step: Step, link: Any, work: Callable[[], None], fail: Callable[[str, str], None]) -> bool:
        """Work, or what a fault makes of it; whether there was no fault."""
        fault = self._faults.take(step)
        if fault is None:
            work()
            return True
        match fault.effect:
            case Effect.BUSY:
                fail(BUSY, "The server is busy (injected).")
            case Effect.UNAUTHORISED:
                fail(UNAUTHORISED, "Unauthorized access (injected).")
            case Effect.LOCK_LOST:
                fail(LOCK_LOST, "The lock supplied is invalid (injected).")
            case Effect.DROP_BEFORE:
                drop(link.connection)
            case Effect.DROP_AFTER:
                work()
                drop(link.connection)
            case Effect.SLOW:
                link.late = True
                self._reactor.schedule(fault.delay_s, _Later(link, work))
        return False

    def _attach(self, link: Any) -> None:
        self._open(link)
        if link.is_sender:
            self._receivers[link.queue].append(link)

    def _open(self, link: Any) -> None:
        if link.is_receiver:
            link.max_message_size = MAX_MESSAGE_BYTES
        link.open()
        if link.is_receiver:
            link.flow(_CREDIT)

    def _forget(self, gone: Callable[[Any], bool]) -> None:
        for queue, receivers in self._receivers.items():
            self._receivers[queue] = deque(link for link in receivers if not gone(link))

    def _links(self, connection: Any) -> list[Any]:
        links, link = [], connection.link_head(0)
        while link is not None:
            links.append(link)
            link = link.next(0)
        return links


class _Later(Handler):
    """Something to do when its time has come."""

    def __init__(self, link: Any, work: Callable[[], None]) -> None:
        self._link = link
        self._work = work

    def on_timer_task(self, _event: Any) -> None:
        """Do it."""
        self._link.late = False
        self._work()


def _apply(outcome: int, queue: Queue, token: uuid.UUID, told: dict[str, str]) -> None:
    if outcome == Delivery.ACCEPTED:
        queue.complete(token)
    elif outcome == Delivery.RELEASED:
        queue.release(token)
    elif outcome == Delivery.MODIFIED:
        queue.abandon(token)
    elif outcome == Delivery.REJECTED:
        queue.dead_letter(token, told.get("DeadLetterReason"), told.get("DeadLetterErrorDescription"))


def _path(address: str | None) -> str:
    """`amqps://host:port/queue` and `queue` name the same queue."""
    return (address or "").split("://")[-1].split("/", 1)[-1].lower() if "://" in (address or "") else (address or "")
