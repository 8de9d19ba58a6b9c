"""Files as the authors' code writes them, made without jax, flax or optax: stand-ins under their names."""

import math
import pickle
import sys
from collections import namedtuple
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from unittest import mock

import numpy as np


class M3AETrainState:
    """flax's train state, as a pickle sees it."""

    def __init__(self, **state):
        self.__dict__.update(state)


class FrozenDict:
    """flax's immutable dict, as a pickle sees it."""

    def __init__(self, tree):
        self.tree = tree

    def __reduce__(self):
        return FrozenDict, (self.tree,)


EmptyState = namedtuple("EmptyState", [])
ScaleByAdamState = namedtuple("ScaleByAdamState", ["count", "mu", "nu"])
PLACES = {
    M3AETrainState: "m3ae.model",
    FrozenDict: "flax.core.frozen_dict",
    EmptyState: "optax._src.base",
    ScaleByAdamState: "optax._src.transform",
}


@contextmanager
def their_names():
    """Their modules exist, and hold our stand-ins, while a file is written."""
    modules = {}
    for thing, place in PLACES.items():
        module = modules.setdefault(place, ModuleType(place))
        setattr(module, thing.__name__, thing)
        for depth in range(1, place.count(".") + 1):
            parent = ".".join(place.split(".")[:depth])
            if parent not in sys.modules:
                modules.setdefault(parent, ModuleType(parent))
    with mock.patch.dict(sys.modules, modules):
        for thing, place in PLACES.items():
            thing.__module__ = place
        try:
            yield
        finally:
            for thing in PLACES:
                thing.__module__ = __name__


def tree_map(function, tree):
    """The tree with ``function`` of each array."""
    if isinstance(tree, dict):
        return {name: tree_map(function, branch) for name, branch in tree.items()}
    return function(tree)


def checkpoint(params, variant, *, frozen=False, moments=True, moment=np.zeros_like, step=7):
    """What the authors' training saves: weights, both Adam moments (``moment`` of each weight), the flags."""
    weights = {"params": params}
    opt_state = (EmptyState(),)
    if moments:
        mu, nu = (tree_map(moment, weights) for _ in range(2))
        opt_state += ((ScaleByAdamState(np.array(step, np.int32), mu, nu),),)
    state = M3AETrainState(
        step=np.array(step, np.int32),
        apply_fn=None,
        params=FrozenDict(weights) if frozen else weights,
        tx=None,
        opt_state=opt_state,
        tokenizer_params=None,
    )
    return {"step": step, "epoch": 1, "variant": variant, "state": state}


def dump(content, file):
    """Write ``content`` to an open file, with their names in it.

    Protocol 5 writes an array from where it lies; the older ones copy it, and keep the copy to the end.
    """
    with their_names():
        pickle.dump(content, file, 5)


def dumps(content, protocol=4):
    """A pickle of ``content`` with their names in it."""
    with their_names():
        return pickle.dumps(content, protocol)


def write_release(path, params, variant=None, *, protocol=4, **kinds):
    """Write a checkpoint in the authors' release layout."""
    Path(path).write_bytes(dumps(checkpoint(params, variant or {}, **kinds), protocol))


def from_one_pool(a, seed):
    """A source of arrays that all view one pool of random numbers: a ViT-L takes 125 MB, not 1.5 GB."""
    widest = max(a.width, a.decoder_width)
    pool = np.random.default_rng(seed).standard_normal(
        widest * max(a.vocab_size, a.patch_values, a.mlp_ratio * widest), np.float32
    )
    pool.flags.writeable = False  # as jax's arrays are

    return lambda *shape: pool[: math.prod(shape)].reshape(shape)


def authors_params(a, seed, text=True, array=None):
    """Random parameters of an architecture in the authors' names and layouts; an MAE with ``text=False``.

    ``array`` makes one of a given shape; by default each has random numbers of its own.
    """
    rng = np.random.default_rng(seed)
    array = array or (lambda *shape: rng.standard_normal(shape, np.float32))

    def dense(into, out):
        return {"kernel": array(into, out), "bias": array(out)}

    def norm(width):
        return {"scale": array(width), "bias": array(width)}

    def transformer(width, depth):
        block = lambda: {  # noqa: E731
            "LayerNorm_0": norm(width),
            "Attention_0": {"Dense_0": dense(width, 3 * width), "Dense_1": dense(width, width)},
            "LayerNorm_1": norm(width),
            "TransformerMLP_0": {
                "fc1": dense(width, a.mlp_ratio * width),
                "fc2": dense(a.mlp_ratio * width, width),
            },
        }
        return {**{f"Block_{i}": block() for i in range(depth)}, "LayerNorm_0": norm(width)}

    params = {
        "cls_token": array(1, 1, a.width),
        "image_embedding": dense(a.patch_values, a.width),
        "encoder": transformer(a.width, a.depth),
        "decoder_input_projection": dense(a.width, a.decoder_width),
        "image_mask_embedding": array(1, 1, a.decoder_width),
        "decoder": transformer(a.decoder_width, a.decoder_depth),
        "decoder_image_output": {"Dense_0": dense(a.decoder_width, a.patch_values)},
    }
    if text:
        params |= {
            "text_embedding": {"embedding": array(a.vocab_size, a.width)},
            "text_mask_embedding": array(1, 1, a.decoder_width),
            "decoder_text_output": {"Dense_0": dense(a.decoder_width, a.vocab_size)},
        }
    if a.type_embedding:
        for modality in ("image", "text") if text else ("image",):
            params[f"encoder_{modality}_type_embedding"] = array(1, 1, a.width)
            params[f"decoder_{modality}_type_embedding"] = array(1, 1, a.decoder_width)
    return params
