"""Figures 7 and 8: attention is the textbook's, places are the picture's, files are what the pages expect."""

import json

import numpy as np
import pytest
import torch
from markupsafe import Markup

from m3ae.config import load_run
from m3ae.config.data import ToySource
from m3ae.data.source.toy.digits import digit_pools
from m3ae.data.source.toy.scenes import Box, draw_scene, paint, paint_and_place
from m3ae.data.source.toy.truth import Placed, placed_digits, placed_in_pairs
from m3ae.data.source.toy.write import draw_of, make_toy
from m3ae.errors import UserError
from m3ae.evaluate.attention import pointing
from m3ae.evaluate.attention.choose import shown_pairs
from m3ae.evaluate.attention.shown import Shown
from m3ae.evaluate.attention.view import centres_inside, looks_of
from m3ae.evaluate.attention.whole import said_once
from m3ae.evaluate.language.pairs import ModelPairs
from m3ae.model.architecture import Architecture
from m3ae.model.attention import attention, between
from m3ae.model.m3ae import M3AE
from m3ae.model.weights import load_encoder
from m3ae.records import read_record
from m3ae.report.figure7 import make_figure7
from m3ae.report.figure8 import make_figure8
from m3ae.report.filetable import table_file
from m3ae.report.pictures import picture_figure
from m3ae.report.pointing import pointing_table
from small_project import WORDS, make_micro
from trained_files import save_first_weights

NAME = "m3ae-b100"
PATCHES = 4
SMALL = Architecture(
    16, 3, 2, decoder_width=0, image_px=16, patch_px=8, vocab_size=20, max_tokens=6,
)  # fmt: skip


def inputs(num=2):
    text = torch.randint(2, 20, (num, 5))
    padding = torch.zeros(num, 5, dtype=torch.bool)
    padding[0, 3:] = True
    return torch.randn(num, 3, 16, 16), text, padding


def naive(model, image, text, padding, block):
    """One sample, one head, one token at a time, on the outputs of the blocks before."""
    inputs = []
    chosen = model.encoder.blocks[len(model.encoder.blocks) - block]
    hook = chosen.register_forward_pre_hook(lambda _, args: inputs.append(args[0]))
    model.encode(image, text, padding)
    hook.remove()
    x, width, heads = chosen.norm1(inputs[0]), 16, 2
    query, key, _ = (x @ chosen.attn.qkv.weight.T + chosen.attn.qkv.bias).split(width, dim=-1)
    found = torch.zeros(len(x), x.shape[1], x.shape[1])
    counts = [[*range(1 + PATCHES), *(1 + PATCHES + w for w in range(5) if not row[w])] for row in padding]
    for b in range(len(x)):
        for head in (slice(0, 8), slice(8, 16)):
            for token in range(x.shape[1]):
                scores = torch.tensor([float(query[b, token, head] @ key[b, to, head]) for to in counts[b]])
                found[b, token, counts[b]] += (scores / 8**0.5).softmax(0) / heads
    return found


@pytest.mark.parametrize("block", [1, 3])
@torch.no_grad()
def test_attention_is_the_textbooks_and_sums_to_1(block):
    model, (image, text, padding) = M3AE(SMALL).eval(), inputs()
    found = attention(model, image, text, padding, block)
    assert torch.allclose(found.sum(-1), torch.ones(2, 10), atol=1e-6)
    assert torch.allclose(found, naive(model, image, text, padding, block), atol=1e-6)
    assert found[0, :, 8:].abs().max() == 0  # nobody looks at padding


def test_between_the_modalities_rows_sum_to_1():
    found = torch.rand(2, 10, 10)
    words, patches = between(found, PATCHES)
    assert words.shape == (2, 5, 4) and patches.shape == (2, 4, 5)
    assert torch.allclose(words.sum(-1), torch.ones(2, 5)) and torch.allclose(
        patches.sum(-1), torch.ones(2, 4)
    )
    assert torch.allclose(words[1, 2] * found[1, 7, 1:5].sum(), found[1, 7, 1:5])


def test_a_block_that_is_not_there_is_refused():
    with pytest.raises(ValueError, match=r"expected a block from 1 \(the last\) to 3 \(the first\), got 4"):
        attention(M3AE(SMALL), *inputs(), block=4)


