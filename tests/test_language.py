"""The text side of a model: what is hidden, what is asked, and scores against loops and rigged models."""

import math
from itertools import pairwise
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from sklearn.metrics import top_k_accuracy_score

from m3ae.config import Run, stages
from m3ae.config.language import Counting, Language
from m3ae.config.models import RunSettings
from m3ae.data.wordpiece import tokenizer_of
from m3ae.errors import UserError
from m3ae.evaluate.language.answers import answer
from m3ae.evaluate.language.captions import run_language
from m3ae.evaluate.language.decode import schedule, write
from m3ae.evaluate.language.hide import Seen, hidden_last, hidden_log_probs, ratio_of
from m3ae.evaluate.language.pairs import ModelPairs, by_length, draw, partners
from m3ae.evaluate.language.questions import Kind, Questions, cloze, counting_questions, gather, kind_of
from m3ae.evaluate.language.retrieval import choose_gallery, hits, pseudo_likelihoods
from m3ae.evaluate.language.words import Vocabulary, most_frequent, name_words, recall
from m3ae.evaluate.pairs.asked import told_by
from m3ae.evaluate.pairs.extract import extract_pairs
from m3ae.evaluate.pairs.labels import concepts_in
from m3ae.model.architecture import Architecture
from m3ae.model.m3ae import M3AE
from m3ae.model.masking import num_visible
from m3ae.records import read_record
from m3ae.train.loop import pretrain
from small_project import make_micro

SMALL = Architecture(
    width=32, depth=2, num_heads=2, decoder_width=16, decoder_depth=2, decoder_num_heads=2,
    image_px=16, patch_px=4, vocab_size=50, max_tokens=12,
)  # fmt: skip

SETTINGS = {
    "num_samples": 30,
    "num_train": 40,
    "concepts": {
        "words": {"red": ["red"], "size": ["large", "small"]},
        "penalties": [1.0, 100.0],
        "validation_share": 0.3,
    },
    "other_captions": False,
    "image_mask_ratio": None,
    "stop_words": ["one"],
    "steps": 3,
    "gallery": 12,
    "passes": 2,
    "questions": {"colour": {"red": ["red"], "green": ["green"], "cold": ["blue"]}},
    "counting": {"prompt": "red [MASK] two", "counted": ["zero", "one"], "answers": ["left", "right"]},
}


class WithLanguage(RunSettings):
    """Settings of a run that has the target, whatever the checkout's own runs have."""

    language: Language | None = None


@pytest.fixture
def model():
    torch.manual_seed(0)
    net = M3AE(SMALL).eval()
    with torch.no_grad():  # as initialised, the decoder hardly tells one word from another
        for name, tensor in net.named_parameters():
            if name != "word_embedding.weight":
                tensor.add_(torch.randn_like(tensor) * 0.2)
    return net


def seen(num, seed=1):
    generator = torch.Generator().manual_seed(seed)
    order = torch.rand(num, 16, generator=generator).argsort(dim=1)
    return Seen(torch.randn(num, 3, 16, 16, generator=generator), order, 0.75)


def words(*lengths, seed=2):
    rng = np.random.default_rng(seed)
    return [rng.integers(2, 50, length).astype(np.uint16) for length in lengths]


# ---- hiding ----------------------------------------------------------------------------------------------


def test_a_hidden_word_cannot_be_seen_and_a_visible_one_can(model):
    text, hidden = torch.randint(2, 50, (3, 7)), torch.tensor([[1, 4], [6, 0], [3, 2]])
    before = hidden_log_probs(model, seen(3), text, hidden)
    other_words = text.scatter(1, hidden, (text.gather(1, hidden) + 7) % 50)
    assert torch.equal(hidden_log_probs(model, seen(3), other_words, hidden), before)
    for slot in (0, 2, 3, 5, 6):  # visible in the first row
        changed = text.clone()
        changed[0, slot] = (text[0, slot] + 1) % 50
        after = hidden_log_probs(model, seen(3), changed, hidden)
        assert not torch.allclose(after[0], before[0])
        assert torch.allclose(after[1:], before[1:], atol=1e-6)


def test_patches_that_are_hidden_cannot_be_seen(model):
    text, hidden, whole = torch.randint(2, 50, (2, 5)), torch.tensor([[1], [4]]), seen(2)
    before = hidden_log_probs(model, whole, text, hidden)
    image = whole.image.clone()
    row, column = divmod(int(whole.order[0, 4]), 4)  # four of sixteen stay visible
    image[0, :, 4 * row : 4 * row + 4, 4 * column : 4 * column + 4] += 1
    assert torch.equal(hidden_log_probs(model, whole._replace(image=image), text, hidden), before)
    row, column = divmod(int(whole.order[0, 3]), 4)
    image[0, :, 4 * row : 4 * row + 4, 4 * column : 4 * column + 4] += 1
    assert not torch.allclose(
        hidden_log_probs(model, whole._replace(image=image), text, hidden)[0], before[0]
    )


