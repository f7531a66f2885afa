"""Reading a pickle without running it: every class and function it names stays a name.

A pickle is a program for a small stack machine, and Python's own machine imports and calls what the program says. This
one knows the same instructions, builds numbers, text, lists, tuples and dictionaries, and writes down the rest: what
would have been called, with what. It never imports, calls or looks up anything, so there is nothing to get around.
Instructions are taken apart by `pickletools.genops`, which only reads.
"""

from __future__ import annotations

import pickletools
from collections.abc import Callable
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, BinaryIO

MAX_INSTRUCTIONS = 1_000_000
"""An export of this network takes some 20 000. Memory grows with instructions and bytes read, by nothing else."""

MAX_OPEN_MARKS = 1_000
PERSISTENT = "persistent id"

_VALUES = frozenset(
    [
        "INT",
        "BININT",
        "BININT1",
        "BININT2",
        "LONG",
        "LONG1",
        "LONG4",
        "FLOAT",
        "BINFLOAT",
        "STRING",
        "BINSTRING",
        "SHORT_BINSTRING",
        "BINBYTES",
        "SHORT_BINBYTES",
        "BINBYTES8",
        "BYTEARRAY8",
        "UNICODE",
        "SHORT_BINUNICODE",
        "BINUNICODE",
        "BINUNICODE8",
    ]
)
_MAKERS: MappingProxyType[str, Callable[[], Any]] = MappingProxyType(
    {
        "NONE": lambda: None,
        "NEWTRUE": lambda: True,
        "NEWFALSE": lambda: False,
        "EMPTY_LIST": list,
        "EMPTY_TUPLE": tuple,
        "EMPTY_DICT": dict,
        "EMPTY_SET": list,
    }
)


@dataclass(eq=False)
class Inert:
    """What a pickle names, and what it would have done with it: none of it was done.

    `name` is `module.name` of the class or function, `args` what it would have been called with, `state` what the
    object would have been set to, `entries` what would have been put into it under text keys.
    """

    name: str
    args: Any = ()
    state: Any = None
    entries: dict[str, Any] = field(default_factory=dict)


def read_pickle(file: BinaryIO) -> Any:
    """The value of the pickle at the file's position, which is left behind its end.

    Sets become lists, and dictionaries keep only what stands under text keys. The file must be in memory: a length that
    the pickle claims is never allocated. Raises ValueError for a broken pickle, or one larger than any we want.
    """
    machine = _Machine()
    for count, (opcode, argument, _) in enumerate(pickletools.genops(file)):
        if count >= MAX_INSTRUCTIONS:
            raise ValueError(f"the pickle has more than {MAX_INSTRUCTIONS} instructions")
        try:
            if opcode.name == "STOP":
                return machine.pop()
            machine.step(opcode.name, argument)
        except (IndexError, KeyError) as error:
            raise ValueError(f"the pickle is broken: {opcode.name} has nothing to work on") from error
    raise ValueError("the pickle has no end")


