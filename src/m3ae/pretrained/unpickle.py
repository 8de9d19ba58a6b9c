"""A pickle machine that executes nothing: it builds a tree of plain data, and imports no module at all.

The authors' checkpoints are pickles, and a pickle is a program. This machine knows its instructions (the
standard library's ``pickletools`` decodes them), but where Python would import a global it notes a
`Name`, and where Python would call one it notes a `Call`. Nothing is ever looked up, so nothing can run.
Bytes stay in the file as `Span`: the optimiser's two thirds of a checkpoint are never read.
"""

import pickletools
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

from m3ae.errors import UserError
from m3ae.pretrained.nodes import Call, Name, Span, Unpickled

# Packages that the authors' checkpoints name. `m3ae.model` is *their* module of that name, not ours.
PACKAGES = ("numpy", "jax", "flax", "optax", "ml_collections", "cloudpickle", "collections")
MODULES = ("m3ae.model",)

# Far above any real checkpoint (some 20,000 instructions for ViT-H), far below what would fill the memory.
MAX_INSTRUCTIONS = 2_000_000
MAX_TEXT = 1 << 24  # bytes of one text, number or line


class Refused(Exception):
    """Why a file is not read; becomes one line with the file's name."""


def read_pickle(path: Path) -> Unpickled:
    """Read the pickle at ``path`` as plain data. Raises UserError, one line, for anything else."""
    try:
        with path.open("rb") as file:
            return Machine(Source(file, path.stat().st_size)).run()
    except Refused as error:
        raise UserError(f"{path}: refused: {error}") from None
    except (ValueError, OverflowError, UnicodeError, IndexError, EOFError) as error:
        reason = " ".join(str(error).split())[:200]
        raise UserError(
            f"{path}: expected a whole pickle, found one that is cut off or damaged ({reason}); "
            "download it again and compare its size"
        ) from None


class Source:
    """The file, which never gives more than it has: a length field is no reason to ask for memory."""

    def __init__(self, file: IO[bytes], size: int) -> None:
        self.file, self.size = file, size

    def read(self, count: int) -> bytes:
        """Exactly ``count`` bytes."""
        if count > min(MAX_TEXT, self.size - self.file.tell()):
            raise ValueError(f"{count} bytes announced, {self.size - self.file.tell()} left")
        return self.file.read(count)

    def readline(self) -> bytes:
        """A line, with its end."""
        return self.file.readline(MAX_TEXT)

    def skip(self, count: int) -> Span:
        """Leave ``count`` bytes where they are."""
        span = Span(self.file.tell(), count)
        if not 0 <= count <= self.size - span.offset:
            raise ValueError(f"{count} bytes announced, {self.size - span.offset} left")
        self.file.seek(count, 1)
        return span


LENGTH_BYTES = {"SHORT_BINBYTES": 1, "BINBYTES": 4, "BINBYTES8": 8, "BYTEARRAY8": 8}
OPCODES = {opcode.code.encode("latin-1"): opcode for opcode in pickletools.opcodes}
CONSTANTS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False}
# Instructions whose argument is the value.
PLAIN = {
    *("INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4", "FLOAT", "BINFLOAT"),
    *("STRING", "BINSTRING", "SHORT_BINSTRING"),
    *("UNICODE", "SHORT_BINUNICODE", "BINUNICODE", "BINUNICODE8"),
}
MARK = object()


