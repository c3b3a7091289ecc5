"""Which tokens of a text moved its likeness to another one."""

import numpy as np
import pytest
import tensorflow as tf
from line_by_hand import line_by_hand
from task_toys import bert
from text_toys import word_piece

from keras_lm import TextEmbedder


@pytest.fixture(scope="module")
def task():
    model = bert(tokenizer=word_piece(), initializer_range=0.5)
    return TextEmbedder(model, normalize=False)


def test_the_cosine_with_a_text_or_a_vector_is_explained(task):
    other = np.asarray(task(np.array([task.tokenizer.encode("bad film")])))[0]
    row = task.tokenizer.encode("a good film")
    table = task.encoder.embedding.tokens.embeddings

    def function(embeddings):
        ids = np.tile([row], (len(embeddings), 1))
        vectors = task({"token_ids": ids, "token_embeddings": embeddings})
        return -tf.keras.losses.cosine_similarity(vectors, other[None])

    scores, output, baseline_output = line_by_hand(function, table, row, [2, 0, 0, 0, 3])
    by_text = task.attributions("a good film", "bad film")
    by_vector, again = task.attributions(["a good film", "good"], 3 * other)
    for found, target in ((by_text, "bad film"), (by_vector, "vector")):
        assert (found.target, found.measure) == (target, "cosine")
        assert found.output == pytest.approx(output, abs=1e-4)
        assert found.baseline_output == pytest.approx(baseline_output, abs=1e-4)
        np.testing.assert_allclose(found.scores, scores, atol=2e-3)
        assert np.abs(found.scores).max() > 0.01
        assert abs(found.error) < 1e-3
    one, two = task.attributions(["good", "good"], ["good", other.tolist()], steps=1)
    assert one.output == pytest.approx(1, abs=1e-4)
    assert two.output == pytest.approx(again.output, abs=1e-4)


@pytest.mark.parametrize(
    ("texts", "other", "message"),
    [
        (("a", "b"), "c", "texts must be single texts.*Received: pairs"),
        ("a", None, "a text, or a vector of 16 finite numbers.*Received: other=None"),
        ("a", np.ones(3), "vector of 16 finite numbers"),
        ("a", np.zeros(16), "that are not all 0"),
        ("a", [np.nan] * 16, "finite numbers"),
        (["a", "b"], ["c"], "other must be one for each of the 2 texts"),
        ("a", {"b": 1}, "Received: other={'b': 1}"),
        (3, "a", "takes texts. Received: 3"),
    ],
)
def test_what_cannot_be_compared_is_refused(task, texts, other, message):
    with pytest.raises(ValueError, match=message):
        task.attributions(texts, other)
