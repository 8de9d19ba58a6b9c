"""Do words look at what they name? Where a word's attention is highest, against the true place of its digit.

Of made scenes alone: only there is it known where things are. A digit is asked for by its own word and by its
colour's, each where the caption has that word once and the scene one digit that it names.
"""

import time
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float, Shaped

from m3ae.config import Run
from m3ae.data.source.toy.truth import Placed, placed_in_pairs
from m3ae.data.tokens import load_tokenizer
from m3ae.errors import UserError
from m3ae.evaluate.attention.view import Looks, centres_inside, in_view, looks_of
from m3ae.evaluate.attention.whole import pieces_of, said_once
from m3ae.evaluate.language.measured import difference, share
from m3ae.evaluate.language.pairs import ModelPairs
from m3ae.evaluate.stored import checked_weights
from m3ae.files import sha256_of
from m3ae.model.m3ae import M3AE
from m3ae.model.weights import load_encoder
from m3ae.records import Metric, Record, provenance

Map = Float[np.ndarray, "side side"]
"""Attention over the patches of a picture."""
Truths = Bool[np.ndarray, " items"]
KINDS = ("digit", "colour")
"""What a word names of a digit: fields of `Placed`."""


class Asked(NamedTuple):
    """A word of a caption that names one digit of its scene."""

    id: int
    kind: str
    word: str
    slots: list[int]
    inside: Bool[np.ndarray, "side side"]
    """The patches whose centre lies on the digit."""
    beside: Bool[np.ndarray, "side side"] | None
    """The same of the scene's other digit, if a word of its own names that one, too; else None."""


def run_pointing(run: Run, model: str) -> None:
    """Write `pointing.json`: how often the most attended patch lies on the digit that the word names.

    Raises UserError for a run whose scenes are not made here, or a model that reads no text.
    """
    started = time.time()
    check_reads(run, model)
    inputs = inputs_of(run, model)
    trained, pairs = load_encoder(run.paths.encoder(model)), ModelPairs(run, model, "heldout")
    placed = placed_in_pairs(run, "heldout")
    asked = questions(run, pairs, placed)
    nets = {"trained": trained, "untrained": untrained(trained, run.settings.seed)}
    maps = attended_by(run, nets, pairs, asked)
    metrics: dict[str, Metric] = {}
    for kind in KINDS:
        metrics |= measure(run, kind, asked, maps)
    Record(
        run=run.name,
        model=model,
        stage="pointing",
        metrics=metrics,
        details={
            "num_pairs": len({one.id for one in asked}),
            "patches": int(asked[0].inside.size),
            "placed": [[[one.digit, one.colour, *one.box] for one in digits] for digits in placed],
        },
        settings=run.stage("pointing", model),
        inputs=inputs,
        seeds=[run.settings.seed],
        provenance=provenance(started),
    ).write(run.paths.record(model, "pointing"))


def check_reads(run: Run, model: str) -> None:
    """Raise UserError unless words and patches of ``model`` are one sequence."""
    method = run.model(model).method
    if method != "m3ae":
        raise UserError(
            f"pointing of {model}: expected an M3AE, got {method}; its words and patches never meet"
        )


def inputs_of(run: Run, model: str) -> dict[str, str]:
    """SHA-256 of the weights and of everything that is read beside them."""
    files = {
        "heldout_manifest": run.paths.manifest("heldout"),
        "heldout_tokens": run.paths.tokens("heldout"),
        "tokenizer": run.paths.tokenizer,
    }
    return {"weights": checked_weights(run, model)} | {name: sha256_of(path) for name, path in files.items()}