class Machine:
    """The stack, the memo, and one small method for each kind of instruction."""

    def __init__(self, source: Source) -> None:
        self.source = source
        self.stack: list[Any] = []
        self.memo: dict[int, Any] = {}
        self.calls: list[Call] = []

    def run(self) -> Unpickled:
        """Follow the instructions to STOP."""
        for _ in range(MAX_INSTRUCTIONS):
            code = self.source.read(1)
            opcode = OPCODES.get(code)
            if opcode is None:
                raise ValueError(f"{code!r} is no pickle instruction" if code else "it ends too early")
            if opcode.name == "STOP":
                return Unpickled(self.pop(), self.calls)
            self.step(opcode)
        raise Refused(
            f"expected at most {MAX_INSTRUCTIONS:,} instructions, found more; no checkpoint has them"
        )

    def step(self, opcode: pickletools.OpcodeInfo) -> None:
        """One instruction."""
        name = opcode.name
        if name in LENGTH_BYTES:
            size = int.from_bytes(self.source.read(LENGTH_BYTES[name]), "little")
            self.stack.append(self.source.skip(size))
        elif name in CONSTANTS:
            self.stack.append(CONSTANTS[name])
        elif name in ("GLOBAL", "INST"):
            self.global_line(name)
        else:
            argument = opcode.arg.reader(self.source) if opcode.arg else None  # type: ignore[arg-type]
            if name in PLAIN:
                self.stack.append(argument)
            elif (method := METHODS.get(name)) is not None:
                method(self, argument)
            else:
                raise Refused(f"the instruction {name} reaches outside the file; no checkpoint needs it")

    # ---- stack and memo ------------------------------------------------------------------------------------

    def pop(self) -> Any:
        """The top of the stack."""
        if not self.stack or self.stack[-1] is MARK:
            raise ValueError("an instruction finds nothing on the stack")
        return self.stack.pop()

    def top(self) -> Any:
        """The top of the stack, left there."""
        value = self.pop()
        self.stack.append(value)
        return value

    def pop_to_mark(self) -> list[Any]:
        """Everything above the last mark, which goes too."""
        for place in range(len(self.stack) - 1, -1, -1):
            if self.stack[place] is MARK:
                items = self.stack[place + 1 :]
                del self.stack[place:]
                return items
        raise ValueError("an instruction finds no mark on the stack")

    def discard(self, _: Any) -> None:
        """POP, which may take a mark."""
        if not self.stack:
            raise ValueError("an instruction finds nothing on the stack")
        self.stack.pop()

    def put(self, slot: int | None) -> None:
        """Remember the top of the stack; MEMOIZE counts the slots itself."""
        self.memo[len(self.memo) if slot is None else slot] = self.top()

    def get(self, slot: int) -> None:
        """Push what was remembered."""
        if slot not in self.memo:
            raise ValueError(f"nothing is remembered under {slot}")
        self.stack.append(self.memo[slot])

    # ---- containers ----------------------------------------------------------------------------------------

    def new_tuple(self, count: int) -> None:
        """A tuple of the last ``count`` values."""
        values = [self.pop() for _ in range(count)]
        self.stack.append(tuple(reversed(values)))

    def extend(self, values: list[Any]) -> None:
        """Append to the list (or the stand-in) on top."""
        target = self.top()
        if not isinstance(target, list | Call):
            raise Refused("it appends to something that is no list")
        (target if isinstance(target, list) else target.items).extend(values)

    def set_items(self, flat: list[Any]) -> None:
        """Set keys of the dict (or the stand-in) on top."""
        target = self.top()
        if not isinstance(target, dict | Call) or len(flat) % 2:
            raise Refused("it sets keys of something that is no dict")
        pairs = target if isinstance(target, dict) else target.pairs
        for key, value in zip(flat[::2], flat[1::2], strict=True):
            if not isinstance(key, str | int | float | None):
                raise Refused("a dict has a key that is neither text nor number")
            if isinstance(key, int) and abs(key) >= 2**63:
                raise Refused("a dict has a key that is no number of 64 bits")
            pairs[key] = value

    def new_dict(self, _: Any) -> None:
        """A dict of everything above the mark."""
        flat = self.pop_to_mark()
        self.stack.append({})
        self.set_items(flat)

    def set_item(self, _: Any) -> None:
        """Set one key."""
        value, key = self.pop(), self.pop()
        self.set_items([key, value])

    # ---- globals and calls ---------------------------------------------------------------------------------

    def global_line(self, instruction: str) -> None:
        """A global named by two lines; INST calls it at once with what lies above the mark."""
        module, name = (self.line() for _ in range(2))
        self.add_name(module, name)
        if instruction == "INST":
            function = self.pop()
            self.add_call(function, tuple(self.pop_to_mark()))

    def line(self) -> str:
        """A line of text."""
        line = self.source.readline()
        if not line.endswith(b"\n"):
            raise ValueError("a line has no end")
        return line[:-1].decode("utf-8")

    def stack_global(self, _: Any) -> None:
        """A global named by the two texts on the stack."""
        name, module = self.pop(), self.pop()
        self.add_name(module, name)

    def add_name(self, module: Any, name: Any) -> None:
        """Note a global of a known package; refuse the file for any other."""
        if not isinstance(module, str) or not isinstance(name, str):
            raise Refused("it names a global by something that is no text")
        if module not in MODULES and module.split(".")[0] not in PACKAGES:
            shown = f"{module}.{name}".encode("unicode_escape").decode()[:120]
            raise Refused(
                f"it asks for {shown}, and a checkpoint needs only {', '.join(PACKAGES)} and the authors' "
                "own class: do not open it with anything that executes pickles"
            )
        self.stack.append(Name(module, name))

    def add_call(self, function: Any, args: Any, kwargs: Any = None) -> None:
        """Note a call instead of making it."""
        if not isinstance(function, Name | Call) or not isinstance(args, tuple):
            raise Refused("it calls something that is no function")
        if kwargs is not None and not isinstance(kwargs, dict):
            raise Refused("it calls with keywords that are no dict")
        call = Call(function, args, kwargs or {})
        self.calls.append(call)
        self.stack.append(call)

    def reduce(self, _: Any) -> None:
        """REDUCE and NEWOBJ: a function or class, and its arguments."""
        args, function = self.pop(), self.pop()
        self.add_call(function, args)

    def new_object_with_keywords(self, _: Any) -> None:
        """NEWOBJ_EX."""
        kwargs, args, function = self.pop(), self.pop(), self.pop()
        self.add_call(function, args, kwargs)

    def new_object(self, _: Any) -> None:
        """OBJ: the class and its arguments lie above the mark."""
        items = self.pop_to_mark()
        if not items:
            raise ValueError("an object has no class")
        self.add_call(items[0], tuple(items[1:]))

    def build(self, _: Any) -> None:
        """Note the state of a stand-in; nothing else can be given one."""
        state, target = self.pop(), self.top()
        if not isinstance(target, Call):
            raise Refused("it sets the state of something that is no object")
        target.state = state


