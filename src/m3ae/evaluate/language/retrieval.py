"""Images and captions found by each other on a small gallery: pseudo-likelihood, or CLIP's cosine."""

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from m3ae.config import Run
from m3ae.config.language import Language
from m3ae.errors import UserError
from m3ae.evaluate.language.hide import Seen, hidden_log_probs
from m3ae.evaluate.language.measured import Measured, share
from m3ae.evaluate.language.pairs import BATCH, Ids, ModelPairs, Pieces, by_length, stack
from m3ae.model.clip import CLIP
from m3ae.model.m3ae import M3AE
from m3ae.records import Metric

RANKS = (1, 5)

Scores = Float[np.ndarray, "images captions"]


def measure_retrieval(
    run: Run, settings: Language, model: M3AE | CLIP, pairs: ModelPairs, ids: Ids
) -> Measured:
    """Recall at 1 and 5 in both directions; for M3AE also minus what a caption scores without any image."""
    ids = choose_gallery(pairs, ids, settings.gallery)
    details = {"gallery": len(ids), "chance": {str(k): 100 * min(k, len(ids)) / len(ids) for k in RANKS}}
    if isinstance(model, CLIP):
        metrics = recalls(run, cosines(model, pairs, ids))
    else:
        captions = [pairs.pieces(int(id))[0] for id in ids]
        scores = pseudo_likelihoods(model, pairs.seen(ids), captions, settings.passes)
        prior = pseudo_likelihoods(model, None, captions, settings.passes)
        metrics = recalls(run, scores)
        for k in RANKS:  # of captions alone: of one caption all images lose the same
            metrics[f"image_to_text_minus_text_only_recall_{k}"] = share(run, hits(scores - prior, k))
    return Measured(metrics, {"retrieval": details})


def choose_gallery(pairs: ModelPairs, ids: Ids, num: int) -> Ids:
    """The first ``num`` pairs of ``ids`` whose first captions all differ: each has one right answer."""
    different = {tuple(pairs.pieces(int(id))[0].tolist()): int(id) for id in ids[::-1]}
    kept = set(different.values())
    chosen = np.array([id for id in ids if int(id) in kept][:num], np.int64)
    if len(chosen) <= max(RANKS):
        raise UserError(
            f"language.gallery: expected more than {max(RANKS)} pairs with different captions, "
            f"got {len(chosen)}; raise it, or language.num_samples"
        )
    return chosen


def pseudo_likelihoods(model: M3AE, seen: Seen | None, captions: Sequence[Pieces], passes: int) -> Scores:
    """Mean over a caption's words of log p(word | image, the other visible words); one row without images.

    Salazar et al. 2020 (arXiv 1910.14659) hide one word at a time, as is done here where ``passes`` is at
    least the number of words; with fewer, every ``passes``-th word is hidden at once. Each is hidden once.
    """
    num_images = 1 if seen is None else len(seen.image)
    device = next(model.parameters()).device
    scores = np.empty((num_images, len(captions)))
    for places in by_length(captions, batch=max(1, BATCH // num_images)):
        text = stack(captions, places, device)
        rows = max(1, BATCH // len(places))
        for start in range(0, num_images, rows):
            some = None if seen is None else seen.rows(slice(start, start + rows))
            scores[start : start + rows, places] = score_all(model, some, text, passes).cpu().numpy()
    return scores


def score_all(
    model: M3AE, seen: Seen | None, text: Int[Tensor, "captions words"], passes: int
) -> Float[Tensor, "images captions"]:
    """The scores of captions with equally many words beside every image."""
    num_images, (num_captions, words) = 1 if seen is None else len(seen.image), text.shape
    images = torch.arange(num_images, device=text.device).repeat_interleave(num_captions)
    every_text = text.repeat(num_images, 1)
    every_image = None if seen is None else seen.rows(images)
    total = torch.zeros(len(every_text), device=text.device)
    for first in range(min(passes, words)):
        hidden = torch.arange(first, words, passes, device=text.device).repeat(len(every_text), 1)
        log_probs = hidden_log_probs(model, every_image, every_text, hidden)
        total += log_probs.gather(2, every_text.gather(1, hidden)[..., None]).sum(dim=(1, 2))
    return (total / words).view(num_images, num_captions)


@torch.inference_mode()
def cosines(model: CLIP, pairs: ModelPairs, ids: Ids) -> Scores:
    """CLIP's similarity of every image and every caption."""
    images, texts = [], []
    for start in range(0, len(ids), BATCH):
        some = ids[start : start + BATCH]
        images.append(model.embed_image(pairs.images(some)))
        texts.append(model.embed_text(*pairs.texts(some)))
    return (torch.cat(images) @ torch.cat(texts).T).cpu().double().numpy()


def recalls(run: Run, scores: Scores) -> dict[str, Metric]:
    """Recall in both directions, over the images and over the captions that ask.

    Captions are also ranked by how much better they fit than they fit the gallery's images on average:
    some fit any image. That uses the other queries, which a search engine has not always seen.
    """
    directions = {
        "image_to_text": scores,
        "text_to_image": scores.T,
        "image_to_text_minus_mean": scores - scores.mean(axis=0),
    }
    return {
        f"{name}_recall_{k}": share(run, hits(found, k)) for name, found in directions.items() for k in RANKS
    }


def hits(scores: Float[np.ndarray, "queries answers"], k: int) -> Bool[np.ndarray, " queries"]:
    """Whether answer i is among the ``k`` best of query i; of equal scores it is the last, of NaN none."""
    num_worse = (scores < scores.diagonal()[:, None]).sum(axis=1)
    return num_worse >= scores.shape[1] - k
