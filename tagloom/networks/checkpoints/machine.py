"""A pickle machine that can only build values: it has no way to import or to call anything.

Opcodes: `pickletools` of the standard library describes them all. Those that build None, numbers,
texts, bytes and containers do so here; GLOBAL and STACK_GLOBAL yield an inert `Global` when the
name is known; REDUCE, NEWOBJ and BUILD hand such a name and its arguments to a function of this
package; all others are errors. Every length is compared with what is left of the file before
anything is made, so memory stays in proportion to the file.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Any, Protocol

from tagloom.networks.checkpoints.byte_reader import ByteReader
from tagloom.networks.checkpoints.records import (
    LIMITS,
    Global,
    Limits,
    refused,
    shown,
)

__all__ = ["Budget", "Builder", "Machine"]


class Builder(Protocol):
    """What a name of the file stands for."""

    def find(self, module: str, name: str) -> Global:
        """The inert name. Raises CheckpointError when it is not known."""

    def call(self, function: Global, arguments: tuple[Any, ...]) -> Any:
        """What `function(*arguments)` would have made."""

    def new(self, cls: Global, arguments: tuple[Any, ...]) -> Any:
        """What `cls.__new__(cls, *arguments)` would have made."""

    def build(self, value: Any, state: Any) -> Any:
        """`value` after `__setstate__(state)`."""

    def persistent(self, identifier: Any) -> Any:
        """What a persistent id stands for."""


class Budget:
    """Operations left, for a file and all pickles nested in it."""

    def __init__(self, operations: int) -> None:
        self.operations = operations


_MARK = object()

# Numbers and texts of fixed layout: struct format and size.
_UINT16, _INT32, _UINT32, _UINT64, _DOUBLE = (
    struct.Struct(code) for code in ("<H", "<i", "<I", "<Q", ">d")
)

_NAMES = {
    0x52: "REDUCE",
    0x62: "BUILD",
    0x69: "INST",
    0x6F: "OBJ",
    0x82: "EXT1",
    0x83: "EXT2",
    0x84: "EXT4",
    0x92: "NEWOBJ_EX",
    0x97: "NEXT_BUFFER",
    0x98: "READONLY_BUFFER",
}


class Machine(ByteReader):
    """One run over one pickle that begins at `start` of `data`."""

    def __init__(
        self,
        data: memoryview,
        builder: Builder,
        budget: Budget,
        start: int = 0,
        limits: Limits = LIMITS,
    ) -> None:
        super().__init__(data, start, limits)
        self._builder = builder
        self._budget = budget
        self._stack: list[Any] = []
        self._marks: list[int] = []
        self._memo: dict[int, Any] = {}

    def run(self) -> tuple[Any, int]:
        """The value, and where the pickle ends. Raises CheckpointError."""
        data, table, stack, limits = self._data, _TABLE, self._stack, self._limits
        end = len(data)
        while self._at < end:
            code = data[self._at]
            self._at += 1
            self._budget.operations -= 1
            if self._budget.operations < 0:
                raise self._limit(f"takes more than {limits.operations:,} operations")
            if code == 0x2E:  # STOP
                if len(stack) != 1 or self._marks:
                    raise self._damaged("ends with values left over")
                return stack[0], self._at
            operation = table.get(code)
            if operation is None:
                name = _NAMES.get(code, f"0x{code:02x}")
                raise refused(
                    f"it contains the operation {name} (at byte {self._at - 1:,}), which no "
                    "checkpoint needs"
                )
            operation(self)
            if len(stack) > limits.stack:
                raise self._limit(f"keeps more than {limits.stack:,} values waiting")
        raise self._damaged("ends too early: it is cut off")

    # The stack.

    def _push(self, value: Any) -> None:
        self._stack.append(value)

    def _pop(self) -> Any:
        if not self._stack or (self._marks and self._marks[-1] == len(self._stack)):
            raise self._damaged("takes a value that is not there")
        return self._stack.pop()

    def _top(self) -> Any:
        if not self._stack or (self._marks and self._marks[-1] == len(self._stack)):
            raise self._damaged("uses a value that is not there")
        return self._stack[-1]

    def _pop_mark(self) -> list[Any]:
        if not self._marks:
            raise self._damaged("closes a group that was not opened")
        start = self._marks.pop()
        items = self._stack[start:]
        del self._stack[start:]
        return items

    # Operations; each is named after its opcode in `_TABLE`.

    def _proto(self) -> None:
        version = self._take(1)[0]
        if version > 5:
            raise self._damaged(f"has the protocol {version}, which does not exist")

    def _frame(self) -> None:
        size = self._number(_UINT64)
        if size > len(self._data) - self._at:
            raise self._damaged(
                f"declares {size:,} bytes where {len(self._data) - self._at:,} are left"
            )

    def _mark(self) -> None:
        self._marks.append(len(self._stack))
        if len(self._marks) > self._limits.stack:
            raise self._limit(f"opens more than {self._limits.stack:,} groups")

    def _pop_operation(self) -> None:
        if self._marks and self._marks[-1] == len(self._stack):
            self._marks.pop()
        else:
            self._pop()

    def _pop_mark_operation(self) -> None:
        self._pop_mark()

    def _text_number(self, kind: type[int] | type[float]) -> None:
        line = self._line(64)
        if kind is int and line in ("00", "01"):
            self._push(line == "01")
            return
        try:
            self._push(kind(line.removesuffix("L")))
        except ValueError:
            raise self._damaged(f"has {line[:40]!r} for a number") from None

    def _long(self, size: int) -> None:
        if not 0 <= size <= self._limits.integer:
            raise self._limit(f"has an integer of {size:,} bytes")
        self._push(int.from_bytes(self._take(size), "little", signed=True))

    def _bytes(self, size: int) -> None:
        self._push(self._take(size))

    def _key(self, value: Any) -> Any:
        """Only keys whose hash is harmless: tuples nest, large integers can be made to collide."""
        small = isinstance(value, int) and -(1 << 31) <= value < 1 << 31
        if isinstance(value, str) or value is None or small:
            return value
        raise refused(f"it uses {shown(value)} as a key, which no checkpoint does")

    def _set_items(self, target: Any, items: list[Any]) -> None:
        if type(target) is not dict or len(items) % 2:
            raise self._damaged("puts items into something that takes none")
        for index in range(0, len(items), 2):
            target[self._key(items[index])] = items[index + 1]

    def _dict(self) -> None:
        items = self._pop_mark()
        self._push({})
        self._set_items(self._stack[-1], items)

    def _setitem(self) -> None:
        value, key = self._pop(), self._pop()
        self._set_items(self._top(), [key, value])

    def _setitems(self) -> None:
        items = self._pop_mark()
        self._set_items(self._top(), items)

    def _extend(self, items: list[Any]) -> None:
        target = self._top()
        if type(target) is not list:
            raise self._damaged("puts items into something that takes none")
        target.extend(items)

    def _additems(self) -> None:
        items = self._pop_mark()
        target = self._top()
        if type(target) is not set:
            raise self._damaged("puts items into something that takes none")
        target.update([self._key(item) for item in items])

    def _frozenset(self) -> None:
        self._push(frozenset([self._key(item) for item in self._pop_mark()]))

    def _tuple(self, size: int) -> None:
        items = [self._pop() for _ in range(size)]
        self._push(tuple(reversed(items)))

    def _put(self, index: int) -> None:
        if len(self._memo) >= self._limits.memo:
            raise self._limit(f"remembers more than {self._limits.memo:,} values")
        self._memo[index] = self._top()

    def _get(self, index: int) -> None:
        if index not in self._memo:
            raise self._damaged("recalls a value that it never kept")
        self._push(self._memo[index])

    def _index_line(self) -> int:
        line = self._line(20)
        if not line.isascii() or not line.isdigit():
            raise self._damaged(f"has {line[:40]!r} for a place in its memory")
        return int(line)

    def _global(self) -> None:
        module, name = self._line(1000), self._line(1000)
        self._push(self._builder.find(module, name))

    def _stack_global(self) -> None:
        name, module = self._pop(), self._pop()
        if not isinstance(name, str) or not isinstance(module, str):
            raise refused(f"it takes {shown(module)}, {shown(name)} for the name of a function")
        self._push(self._builder.find(module, name))

    def _named(self, value: Any, operation: str) -> Global:
        if not isinstance(value, Global):
            raise refused(f"its operation {operation} calls {shown(value)}, which is no name")
        return value

    def _arguments(self, value: Any) -> tuple[Any, ...]:
        if type(value) is not tuple:
            raise self._damaged(f"gives {shown(value)} for arguments")
        return value

    def _reduce(self) -> None:
        arguments, function = self._pop(), self._pop()
        self._push(self._builder.call(self._named(function, "REDUCE"), self._arguments(arguments)))

    def _newobj(self) -> None:
        arguments, cls = self._pop(), self._pop()
        self._push(self._builder.new(self._named(cls, "NEWOBJ"), self._arguments(arguments)))

    def _build(self) -> None:
        state, value = self._pop(), self._pop()
        self._push(self._builder.build(value, state))

    def _persistent(self, identifier: Any) -> None:
        self._push(self._builder.persistent(identifier))


_Operation = Callable[[Machine], None]
_M = Machine  # the table below reads as one line an opcode

_TABLE: dict[int, _Operation] = {
    ord("("): _M._mark,
    ord("0"): _M._pop_operation,
    ord("1"): _M._pop_mark_operation,
    ord("2"): lambda m: m._push(m._top()),
    ord("N"): lambda m: m._push(None),
    0x88: lambda m: m._push(True),
    0x89: lambda m: m._push(False),
    ord("I"): lambda m: m._text_number(int),
    ord("L"): lambda m: m._text_number(int),
    ord("F"): lambda m: m._text_number(float),
    ord("J"): lambda m: m._push(m._number(_INT32)),
    ord("K"): lambda m: m._push(m._take(1)[0]),
    ord("M"): lambda m: m._push(m._number(_UINT16)),
    0x8A: lambda m: m._long(m._take(1)[0]),
    0x8B: lambda m: m._long(m._number(_INT32)),
    ord("G"): lambda m: m._push(m._number(_DOUBLE)),
    ord("V"): lambda m: m._push(m._escaped_line()),
    0x8C: lambda m: m._push(m._text(m._take(1)[0])),
    ord("X"): lambda m: m._push(m._text(m._number(_UINT32))),
    0x8D: lambda m: m._push(m._text(m._number(_UINT64))),
    ord("B"): lambda m: m._bytes(m._number(_UINT32)),
    ord("C"): lambda m: m._bytes(m._take(1)[0]),
    0x8E: lambda m: m._bytes(m._number(_UINT64)),
    0x96: lambda m: m._bytes(m._number(_UINT64)),
    ord(")"): lambda m: m._push(()),
    ord("t"): lambda m: m._push(tuple(m._pop_mark())),
    0x85: lambda m: m._tuple(1),
    0x86: lambda m: m._tuple(2),
    0x87: lambda m: m._tuple(3),
    ord("]"): lambda m: m._push([]),
    ord("l"): lambda m: m._push(m._pop_mark()),
    ord("a"): lambda m: m._extend([m._pop()]),
    ord("e"): lambda m: m._extend(m._pop_mark()),
    ord("}"): lambda m: m._push({}),
    ord("d"): _M._dict,
    ord("s"): _M._setitem,
    ord("u"): _M._setitems,
    0x8F: lambda m: m._push(set()),
    0x90: _M._additems,
    0x91: _M._frozenset,
    ord("p"): lambda m: m._put(m._index_line()),
    ord("q"): lambda m: m._put(m._take(1)[0]),
    ord("r"): lambda m: m._put(m._number(_UINT32)),
    0x94: lambda m: m._put(len(m._memo)),
    ord("g"): lambda m: m._get(m._index_line()),
    ord("h"): lambda m: m._get(m._take(1)[0]),
    ord("j"): lambda m: m._get(m._number(_UINT32)),
    ord("c"): _M._global,
    0x93: _M._stack_global,
    ord("R"): _M._reduce,
    0x81: _M._newobj,
    ord("b"): _M._build,
    ord("P"): lambda m: m._persistent(m._line(200)),
    ord("Q"): lambda m: m._persistent(m._pop()),
    0x80: _M._proto,
    0x95: _M._frame,
}
"""opcode: what it does. INST, OBJ, NEWOBJ_EX, EXT* and out-of-band buffers are left out."""