def untrained(model: M3AE, seed: int) -> M3AE:
    """The same encoder with its first random weights."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return M3AE(model.architecture).eval()


def questions(run: Run, pairs: ModelPairs, scenes: list[list[Placed]]) -> list[Asked]:
    """Every word of the first captions that names exactly one digit. Raises UserError if there is none."""
    tokenizer = load_tokenizer(run.paths.tokenizer)
    asked = []
    for id, placed in enumerate(scenes):
        once = said_once(pieces_of(tokenizer, pairs.pieces(id)[0]))
        for kind in KINDS:
            grids = {
                word: patches_of(run, found[0])
                for word, found in named(kind, placed).items()
                if word in once and len(found) == 1
            }
            for word, inside in grids.items():
                beside = next((grid for other, grid in grids.items() if other != word), None)
                asked.append(Asked(id, kind, word, once[word], inside, beside))
    for kind in KINDS:
        if not any(one.kind == kind for one in asked):
            raise UserError(
                f"pointing: expected held-out captions that name one digit by its {kind}, found none; "
                "raise data.source.num_heldout"
            )
    return asked


def patches_of(run: Run, placed: Placed) -> Bool[np.ndarray, "side side"]:
    """The patches whose centre lies on a digit, as the encoder sees it."""
    size, patch_px = run.settings.data.image.size_px, run.settings.architecture.patch_px
    return centres_inside(in_view(run, placed.box), size // patch_px, patch_px)


def named(kind: str, placed: list[Placed]) -> dict[str, list[Placed]]:
    """The digits of a scene by their words of a kind."""
    found: dict[str, list[Placed]] = {}
    for one in placed:
        found.setdefault(getattr(one, kind), []).append(one)
    return found


def attended_by(
    run: Run, models: dict[str, M3AE], pairs: ModelPairs, asked: list[Asked]
) -> dict[str, list[Map]]:
    """By each model the attention of every word over the patches of its picture."""
    ids = list(dict.fromkeys(one.id for one in asked))
    images, captions = pairs.images(ids), [pairs.pieces(id)[0] for id in ids]
    found = {}
    for name, model in models.items():
        looks = looks_of(model.to(pairs.device), images, captions, run.settings.attended.block)
        by_id = dict(zip(ids, looks, strict=True))
        found[name] = [of_word(by_id[one.id], one.slots) for one in asked]
    return found


def of_word(looks: Looks, slots: list[int]) -> Map:
    """The attention of a word over the patches: the mean over its pieces."""
    return looks.word_to_patches[slots].mean(axis=0)


def peak_of(attended: Map) -> tuple[np.intp, ...]:
    """Row and column of the most attended patch; of equals the first."""
    return np.unravel_index(attended.argmax(), attended.shape)


def measure(run: Run, kind: str, asked: list[Asked], maps: dict[str, list[Map]]) -> dict[str, Metric]:
    """Hit rate of a kind of word, beside chance, the untrained encoder, and another word's patch.

    Chance is the share of the patches that would be a hit. The most attended patch of another word, half the
    list away and so on another scene, tells what a habit of looking at the same place would hit. Scenes count
    alike, and intervals draw scenes: words of one scene are no independent trials.
    """
    chosen = [i for i, one in enumerate(asked) if one.kind == kind]
    peaks = {name: [peak_of(found[i]) for i in chosen] for name, found in maps.items()}
    inside, half = [asked[i].inside for i in chosen], len(chosen) // 2
    ours = hits(inside, peaks["trained"])
    beside = {
        "chance": np.array([grid.mean() for grid in inside]),
        "untrained": hits(inside, peaks["untrained"]),
        "other_scene": hits(inside, peaks["trained"][half:] + peaks["trained"][:half]),
    }
    scenes = [asked[i].id for i in chosen]
    ours = of_scenes(scenes, ours)
    found = {f"{kind}_hit_rate": share(run, ours)}
    for name, shares in beside.items():
        shares = of_scenes(scenes, shares)
        found[f"{kind}_{name}"] = share(run, shares)
        found[f"{kind}_gain_over_{name}"] = difference(run, ours, shares)
    return found | measure_two(run, kind, asked, maps)


def hits(inside: list[Bool[np.ndarray, "side side"]], peaks: list[tuple[np.intp, ...]]) -> Truths:
    """Whether each peak lies on its digit."""
    return np.array([grid[peak] for grid, peak in zip(inside, peaks, strict=True)])


def of_scenes(scenes: list[int], values: Shaped[np.ndarray, " words"]) -> Float[np.ndarray, " scenes"]:
    """The mean over the words of each scene."""
    _, scene = np.unique(scenes, return_inverse=True)
    return np.bincount(scene, values) / np.bincount(scene)


def measure_two(run: Run, kind: str, asked: list[Asked], maps: dict[str, list[Map]]) -> dict[str, Metric]:
    """Of two named digits, does a word look more at its own? Nothing but the word can tell: chance is 50 %.

    A digit that draws every word's attention is right for one of them and wrong for the other.
    """
    chosen = [i for i, one in enumerate(asked) if one.kind == kind and one.beside is not None]
    if not chosen:
        return {}
    scenes = [asked[i].id for i in chosen]
    own = {
        name: of_scenes(scenes, np.array([looks_at_own(asked[i], found[i]) for i in chosen]))
        for name, found in maps.items()
    }
    return {
        f"{kind}_own_of_two": share(run, own["trained"]),
        f"{kind}_own_of_two_gain_over_chance": difference(
            run, own["trained"], np.full(len(own["trained"]), 0.5)
        ),
        f"{kind}_own_of_two_untrained": share(run, own["untrained"]),
    }


def looks_at_own(one: Asked, attended: Map) -> float:
    """1 if the word's attention is higher on its own digit (mean over its patches), 0 if on the other."""
    assert one.beside is not None
    own, other = attended[one.inside].mean(), attended[one.beside].mean()
    return 0.5 if own == other else float(own > other)
