"""Pickles are read and nothing in them runs."""

from __future__ import annotations

import copyreg
import io
import os
import pickle
import sys
import tracemalloc
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from model.orcahello.inert import Inert, read_pickle

BAIT = """
from pathlib import Path
Path({marker!r}).touch()
class Trap:
    def __new__(cls, *args, **kwargs):
        Path({marker!r}).touch()
        return object.__new__(cls)
    def __setstate__(self, state):
        Path({marker!r}).touch()
"""


def read(content: bytes) -> Any:
    """The pickle's value, read by us."""
    return read_pickle(io.BytesIO(content))


class Command:
    """An object whose pickle, when it is loaded, calls what it is told to."""

    def __init__(self, *call: Any) -> None:
        self._call = call

    def __reduce__(self) -> tuple[Any, ...]:
        """What the loader calls."""
        function, *args = self._call
        return function, tuple(args)


@pytest.fixture
def marker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A file that is there when something ran; a module `haro_bait` makes it when it is imported, or its class used."""
    path = tmp_path / "ran"
    (tmp_path / "haro_bait.py").write_text(BAIT.format(marker=str(path)), encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    yield path
    sys.modules.pop("haro_bait", None)


def touch(marker: Path) -> str:
    """A shell command that makes the marker."""
    return f"touch '{marker}'"


def evaluated(marker: Path) -> str:
    """A Python expression that makes the marker."""
    return f"__import__('pathlib').Path({str(marker)!r}).touch()"


def reduced(protocol: int) -> Callable[[Path], bytes]:
    """A pickle of this protocol that runs the command."""
    return lambda marker: pickle.dumps(Command(os.system, touch(marker)), protocol)


HOSTILE: dict[str, Callable[[Path], bytes]] = {
    **{f"reduce-{protocol}": reduced(protocol) for protocol in range(6)},
    "eval": lambda m: pickle.dumps(Command(eval, evaluated(m))),
    "exec": lambda m: pickle.dumps(Command(exec, evaluated(m))),
    "nested": lambda m: pickle.dumps({"model": [(1, OrderedDict(a={"b": Command(os.system, touch(m))}))]}),
    "as-key": lambda m: pickle.dumps({Command(os.system, touch(m)): 1}),
    "as-argument": lambda m: pickle.dumps(Command(len, [Command(eval, evaluated(m))])),
    "inst": lambda m: f'(S"{touch(m)}"\nios\nsystem\n.'.encode(),
    "obj": lambda m: f'(cos\nsystem\nS"{touch(m)}"\no.'.encode(),
    "python-2": lambda m: f'c__builtin__\neval\n(S"{evaluated(m)}"\ntR.'.encode(),
    "stack-global": lambda m: b"\x80\x04\x8c\x02os\x8c\x06system\x93(" + b"X" + text(touch(m)) + b"tR.",
    "stack-global-dots": lambda m: b"\x80\x04\x8c\x08builtins\x8c\x0deval.__call__\x93(X" + text(evaluated(m)) + b"tR.",
    "memo": lambda m: b"\x80\x04cos\nsystem\nq\x010h\x01(X" + text(touch(m)) + b"tR.",
    "attributes": lambda m: b"\x80\x04cbuiltins\ngetattr\n(cos\n__dict__\nX" + text("get") + b"tR(X" + text("system")
    + b"tR(X" + text(touch(m)) + b"tR.",
    "import": lambda _: b"charo_bait\nTrap\n.",
    "new": lambda _: b"\x80\x02charo_bait\nTrap\n)\x81.",
    "new-with-keywords": lambda _: b"\x80\x04charo_bait\nTrap\n)}\x92.",
    "build": lambda _: b"\x80\x02charo_bait\nTrap\n)\x81}b.",
    "build-on-a-class": lambda _: b"\x80\x02charo_bait\nTrap\n}X\x01\0\0\0aK\x01sb.",
}  # fmt: skip


def text(value: str) -> bytes:
    """The operand of BINUNICODE."""
    encoded = value.encode()
    return len(encoded).to_bytes(4, "little") + encoded


@pytest.mark.parametrize("trap", HOSTILE)
def test_nothing_runs(trap: str, marker: Path) -> None:
    """A pickle that runs code when Python loads it (which is shown first) runs none when it is read here."""
    content = HOSTILE[trap](marker)
    with suppress(AttributeError, TypeError):  # what it makes need not fit; it ran before
        pickle.loads(content)  # noqa: S301 - to show that the trap is one
    assert marker.exists()
    marker.unlink()
    sys.modules.pop("haro_bait", None)

    read(content)

    assert not marker.exists()
    assert "haro_bait" not in sys.modules


def test_registered_extensions_stay_numbers(marker: Path) -> None:
    """Not even a function that the process itself has registered under a number is called."""
    copyreg.add_extension("posix", "system", 240)
    try:
        content = pickle.dumps(Command(os.system, touch(marker)), 2)
        assert b"\x82\xf0" in content

        found = read(content)
    finally:
        copyreg.remove_extension("posix", "system", 240)

    assert found.name == "extension 240"
    assert found.args == (touch(marker),)
    assert not marker.exists()


def test_what_was_named_is_told() -> None:
    """Names, arguments, states and entries of what was not called are kept as values."""
    found = read(pickle.dumps({"when": OrderedDict(a=1), "trap": Command(os.system, "true")}, 2))

    assert isinstance(found["when"], Inert)
    assert found["when"].name == "collections.OrderedDict"
    assert found["when"].entries == {"a": 1}
    assert (found["trap"].name, found["trap"].args) == ("posix.system", ("true",))


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda some: st.lists(some) | st.tuples(some, some) | st.dictionaries(st.text(), some),
    max_leaves=20,
)


@given(value=values, protocol=st.integers(0, 5))
def test_plain_values_are_read_as_python_reads_them(value: Any, protocol: int) -> None:
    """Numbers, text, lists, tuples and dictionaries with text keys are what `pickle` makes of them."""
    assert read(pickle.dumps(value, protocol)) == value


@settings(max_examples=300)
@given(content=st.binary(max_size=60))
def test_any_bytes_are_a_value_or_a_value_error(content: bytes) -> None:
    """Broken pickles raise ValueError and nothing else."""
    with suppress(ValueError):
        read(content + b".")


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"\x8e" + (2**62).to_bytes(8, "little") + b"abc.", "expected"),
        (b"T" + (2**31 - 1).to_bytes(4, "little") + b"abc.", "expected"),
        (b"\x8b" + (2**31 - 1).to_bytes(4, "little") + b"abc.", "not enough data"),
        (b"(" * 2_000 + b".", "nested"),
        (b"N0" * 600_000 + b"N.", "instructions"),
        (b"\x97.", "NEXT_BUFFER"),
        (b"h\x05.", "nothing to work on"),
        (b"R.", "nothing to work on"),
        (b"NN\x93.", "no text"),
    ],
)
def test_bombs_are_refused(content: bytes, told: str) -> None:
    """Lengths that are claimed, marks and instructions are bounded; what is not weights is refused."""
    with pytest.raises(ValueError, match=told):
        read(content)


def test_small_pickles_take_little_memory() -> None:
    """Neither a claimed length nor a huge memo number reserves memory, and what doubles is shared."""
    doubling = b"]q\x00" + b"".join(b"(h%ch%cl0]q%c(h%ch%ce" % (i, i, i + 1, i, i) for i in range(200)) + b"."
    far_memo = b"Nr" + (2**32 - 1).to_bytes(4, "little") + b"."
    tracemalloc.start()
    try:
        read(doubling)
        read(far_memo)
        with pytest.raises(ValueError, match="expected"):
            read(b"\x8e" + (2**40).to_bytes(8, "little") + b"abc.")
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert peak < 2_000_000


def test_depth_and_keys_cost_nothing() -> None:
    """A tuple nested 300 000 deep is read and forgotten, and is no key: its hash would take the process down."""
    deep = b"N" + b"\x85" * 300_000

    assert read(b"}(" + deep + b"N" + b"X\x01\0\0\0aK\x01u.") == {"a": 1}
