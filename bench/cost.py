"""What Haro costs a month: Azure's prices of November 2026, each in one place, and the sums. None was billed to us."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import ceil

HYDROPHONES = 8
DAYS = 30.4
HOURS = 730

_LOOKED_UP = "pricing page of Azure Functions, a copy"
_REMEMBERED = "from memory"


@dataclass(frozen=True)
class Price:
    """US dollars for one `unit`, in East US, and where the number is from."""

    usd: float
    unit: str
    source: str


EXECUTION = Price(
    0.000026,
    "GB-second of a Flex Consumption instance on demand",
    f"{_LOOKED_UP}; modal.com's guide to Azure Functions pricing of May 2025 has the same",
)
CALL = Price(0.40e-6, "execution on Flex Consumption", _LOOKED_UP)
SERVICE_BUS = Price(0.0135, "hour of Service Bus Standard, 13 million operations a month included", _REMEMBERED)
BLOB_STORED = Price(0.0208, "GB and month of blobs, hot, locally redundant", _REMEMBERED)
BLOB_WRITTEN = Price(0.05e-4, "write of a blob, hot", _REMEMBERED)
REQUEST_UNIT = Price(0.25e-6, "request unit of Cosmos DB serverless", _REMEMBERED)
DOCUMENT_STORED = Price(0.25, "GB and month in Cosmos DB", _REMEMBERED)
LOG = Price(2.30, "GB of logs", _REMEMBERED)
NODE = Price(
    0.169,
    "hour of a Standard_F4s_v2, Linux: 4 cores, 8 GiB",
    "from memory; orcasound/orcahello's pull request 372 reckons 122 a month",
)
PRICES = (
    EXECUTION,
    CALL,
    SERVICE_BUS,
    BLOB_STORED,
    BLOB_WRITTEN,
    REQUEST_UNIT,
    DOCUMENT_STORED,
    LOG,
    NODE,
)

FREE_GB_S, FREE_CALLS = 100_000, 250_000
"""Flex Consumption's grant, a month and subscription; none for instances that are always ready."""

INSTANCE_GB = 2
LEAST_BILLED_S, STEP_S = 1.0, 0.1
"""An execution is billed for a second at least, then in steps of a tenth. Source: Flex Consumption plan, billing."""

WAITING_S = 2.5
"""A guess: what an execution takes beside the processor's work, fetching six segments and writing three blobs."""

POLL_EVERY_S, POLL_TAKES_S = 20, 3.0
UPKEEP_CALLS, UPKEEP_TAKES_S = 13_000, 1.5
CLIP_GB_A_DAY, KEPT_DAYS = 4.0, 2.5 + 7
RU_A_CLIP, RU_OF_TIMERS, DOCUMENT_GB_A_MONTH = 60, 5_000_000, 0.25
OTHER_BLOB_WRITES, LOGS_GB, FREE_LOGS_GB = 500_000, 7.5, 5
ALERTS_USD, SMALL_USD = 10.0, 1.0
"""Seven alert rules, some of them for each hydrophone; Event Grid, Key Vault and addresses. From memory, too."""

NODE_CORES, INCUMBENT_CORES = 4, 1
"""The incumbent sets a core aside for each hydrophone, always on; its nodes have four and 8 GiB."""


@dataclass(frozen=True)
class Line:
    """One line of the bill: what, how it was worked out, and US dollars a month."""

    what: str
    formula: str
    usd: float


def clips_a_month(hydrophones: int) -> float:
    """Minutes of sound: each is a batch, a clip and a result."""
    return hydrophones * 1440 * DAYS


def billed_s(taken_s: float) -> float:
    """What is billed for an execution that takes so long."""
    return max(LEAST_BILLED_S, ceil(round(taken_s / STEP_S, 6)) * STEP_S)


def scoring_s(stage_s: float) -> float:
    """What is billed for scoring a clip whose stage takes the processor so long."""
    return billed_s(stage_s + WAITING_S)


def on_flex(executions: float, seconds: float) -> float:
    """US dollars for so many executions of `seconds` each, less no grant."""
    return executions * seconds * INSTANCE_GB * EXECUTION.usd