class _Machine:
    """The stack, the stacks below each open mark, and what is remembered under a number."""

    def __init__(self) -> None:
        self._stack: list[Any] = []
        self._below: list[list[Any]] = []
        self._memo: dict[int, Any] = {}

    def pop(self) -> Any:
        return self._stack.pop()

    def step(self, name: str, argument: Any) -> None:
        if name in _VALUES:
            self._stack.append(argument)
        elif name in _MAKERS:
            self._stack.append(_MAKERS[name]())
        elif name in _STEPS:
            _STEPS[name](self, argument)
        elif name not in {"PROTO", "FRAME"}:
            raise ValueError(f"the pickle has the instruction {name}, which no weights need")

    def mark(self, _: Any) -> None:
        if len(self._below) >= MAX_OPEN_MARKS:
            raise ValueError(f"the pickle is nested more than {MAX_OPEN_MARKS} deep")
        self._below.append(self._stack)
        self._stack = []

    def since_mark(self) -> list[Any]:
        items, self._stack = self._stack, self._below.pop()
        return items

    def drop(self, _: Any) -> None:
        if self._stack:
            self._stack.pop()
        else:
            self.since_mark()

    def drop_to_mark(self, _: Any) -> None:
        self.since_mark()

    def again(self, _: Any) -> None:
        self._stack.append(self._stack[-1])

    def recall(self, number: int) -> None:
        self._stack.append(self._memo[number])

    def remember(self, number: int) -> None:
        self._memo[number] = self._stack[-1]

    def remember_next(self, _: Any) -> None:
        self.remember(len(self._memo))

    def list_since_mark(self, _: Any) -> None:
        items = self.since_mark()
        self._stack.append(items)

    def tuple_since_mark(self, _: Any) -> None:
        items = self.since_mark()
        self._stack.append(tuple(items))

    def tuple_of(self, count: int) -> None:
        if len(self._stack) < count:
            raise IndexError(count)
        self._stack[-count:] = [tuple(self._stack[-count:])]

    def dict_since_mark(self, _: Any) -> None:
        items = self.since_mark()
        self._stack.append({})
        self._put(items)

    def append(self, _: Any) -> None:
        self._extend([self.pop()])

    def extend(self, _: Any) -> None:
        self._extend(self.since_mark())

    def set_item(self, _: Any) -> None:
        value = self.pop()
        self._put([self.pop(), value])

    def set_items(self, _: Any) -> None:
        self._put(self.since_mark())

    def name(self, words: str) -> None:
        self._stack.append(Inert(words.replace(" ", ".", 1)))

    def name_of_two(self, _: Any) -> None:
        name, module = self.pop(), self.pop()
        if not isinstance(name, str) or not isinstance(module, str):
            raise ValueError("the pickle names a class by what is no text")  # noqa: TRY004 - the file is wrong
        self._stack.append(Inert(f"{module}.{name}"))

    def extension(self, code: int) -> None:
        self._stack.append(Inert(f"extension {code}"))

    def call(self, _: Any) -> None:
        args = self.pop()
        self._note_call(self.pop(), args)

    def call_with_keywords(self, _: Any) -> None:
        self.pop()
        self.call(None)

    def call_since_mark(self, _: Any) -> None:
        called, *args = self.since_mark()
        self._note_call(called, tuple(args))

    def call_name(self, words: str) -> None:
        args = tuple(self.since_mark())
        self._note_call(Inert(words.replace(" ", ".", 1)), args)

    def build(self, _: Any) -> None:
        state = self.pop()
        if isinstance(self._stack[-1], Inert):
            self._stack[-1].state = state

    def persistent(self, words: str) -> None:
        self._stack.append(Inert(PERSISTENT, words))

    def persistent_value(self, _: Any) -> None:
        self._stack.append(Inert(PERSISTENT, self.pop()))

    def _note_call(self, called: Any, args: Any) -> None:
        self._stack.append(Inert(called.name if isinstance(called, Inert) else "nothing that has a name", args))

    def _extend(self, items: list[Any]) -> None:
        if isinstance(self._stack[-1], list):
            self._stack[-1].extend(items)

    def _put(self, items: list[Any]) -> None:
        """Only text keys: their hash is reckoned once; that of a huge number or a deep tuple may take for ever."""
        target = self._stack[-1]
        entries = target.entries if isinstance(target, Inert) else target
        if isinstance(entries, dict):
            entries |= {key: value for key, value in zip(items[::2], items[1::2], strict=True) if type(key) is str}


def _tuples(count: int) -> Callable[[_Machine, Any], None]:
    return lambda machine, _: machine.tuple_of(count)


_STEPS: MappingProxyType[str, Callable[[_Machine, Any], None]] = MappingProxyType(
    {
        "MARK": _Machine.mark,
        "POP": _Machine.drop,
        "POP_MARK": _Machine.drop_to_mark,
        "DUP": _Machine.again,
        **dict.fromkeys(("GET", "BINGET", "LONG_BINGET"), _Machine.recall),
        **dict.fromkeys(("PUT", "BINPUT", "LONG_BINPUT"), _Machine.remember),
        "MEMOIZE": _Machine.remember_next,
        **dict.fromkeys(("LIST", "FROZENSET"), _Machine.list_since_mark),
        "TUPLE": _Machine.tuple_since_mark,
        "TUPLE1": _tuples(1),
        "TUPLE2": _tuples(2),
        "TUPLE3": _tuples(3),
        "DICT": _Machine.dict_since_mark,
        "APPEND": _Machine.append,
        **dict.fromkeys(("APPENDS", "ADDITEMS"), _Machine.extend),
        "SETITEM": _Machine.set_item,
        "SETITEMS": _Machine.set_items,
        "GLOBAL": _Machine.name,
        "STACK_GLOBAL": _Machine.name_of_two,
        **dict.fromkeys(("EXT1", "EXT2", "EXT4"), _Machine.extension),
        **dict.fromkeys(("REDUCE", "NEWOBJ"), _Machine.call),
        "NEWOBJ_EX": _Machine.call_with_keywords,
        "OBJ": _Machine.call_since_mark,
        "INST": _Machine.call_name,
        "BUILD": _Machine.build,
        "PERSID": _Machine.persistent,
        "BINPERSID": _Machine.persistent_value,
    }
)
