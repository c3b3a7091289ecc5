"""Strings to labels and scores."""

import numpy as np
import pytest
from task_toys import bert, gpt, rows
from text_toys import word_piece

from keras_lm import TextClassifier
from keras_lm.data import classification
from keras_lm.tokenizers import train_byte_bpe

TEXTS = ["good film", "bad", "it is no good film . it is bad", "", "good", "a bad film"]
LABELS = ["bad", "good", "none"]


@pytest.fixture(scope="module")
def task():
    return TextClassifier(bert(tokenizer=word_piece()), LABELS)


def logits_of(task, text, pair=None):
    ids = task.tokenizer.host.encode(text, pair)
    ids.truncate(task.max_length)
    inputs = {"token_ids": np.array([ids.ids]), "segment_ids": np.array([ids.type_ids])}
    return task(inputs).numpy()[0]


def softmax(x):
    return np.exp(x) / np.exp(x).sum()


def test_each_text_has_its_likeliest_label_and_the_probabilities(task):
    found = task.predict(TEXTS, batch_size=4, verbose=0)
    for text, label, scores in zip(TEXTS, found.labels, found.scores, strict=True):
        expected = softmax(logits_of(task, text)) if len(text) < 20 else scores
        np.testing.assert_allclose(scores, expected, atol=1e-6)
        assert label == LABELS[scores.argmax()]
    assert found.scores.shape == (6, 3)
    assert found.scores.dtype == np.float32


def test_of_a_text_that_is_too_long_the_start_is_read_and_that_is_said(task):
    found = task.predict(TEXTS, verbose=0)
    assert found.cut.tolist() == [False, False, True, False, False, False]  # 9 tokens and two
    start = "a " * 8
    found = task.predict([start, start + "bad", "x" * 10_000], verbose=0)
    assert found.cut.tolist() == [False, True, True]
    np.testing.assert_allclose(found.scores[0], found.scores[1], atol=1e-6)


def test_a_single_text_has_single_values(task):
    found, many = task.predict("good film", verbose=0), task.predict(TEXTS[:1], verbose=0)
    assert found.labels == many.labels[0]
    np.testing.assert_allclose(found.scores, many.scores[0], atol=1e-6)
    assert found.cut is False
    assert task.predict(b"good film", verbose=0).labels == found.labels
    assert task.predict(np.array(["good film"]), verbose=0).labels == many.labels


def test_pairs_are_read_with_their_segments(task):
    found = task.predict([("good film", "bad"), ["a", "no"]], verbose=0)
    np.testing.assert_allclose(
        found.scores[0], softmax(logits_of(task, "good film", "bad")), atol=1e-6
    )
    single = task.predict(("good film", "bad"), verbose=0)
    np.testing.assert_allclose(single.scores, found.scores[0], atol=1e-6)
    long = task.predict([("a a a a a a a a", "bad")], verbose=0)
    assert long.cut.tolist() == [True]
    np.testing.assert_allclose(
        long.scores[0], softmax(logits_of(task, "a a a a a a", "bad")), atol=1e-6
    )


def test_what_is_predicted_is_what_was_trained_on(task):
    """The pipeline's rows and those of the graph are the same."""
    data = [{"text": text, "label": "bad"} for text in TEXTS if text]
    data = classification(
        None,
        task.tokenizer,
        rows=data,
        labels=LABELS,
        batch_size=8,
        sequence_length=task.max_length,
        shuffle=False,
        num_buckets=1,
    )
    ((inputs, _),) = data
    found = task.predict([text for text in TEXTS if text], verbose=0).scores
    np.testing.assert_allclose([softmax(row) for row in task(inputs).numpy()], found, atol=1e-6)


def test_several_labels_are_those_above_a_half_likeliest_first():
    task = TextClassifier(bert(tokenizer=word_piece()), LABELS, problem="multi_label")
    middle = np.median([logits_of(task, text) for text in TEXTS if len(text) < 20], axis=0)
    task.classifier.bias.assign(-middle)
    found = task.predict(TEXTS, verbose=0)
    for labels, scores in zip(found.labels, found.scores, strict=True):
        order = np.argsort(-scores)
        assert labels == tuple(LABELS[i] for i in order if scores[i] >= 0.5)
    assert len(set(found.labels)) > 1
    expected = 1 / (1 + np.exp(-logits_of(task, "good")))
    np.testing.assert_allclose(found.scores[4], expected, atol=1e-5)


def test_a_regression_gives_numbers():
    task = TextClassifier(bert(tokenizer=word_piece()), ["stars"], problem="regression")
    found = task.predict(TEXTS, verbose=0)
    assert found.labels is None
    np.testing.assert_allclose(found.scores[1], logits_of(task, "bad"), atol=1e-6)
    assert task.predict("bad", verbose=0).labels is None


def test_gpt_reads_texts_without_special_tokens(topics):
    tokenizer = train_byte_bpe(topics, 300)
    task = TextClassifier(gpt(vocab_size=300, tokenizer=tokenizer), LABELS)
    found = task.predict(["is", "as it", ""], verbose=0)
    ids = np.array([tokenizer.encode("as it")])
    np.testing.assert_allclose(found.scores[1], softmax(task(ids).numpy()[0]), atol=1e-6)
    assert np.isfinite(found.scores).all()
    with pytest.raises(ValueError, match="tokenizer with a separator"):
        task.predict(("a", "b"), verbose=0)


def test_training_goes_on_after_a_prediction(task):
    before = task.predict("good", verbose=0).scores
    task.classifier.kernel.assign(-task.classifier.kernel)
    assert np.abs(task.predict("good", verbose=0).scores - before).max() > 1e-4


def test_data_are_predicted_as_keras_does(task):
    inputs = rows(3)
    np.testing.assert_allclose(task.predict(inputs, verbose=0), task(inputs), atol=1e-6)


def test_a_progress_bar_is_shown_where_it_is_wanted(task, capsys):
    task.predict(TEXTS, batch_size=2, verbose=0)
    assert capsys.readouterr().out == ""
    task.predict(TEXTS, batch_size=2)
    assert "3/3" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("texts", "options", "message"),
    [
        ([], {}, "Received: none"),
        (["a", ("a", "b")], {}, r"Received: \('a', 'b'\) at 1"),
        ([("a", "b"), ("a",)], {}, r"Received: \('a',\) at 1"),
        (["a", None], {}, "Received: None at 1"),
        (None, {}, "Received: None"),
        (["a", "b\ud800"], {}, r"no half of a surrogate pair.*ud800' at 1"),
        (["a"], {"batch_size": 0}, "batch_size must be positive"),
        (["a"], {"steps": 3}, "for data, not for texts"),
    ],
)
def test_what_is_no_text_is_refused(task, texts, options, message):
    with pytest.raises(ValueError, match=message):
        task.predict(texts, **options)


def test_text_needs_a_tokenizer():
    with pytest.raises(ValueError, match=r"predict\(\) of texts needs a tokenizer"):
        TextClassifier(bert(), LABELS).predict("good")
