"""Pickles that would run a program in Python's unpickler, each leaving a file as the sign that it did."""

import pickle
import struct

from release_files import dumps

GLOBALS = {
    "os.system": ("os", "system"),
    "posix.system": ("posix", "system"),
    "nt.system": ("nt", "system"),
    "os.popen": ("os", "popen"),
    "os.execv": ("os", "execv"),
    "builtins.eval": ("builtins", "eval"),
    "builtins.exec": ("builtins", "exec"),
    "builtins.compile": ("builtins", "compile"),
    "builtins.open": ("builtins", "open"),
    "builtins.getattr": ("builtins", "getattr"),
    "builtins.__import__": ("builtins", "__import__"),
    "__builtin__.eval": ("__builtin__", "eval"),
    "subprocess.Popen": ("subprocess", "Popen"),
    "subprocess.check_output": ("subprocess", "check_output"),
    "importlib.import_module": ("importlib", "import_module"),
    "runpy.run_path": ("runpy", "run_path"),
    "pty.spawn": ("pty", "spawn"),
    "functools.partial": ("functools", "partial"),
    "operator.attrgetter": ("operator", "attrgetter"),
    "operator.methodcaller": ("operator", "methodcaller"),
    "types.FunctionType": ("types", "FunctionType"),
    "types.CodeType": ("types", "CodeType"),
    "copyreg._reconstructor": ("copyreg", "_reconstructor"),
    "copyreg.__newobj__": ("copyreg", "__newobj__"),
    "copyreg.add_extension": ("copyreg", "add_extension"),
    "pickle.loads": ("pickle", "loads"),
    "shutil.rmtree": ("shutil", "rmtree"),
    "socket.socket": ("socket", "socket"),
    "webbrowser.open": ("webbrowser", "open"),
    "ctypes.CDLL": ("ctypes", "CDLL"),
    "code.interact": ("code", "interact"),
    "torch.load": ("torch", "load"),
    "torch.serialization": ("torch.serialization", "load"),
    "pandas.eval": ("pandas", "eval"),
    "sklearn": ("sklearn.utils", "Bunch"),
    "_codecs.encode": ("_codecs", "encode"),
    "jaxlib": ("jaxlib.xla_extension", "ArrayImpl"),
    "a name that begins as a known one": ("numpyx.core", "thing"),
    "a module with a space": ("numpy x", "thing"),
    "a relative module": (".numpy", "thing"),
    "our own package": ("m3ae", "load_pretrained"),
    "our own module": ("m3ae.model.weights", "load_encoder"),
    "their module's neighbour": ("m3ae.model2", "M3AETrainState"),
    "an empty module": ("", "eval"),
}


def text(value: str) -> bytes:
    """A text on the stack."""
    raw = value.encode()
    return b"X" + struct.pack("<I", len(raw)) + raw


def stack_global(module: str, name: str) -> bytes:
    """A global by the two texts on the stack."""
    return text(module) + text(name) + b"\x93"


def line_global(module: str, name: str) -> bytes:
    """A global by two lines."""
    return f"c{module}\n{name}\n".encode()


def program(body: bytes) -> bytes:
    """A pickle of protocol 4."""
    return b"\x80\x04" + body + b"."


def calls(sign: str) -> dict[str, bytes]:
    """Every forbidden global, called by REDUCE with the command that leaves ``sign``; both spellings."""
    argument = text(f"touch {sign}") + b"\x85R"
    cases = {f"{name}, stack": program(stack_global(*where) + argument) for name, where in GLOBALS.items()}
    cases |= {f"{name}, line": program(line_global(*where) + argument) for name, where in GLOBALS.items()}
    return cases