@pytest.mark.parametrize("slots", [[3], [0, 2, 5], [5, 4, 3, 2, 1, 0]])
def test_rows_without_padding_give_what_padded_rows_give_in_pre_trainings_own_pass(model, slots):
    text, images = torch.randint(2, 50, (2, 6)), seen(2)
    visible = [slot for slot in range(6) if slot not in slots] + list(range(6, 12))  # padding stays visible
    padded = torch.nn.functional.pad(text, (0, 6))
    padding = torch.arange(12).repeat(2, 1) >= 6
    out = model(
        images.image, padded, padding, images.order, torch.tensor(visible + slots).repeat(2, 1),
        text_mask_ratio=ratio_of(len(slots), 12),
    )  # fmt: skip
    assert out.text_hidden[0].nonzero().flatten().tolist() == sorted(slots)
    expected = out.text_logits[:, slots].log_softmax(dim=-1)
    got = hidden_log_probs(model, images, text, torch.tensor(slots).repeat(2, 1))
    torch.testing.assert_close(got, expected, atol=1e-5, rtol=1e-5)


def test_every_number_of_hidden_words_is_hidden_exactly():
    for words_, hidden in [(n, h) for n in range(1, 65) for h in range(1, n + 1)]:
        order = hidden_last(torch.randperm(words_)[None, :hidden], words_)
        assert sorted(order[0].tolist()) == list(range(words_))
        assert num_visible(words_, ratio_of(hidden, words_)) == words_ - hidden
    assert hidden_last(torch.tensor([[4, 1]]), 6).tolist() == [[0, 2, 3, 5, 4, 1]]


def test_batches_have_one_length_and_hold_every_caption_once():
    captions = words(3, 5, 3, 3, 5, 1, 3)
    batches = list(by_length(captions, batch=2))
    assert sorted(place for batch in batches for place in batch) == list(range(7))
    for batch in batches:
        assert len(batch) <= 2
        assert len({len(captions[place]) for place in batch}) == 1


# ---- decoding --------------------------------------------------------------------------------------------


def test_the_schedule_is_maskgits_and_settles_a_word_each_time():
    assert schedule(12, 1) == [0]
    assert schedule(16, 8) == [math.floor(16 * math.cos(math.pi * t / 16)) for t in range(1, 8)] + [0]
    for words_, steps in [(1, 4), (3, 8), (20, 4), (64, 10)]:
        left = [words_, *schedule(words_, steps)]
        assert left[-1] == 0
        assert len(left) - 1 <= min(words_, steps)
        assert all(more > less for more, less in pairwise(left))


def test_one_pass_writes_each_slots_most_probable_word(model):
    hidden = torch.arange(5).repeat(2, 1)
    log_probs = hidden_log_probs(model, seen(2), torch.full((2, 5), 9), hidden)
    written = write(model, seen(2), 5, steps=1)
    assert torch.equal(written.text, log_probs.argmax(dim=-1))
    assert torch.equal(written.best, log_probs.max(dim=1).values)


def test_decoding_in_steps_is_that_of_a_loop_over_one_image(model):
    images, num, steps = seen(3), 7, 3
    written = write(model, images, num, steps)
    for i in range(3):
        text, best, left = [0] * num, torch.full((50,), -torch.inf), list(range(num))
        for remaining in schedule(num, steps):
            log_probs = hidden_log_probs(
                model, images.rows(slice(i, i + 1)), torch.tensor([text]), torch.tensor([left])
            )[0]
            ranked = sorted(range(len(left)), key=lambda j: -log_probs[j].max())
            for j in ranked[: len(left) - remaining]:
                text[left[j]] = int(log_probs[j].argmax())
                best = torch.maximum(best, log_probs[j])
            left = [left[j] for j in ranked[len(left) - remaining :]]
        assert written.text[i].tolist() == text
        torch.testing.assert_close(written.best[i], best, atol=1e-4, rtol=1e-4)


# ---- words -----------------------------------------------------------------------------------------------

VOCAB = {w: i for i, w in enumerate(["[PAD]", "[UNK]", "a", "dog", "##s", "red", "is", "b", "cat", "."])}


