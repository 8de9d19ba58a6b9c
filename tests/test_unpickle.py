"""Reading pickles without executing them: hostile files are refused by name, good ones read bit for bit."""

import copyreg
import gzip
import itertools
import os
import random
import struct
import sys
import zipfile
from contextlib import contextmanager

import numpy as np
import pytest
import torch

import hostile_pickles as hostile
from m3ae.errors import UserError
from m3ae.model.architecture import Architecture
from m3ae.pretrained.load import read_source
from m3ae.pretrained.nodes import Call, Name
from m3ae.pretrained.unpickle import read_pickle
from release_files import authors_params, checkpoint, dumps, tree_map, write_release

SMALL = Architecture(
    width=16, depth=1, num_heads=2, decoder_width=8, decoder_depth=1, decoder_num_heads=2,
    image_px=8, patch_px=4, vocab_size=20, max_tokens=4,
)  # fmt: skip
VARIANT = {"m3ae.num_heads": 2, "m3ae.dec_num_heads": 2}
CASES = {**hostile.calls("SIGN"), **hostile.instructions("SIGN")}


# What Python announces (PEP 578) before it runs a program or resolves a pickle's global.
DEEDS = {"pickle.find_class", "os.system", "os.exec", "os.fork", "os.posix_spawn", "subprocess.Popen"}
deeds: list[str] | None = None  # none while nobody looks


def notice(event, _):
    if deeds is not None and event in DEEDS:
        deeds.append(event)


sys.addaudithook(notice)


@contextmanager
def nothing_runs():
    """Fail if the body runs a program or asks Python's unpickler for a global."""
    global deeds
    deeds = done = []
    try:
        yield
    finally:
        deeds = None
        assert not done


def refused(path, sign=None):
    """The one line with which a file is refused; nothing may have run."""
    with pytest.raises(UserError) as caught, nothing_runs():
        read_source(path).core(path)
    assert sign is None or not sign.exists()
    line = str(caught.value)
    assert "\n" not in line
    assert len(line) < 1000
    assert path.name in line
    return line


@pytest.fixture
def params():
    return authors_params(SMALL, seed=0)


def test_the_corpus_is_large():
    assert len(CASES) >= 100


@pytest.mark.parametrize("name", CASES)
def test_a_hostile_pickle_runs_nothing_and_is_refused(tmp_path, monkeypatch, name):
    monkeypatch.setattr(copyreg, "_inverted_registry", {7: ("os", "system")})
    monkeypatch.chdir(tmp_path)  # where a command would leave SIGN
    (tmp_path / "model.pkl").write_bytes(CASES[name])
    line = refused(tmp_path / "model.pkl", tmp_path / "SIGN")
    if ", " in name:
        module, attribute = hostile.GLOBALS[name.rpartition(", ")[0]]
        assert f"{module}.{attribute}" in line


def test_the_corpus_would_run_in_pythons_unpickler(tmp_path, monkeypatch):
    """The cases are no straw men: one of them, in a process of its own, leaves its sign."""
    import subprocess

    (tmp_path / "model.pkl").write_bytes(CASES["os.system, stack"])
    code = "import pickle; pickle.load(open('model.pkl', 'rb'))"
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, check=True)
    assert (tmp_path / "SIGN").exists()


def test_the_watch_sees_pythons_unpickler_at_work():
    import pickle

    with pytest.raises(AssertionError), nothing_runs():
        pickle.loads(b"cos\ngetpid\n)R.")


HIDDEN = {
    "in the variant": lambda c: c["variant"].update(spare="PAYLOAD"),
    "beside the state": lambda c: c.update(spare="PAYLOAD"),
    "in the optimiser": lambda c: setattr(c["state"], "opt_state", ("PAYLOAD",)),
    "as a parameter": lambda c: c["state"].params["params"].update(cls_token="PAYLOAD"),
    "as the state": lambda c: c.update(state="PAYLOAD"),
}


