"""What counting alone reaches: the figures that a trained language model must beat.

Ids in, ids or probabilities out; knows no model.

N tokens, V vocabulary.
"""

import itertools
import re
from collections.abc import Iterable
from typing import Any

import numpy as np


class Bigrams:
    """Counts of tokens and of pairs of neighbours.

    Args:
        ids: int `(N,)`, the training text, N at least 1.
        vocab_size: V. The table of pairs is dense: V x V numbers.
        never: tokens that are no answer, such as separators; they are counted as neighbours alone.

    Attributes:
        most_frequent: int, the token that occurs most often; of several the lowest.
        weights: float `(3,)`, the shares of pair, token and uniform in `probability`; `tune` sets
            them.
    """

    def __init__(self, ids: np.ndarray, vocab_size: int, never: tuple[int, ...] = ()) -> None:
        self.token_V = np.bincount(ids, minlength=vocab_size)
        self.token_V[list(never)] = 0
        self.pair_VV = np.zeros((vocab_size, vocab_size), np.int32)
        np.add.at(self.pair_VV, (ids[:-1], ids[1:]), 1)
        self.pair_VV[:, list(never)] = 0
        self.left_V = self.pair_VV.sum(axis=1)
        self.most_frequent = int(self.token_V.argmax())
        self.weights = np.full(3, 1 / 3)

    def likeliest_after(self, left: np.ndarray, unknown: tuple[int, ...] = ()) -> np.ndarray:
        """The token that most often follows each left neighbour.

        Args:
            left: int, any shape.
            unknown: neighbours that say nothing, such as a mask.

        Returns:
            int of the same shape; `most_frequent` where the neighbour is unknown or was never seen
            with anything behind it.
        """
        best_V = np.where(self.left_V > 0, self.pair_VV.argmax(axis=1), self.most_frequent)
        best_V[list(unknown)] = self.most_frequent
        return best_V[left]

    def probability(self, left: np.ndarray, right: np.ndarray) -> np.ndarray:
        """P(right | left), Jelinek and Mercer's linear interpolation; float of their shape.

        Behind a neighbour never seen the share of the pairs falls to the single tokens, so that
        the probabilities of all tokens add up to 1.
        """
        return self._parts(left, right) @ self.weights

    def tune(self, left: np.ndarray, right: np.ndarray, rounds: int = 50) -> None:
        """Sets the weights to the likeliest for pairs `(N,)` that were not counted, by EM."""
        parts_N3 = self._parts(left, right)
        for _ in range(rounds):
            share_N3 = parts_N3 * self.weights
            self.weights = (share_N3 / share_N3.sum(axis=1, keepdims=True)).mean(axis=0)

    def perplexity(self, left: np.ndarray, right: np.ndarray) -> float:
        """The exponential of the mean negative log-probability per token."""
        return float(np.exp(-np.log(self.probability(left, right)).mean()))

    def _parts(self, left: np.ndarray, right: np.ndarray) -> np.ndarray:
        token = self.token_V[right] / self.token_V.sum()
        seen = self.left_V[left]
        pair = np.where(seen > 0, self.pair_VV[left, right] / np.maximum(seen, 1), token)
        return np.stack([pair, token, np.full(token.shape, 1 / len(self.token_V))], axis=-1)


def stream(texts: list[str], tokenizer: Any, end_id: int) -> np.ndarray:
    """The ids of all texts, with `end_id` before and behind each; int `(N,)`."""
    ids = [end_id]
    for row in tokenizer.encode_batch(texts):
        ids += [*row, end_id]
    return np.array(ids)


def masked_pairs(batches: Iterable) -> tuple[np.ndarray, np.ndarray]:
    """What stands left of each masked token that counts, and the token; int `(N,)` each.

    Args:
        batches: of `keras_lm.data.masked_lm`, as arrays.
    """
    pairs = []
    for inputs, labels, weights in batches:
        left = np.take_along_axis(inputs["token_ids"], inputs["masked_positions"] - 1, axis=1)
        pairs.append((left[weights > 0], labels[weights > 0]))
    left, right = map(np.concatenate, zip(*pairs, strict=True))
    return left, right


def next_token_pairs(batches: Iterable) -> tuple[np.ndarray, np.ndarray]:
    """Each token that is read and the one that follows it; int `(N,)` each.

    Args:
        batches: of `keras_lm.data.causal_lm`, as arrays.
    """
    pairs = [(inputs["token_ids"].ravel(), labels.ravel()) for inputs, labels, _ in batches]
    left, right = map(np.concatenate, zip(*pairs, strict=True))
    return left, right


class NaiveBayes:
    """Counts of words and of pairs of neighbours by class, each once a text, add-one smoothed.

    Source: Wang and Manning 2012, "Baselines and Bigrams", section 2 (multinomial, binarized).

    Args:
        texts: to learn from.
        labels: the class of each.
    """

    def __init__(self, texts: list[str], labels: list[str]) -> None:
        self.labels = sorted(set(labels))
        found = [self._features(text) for text in texts]
        self.index = {name: i for i, name in enumerate(sorted(set().union(*found)))}
        count_CF = np.ones((len(self.labels), len(self.index)))
        for features, label in zip(found, labels, strict=True):
            row = self.labels.index(label)
            count_CF[row, [self.index[feature] for feature in features]] += 1
        self.log_CF = np.log(count_CF / count_CF.sum(1, keepdims=True))
        shares = [np.mean([label == other for label in labels]) for other in self.labels]
        self.log_prior_C = np.log(shares)

    def predict(self, texts: list[str]) -> list[str]:
        """The likeliest class of each text; what was never seen says nothing."""
        answers = []
        for text in texts:
            known = [self.index[x] for x in self._features(text) if x in self.index]
            score_C = self.log_prior_C + self.log_CF[:, known].sum(1)
            answers.append(self.labels[int(score_C.argmax())])
        return answers

    @staticmethod
    def _features(text: str) -> set[str]:
        words = re.findall(r"\w+|[^\w\s]", text.lower())
        return {*words, *(f"{a} {b}" for a, b in itertools.pairwise(words))}


class Memory:
    """Answers with what belongs to the most similar text that was seen: a translation memory.

    Similar by the cosine of words and pairs of neighbours, weighted by how rare they are (TF-IDF).

    Args:
        texts: that were seen.
        answers: what belongs to each.
    """

    def __init__(self, texts: list[str], answers: list[str]) -> None:
        self.answers = answers
        found = [NaiveBayes._features(text) for text in texts]
        counts: dict[str, int] = {}
        for features in found:
            for name in features:
                counts[name] = counts.get(name, 0) + 1
        self.weight = {name: np.log(len(texts) / n) + 1e-6 for name, n in counts.items()}
        self.places: dict[str, list[int]] = {name: [] for name in counts}
        self.norm_R = np.ones(len(texts))
        for row, features in enumerate(found):
            for name in features:
                self.places[name].append(row)
            self.norm_R[row] = np.sqrt(sum(self.weight[name] ** 2 for name in features)) or 1.0

    def answer(self, texts: list[str]) -> list[str]:
        """The answers of the most similar texts; of several the first one's."""
        found = []
        for text in texts:
            score_R = np.zeros(len(self.answers))
            for name in NaiveBayes._features(text):
                if name in self.places:
                    score_R[self.places[name]] += self.weight[name] ** 2
            found.append(self.answers[int((score_R / self.norm_R).argmax())])
        return found