def test_content_words_are_whole_words_that_say_something():
    vocabulary = Vocabulary(tokenizer_of(VOCAB), ["a", "is"])
    assert vocabulary.content_words(np.array([2, 3, 6, 5, 9])) == {3, 5}  # a dog is red .
    assert vocabulary.content_words(np.array([3, 4, 8, 7])) == {8}  # dogs cat b
    assert not Vocabulary(tokenizer_of(VOCAB), None).is_content[6]  # scikit-learn's list has "is"


def test_the_blind_baseline_names_the_most_frequent_content_words():
    is_content = Vocabulary(tokenizer_of(VOCAB), ["a", "is"]).is_content
    counts = np.array([0, 90, 80, 5, 70, 9, 60, 50, 7, 40])
    assert most_frequent(counts, is_content)[:3] == [5, 8, 3]


def test_recall_is_the_share_of_a_captions_words():
    wanted = [frozenset({3, 5}), frozenset({8}), frozenset({3, 5, 8})]
    assert recall(wanted, [[5, 9], [3], [8, 5, 3]]).tolist() == [0.5, 0.0, 1.0]


def test_each_image_gets_the_content_words_that_are_probable_anywhere_in_its_caption(model):
    pairs = SimpleNamespace(
        device=torch.device("cpu"),
        seen=lambda ids: seen(9).rows(torch.from_numpy(ids)),
    )
    captions, ids = words(4, 6, 4, 6), np.array([8, 3, 0, 5])
    is_content = np.arange(50) % 2 == 0
    named = name_words(model, pairs, ids, captions, 2, is_content)
    for id, caption, found in zip(ids, captions, named, strict=True):
        best = write(model, seen(9).rows(slice(id, id + 1)), len(caption), 2).best[0].tolist()
        assert found == sorted(range(0, 50, 2), key=lambda word: -best[word])[:5]


# ---- retrieval -------------------------------------------------------------------------------------------


def naive_score(model, images, caption, hidden_together):
    """Mean log-probability of the words, hidden in the given groups, of one caption and one image."""
    text, total = torch.from_numpy(caption.astype(np.int64))[None], 0.0
    for group in hidden_together:
        log_probs = hidden_log_probs(model, images, text, torch.tensor([group]))[0]
        total += sum(log_probs[j, int(caption[slot])].item() for j, slot in enumerate(group))
    return total / len(caption)


@pytest.mark.parametrize("with_images", [True, False])
def test_enough_passes_hide_one_word_at_a_time(model, with_images):
    images, captions = seen(3), words(4, 7, 4, 1)
    got = pseudo_likelihoods(model, images if with_images else None, captions, passes=12)
    assert got.shape == (3 if with_images else 1, 4)
    for i, row in enumerate(got):
        one = images.rows(slice(i, i + 1)) if with_images else None
        for j, caption in enumerate(captions):
            alone = [[slot] for slot in range(len(caption))]
            assert row[j] == pytest.approx(naive_score(model, one, caption, alone), abs=1e-4)


def test_few_passes_hide_every_so_many_words_together(model):
    captions = words(5, 2)
    got = pseudo_likelihoods(model, seen(1), captions, passes=3)
    expected = naive_score(model, seen(1), captions[0], [[0, 3], [1, 4], [2]])
    assert got[0, 0] == pytest.approx(expected, abs=1e-4)
    assert got[0, 1] == pytest.approx(naive_score(model, seen(1), captions[1], [[0], [1]]), abs=1e-4)


@pytest.mark.parametrize("k", [1, 5])
def test_recall_at_k_is_scikit_learns(k):
    scores = np.random.default_rng(0).normal(size=(20, 20)) + np.eye(20)
    expected = top_k_accuracy_score(np.arange(20), scores, k=k, labels=np.arange(20))
    assert hits(scores, k).mean() == pytest.approx(expected)


def test_a_model_that_cannot_tell_finds_nothing():
    assert not hits(np.zeros((9, 9)), 5).any()
    assert not hits(np.full((9, 9), np.nan), 5).any()


# ---- questions -------------------------------------------------------------------------------------------


def test_a_caption_asks_for_the_one_word_that_answers():
    vocab, answer_of = list(VOCAB), {3: 0, 8: 1}
    assert cloze(np.array([2, 8, 6, 5]), answer_of, vocab)[1:] == (1, 1)
    assert cloze(np.array([2, 8, 3]), answer_of, vocab) is None  # two that answer
    assert cloze(np.array([8, 8]), answer_of, vocab) is None
    assert cloze(np.array([3, 4]), answer_of, vocab) is None  # dog ##s is another word
    assert cloze(np.array([2, 5]), answer_of, vocab) is None