METHODS: dict[str, Callable[[Machine, Any], object]] = {
    "PROTO": lambda machine, _: None,
    "FRAME": lambda machine, _: None,
    "MARK": lambda machine, _: machine.stack.append(MARK),
    "POP": Machine.discard,
    "POP_MARK": lambda machine, _: machine.pop_to_mark(),
    "DUP": lambda machine, _: machine.stack.append(machine.top()),
    **dict.fromkeys(["PUT", "BINPUT", "LONG_BINPUT", "MEMOIZE"], Machine.put),
    **dict.fromkeys(["GET", "BINGET", "LONG_BINGET"], Machine.get),
    "EMPTY_TUPLE": lambda machine, _: machine.new_tuple(0),
    "TUPLE1": lambda machine, _: machine.new_tuple(1),
    "TUPLE2": lambda machine, _: machine.new_tuple(2),
    "TUPLE3": lambda machine, _: machine.new_tuple(3),
    "TUPLE": lambda machine, _: machine.stack.append(tuple(machine.pop_to_mark())),
    # A set is kept as a list: its members need not be hashable stand-ins.
    **dict.fromkeys(["EMPTY_LIST", "EMPTY_SET"], lambda machine, _: machine.stack.append([])),
    **dict.fromkeys(["LIST", "FROZENSET"], lambda machine, _: machine.stack.append(machine.pop_to_mark())),
    **dict.fromkeys(["APPENDS", "ADDITEMS"], lambda machine, _: machine.extend(machine.pop_to_mark())),
    "APPEND": lambda machine, _: machine.extend([machine.pop()]),
    "EMPTY_DICT": lambda machine, _: machine.stack.append({}),
    "DICT": Machine.new_dict,
    "SETITEM": Machine.set_item,
    "SETITEMS": lambda machine, _: machine.set_items(machine.pop_to_mark()),
    "STACK_GLOBAL": Machine.stack_global,
    **dict.fromkeys(["REDUCE", "NEWOBJ"], Machine.reduce),
    "NEWOBJ_EX": Machine.new_object_with_keywords,
    "OBJ": Machine.new_object,
    "BUILD": Machine.build,
}
