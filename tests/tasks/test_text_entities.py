"""Strings to entities, and tagged files to figures."""

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from task_toys import bert, roberta
from text_toys import word_piece

from keras_lm import TokenClassifier, evaluate
from keras_lm.data.tags import TagScheme
from keras_lm.tasks.figures import entity_figures
from keras_lm.tokenizers import train_byte_bpe

BIO = ["O", "B-PER", "I-PER", "B-LOC", "I-LOC"]
SCHEMES = [BIO, ["O", "PER", "LOC"], ["NOUN", "VERB"], ["O", "B-X", "E-X", "S-X", "I-X"]]
TEXTS = ["good films", "a bad film. It is no film", "", "Üs us 🎉🎉 film", "\ta\n", "bad\u0301ly ."]


def expected(task, text):
    """What the reference makes of the logits of the library's tokens, one text at a time."""
    tokenizer = task.tokenizer
    encoding = tokenizer.host.encode(text)
    ids = encoding.ids
    if len(ids) > task.max_length:
        ids = [*ids[: task.max_length - 1], tokenizer.sep_id]
    logits = task(np.array([ids])).numpy()[0]
    scores = np.exp(logits) / np.exp(logits).sum(-1, keepdims=True)
    found = tokenizer.tokenize_words([text])
    words = [
        (int(start), int(end), int(token) + 1)
        for start, end, token in zip(*(part.to_list()[0] for part in found[1:]), strict=True)
        if token + 2 < len(ids)
    ]
    tags = [task.labels[scores[token].argmax()] for *_, token in words]
    entities = []
    for kind, first, last in TagScheme(task.labels).entities(tags):
        start, end = words[first][0], words[last][1]
        score = np.mean([scores[token].max() for *_, token in words[first : last + 1]])
        entities.append((text[start:end], kind, start, end, score))
    return entities


def assert_found(task, texts):
    found = task.predict(texts, batch_size=4, verbose=0)
    for text, entities in zip(texts, found.entities, strict=True):
        wanted = expected(task, text)
        assert [entity[:4] for entity in entities] == [entity[:4] for entity in wanted]
        np.testing.assert_allclose(
            [entity.score for entity in entities], [entity[4] for entity in wanted], atol=1e-5
        )
    return found


@pytest.mark.parametrize("labels", SCHEMES)
def test_entities_are_those_of_the_tags_with_their_characters(labels):
    found = assert_found(TokenClassifier(bert(tokenizer=word_piece()), labels), TEXTS)
    assert any(found.entities)
    assert found.cut.tolist() == [False] * 6


def test_byte_pairs_find_the_same_places(topics):
    tokenizer = train_byte_bpe(topics, 400, kind="roberta")
    task = TokenClassifier(roberta(vocab_size=400, max_length=40, tokenizer=tokenizer), BIO)
    assert_found(task, TEXTS)


@settings(max_examples=15, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
@given(st.lists(st.text("ab .é\u0301🎉👩\u200d漢\n\u00a0İ", max_size=9), min_size=1, max_size=5))
def test_offsets_are_characters_of_python_in_any_text(task, texts):
    assert_found(task, texts)


@pytest.fixture(scope="module")
def task():
    model = bert(tokenizer=word_piece(), initializer_range=0.5)
    return TokenClassifier(model, ["NOUN", "VERB", "DET"])


def test_of_a_text_that_is_too_long_the_start_is_read_and_that_is_said(task):
    found = assert_found(task, ["a " * 8, "a " * 9])
    assert found.cut.tolist() == [False, True]
    assert [len(entities) for entities in found.entities] == [8, 8]
    # 64 bytes for each of the model's ten places.
    (entity,), cut = task.predict("a" * 3000, verbose=0)
    assert (entity.text, entity.end, cut) == ("a" * 640, 640, True)


def test_a_single_text_has_its_list_alone(task):
    entities, cut = task.predict("a film", verbose=0)
    assert [(entity.text, entity.start, entity.end) for entity in entities] == [
        ("a", 0, 1),
        ("film", 2, 6),
    ]
    assert cut is False
    with pytest.raises(ValueError, match="not in pairs"):
        task.predict(("a", "film"))


def test_a_file_is_tagged_and_counted(tmp_path):
    task = TokenClassifier(bert(tokenizer=word_piece()), BIO)
    sentences = ["good films", "a bad film", "us no", "is " * 12]
    words = [sentence.split() for sentence in sentences]
    rng = np.random.default_rng(0)
    truth = [[BIO[i] for i in rng.integers(0, 5, len(row))] for row in words]
    lines = [
        "".join(f"{word}\t{tag}\n" for word, tag in zip(*pair, strict=True))
        for pair in zip(words, truth, strict=True)
    ]
    (tmp_path / "a.conll").write_text("\n".join(lines), "utf-8")

    found = []
    for row in words:
        ids = task.tokenizer.encode(" ".join(row))[: task.max_length]
        ids[-1] = task.tokenizer.sep_id
        best = task(np.array([ids])).numpy()[0].argmax(-1)
        first = [i + 1 for i in task.tokenizer.tokenize_words([" ".join(row)]).tokens.to_list()[0]]
        found.append([BIO[best[i]] if i < len(ids) - 1 else "" for i in first])
    figures = evaluate(task, tmp_path / "a.conll", batch_size=2, verbose=0)
    right = [a == b for x, y in zip(truth, found, strict=True) for a, b in zip(x, y, strict=True)]
    assert figures == {
        "accuracy": pytest.approx(np.mean(right)),
        **entity_figures(truth, found, TagScheme(BIO).entities),
        "rows": 4,
        "cut": 1,
    }


def test_of_parts_of_speech_there_is_accuracy_alone(task):
    figures = evaluate(task, rows=[{"words": ["a", "film"], "tags": ["DET", "NOUN"]}], verbose=0)
    assert figures.keys() == {"accuracy", "rows", "cut"}


def test_figures_of_entities_are_those_of_seqeval():
    """Of seqeval 1.2.2, computed once."""
    tags = {"o": "O", "P": "B-PER", "p": "I-PER", "L": "B-LOC", "l": "I-LOC"}
    truth = (
        "LLoP plLoLopPLo lpLL plooloLp olooLoPoPpLl lpplLpo "
        "ooopoP plPpLpLPLLp oPloPLllol LLLoll lLPP op"
    )
    found = (
        "pLpo poLoLPpPLP lpLp ploPlpLp olooLoPPPpLl LpplLpo "
        "oLlpoo PlPpLpLPool PPloPLllol poLopl oLPL op"
    )
    rows = [[[tags[x] for x in row] for row in text.split()] for text in (truth, found)]
    assert entity_figures(*rows, TagScheme(BIO).entities) == {
        "precision": pytest.approx(0.7321428571428571),
        "recall": pytest.approx(0.7454545454545455),
        "f1": pytest.approx(0.7387387387387387),
    }
    nothing = entity_figures([["O"]], [["O"]], TagScheme(BIO).entities)
    assert nothing == {"precision": 0.0, "recall": 0.0, "f1": 0.0}
