"""Pictures and strings in, the model's inputs out: numbers by hand, folders there and back."""

import json

import numpy as np
import pytest
import torch
from PIL import Image
from tokenizers import Tokenizer

from m3ae.data.wordpiece import tokenizer_of
from m3ae.pretrained.processor import M3AEProcessor

WORDS = ["[PAD]", "[UNK]", "a", "red", "dog", "##s", "[CLS]", "[SEP]"]


def config(**settings):
    """Transformers takes seconds to import: not wherever tests are collected."""
    from m3ae.pretrained.huggingface import M3AEConfig

    return M3AEConfig(**settings)


def words():
    return tokenizer_of({word: id for id, word in enumerate(WORDS)})


def processor(**more):
    settings = {"size_px": 4, "image_mean": [0.5] * 3, "image_std": [0.25] * 3, "max_tokens": 4}
    return M3AEProcessor(**{**settings, "tokenizer": words(), **more})


@pytest.mark.parametrize(
    ("picture", "rgb"),
    [
        (Image.new("RGB", (4, 4), (255, 0, 51)), (2.0, -2.0, -1.2)),
        (Image.new("L", (4, 4), 51), (-1.2, -1.2, -1.2)),
        (Image.new("RGBA", (4, 4), (255, 0, 51, 255)), (2.0, -2.0, -1.2)),
        (Image.new("RGBA", (4, 4), (255, 0, 51, 0)), (2.0, 2.0, 2.0)),  # transparent: white
        (Image.new("CMYK", (4, 4), (0, 0, 0, 255)), (-2.0, -2.0, -2.0)),
    ],
)
def test_pictures_of_any_mode_are_scaled_and_normalised(picture, rgb):
    """(value / 255 - 0.5) / 0.25, by hand."""
    image = processor()(images=picture)["image"]
    assert image.dtype == torch.float32
    assert image.shape == (1, 3, 4, 4)
    assert torch.allclose(image, torch.tensor(rgb)[None, :, None, None].expand(1, 3, 4, 4), atol=1e-6)


def test_the_centre_is_cropped():
    columns = np.broadcast_to(np.arange(8, dtype=np.uint8)[None, :, None], (4, 8, 3))
    image = processor(image_mean=[0.0] * 3, image_std=[1 / 255] * 3)(images=Image.fromarray(columns.copy()))
    assert image["image"][0, 0].round().tolist() == [[2, 3, 4, 5]] * 4


def test_the_short_side_is_resized_first():
    image = processor(resize_px=6)(images=[Image.new("L", (12, 24), 255), Image.new("RGB", (40, 8))])["image"]
    assert image.shape == (2, 3, 4, 4)
    assert (image[0] == 2).all()
    assert (image[1] == -2).all()


def test_captions_become_word_pieces_without_special_tokens_padded_with_zero():
    inputs = processor()(text=["A red dogs", "", "a a a dogs dog", "cat [PAD]"])
    assert inputs["text"].dtype == torch.int64
    assert inputs["text"].tolist()[:3] == [[2, 3, 4, 5], [0, 0, 0, 0], [2, 2, 2, 4]]
    assert 0 not in inputs["text"][3].tolist()  # the text "[PAD]" is no padding
    assert inputs["padding"].dtype == torch.bool
    assert inputs["padding"].tolist() == [[False] * 4, [True] * 4, [False] * 4, [False] * 4]
    assert processor()(text="dog")["padding"].tolist() == [[False, True, True, True]]


def test_padding_and_cutting_set_up_by_others_are_undone():
    other = words()
    other.enable_padding(length=3, pad_id=7)
    other.enable_truncation(2)
    for tokenizer in (other, type("Fast", (), {"backend_tokenizer": other})()):
        inputs = processor(tokenizer=tokenizer)(text=["dog", "a red dog"])
        assert inputs["text"].tolist() == [[4, 0, 0, 0], [2, 3, 4, 0]]
    assert other.padding is not None  # the caller's own is untouched


def test_a_model_takes_what_the_processor_gives(tmp_path):
    from m3ae.pretrained.huggingface import M3AEForPreTraining

    small = config(
        width=8, depth=1, num_heads=2, decoder_width=8, decoder_depth=1, decoder_num_heads=2,
        image_px=4, patch_px=2, vocab_size=8, max_tokens=3,
    )  # fmt: skip
    inputs = M3AEProcessor.for_model(small, words())(images=Image.new("L", (9, 5)), text="a dog")
    model = M3AEForPreTraining(small)
    assert model.encode(**inputs).shape == (1, 1 + 4 + 3, 8)
    assert model(**inputs).loss.isfinite()


def test_a_folder_gives_the_processor_back_and_the_same_bytes(tmp_path):
    from transformers import AutoProcessor

    first = processor(resize_px=5)
    first.save_pretrained(tmp_path / "a")
    picture = Image.effect_mandelbrot((20, 14), (-2, -1, 1, 1), 50)
    for second in (
        M3AEProcessor.from_pretrained(tmp_path / "a"),
        AutoProcessor.from_pretrained(tmp_path / "a"),
    ):
        assert isinstance(second, M3AEProcessor)
        assert second.settings() == first.settings()
        one, two = (p(images=picture, text="a red dog") for p in (first, second))
        assert one.keys() == two.keys() == {"image", "text", "padding"}
        assert all(torch.equal(one[name], two[name]) for name in one)
        second.save_pretrained(tmp_path / "b")
        for path in (tmp_path / "a").iterdir():
            assert path.read_bytes() == (tmp_path / "b" / path.name).read_bytes()
    assert {path.name for path in (tmp_path / "b").iterdir()} == {"processor_config.json", "tokenizer.json"}
    assert Tokenizer.from_file(str(tmp_path / "a/tokenizer.json")).get_vocab_size() == len(WORDS)


