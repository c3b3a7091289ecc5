"""Exact match and F1 of answers, as the scripts of SQuAD 1.1 and 2.0 count them.

Rajpurkar et al. 2016, arXiv:1606.05250, section 6.1; 2018, arXiv:1806.03822, section 5. Both
scripts give percents; here they are shares.
"""

import collections
import re
import string
from collections.abc import Sequence

import numpy as np

from keras_lm.tasks.figures import Figures

_PUNCTUATION = str.maketrans("", "", string.punctuation)
_ARTICLES = re.compile(r"\b(a|an|the)\b")


def normalized_answer(text: str) -> str:
    """A text in lower case, without ASCII punctuation and English articles, spaces made one."""
    return " ".join(_ARTICLES.sub(" ", text.lower().translate(_PUNCTUATION)).split())


def exact_match(found: str, truth: str) -> bool:
    """Says whether both are the same, normalized."""
    return normalized_answer(found) == normalized_answer(truth)


def answer_f1(found: str, truth: str, empty_is_right: bool) -> float:
    """The F1 of the words of both, normalized; a word counts as often as it stands in both.

    Args:
        found: an answer.
        truth: the right one.
        empty_is_right: what is counted where one of them has no word: the script of 2.0 says
            whether neither has one, that of 1.1 says 0.
    """
    words, wanted = normalized_answer(found).split(), normalized_answer(truth).split()
    if empty_is_right and not (words and wanted):
        return float(words == wanted)
    same = (collections.Counter(words) & collections.Counter(wanted)).total()
    return 2 * same / (len(words) + len(wanted)) if same else 0.0


def answer_figures(found: Sequence[str], truth: Sequence[Sequence[str]]) -> Figures:
    """Figures of answers.

    Where every question has an answer they are those of the script of 1.1, or else those of 2.0:
    right answers that are nothing but articles and punctuation do not count there.

    Args:
        found: the answer to each question, "" for none.
        truth: the right answers of each; none: there is none.

    Returns:
        `exact_match` and `f1`, means of the best of each question's right answers. Where some have
        none: both for those `..._with_answer` and `..._without`.
    """
    with_none = not all(truth)
    exact, f1 = (
        np.array(values)
        for values in zip(*map(_figures_of, found, truth, [with_none] * len(found)), strict=True)
    )
    figures = {"exact_match": float(exact.mean()), "f1": float(f1.mean())}
    if not with_none:
        return figures
    has_answer = np.array([bool(right) for right in truth])
    for name, rows in (("with_answer", has_answer), ("without", ~has_answer)):
        if rows.any():
            figures[f"exact_match_{name}"] = float(exact[rows].mean())
            figures[f"f1_{name}"] = float(f1[rows].mean())
    return figures


def best_threshold(
    best: Sequence[str], truth: Sequence[Sequence[str]], margins: Sequence[float]
) -> Figures:
    """The threshold above which a margin should mean no answer, and the F1 that it reaches.

    As the script of 2.0 has `best_f1` and `best_f1_thresh`.

    Args:
        best: the best answer to each question, whatever speaks for none.
        truth: the right answers of each; none: there is none.
        margins: what speaks for no answer, against the best one.

    Returns:
        `best_f1` and `best_threshold`; this is below all margins where no answer at all is best.
    """
    answered = np.array(
        [_figures_of(answer, right, True)[1] for answer, right in zip(best, truth, strict=True)]
    )
    silent = np.array([_figures_of("", right, True)[1] for right in truth])
    order = np.argsort(np.array(margins, np.float64), kind="stable")
    margin = np.array(margins, np.float64)[order]
    sums = silent.sum() + np.concatenate([[0.0], np.cumsum((answered - silent)[order])])
    # Questions of one margin are answered together, or not.
    together = np.concatenate([[False], margin[1:] == margin[:-1], [False]])
    sums[together] = -np.inf
    place = int(sums.argmax())
    threshold = float(margin[place - 1] if place else margin[0] - 1)
    return {"best_f1": float(sums[place] / len(truth)), "best_threshold": threshold}


def _figures_of(found: str, truth: Sequence[str], with_none: bool) -> tuple[float, float]:
    right = list(truth)
    if with_none:
        right = [text for text in right if normalized_answer(text)] or [""]
    exact = max(float(exact_match(found, text)) for text in right)
    return exact, max(answer_f1(found, text, with_none) for text in right)
