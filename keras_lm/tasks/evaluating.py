"""A fine-tuned model and labelled files to the figures of the field."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from keras_lm.data.labelled_texts import read_labelled, reader_of
from keras_lm.data.questions import read_questions
from keras_lm.data.similar_texts import read_similar
from keras_lm.data.table_rows import Files, Values
from keras_lm.data.tagged_sentences import read_sentences
from keras_lm.data.tags import TagScheme
from keras_lm.data.text_pairs import read_pairs
from keras_lm.data.word_labels import label_words
from keras_lm.models.interface import made_once
from keras_lm.models.reading import padded
from keras_lm.tasks.answer_figures import answer_figures, best_threshold
from keras_lm.tasks.asking import answers
from keras_lm.tasks.figures import (
    Figures,
    class_figures,
    entity_figures,
    label_figures,
    number_figures,
)
from keras_lm.tasks.question_answering import QuestionAnswering
from keras_lm.tasks.summarizer import Summarizer
from keras_lm.tasks.target_task import TargetTask, cut_of
from keras_lm.tasks.text_classifier import TextClassifier
from keras_lm.tasks.text_embedder import TextEmbedder
from keras_lm.tasks.text_entities import TextEntities
from keras_lm.tasks.text_figures import summary_figures, translation_figures
from keras_lm.tasks.token_classifier import TokenClassifier
from keras_lm.tasks.translator import Translator
from keras_lm.training.provenance import data_name


def evaluate(
    model: Any,
    files: Files | None = None,
    *,
    rows: Iterable[Values] | None = None,
    batch_size: int | None = None,
    verbose: Any = "auto",
    **reading: Any,
) -> Figures:
    """Reads labelled texts, asks the model as `predict` does, and counts.

    Every row counts, those that are too long by their start. What is found is noted in
    `model.provenance`, too, for the model's card.

    Args:
        model: a built `TextClassifier`, `TokenClassifier`, `TextEmbedder`, `QuestionAnswering`,
            `Translator` or `Summarizer` with its tokenizer.
        files: as `keras_lm.data.classification` takes them; of the others as
            `keras_lm.data.tagging`, `similarity` (pairs with scores), `question_answering`,
            `translation` and `summarization`.
        rows: dicts in place of files, as there.
        batch_size: texts that are read at once. None: 32.
        verbose: 0: no progress bar; or a function, see `predict` of the model.
        **reading: how to read the rows, as there: `text`, `text_pair`, `label`, `label_names` and
            `label_separator`; of tokens `word` and `tag`; of embeddings `text`, `text_pair` and
            `score`; of translations `source` and `target`,
            and SacreBLEU's `tokenize`; of summaries `text` and `summary`.

    Returns:
        By name, besides `rows`, their number, and `cut`, how many were too long:
        of one class: `accuracy` and `macro_f1` (over the classes in rows or answers);
        of several labels: `micro_f1`, `macro_f1` (over all labels), `exact_match`;
        of numbers: `spearman`, `pearson`, `root_mean_squared_error`, means over the numbers;
        of tokens: `accuracy` of the words' tags, a word that was not read is wrong; where tags say
        what is outside: `precision`, `recall` and `f1` of the entities, as seqeval counts them;
        of embeddings: `spearman` and `pearson`, of the cosines and the scores;
        of questions: `exact_match` and `f1`, shares, as the scripts of SQuAD count them, see
        `keras_lm.tasks.answer_figures`; where some have no answer, with `best_threshold`;
        of translations `bleu` and `chrf` with SacreBLEU's signatures, `bleu_signature` and
        `chrf_signature`; of summaries `rouge1`, `rouge2` and `rougeL`.

    Raises:
        TypeError: see the pipelines, or an unknown way of reading.
        ImportError: sacrebleu or rouge-score is needed, and not installed.
        ValueError: see there; or a model of another kind, or without tokenizer.
        FileNotFoundError: see there.
    """
    for kind, function in _BY_KIND.items():
        if issubclass(type(model), kind):
            figures = function(model, files, rows, batch_size, verbose, **reading)
            model.note_scores(figures, data_name(files))
            return figures
    names = ", ".join(kind.__name__ for kind in _BY_KIND)
    raise ValueError(
        f"keras_lm.evaluate takes one of {names}; others have model.evaluate(). "
        f"Received: a {type(model).__name__}"
    )


def _evaluate_texts(
    model: TextClassifier,
    files: Files | None,
    rows: Iterable[Values] | None,
    batch_size: int | None,
    verbose: Any,
    *,
    text: str = "text",
    text_pair: str | None = "text_pair",
    label: str | Sequence[str] = "label",
    label_names: Mapping[str, str] | None = None,
    label_separator: str = ",",
) -> Figures:
    reader = reader_of(rows, model.labels, model.problem, label, label_names, label_separator)
    read = read_labelled(files, rows, reader, text=text, text_pair=text_pair)
    texts = [read.texts] if read.pairs is None else [read.texts, read.pairs]
    found = answers(model.asked(texts), texts, batch_size, verbose)
    scores = np.stack([answer["scores"] for answer in found])
    if model.problem == "single_label":
        figures = class_figures(read.labels, scores.argmax(axis=1))
    elif model.problem == "multi_label":
        figures = label_figures(read.labels >= 0.5, scores >= 0.5)
    else:
        figures = number_figures(read.labels, scores)
    cut = sum(int(answer["status"]) != 0 for answer in found)
    return {**figures, "rows": len(found), "cut": cut}


def _evaluate_tags(
    model: TokenClassifier,
    files: Files | None,
    rows: Iterable[Values] | None,
    batch_size: int | None,
    verbose: Any,
    *,
    word: str | int = "words",
    tag: str | int = "tags",
) -> Figures:
    tokenizer = model.require_tokenizer("evaluate()")
    sentences, _ = read_sentences(files, rows, model.labels, word=word, tag=tag)
    read = label_words(sentences, tokenizer, model.labels, model.max_length)
    ids = np.split(read.rows.ids, read.rows.starts[1:])
    of_ids = made_once(TextEntities, model, tokenizer).of_ids

    def ask(row_B: Any) -> dict[str, Any]:
        return of_ids(*padded(tokenizer, [ids[row].tolist() for row in row_B.numpy()]))

    found = answers(ask, [range(len(ids))], batch_size, verbose, lengths=read.rows.lengths)
    tags = [
        [answer["tags"][place].decode() if place >= 0 else "" for place in places]
        for answer, places in zip(found, read.tokens, strict=True)
    ]
    truth = [[model.labels[i] for i in sentence.tags] for sentence in sentences]
    right = [a == b for pair in zip(truth, tags, strict=True) for a, b in zip(*pair, strict=True)]
    figures = {"accuracy": float(np.mean(right))}
    scheme = TagScheme(model.labels)
    if scheme.for_entities:
        figures |= entity_figures(truth, tags, scheme.entities)
    return {**figures, "rows": len(ids), "cut": int(read.rows.cut.sum())}


def _evaluate_translations(
    model: Translator,
    files: Any,
    rows: Iterable[Values] | None,
    batch_size: int | None,
    verbose: Any,
    *,
    source: str = "source",
    target: str = "target",
    tokenize: str = "13a",
) -> Figures:
    found, wanted, counts = _targets(model, files, rows, batch_size, verbose, source, target)
    return {**translation_figures(found, wanted, tokenize=tokenize), **counts}


def _evaluate_summaries(
    model: Summarizer,
    files: Any,
    rows: Iterable[Values] | None,
    batch_size: int | None,
    verbose: Any,
    *,
    text: str = "text",
    summary: str = "summary",
) -> Figures:
    found, wanted, counts = _targets(model, files, rows, batch_size, verbose, text, summary)
    return {**summary_figures(found, wanted), **counts}


def _targets(
    model: TargetTask,
    files: Any,
    rows: Iterable[Values] | None,
    batch_size: int | None,
    verbose: Any,
    source: str,
    target: str,
) -> tuple[list[str], list[str], Figures]:
    """What the model makes of each source, what it should be, and how many there were."""
    ask = model.asked()
    read = read_pairs(files, rows, source=source, target=target)
    found = answers(ask, [[pair.source for pair in read.pairs]], batch_size, verbose)
    texts = [answer[model.ANSWER].decode("utf-8", "replace") for answer in found]
    wanted = [pair.target for pair in read.pairs]
    return texts, wanted, {"rows": len(found), "cut": sum(map(cut_of, found))}


def _evaluate_similarity(
    model: TextEmbedder,
    files: Files | None,
    rows: Iterable[Values] | None,
    batch_size: int | None,
    verbose: Any,
    *,
    text: str = "text",
    text_pair: str = "text_pair",
    score: str = "score",
) -> Figures:
    read = read_similar(files, rows, "cosine", text=text, text_pair=text_pair, score=score)
    # Files of pairs often have a text many times.
    place = {text: i for i, text in enumerate(dict.fromkeys([*read.texts[0], *read.texts[1]]))}
    found = model.predict(list(place), batch_size, verbose)
    sides = np.array([[place[text] for text in side] for side in read.texts])
    norms = np.linalg.norm(found.vectors, axis=-1, keepdims=True)
    vectors = (found.vectors / np.maximum(norms, 1e-12))[sides]
    cosines = np.sum(vectors[0] * vectors[1], axis=-1)
    figures = number_figures(np.array(read.scores)[:, None], cosines[:, None])
    kept = {name: figures[name] for name in ("spearman", "pearson")}
    cut = found.cut[sides].any(axis=0)
    return {**kept, "rows": len(cosines), "cut": int(cut.sum())}


def _evaluate_answers(
    model: QuestionAnswering,
    files: Files | None,
    rows: Iterable[Values] | None,
    batch_size: int | None,
    verbose: Any,
) -> Figures:
    questions, _ = read_questions(files, rows)
    texts = [[q.question for q in questions], [q.context for q in questions]]
    found = answers(model.asked(), texts, batch_size, verbose)
    truth = [[answer.text for answer in question.answers] for question in questions]
    figures = answer_figures([answer["answer"].decode() for answer in found], truth)
    if not all(truth):
        best = [answer["best"].decode() for answer in found]
        margins = [float(answer["margin"]) for answer in found]
        figures |= best_threshold(best, truth, margins)
    cut = sum(int(answer["status"]) != 0 for answer in found)
    return {**figures, "rows": len(found), "cut": cut}


_BY_KIND: dict[type, Callable[..., Figures]] = {
    TextClassifier: _evaluate_texts,
    TokenClassifier: _evaluate_tags,
    TextEmbedder: _evaluate_similarity,
    QuestionAnswering: _evaluate_answers,
    Translator: _evaluate_translations,
    Summarizer: _evaluate_summaries,
}