def test_the_prompt_asks_how_many_things_the_first_caption_names():
    captions = [[[3, 2, 3]], [[3, 5], [3, 3]], [[5]], [[3, 3, 3]]]
    pairs = SimpleNamespace(pieces=lambda id: [np.array(caption) for caption in captions[id]])
    counting = Counting(prompt="a [MASK] is red", counted=["dog"], answers=["b", "cat"])
    kind = kind_of(tokenizer_of(VOCAB), "count", {word: [word] for word in counting.answers})
    asked = counting_questions(kind, counting, pairs, np.arange(4), tokenizer_of(VOCAB))
    assert asked.image.tolist() == [0, 1]  # no dog, and three, have no answer
    assert asked.truth.tolist() == [1, 0]
    assert [(text.tolist(), slot) for text, slot in zip(asked.text, asked.slot, strict=True)] == [
        ([2, 7, 6, 5], 1)
    ] * 2


def test_words_that_are_no_single_piece_are_refused():
    with pytest.raises(UserError, match=r"question 'pet'.*does not have 'dogs' as one"):
        kind_of(tokenizer_of(VOCAB), "pet", {"dog": ["dogs"], "cat": ["cat"]})
    with pytest.raises(UserError, match=r"questions\.pet: expected every word once"):
        kind_of(tokenizer_of(VOCAB), "pet", {"dog": ["dog"], "cat": ["cat", "dog"]})


def test_questions_that_nobody_answers_are_refused():
    with pytest.raises(UserError, match=r"question 'pet': expected captions that answer it, found 1 with"):
        gather(Kind("pet", ["dog", "cat"], [[3], [8]]), [(0, np.array([3]), 0, 0)])


def rigged(model, **biases):
    """The model made to say some words whatever it sees; ``w9=2.0`` is the logit of word 9."""
    with torch.no_grad():
        model.text_head.weight.zero_()
        model.text_head.bias.fill_(-20.0)
        for word, logit in biases.items():
            model.text_head.bias[int(word[1:])] = logit
    return model


def test_the_answer_is_the_one_whose_words_are_most_probable_together(model):
    pairs = SimpleNamespace(device=torch.device("cpu"), seen=lambda ids: seen(len(ids)))
    kind = Kind("size", ["large", "small"], [[3], [8, 9]])
    texts = words(4, 6, 4)
    asked = Questions(np.arange(3), texts, np.array([2, 0, 1]), np.array([0, 1, 1]))
    sure = rigged(model, w3=2.0, w8=1.0, w9=0.0, w7=9.0)  # 7 answers nothing
    assert answer(sure, pairs, kind, asked, asked.image).tolist() == [0, 0, 0]
    split = rigged(model, w3=2.0, w8=1.7, w9=1.7)  # neither wins alone
    assert answer(split, pairs, kind, asked, asked.image).tolist() == [1, 1, 1]


# ---- the whole -------------------------------------------------------------------------------------------