def instructions(sign: str) -> dict[str, bytes]:
    """The other ways in which a pickle reaches outside itself, or breaks its reader."""
    command = text(f"touch {sign}")
    system, state = line_global("os", "system"), line_global("m3ae.model", "M3AETrainState")
    huge = (1 << 62).to_bytes(8, "little")
    return {
        "INST": program(b"(" + command + b"ios\nsystem\n"),
        "OBJ": program(b"(" + system + command + b"o"),
        "NEWOBJ": program(system + command + b"\x85\x81"),
        "NEWOBJ_EX": program(system + command + b"\x85}\x92"),
        "nested reduce": program(line_global("numpy", "dtype") + system + command + b"\x85R\x85R"),
        "as an argument": program(line_global("collections", "OrderedDict") + b"(" + system + b"tR"),
        "as a state": program(state + b")\x81" + system + command + b"\x85Rb"),
        "after the value": program(b"}" + system + command + b"\x85R0"),
        "in the memo": program(system + b"q\x000h\x00" + command + b"\x85R"),
        "EXT1": program(b"\x82\x07" + command + b"\x85R"),
        "EXT2": program(b"\x83\x07\x00" + command + b"\x85R"),
        "EXT4": program(b"\x84\x07\x00\x00\x00" + command + b"\x85R"),
        "PERSID": program(b"Pidentity\n"),
        "BINPERSID": program(command + b"Q"),
        "NEXT_BUFFER": program(b"\x97"),
        "READONLY_BUFFER": program(b"\x97\x98"),
        "state of a class": program(state + b"}" + text("__setstate__") + command + b"sb"),
        "state of a dict": program(b"}}b"),
        "state of a list": program(b"]}b"),
        "call of a text": program(command + b")R"),
        "call without a tuple": program(line_global("numpy", "dtype") + command + b"R"),
        "keywords that are no dict": program(line_global("numpy", "dtype") + b")]\x92"),
        "a global that is no text": program(b"K\x01K\x02\x93"),
        "a list as a key": program(b"}]Ns"),
        "append to a dict": program(b"}Na"),
        "keys of a list": program(b"]NNs"),
        "an unset memo": program(b"h\x09"),
        "an empty stack": program(b"0"),
        "a missing mark": program(b"t"),
        "an unknown instruction": program(b"\xfe"),
        "no end": b"\x80\x04}",
        "a length beyond the file": program(b"\x8e" + huge),
        "a text beyond the file": program(b"\x8d" + huge),
        "a number beyond the file": program(b"\x8b\xff\xff\xff\x7f"),
        "a byte array beyond the file": program(b"\x96" + huge),
        "endless instructions": b"\x80\x04" + b"N0" * 1_500_000 + b".",
        "lists that double 60 times": program(b"]" + b"(" + b"22" * 60 + b"l"),
        "a list 100,000 deep": program(b"]" * 100_000 + b"a" * 99_999),
        "a number of a million digits": program(b"I" + b"9" * 1_000_000 + b"\n"),
    }


class Runs:
    """Python's unpickler would run ``function`` of ``module`` with the command."""

    def __init__(self, module: str, name: str, command: str) -> None:
        self.raw = line_global(module, name) + text(command) + b"\x85R"


def spliced(content: dict, payload: bytes) -> bytes:
    """A pickle of ``content``, whose text "PAYLOAD" is replaced by what ``payload`` makes."""
    raw = dumps(content, protocol=4)
    marker = pickle.dumps("PAYLOAD", 4)[2:-1].lstrip(b"\x95")
    short = b"\x8c\x07PAYLOAD"
    assert short in raw, marker
    return b"\x80\x04" + without_frames(raw[2:]).replace(short, payload)


def without_frames(raw: bytes) -> bytes:
    """The instructions without FRAME, whose lengths would no longer be true."""
    import pickletools

    pieces, start = [], 0
    for opcode, _, position in pickletools.genops(b"\x80\x04" + raw):
        if opcode.name == "FRAME":
            pieces.append(raw[start : position - 2])
            start = position - 2 + 9
    return b"".join([*pieces, raw[start:]])