def test_without_a_tokenizer_there_are_images_alone(tmp_path):
    processor(tokenizer=None).save_pretrained(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["processor_config.json"]
    loaded = M3AEProcessor.from_pretrained(tmp_path)
    assert loaded(images=Image.new("L", (4, 4))).keys() == {"image"}
    with pytest.raises(ValueError, match=r"expected a tokenizer for text.*bert-base-uncased"):
        loaded(text="a dog")


def test_a_processor_fits_its_model():
    made = M3AEProcessor.for_model(config(image_px=32, max_tokens=5, image_mean=[0.1, 0.2, 0.3]), words())
    assert made.settings() == {
        "size_px": 32, "resize_px": 32, "image_mean": [0.1, 0.2, 0.3],
        "image_std": [0.3207, 0.3169, 0.3307], "max_tokens": 5,
    }  # fmt: skip
    assert M3AEProcessor.for_model(config(vocab_size=0), words()).tokenizer is None
    with pytest.raises(ValueError, match=r"expected a tokenizer of at most 5 word pieces.*got one of 8"):
        M3AEProcessor.for_model(config(vocab_size=5), words())


@pytest.mark.parametrize(
    ("inputs", "said"),
    [
        ({}, "expected images, text or both"),
        ({"images": []}, "expected at least one image"),
        ({"images": "cat.jpg"}, "expected PIL images, got str"),
        ({"text": [["a"]]}, "expected captions as strings, got list"),
        ({"images": Image.new("L", (4, 4)), "text": ["a", "dog"]}, "one text for each image, got 1 and 2"),
    ],
)  # fmt: skip
def test_wrong_inputs_are_refused_with_what_was_expected(inputs, said):
    with pytest.raises(ValueError, match=said):
        processor()(**inputs)


@pytest.mark.parametrize("content", [None, "", "[]", "{}", json.dumps({"processor_class": "x", "sides": 4})])
def test_a_folder_that_holds_no_processor_is_named_in_one_line(tmp_path, content):
    if content is not None:
        (tmp_path / "processor_config.json").write_text(content)
    with pytest.raises(ValueError, match=r"processor_config\.json: ") as caught:
        M3AEProcessor.from_pretrained(tmp_path)
    assert "\n" not in str(caught.value)


def test_a_broken_tokenizer_is_named_in_one_line(tmp_path):
    (tmp_path / "tokenizer.json").write_text("{}")
    with pytest.raises(ValueError, match=r"tokenizer\.json: expected a tokenizer\.json"):
        processor(tokenizer=tmp_path / "tokenizer.json")
    with pytest.raises(ValueError, match="resize_px: expected at least size_px = 4, got 3"):
        processor(resize_px=3)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"image_mean": "abc"}, "image_mean: expected three numbers"),
        ({"image_std": ["1", "2", "3"]}, "image_std: expected three numbers"),
        ({"image_std": [1, 0, 1]}, "image_std: expected numbers above 0"),
        ({"size_px": "4"}, "size_px: expected a whole number from 1 on, got '4'"),
        ({"max_tokens": 4.0}, "max_tokens: expected a whole number from 0 on, got 4.0"),
    ],
)
def test_settings_that_no_processor_can_have_are_refused_in_one_line(tmp_path, settings, said):
    with pytest.raises(ValueError, match=said):
        processor(**settings)
    processor().save_pretrained(tmp_path)
    path = tmp_path / "processor_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | settings))
    with pytest.raises(ValueError, match=said) as caught:
        M3AEProcessor.from_pretrained(tmp_path)
    assert str(caught.value).startswith(str(path))


def test_a_hub_id_gives_the_processor_as_it_gives_the_model(tmp_path, monkeypatch):
    import huggingface_hub

    processor().save_pretrained(tmp_path)
    asked = []

    def snapshot(hub_id, allow_patterns, **options):
        asked.append((hub_id, allow_patterns, options))
        return str(tmp_path)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", snapshot)
    loaded = M3AEProcessor.from_pretrained("owner/name", revision="v1", token=None, trust_remote_code=True)
    assert loaded.settings() == processor().settings()
    assert loaded(text="dog")["text"].tolist() == [[4, 0, 0, 0]]
    assert asked == [("owner/name", ["processor_config.json", "tokenizer.json"], {"revision": "v1"})]


def test_a_hub_that_does_not_answer_is_named_in_one_line(monkeypatch):
    import huggingface_hub

    def offline(*_, **__):
        raise ConnectionError("no network\nat all")

    monkeypatch.setattr(huggingface_hub, "snapshot_download", offline)
    with pytest.raises(
        ValueError, match="owner/name: no such file or folder here, and the Hugging"
    ) as caught:
        M3AEProcessor.from_pretrained("owner/name")
    assert "\n" not in str(caught.value)


def test_torchs_tensors_can_be_asked_for_and_no_others():
    plain, asked = (processor()(text="a dog", **more) for more in ({}, {"return_tensors": "pt"}))
    assert all(torch.equal(plain[name], asked[name]) for name in plain)
    with pytest.raises(ValueError, match="return_tensors: expected 'pt', torch's tensors, or None, got 'np'"):
        processor()(text="a dog", return_tensors="np")
