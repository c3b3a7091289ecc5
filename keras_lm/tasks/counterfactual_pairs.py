"""Pairs of texts that differ in a name, a gender or a nationality alone: does the answer change?

After Garg et al. 2019, "Counterfactual Fairness in Text Classification through Robustness",
arXiv:1809.10610, section 3: the gap between the scores of a text and its counterfactual. It does
not know whether an answer should have changed: that is for who writes the pairs.

N pairs, C classes.
"""

from collections.abc import Iterable
from typing import Any

import numpy as np

from keras_lm.data.label_values import text_of
from keras_lm.data.table_rows import Files, Values, open_rows
from keras_lm.tasks.asking import answers
from keras_lm.tasks.figures import Figures, wilson_interval
from keras_lm.tasks.text_classifier import TextClassifier
from keras_lm.training.provenance import data_name

_NOTE = "Rates of answers that change where only a name, a gender or the like does."


def counterfactual(
    model: Any,
    files: Files | None = None,
    *,
    rows: Iterable[Values] | None = None,
    text: str = "text",
    text_pair: str = "text_pair",
    group: str = "group",
    batch_size: int | None = None,
    verbose: Any = "auto",
) -> Figures:
    """Asks a classifier for both texts of each pair, as `predict` does, and counts what changes.

    Args:
        model: a built `TextClassifier` of single texts with its tokenizer.
        files: `.csv`, `.tsv`, `.jsonl`, `.gz` of each: a path, a glob or a list of them.
        rows: dicts in place of files.
        text: column of the texts.
        text_pair: column of the same texts with another name, gender or nationality. Both are read
            one by one, not as a pair.
        group: column that says what was changed, such as "gender"; read where it is there.
        batch_size: texts that are read at once. None: 32.
        verbose: 0: no progress bar.

    Returns:
        By name: `pairs`, how many; `changed`, of how many the answer differs (the label; of several
        labels their set); `rate`, `changed / pairs`, with Wilson's 95 % interval, `rate_low` and
        `rate_high`; `mean_absolute_change` of a score, over pairs and classes; `mean_change`, by
        label the mean of the second score minus the first, which tells a direction; `cut`, how many
        pairs were too long in one text. With groups also `groups`: the same for each of them. A
        regression has numbers and no labels, so nothing that is `changed` and no rate.

    Raises:
        TypeError: neither or both of `files` and `rows`, or something that cannot be read twice.
        ValueError: another model, no pair, a file that cannot be read, a missing column, an empty
            text, or a group in some of the rows alone, with its place.
        FileNotFoundError: a file is missing, or a glob matches nothing.
    """
    if not isinstance(model, TextClassifier):
        raise ValueError(
            "Counterfactual pairs are for a TextClassifier, whose answers can be told apart. "
            f"Received: a {type(model).__name__}"
        )
    texts: list[str] = []
    others: list[str] = []
    groups: list[str] = []
    for row in open_rows(files, rows, (text, text_pair)):
        texts.append(text_of(row, text))
        others.append(text_of(row, text_pair))
        name = row.values.get(group)
        if name not in (None, ""):
            groups.append(str(name))
        if len(groups) not in (0, len(texts)):
            raise ValueError(
                "Either all rows or none must have a group. "
                f"Received: {name!r} in column {group!r}, {row.place}"
            )
    if not texts:
        raise ValueError("There must be a pair at least. Received: none")
    # Templates often have a text many times.
    place = {text: i for i, text in enumerate(dict.fromkeys([*texts, *others]))}
    asked = [list(place)]
    found = answers(model.asked(asked), asked, batch_size, verbose)
    side_2N = np.array([[place[text] for text in side] for side in (texts, others)])
    score_2NC = np.stack([answer["scores"] for answer in found])[side_2N]
    cut_N = np.array([int(answer["status"]) != 0 for answer in found])[side_2N].any(axis=0)
    change_NC = score_2NC[1] - score_2NC[0]
    changed_N = None
    if model.problem == "single_label":
        label_2N = score_2NC.argmax(axis=-1)
        changed_N = label_2N[0] != label_2N[1]
    elif model.problem == "multi_label":
        has_2NC = score_2NC >= 0.5
        changed_N = (has_2NC[0] != has_2NC[1]).any(axis=-1)

    def figures(here_N: np.ndarray) -> Figures:
        number = int(here_N.sum())
        of: Figures = {"pairs": number}
        if changed_N is not None:
            changed = int(changed_N[here_N].sum())
            low, high = wilson_interval(changed, number)
            of |= {"changed": changed, "rate": changed / number, "rate_low": low, "rate_high": high}
        mean_C = change_NC[here_N].mean(axis=0, dtype=np.float64)
        of["mean_absolute_change"] = float(np.abs(change_NC[here_N]).mean(dtype=np.float64))
        of["mean_change"] = dict(zip(model.labels, mean_C.tolist(), strict=True))
        of["cut"] = int(cut_N[here_N].sum())
        return of

    whole = figures(np.ones(len(texts), bool))
    if groups:
        name_N = np.array(groups)
        whole["groups"] = {name: figures(name_N == name) for name in dict.fromkeys(groups)}
    if changed_N is not None:
        name = f"{data_name(files) or 'pairs'}, counterfactual"
        kept = ("pairs", "changed", "rate", "rate_low", "rate_high", "mean_absolute_change")
        model.note_scores({figure: whole[figure] for figure in kept}, name, _NOTE)
    return whole