def with_settings(run, language):
    """The run with these settings alone, whatever it extends."""
    return Run(run.name, WithLanguage.model_validate(run.settings.plain() | {"language": language}))


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run of made-up pairs with an M3AE and a CLIP that are hardly trained."""
    folder = tmp_path_factory.mktemp("project")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setitem(stages.VERSIONS, "captions", 1)
        patch.setitem(stages.SELECT, "captions", lambda run, _: run.language.plain())
        grid = {"m3ae-b100": {"epochs": 0.2}, "mae-b100": {"epochs": 0.2}, "clip-b": {"epochs": 0.2}}
        clip = {"text": {"width": 16, "depth": 1, "heads": 2}, "embedding_dim": 8}
        run = with_settings(make_micro(folder, models=grid, clip=clip, rows=[*grid]), SETTINGS)
        for name in ("m3ae-b100", "clip-b"):
            pretrain(run, name)
        yield run


def test_pairs_are_drawn_by_the_seed_and_wrong_partners_differ(run):
    pairs = ModelPairs(run, "m3ae-b100", "heldout")
    ids = draw(run, pairs, 20)
    assert len(set(ids.tolist())) == 20
    assert draw(run, pairs, 5).tolist() == ids[:5].tolist()
    assert sorted(partners(ids)) == sorted(ids)
    assert not (partners(ids) == ids).any()
    assert all(len(pairs.pieces(id)) == 2 for id in draw(run, pairs, 1000, least_captions=2))


def test_which_patches_are_hidden_depends_on_the_pair_alone(run):
    pairs = ModelPairs(run, "m3ae-b100", "heldout")
    together, alone = pairs.seen(np.array([4, 7, 2])), pairs.seen(np.array([7]))
    assert torch.equal(together.order[1], alone.order[0])
    assert torch.equal(together.image[1], alone.image[0])
    assert together.mask_ratio == run.settings.pretrain.image_mask_ratio
    assert ModelPairs(run, "m3ae-b100", "heldout", 0.0).mask_ratio == 0.0


def test_no_caption_stands_in_the_gallery_twice():
    said = [[1, 2], [3], [1, 2], [4], [3], [5], [6], [7], [8]]
    pairs = SimpleNamespace(pieces=lambda id: [np.array(said[id])])
    assert choose_gallery(pairs, np.array([2, 0, 1, 3, 4, 5, 6, 7, 8]), 6).tolist() == [2, 1, 3, 5, 6, 7]
    with pytest.raises(UserError, match=r"language\.gallery: expected more than 5 pairs"):
        choose_gallery(pairs, np.arange(5), 6)


def test_a_text_is_not_asked_what_it_says_itself():
    said = [["red", "a Small one"], ["large", "nothing"]]
    words = SETTINGS["concepts"]["words"]
    others = told_by(Language.model_validate(SETTINGS | {"other_captions": True}))
    assert [concepts_in(captions[others], words) for captions in said] == [[False, True], [False, False]]
    itself = told_by(Language.model_validate(SETTINGS))
    assert [concepts_in(captions[itself], words) for captions in said] == [[True, False], [False, True]]


def test_a_record_holds_every_number_with_its_interval_and_items(run):
    run_language(run, "m3ae-b100")
    record = read_record(run.paths.record("m3ae-b100", "captions"))
    metrics = record.metrics
    assert {"concepts_image", "concepts_text", "concepts_joint", "words_steps", "words_frequent"} <= set(
        metrics
    )
    assert {"question_colour", "question_colour_wrong_image", "question_count_image_gain"} <= set(metrics)
    assert {f"text_to_image_recall_{k}" for k in (1, 5)} <= set(metrics)
    for metric in metrics.values():
        assert metric.n > 0
        assert metric.low <= metric.high
    right, wrong = (metrics[f"question_colour{end}"] for end in ("", "_wrong_image"))
    gain = metrics["question_colour_image_gain"]
    assert gain.value == pytest.approx(right.value - wrong.value, abs=1e-4)
    assert 100 * right.items["correct"].unpack().mean() == pytest.approx(right.value)
    assert len(right.items["correct"].unpack()) == len(wrong.items["correct"].unpack()) == gain.n
    assert metrics["words_one_pass"].value <= record.details["words"]["ceiling"] + 1e-4
    assert record.details["concepts"]["labels"] == "the caption itself"
    assert record.inputs.keys() >= {"weights", "heldout_tokens", "tokenizer"}


def test_clip_has_the_same_names_for_what_it_can_do(run):
    run_language(run, "clip-b")
    metrics = read_record(run.paths.record("clip-b", "captions")).metrics
    found = {f"{way}_recall_{k}" for way in ("image_to_text", "text_to_image") for k in (1, 5)}
    assert found | {"concepts_image", "concepts_text"} <= set(metrics)
    assert not any(name.startswith(("words", "question", "concepts_joint")) for name in metrics)
    assert metrics["image_to_text_recall_5"].n == 12


def test_other_captions_leave_out_images_that_have_one(run):
    run = with_settings(run, SETTINGS | {"other_captions": True})
    extract_pairs(run, "clip-b")  # other pairs than an earlier test stored
    run_language(run, "clip-b")
    details = read_record(run.paths.record("clip-b", "captions")).details["concepts"]
    assert details["labels"] == "the other captions of the image"
    assert details["num_train"] == 25  # every second of 50


def test_a_model_without_text_is_refused(run):
    with pytest.raises(UserError, match=r"captions of mae-b100: expected a model that reads text.*got mae"):
        run_language(run, "mae-b100")


def test_a_run_without_the_settings_says_so(run):
    with pytest.raises(UserError, match=r"language: run 'micro' has none"):
        run_language(with_settings(run, None), "m3ae-b100")


def test_a_prompt_asks_for_one_word():
    for prompt in ("the digit", "[MASK] is [MASK]", "the [MASK]."):
        with pytest.raises(ValidationError, match=r"expected \[MASK\] once"):
            Counting(prompt=prompt, counted=["a"], answers=["b", "c"])