def bill(stage_s: float, hydrophones: int = HYDROPHONES) -> Iterator[Line]:
    """A month in Azure on Flex Consumption, line by line."""
    clips, scored_s = clips_a_month(hydrophones), scoring_s(stage_s)
    polls = DAYS * 86_400 / POLL_EVERY_S
    calls = 2 * clips + polls + UPKEEP_CALLS
    gb = f"{INSTANCE_GB} GB x {EXECUTION.usd:f}"
    yield Line("scoring", f"{clips:,.0f} x {scored_s:.1f} s x {gb}", on_flex(clips, scored_s))
    yield Line("recording", f"{clips:,.0f} x {LEAST_BILLED_S:g} s x {gb}", on_flex(clips, LEAST_BILLED_S))
    yield Line(
        "polling",
        f"every {POLL_EVERY_S} s: {polls:,.0f} x {POLL_TAKES_S:g} s x {gb}",
        on_flex(polls, POLL_TAKES_S),
    )
    yield Line(
        "upkeep, less what is free",
        f"{UPKEEP_CALLS:,} x {UPKEEP_TAKES_S:g} s x {gb}, less {FREE_GB_S:,} GB-s",
        on_flex(UPKEEP_CALLS, UPKEEP_TAKES_S) - FREE_GB_S * EXECUTION.usd,
    )
    yield Line(
        "executions",
        f"{calls:,.0f}, less {FREE_CALLS:,}, x {1e6 * CALL.usd:.2f} a million",
        max(0.0, calls - FREE_CALLS) * CALL.usd,
    )
    yield Line("Service Bus", f"{HOURS} hours x {SERVICE_BUS.usd}", HOURS * SERVICE_BUS.usd)
    yield Line(
        "clips stored",
        f"{KEPT_DAYS:g} days x {hydrophones} x {CLIP_GB_A_DAY:g} GB x {BLOB_STORED.usd}",
        KEPT_DAYS * hydrophones * CLIP_GB_A_DAY * BLOB_STORED.usd,
    )
    writes = 2 * clips + OTHER_BLOB_WRITES
    yield Line("blobs written", f"{writes:,.0f} x {1e4 * BLOB_WRITTEN.usd:.2f} per 10,000", writes * BLOB_WRITTEN.usd)
    units, stored = clips * RU_A_CLIP + RU_OF_TIMERS, DOCUMENT_GB_A_MONTH * hydrophones
    yield Line(
        "Cosmos DB, in its first month",
        f"{units / 1e6:.1f} million RU x {1e6 * REQUEST_UNIT.usd:.2f} a million; {stored:g} GB x {DOCUMENT_STORED.usd}",
        units * REQUEST_UNIT.usd + stored * DOCUMENT_STORED.usd,
    )
    yield Line(
        "logs and metrics",
        f"{LOGS_GB:g} GB, {FREE_LOGS_GB} free, x {LOG.usd:.2f}",
        (LOGS_GB - FREE_LOGS_GB) * LOG.usd,
    )
    yield Line("alerts", "six queries every 5 min, one metric", ALERTS_USD)
    yield Line("Event Grid, Key Vault, addresses", "", SMALL_USD)


def total_usd(stage_s: float, hydrophones: int = HYDROPHONES) -> float:
    """All of the bill."""
    return sum(line.usd for line in bill(stage_s, hydrophones))


def functions_usd(stage_s: float) -> float:
    """What one hydrophone more adds for scoring and recording on Flex Consumption, the grant being used up."""
    clips = clips_a_month(1)
    return on_flex(clips, scoring_s(stage_s) + LEAST_BILLED_S) + 2 * clips * CALL.usd


def node_usd(hydrophones_per_core: float) -> float:
    """One hydrophone's share of a node that is always on and full; the incumbent's is one core."""
    return NODE.usd * HOURS / (NODE_CORES * hydrophones_per_core)


def nodes_usd(hydrophones_per_core: float) -> float:
    """All `HYDROPHONES` on as few whole nodes as they need."""
    return ceil(HYDROPHONES / (NODE_CORES * hydrophones_per_core)) * NODE.usd * HOURS