SOURCE = ToySource(
    kind="toy", num_train=6, num_heldout=30, num_probe_train=8, num_probe_test=8,
    scene_px=48, jpeg_quality=85, heldout_digits=[8, 9], bad_share=0.2,
)  # fmt: skip


def test_the_box_holds_the_digits_pixels_and_nothing_else_does():
    """The same scene without noise differs from its ground inside the boxes alone."""
    pool = digit_pools(42, [8, 9])["heldout"]
    for index, placed in enumerate(placed_digits(SOURCE, 42, "heldout")):
        rng = draw_of(42, "heldout")(index)
        scene = draw_scene(rng, pool, may_have_two=True)
        again = draw_of(42, "heldout")(index)
        draw_scene(again, pool, may_have_two=True)
        pixels, boxes = paint_and_place(scene, rng, 48)
        assert np.array_equal(pixels, paint(scene, again, 48))
        assert [one.box for one in placed] == boxes
        ground = np.median(pixels.reshape(-1, 3), axis=0)
        is_ink = np.linalg.norm(pixels - ground, axis=2) > 90
        covered = np.zeros((48, 48), bool)
        for box in boxes:
            inside = np.s_[box.top : box.top + box.side, box.left : box.left + box.side]
            assert is_ink[inside].sum() > 20
            covered[inside] = True
        assert not is_ink[~covered].any()


def test_the_truth_is_that_of_the_files_that_were_written(tmp_path):
    make_toy(tmp_path / "source", SOURCE, 42, "http://127.0.0.1:1")
    text = (tmp_path / "source/heldout.tsv").read_text().lower()
    for index, placed in enumerate(placed_digits(SOURCE, 42, "heldout")):
        captions = [line.split("\t")[1] for line in text.splitlines() if f"/{index:05d}-" in line]
        assert captions
        for caption in captions:
            assert all(one.digit in caption for one in placed)


def test_patches_count_by_their_centres():
    grid = centres_inside(Box(top=7, left=0, side=20), 4, 12)
    assert grid.tolist() == [[False] * 4, [True, True, False, False], [False] * 4, [False] * 4]