@pytest.mark.parametrize("place", HIDDEN)
def test_a_forbidden_global_is_found_wherever_it_hides(tmp_path, monkeypatch, params, place):
    content = checkpoint(params, dict(VARIANT))
    HIDDEN[place](content)
    payload = hostile.line_global("os", "system") + hostile.text("touch SIGN") + b"\x85R"
    (tmp_path / "model.pkl").write_bytes(hostile.spliced(content, payload))
    monkeypatch.chdir(tmp_path)
    assert "os.system" in refused(tmp_path / "model.pkl", tmp_path / "SIGN")


ALLOWED = [
    ("numpy.testing._private.utils", "runstring"),
    ("numpy.f2py.capi_maps", "load_f2cmap_file"),
    ("cloudpickle.cloudpickle", "subimport"),
    ("cloudpickle.cloudpickle", "_make_function"),
    ("jax._src.util", "unsafe_map"),
    ("optax._src.base", "anything"),
    ("m3ae.model", "M3AETrainState"),
    ("collections", "namedtuple"),
]


@pytest.mark.parametrize(("module", "name"), ALLOWED)
def test_a_known_packages_global_does_nothing_even_when_called(tmp_path, monkeypatch, params, module, name):
    content = checkpoint(params, dict(VARIANT))
    content["spare"] = "PAYLOAD"
    payload = hostile.line_global(module, name) + hostile.text("touch SIGN") + b"\x85R"
    (tmp_path / "model.pkl").write_bytes(hostile.spliced(content, payload))
    monkeypatch.chdir(tmp_path)
    before = set(sys.modules)
    with nothing_runs():
        assert read_source(tmp_path / "model.pkl").architecture.width == 16
    assert not (tmp_path / "SIGN").exists()
    assert not {
        m for m in set(sys.modules) - before if m.split(".")[0] in ("numpy", "jax", "optax", "cloudpickle")
    }
    tree = read_pickle(tmp_path / "model.pkl").root
    assert isinstance(tree["spare"], Call)
    assert isinstance(tree["spare"].function, Name)


@pytest.mark.parametrize(("module", "name"), ALLOWED)
def test_a_known_packages_call_in_place_of_a_checkpoint_is_refused(tmp_path, module, name):
    body = hostile.line_global(module, name) + hostile.text("touch SIGN") + b"\x85R"
    (tmp_path / "model.pkl").write_bytes(hostile.program(body))
    assert "expected a checkpoint of the authors' code" in refused(tmp_path / "model.pkl")


BAD_ARRAYS = {
    "of objects": (np.array([{"a": 1}], dtype=object), "Python objects"),
    "of dates": (np.zeros(3, "datetime64[s]"), "no plain number"),
    "of texts": (np.array(["a", "b"]), "no plain number"),
    "of records": (np.zeros(2, [("a", "f4")]), "no plain number"),
}


@pytest.mark.parametrize("name", BAD_ARRAYS)
@pytest.mark.parametrize("protocol", [3, 4, 5])
def test_an_array_of_anything_but_numbers_is_refused(tmp_path, params, name, protocol):
    array, message = BAD_ARRAYS[name]
    params["cls_token"] = array
    write_release(tmp_path / "model.pkl", params, VARIANT, protocol=protocol)
    assert message in refused(tmp_path / "model.pkl")


def test_an_object_array_is_refused_in_the_optimiser_too(tmp_path, params):
    content = checkpoint(params, VARIANT)
    content["state"].opt_state = (np.array([1], dtype=object),)
    (tmp_path / "model.pkl").write_bytes(dumps(content))
    assert "Python objects" in refused(tmp_path / "model.pkl")


@pytest.mark.parametrize(
    "shape", [(10**6, 10**6), (2**39, 2**39), (-1,), (1, 1, 17), (2**70,), (1,) * 9, (True, 16)], ids=str
)
def test_a_shape_that_is_not_the_bytes_is_refused(tmp_path, params, shape):
    class Lies(np.ndarray):
        def __reduce__(self):
            function, _ = np.zeros(1, np.float32).__reduce_ex__(2)[:2]
            state = (1, shape, np.dtype("f4"), False, bytes(64))
            return function, (np.ndarray, (0,), b"b"), state

    params["cls_token"] = np.zeros((1, 1, 16), np.float32).view(Lies)
    write_release(tmp_path / "model.pkl", params, VARIANT)
    assert "not an array of plain numbers" in refused(tmp_path / "model.pkl")


