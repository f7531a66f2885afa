"""A loopback Cosmos DB for NoSQL, for tests: what Haro uses of it, with the refusals of the real one.

    with CosmosEmulator(clock=clock) as emulator:
        client = CosmosClient(emulator.endpoint, emulator.key)

It keeps everything in memory, over two physical partitions unless told otherwise, so that what works only within one is
found out. Left out: stored procedures, patch, batch, unique keys, hierarchical partition keys, aggregates and joins.
"""

from tests.emulators.cosmos.faults import Answer, Drop, Fault, Slow
from tests.emulators.cosmos.server import CosmosEmulator

__all__ = ["Answer", "CosmosEmulator", "Drop", "Fault", "Slow"]