def test_words_are_put_together_and_must_be_said_once():
    pieces = ["a", "straw", "##berries", "on", "a", "roof", "##s", "roof"]
    assert said_once(pieces) == {"strawberries": [1, 2], "on": [3], "roofs": [5, 6], "roof": [7]}


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run whose encoder has its first weights, with a made-up truth: the origins know no scene."""
    folder = tmp_path_factory.mktemp("project")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        run = make_micro(folder, attended={"words": ["red", "zero", "absent"]})
        save_first_weights(run, NAME)
        patch.setattr(pointing, "placed_in_pairs", lambda *_: made_up(run))
        yield run


def made_up(run):
    """In each scene a red zero in one corner and a blue one in the other."""
    pair = [Placed("zero", "red", Box(0, 0, 24)), Placed("one", "blue", Box(24, 24, 24))]
    return [pair] * len(ModelPairs(run, NAME, "heldout"))


@pytest.fixture(scope="module")
def record(run):
    pointing.run_pointing(run, NAME)
    return read_record(run.paths.record(NAME, "pointing"))


def test_pointing_counts_what_two_loops_count(run, record):
    pairs, model = ModelPairs(run, NAME, "heldout"), load_encoder(run.paths.encoder(NAME))
    hits = []
    for id in range(len(pairs)):
        words, of_scene = pairs.said(id)[0].split(), []
        (looks,) = looks_of(model, pairs.images([id]), [pairs.pieces(id)[0]], 1)
        assert len(looks.word_to_patches) == len(words)  # every word of these captions is one piece
        for word, corner in (("zero", 0), ("one", 2)):
            if words.count(word) == 1:
                row, column = np.unravel_index(looks.word_to_patches[words.index(word)].argmax(), (4, 4))
                of_scene.append(row // 2 == column // 2 == corner // 2)
        hits += [np.mean(of_scene)] if of_scene else []
    metric = record.metrics["digit_hit_rate"]
    assert metric.n == len(hits) and metric.value == pytest.approx(100 * np.mean(hits))
    assert record.metrics["digit_chance"].value == pytest.approx(25)
    assert record.settings == run.stage("pointing", NAME)


def test_words_of_one_scene_are_one_trial():
    found = pointing.of_scenes([3, 3, 5, 9, 9, 9], np.array([1, 0, 1, 0, 0, 1]))
    assert found == pytest.approx([0.5, 1, 1 / 3])


def test_of_two_digits_a_word_that_looks_everywhere_alike_is_right_half_the_time():
    inside, beside = (centres_inside(Box(at, at, 24), 4, 12) for at in (0, 24))
    one = pointing.Asked(0, "digit", "zero", [0], inside, beside)
    assert pointing.looks_at_own(one, np.ones((4, 4))) == 0.5
    assert pointing.looks_at_own(one, inside + 0.5) == 1
    assert pointing.looks_at_own(one, beside + 0.5) == 0


def test_pointing_is_refused_where_places_are_not_known(run):
    with pytest.raises(UserError, match=r"pointing of mae-b100: expected an M3AE, got mae"):
        pointing.run_pointing(run, "mae-b100")
    with pytest.raises(UserError, match=r"expected data\.source\.kind toy, got flickr8k"):
        placed_in_pairs(load_run("photos"), "heldout")


def test_the_first_pair_that_says_a_word_once_is_shown(run, record):
    shown = shown_pairs(run)
    assert [one.word for one in shown] == ["red", "zero"]  # "absent" is in no caption
    pairs = ModelPairs(run, NAME, "heldout")
    taken = set()
    for one in shown:
        fit = [
            id for id in range(len(pairs))
            if id not in taken and any(said.split().count(one.word) == 1 for said in pairs.said(id))
        ]  # fmt: skip
        assert one.sample == fit[0]
        taken.add(one.sample)
        assert one.pieces[one.slots[0]] == one.word and one.word in WORDS
        assert one.over_patches.sum() == pytest.approx(1) and one.over_words.sum() == pytest.approx(1)
        assert one.patch == (1, 1)  # the centre of the made-up digit, in pixels 12
        assert one.hit == (one.peak[0] < 2 and one.peak[1] < 2)


def test_figures_and_pages_show_what_was_found(run, record):
    shown = shown_pairs(run)
    for name, make in (("figure7", make_figure7), ("figure8", make_figure8)):
        make(run, shown)
        facts = json.loads((run.paths.reports / f"{name}.json").read_text())
        assert facts["alt"].startswith("Attention of one")
        assert [sample["word"] for sample in facts["samples"]] == ["red", "zero"]
        assert all(f'"{one.word}" looks most' in facts["alt"] for one in shown) or name == "figure8"
        assert all(f'looks most at "{most(one)}"' in facts["alt"] for one in shown) or name == "figure7"
        page = picture_figure(run, name)
        assert '<mark title="chosen">zero</mark>' in page
        numbers = Markup(table_file(run, name)).striptags()
        assert "share of its attention (%)" in numbers and "percent" not in page + numbers
        assert "percent" not in (run.paths.reports / f"{name}.md").read_text()
        for ending in ("csv", "md"):  # of photographs these are published: single words alone
            table = (run.paths.reports / f"{name}.{ending}").read_text()
            assert " ".join(shown[0].pieces) not in table and "red" in table
        png = run.paths.reports / f"{name}.png"
        first = png.read_bytes()
        make(run, shown)
        assert png.read_bytes() == first
    own = record.metrics["digit_own_of_two"]
    assert f"{own.value:.1f} [" in Markup(pointing_table(run)).striptags() and own.n > 1


def most(one):
    """The piece that the patch looks at most."""
    return one.pieces[int(np.argmax(one.over_words))]


def test_a_run_without_any_of_the_words_has_empty_figures(run):
    make_figure7(run, [])
    make_figure8(run, [])
    assert "Nothing of it was run: -" in (run.paths.reports / "figure8.md").read_text()


def test_a_peak_is_a_hit_only_where_the_place_is_known():
    shown = Shown("a", 0, np.zeros((48, 48, 3), np.uint8), ["a"], [0], np.eye(4) / 4, (0, 0), (0, 0),
                  np.ones(1), None)  # fmt: skip
    assert shown.hit is None
    assert shown._replace(box=Box(0, 0, 12)).hit is True
    assert shown._replace(box=Box(12, 0, 12)).hit is False