def test_parameters_that_share_branches_without_end_are_refused(tmp_path, params):
    bomb = {"leaf": np.zeros(1, np.float32)}
    for _ in range(60):
        bomb = {"a": bomb, "b": bomb}
    write_release(tmp_path / "model.pkl", {**params, "bomb": bomb}, VARIANT, moments=False)
    assert "nested or repeated without an end" in refused(tmp_path / "model.pkl")


@pytest.mark.parametrize("missing", ["cls_token", "encoder", "decoder_input_projection", "image_embedding"])
def test_a_missing_parameter_is_named(tmp_path, params, missing):
    del params[missing]
    write_release(tmp_path / "model.pkl", params, VARIANT)
    refused_or_incomplete(tmp_path / "model.pkl")


def refused_or_incomplete(path):
    with pytest.raises(UserError, match=r"lacks|lack or distort") as caught:
        read_source(path).core(path)
    assert "\n" not in str(caught.value)


def test_a_parameter_of_another_shape_is_named(tmp_path, params):
    params["encoder"]["Block_0"]["LayerNorm_0"]["scale"] = np.zeros(3, np.float32)
    write_release(tmp_path / "model.pkl", params, VARIANT)
    with pytest.raises(UserError, match=r"norm1.weight: expected shape \(16,\), got \(3,\)"):
        read_source(tmp_path / "model.pkl").core(tmp_path / "model.pkl")


def test_a_deeper_output_head_is_refused_by_name(tmp_path, params):
    params["decoder_image_output"]["Dense_1"] = params["decoder_image_output"]["Dense_0"]
    write_release(tmp_path / "model.pkl", params, VARIANT)
    assert "output_head_depth" in refused(tmp_path / "model.pkl")


def test_a_file_cut_off_anywhere_is_refused(tmp_path, params):
    whole = dumps(checkpoint(params, VARIANT))
    places = {*range(0, 5000, 50), *np.linspace(5000, len(whole) - 1, 60, dtype=int).tolist()}
    for place in sorted(places):
        (tmp_path / "model.pkl").write_bytes(whole[:place])
        refused(tmp_path / "model.pkl")


def test_flipped_bytes_give_a_model_or_one_line_and_run_nothing(tmp_path, monkeypatch, params):
    monkeypatch.chdir(tmp_path)
    whole, rng = dumps(checkpoint(params, VARIANT, moments=False)), random.Random(0)
    starts = [i for i in range(len(whole)) if i < 600 or whole[i : i + 1] in b"\x8cBCRb\x93h"]
    read = 0
    for _ in range(150):
        broken = bytearray(whole)
        broken[rng.choice(starts)] = rng.randrange(256)
        (tmp_path / "model.pkl").write_bytes(bytes(broken))
        read += reads(tmp_path / "model.pkl")
    assert 0 < read < 150
    assert os.listdir(tmp_path) == ["model.pkl"]


def reads(path):
    """Whether a file gives a model; if not, it must be for one line's reason."""
    try:
        with nothing_runs():
            read_source(path).core(path)
    except UserError as error:
        return "\n" in str(error) and pytest.fail(f"expected one line, got {error}")
    return True


FILES = {
    "a page": (b"<html><body>Sign in</body></html>", "web page"),
    "gzip": (gzip.compress(b"weights"), "gzip"),
    "nothing": (b"", "empty file"),
    "a pointer": (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "Git LFS pointer"),
    "noise": (random.Random(0).randbytes(4096), "cut off or damaged|refused"),
    "a number": (b"\x80\x04K\x01.", "a pickle of something else"),
}


