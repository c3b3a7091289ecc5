"""What the field measures texts by that were made of texts: BLEU, chrF, ROUGE.

Counted by the libraries that the field compares with, sacrebleu and rouge-score; the extra
`figures` has both.

N texts.
"""

import importlib
import re
from collections.abc import Sequence
from typing import Any

import numpy as np

from keras_lm.tasks.figures import Figures

_WORD = re.compile(r"[^\W_]+")


def translation_figures(
    found: Sequence[str], wanted: Sequence[str], *, tokenize: str = "13a"
) -> Figures:
    """BLEU and chrF over all texts together, as SacreBLEU counts them.

    Papineni et al. 2002, "BLEU"; Popovic 2015, "chrF"; Post 2018, arXiv:1804.08771.

    Args:
        found: N texts.
        wanted: N texts, what they should be.
        tokenize: SacreBLEU's tokenizer for BLEU: "13a", "intl"; "zh", "ja-mecab", "ko-mecab" for
            languages without spaces, "char".

    Returns:
        `bleu` and `chrf`, 100 is best; `bleu_signature` and `chrf_signature`, to be named beside
        them.

    Raises:
        ImportError: sacrebleu is not installed.
    """
    sacrebleu = _library("sacrebleu", "sacrebleu")
    bleu, chrf = sacrebleu.BLEU(tokenize=tokenize), sacrebleu.CHRF()
    figures: Figures = {}
    for name, metric in (("bleu", bleu), ("chrf", chrf)):
        figures[name] = metric.corpus_score(list(found), [list(wanted)]).score
        figures[f"{name}_signature"] = str(metric.get_signature())
    return figures


class Words:
    """Cuts texts into words for rouge-score: letters and digits, in lower case.

    Of English it gives what rouge-score's own tokenizer gives; that one drops every letter that is
    not of the English alphabet.
    """

    def tokenize(self, text: str) -> list[str]:
        """Gives the words of a text."""
        return _WORD.findall(text.lower())


def summary_figures(found: Sequence[str], wanted: Sequence[str]) -> Figures:
    """ROUGE-1, ROUGE-2 and ROUGE-L as rouge-score counts them, without stemming.

    Lin 2004, "ROUGE: A Package for Automatic Evaluation of Summaries".

    Args:
        found: N texts.
        wanted: N texts, what they should be.

    Returns:
        `rouge1`, `rouge2` and `rougeL`: means of F1 over the texts, 1 is best.

    Raises:
        ImportError: rouge-score is not installed.
    """
    scorer = _library("rouge_score.rouge_scorer", "rouge-score")
    names = ["rouge1", "rouge2", "rougeL"]
    rouge = scorer.RougeScorer(names, tokenizer=Words())
    scores = [rouge.score(right, text) for text, right in zip(found, wanted, strict=True)]
    return {name: float(np.mean([score[name].fmeasure for score in scores])) for name in names}


def _library(module: str, package: str) -> Any:
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise ImportError(
            f'This is counted by {package}: pip install "keras_lm[figures]". Received: {error}'
        ) from None