@pytest.mark.parametrize("name", FILES)
def test_what_is_no_checkpoint_is_refused(tmp_path, name):
    import re

    content, message = FILES[name]
    (tmp_path / "model.pkl").write_bytes(content)
    assert re.search(message, refused(tmp_path / "model.pkl"))


class Touches:
    def __init__(self, sign):
        self.sign = sign

    def __reduce__(self):
        return os.system, (f"touch {self.sign}",)


def test_a_pytorch_file_that_would_run_a_program_is_refused(tmp_path):
    for legacy in (False, True):
        path = tmp_path / "mae.pth"
        torch.save({"model": Touches(tmp_path / "SIGN")}, path, _use_new_zipfile_serialization=not legacy)
        assert "system" in refused(path, tmp_path / "SIGN")


def test_a_zip_bomb_is_refused_unopened(tmp_path):
    with zipfile.ZipFile(tmp_path / "mae.pth", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/data.pkl", bytes(50_000_000))
    assert (tmp_path / "mae.pth").stat().st_size < 1_000_000
    assert "compressed archive" in refused(tmp_path / "mae.pth")


def test_a_zip_that_announces_gigabytes_is_refused_unopened(tmp_path):
    with zipfile.ZipFile(tmp_path / "mae.pth", "w", zipfile.ZIP_STORED) as archive:
        archive.writestr("archive/data.pkl", b"}.")
    raw = bytearray((tmp_path / "mae.pth").read_bytes())
    struct.pack_into("<I", raw, raw.index(b"PK\x01\x02") + 24, 3_000_000_000)
    (tmp_path / "mae.pth").write_bytes(bytes(raw))
    assert "compressed archive" in refused(tmp_path / "mae.pth")


# ---- otherwise valid checkpoints with one odd thing in them ------------------------------------------------

PLACES = {
    "spare": lambda c: c.update(spare="PAYLOAD"),
    "step": lambda c: c.update(step="PAYLOAD"),
    "heads": lambda c: c["variant"].update({"m3ae.num_heads": "PAYLOAD"}),
    "image size": lambda c: c["variant"].update({"m3ae.image_size": "PAYLOAD"}),
    "text length": lambda c: c["variant"].update({"m3ae.tokenizer_max_length": "PAYLOAD"}),
    "mask ratio": lambda c: c["variant"].update({"m3ae.image_mask_ratio": "PAYLOAD"}),
    "state": lambda c: c.update(state="PAYLOAD"),
    "params": lambda c: setattr(c["state"], "params", {"params": "PAYLOAD"}),
    "encoder": lambda c: c["state"].params["params"].update(encoder="PAYLOAD"),
    "token": lambda c: c["state"].params["params"].update(cls_token="PAYLOAD"),
}
STATE, OPTAX = hostile.line_global("m3ae.model", "M3AETrainState"), hostile.line_global("optax", "x")
FROZEN = hostile.line_global("flax.core.frozen_dict", "FrozenDict")
SHAPE = (1, 1, 16)


def integer(value):
    """A whole number of any size."""
    raw = value.to_bytes(value.bit_length() // 8 + 1, "little", signed=True)
    return b"\x8b" + struct.pack("<i", len(raw)) + raw


def real(value):
    """A float."""
    return b"G" + struct.pack(">d", value)


def dtype(name):
    """numpy.dtype of a name."""
    return hostile.line_global("numpy", "dtype") + hostile.text(name) + b"\x89\x88\x87R"


def array(size, name, shape=SHAPE):
    """An array of ``size`` zero bytes, whatever its type and shape announce, as protocol 5 spells it."""
    sides = b"(" + b"".join(integer(side) for side in shape) + b"t"
    data = b"(B" + struct.pack("<I", size) + bytes(size)
    function = hostile.line_global("numpy.core.numeric", "_frombuffer")
    return function + data + dtype(name) + sides + hostile.text("C") + b"tR"


def scalar(size, name):
    """A numpy scalar of ``size`` zero bytes."""
    function = hostile.line_global("numpy.core.multiarray", "scalar")
    return function + dtype(name) + b"B" + struct.pack("<I", size) + bytes(size) + b"\x86R"


def write_odd(path, params, place, payload):
    """A valid checkpoint, but for ``payload`` at a place."""
    content = checkpoint(params, dict(VARIANT), moments=False)
    PLACES[place](content)
    path.write_bytes(hostile.spliced(content, payload))


ODD = {
    "objects in a buffer": ("token", array(128, "O"), "Python objects"),
    "objects nowhere near the weights": ("spare", array(128, "O"), "Python objects"),
    "too few bytes": ("token", array(60, "f4"), "expected 64 bytes, got 60"),
    "a shape of 10**24": ("token", array(64, "f4", (10**12, 10**12)), "not an array of plain numbers"),
    "a negative shape": ("token", array(64, "f4", (-16,)), "not an array of plain numbers"),
    "a shape of 3,000 bytes": ("token", array(64, "f4", (1 << 24_000,)), "not an array of plain numbers"),
    "a side of none": ("token", array(0, "f4", (0,)), "expected shape"),
    "a type of two lines": ("token", array(64, "f4\nf4"), "no plain number"),
    "a state with slots": ("state", STATE + b")\x81N}\x86b", "a pickle of something else"),
    "an object of a text": ("spare", hostile.text("x") + b")\x81", "no function"),
    "keys of a class": ("spare", STATE + hostile.text("x") + b"Ns", "no dict"),
    "a state of a class": ("spare", STATE + b"}b", "no object"),
    "a state of a list": ("spare", b"]}b", "no object"),
    "dicts 5,000 deep": ("params", (b"}" + hostile.text("a")) * 5_000 + b"}" + b"s" * 5_000, "nested"),
    "a dict within itself": ("encoder", b"}q\x00" + hostile.text("a") + b"h\x00s", "nested"),
    "lists 5,000 deep": ("token", b"]" * 5_000 + b"a" * 4_999, "expected an array, got list"),
    "a text as an encoder": ("encoder", hostile.text("x"), "expected an array, got str"),
}


@pytest.mark.parametrize("name", ODD)
def test_one_odd_thing_in_a_checkpoint_is_refused(tmp_path, params, name):
    place, payload, message = ODD[name]
    write_odd(tmp_path / "model.pkl", params, place, payload)
    assert message in refused(tmp_path / "model.pkl")


# Each of these once ended in something other than one line.
DEEP, HUGE = b"]" * 5_000 + b"a" * 4_999, integer(1 << 24_000)
FAULTS = {
    "frozen dicts 5,000 deep": ("params", FROZEN * 5_000 + b"}" + b"\x85R" * 5_000),
    "heads that are lists 5,000 deep": ("heads", DEEP),
    "heads of 3,000 bytes": ("heads", HUGE),
    "a step of 3,000 bytes": ("step", HUGE),
    "a parameter's name of two lines": ("params", b"}" + hostile.text("a\nb") + b"Ns"),
    "a parameter's name of a megabyte": ("params", b"}" + hostile.text("a" * 10**6) + b"Ns"),
    "a parameter's name that is a number of 3,000 bytes": ("params", b"}" + HUGE + b"Ns"),
    "an empty array of 2**78 rows": ("token", array(0, "f4", (2**39, 2**39, 0))),
    "quadruple precision": ("token", array(256, "f16")),
    "a step of objects": ("step", scalar(8, "object")),
    "a step of an unknown type": ("step", scalar(1, "f1")),
    "an infinite image": ("image size", real(float("inf"))),
    "an image of 10**7 pixels a side": ("image size", integer(10**7)),
    "texts of 10**12 tokens": ("text length", integer(10**12)),
    "a mask ratio of 3,000 bytes": ("mask ratio", HUGE),
    "objects spelled out, nowhere near the weights": ("spare", array(128, "object")),
    "objects by numpy's other name": (
        "spare",
        hostile.line_global("numpy.core.multiarray", "dtype") + hostile.text("O") + b"\x85R",
    ),
}


@pytest.mark.parametrize("name", FAULTS)
def test_what_once_broke_the_reader_is_refused_in_one_line(tmp_path, params, name):
    write_odd(tmp_path / "model.pkl", params, *FAULTS[name])
    refused(tmp_path / "model.pkl")


def test_calls_stacked_without_end_in_a_spare_place_are_harmless(tmp_path, params):
    write_odd(tmp_path / "model.pkl", params, "spare", OPTAX + b")R" * 50_000)
    with nothing_runs():
        assert read_source(tmp_path / "model.pkl").architecture.width == 16


MISSING = {
    "state": lambda c: c.pop("state"),
    "state.params": lambda c: delattr(c["state"], "params"),
    "params of the params": lambda c: setattr(c["state"], "params", {}),
    "all parameters": lambda c: c["state"].params["params"].clear(),
    "variant": lambda c: c.pop("variant"),
}


@pytest.mark.parametrize("name", MISSING)
def test_a_checkpoint_that_lacks_a_part_is_refused(tmp_path, params, name):
    content = checkpoint(params, dict(VARIANT))
    MISSING[name](content)
    (tmp_path / "model.pkl").write_bytes(dumps(content))
    assert "expected" in refused(tmp_path / "model.pkl")


@pytest.mark.parametrize("protocol", [0, 1, 2])
def test_old_protocols_need_functions_that_are_refused_by_name(tmp_path, params, protocol):
    """They spell bytes by a call of `_codecs.encode`; cloudpickle, and so the authors, never wrote them."""
    write_release(tmp_path / "model.pkl", params, VARIANT, protocol=protocol)
    assert "_codecs.encode" in refused(tmp_path / "model.pkl") or protocol < 2


# ---- good files --------------------------------------------------------------------------------------------


def flat(tree, path=""):
    for name, branch in tree.items():
        yield from flat(branch, f"{path}{name}/") if isinstance(branch, dict) else [(f"{path}{name}", branch)]


def check_values(path, params):
    """The tensors are the arrays, found by value: independent of how names are translated."""
    tensors = read_source(path).tensors
    assert len(tensors) == len(list(flat(params)))
    seen = {tensor.float().numpy().tobytes() for tensor in tensors.values()}
    for name, array in flat(params):
        array = array.astype(np.float32)
        assert np.ascontiguousarray(array.T if name.endswith("kernel") else array).tobytes() in seen, name


@pytest.mark.parametrize(("protocol", "frozen"), list(itertools.product([3, 4, 5], [False, True])))
def test_every_protocol_gives_the_arrays_bit_for_bit(tmp_path, params, protocol, frozen):
    write_release(tmp_path / "model.pkl", params, VARIANT, protocol=protocol, frozen=frozen)
    check_values(tmp_path / "model.pkl", params)


@pytest.mark.parametrize("protocol", [3, 5])
@pytest.mark.parametrize(
    "change", [np.asfortranarray, lambda a: a.astype(">f4"), lambda a: a.astype(np.float16), np.float64],
    ids=["Fortran order", "big-endian", "half precision", "double precision"],
)  # fmt: skip
def test_orders_and_types_are_read_right(tmp_path, params, change, protocol):
    params = tree_map(change, params)
    write_release(tmp_path / "model.pkl", params, VARIANT, protocol=protocol)
    check_values(tmp_path / "model.pkl", params)


def test_numpys_old_and_new_module_names_are_the_same(tmp_path, params):
    raw = hostile.without_frames(dumps(checkpoint(params, VARIANT), 3)[2:])
    old = b"\x80\x03" + raw.replace(b"cnumpy._core.", b"cnumpy.core.")
    new = b"\x80\x03" + raw.replace(b"cnumpy.core.", b"cnumpy._core.")
    assert old != new
    for content in (old, new):
        (tmp_path / "model.pkl").write_bytes(content)
        check_values(tmp_path / "model.pkl", params)
