"""Which tokens moved an answer, and by how much."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from task_toys import bert, gpt, transformer
from text_toys import WORDS, word_piece

from keras_lm import TextClassifier, TokenClassifier
from keras_lm.models.explanations.text_tokens import token_row
from keras_lm.tasks.text_rows import TextRows
from keras_lm.tokenizers import ByteBPE, WordPiece, train_byte_bpe

LABELS = ("bad", "good", "none")
TOKENIZER = word_piece()
# GPT ends with a token that WordPiece does not need.
WITH_END = WordPiece(TOKENIZER.tokens, end_token="[SEP]")


def looking(task):
    """A head whose answers depend on the text: those of a new one hardly do."""
    task.build()
    head = getattr(task, "classifier", None) or task.token_classifier
    head.kernel.assign(head.kernel * 20)
    return task


@pytest.mark.parametrize("make", [bert, gpt, transformer])
def test_scores_add_up_to_the_difference_from_the_baseline(make):
    tokenizer = TOKENIZER if make is bert else WITH_END
    task = looking(TextClassifier(make(tokenizer=tokenizer), LABELS))
    texts = ["a good film.", "no"]
    for text, found in zip(texts, task.attributions(texts), strict=True):
        probability_C = np.exp(task(np.array([tokenizer.encode(text)]))[0])
        probability_C /= probability_C.sum()
        assert found.target == LABELS[probability_C.argmax()]
        assert not found.cut
        assert found.output == pytest.approx(probability_C.max(), abs=1e-4)
        assert found.scores.dtype == np.float32
        assert len(found.scores) == len(found.tokens)
        assert abs(found.error) < 5e-3
        assert found.error == pytest.approx(
            found.scores.sum() - (found.output - found.baseline_output), abs=1e-5
        )
        assert "".join(t.text for t in found.tokens if t.part == 0) == text.replace(" ", "")
        added = np.array([token.part < 0 for token in found.tokens])
        assert (found.scores[added] == 0).all()
        assert found.scores[~added].any()


def test_the_baseline_is_the_text_with_its_tokens_replaced():
    task = looking(TextClassifier(bert(tokenizer=TOKENIZER), LABELS))
    row = {"token_ids": np.array([TOKENIZER.encode("good film", "no")])}
    row["segment_ids"] = np.array([[0, 0, 0, 0, 1, 1]])
    for baseline, id_ in (("pad", 0), ("mask", 4), (None, 0), ("unk", 1)):
        replaced = {**row, "token_ids": np.array([[2, id_, id_, 3, id_, 3]])}
        found = task.attributions(
            ("good film", "no"), "good", baseline=baseline, output="logit", batch_size=7
        )
        assert found.output == pytest.approx(float(task(row)[0, 1]), abs=1e-4)
        assert found.baseline_output == pytest.approx(float(task(replaced)[0, 1]), abs=1e-4)
        assert abs(found.error) < 1e-3
    assert [token.part for token in found.tokens] == [-1, 0, 0, -1, 1, -1]


def test_numbers_and_several_labels_are_explained_too():
    row = np.array([TOKENIZER.encode("good film")])
    task = looking(TextClassifier(bert(tokenizer=TOKENIZER), ["stars"], problem="regression"))
    found = task.attributions("good film", steps=20)
    assert found.output == pytest.approx(float(task(row)[0, 0]), abs=1e-4)
    assert (found.target, abs(found.error) < 1e-2) == ("stars", True)
    task = looking(TextClassifier(bert(tokenizer=TOKENIZER), LABELS, problem="multi_label"))
    of_each = task.attributions(["good film"] * 3, list(LABELS), steps=5)
    wanted = 1 / (1 + np.exp(-task(row)[0]))
    np.testing.assert_allclose([found.output for found in of_each], wanted, atol=1e-4)


def test_the_class_of_a_word_is_explained_by_all_words():
    task = looking(TokenClassifier(bert(tokenizer=TOKENIZER), ["O", "X"]))
    text = "a film is good"
    probability_TC = np.exp(task(np.array([TOKENIZER.encode(text)])))[0]
    probability_TC /= probability_TC.sum(-1, keepdims=True)
    found = task.attributions(text, at=text.index("ilm"), target="X")
    assert found.output == pytest.approx(probability_TC[2, 1], abs=1e-4)
    assert np.count_nonzero(found.scores) == 4
    assert abs(found.error) < 1e-3
    with pytest.raises(ValueError, match=r"a character of a word.*Received: at=1"):
        task.attributions(text, at=1)
    with pytest.raises(ValueError, match="at must be one for each of the 2 texts"):
        task.attributions([text, text], at=[0])


def test_what_cannot_be_explained_is_refused():
    task = TextClassifier(bert(tokenizer=TOKENIZER), LABELS)
    for asked, message in (
        ({"texts": 3}, "takes texts. Received: 3"),
        ({"texts": []}, "Received: none"),
        ({"texts": "a", "target": "great"}, "bad, good, none. Received: target='great'"),
        ({"texts": ["a", "a"], "target": ["bad"]}, "one for each of the 2 texts"),
        ({"texts": "a", "steps": 0}, "positive number. Received: steps=0"),
        ({"texts": "a", "baseline": "cls"}, "pad, mask, unk, zeros. Received: baseline='cls'"),
        ({"texts": "a", "output": "loss"}, "probability, logit. Received: output='loss'"),
    ):
        with pytest.raises(ValueError, match=message):
            task.attributions(**asked)
    two = TextClassifier(bert(tokenizer=TOKENIZER), ["x", "y"], problem="regression")
    with pytest.raises(ValueError, match="which number of x, y"):
        two.attributions("a")


@pytest.fixture(scope="module")
def tokenizers(topics):
    plain = train_byte_bpe([topics], 300)
    return TOKENIZER, WITH_END, plain, ByteBPE.from_config(plain.get_config())


@settings(max_examples=40, deadline=None)
@given(
    texts=st.lists(
        st.one_of(st.text(max_size=12), st.lists(st.sampled_from(WORDS), max_size=9).map(" ".join)),
        min_size=1,
        max_size=2,
    ),
    which=st.integers(0, 2),
)
def test_tokens_are_those_that_are_read_and_stand_where_they_say(tokenizers, texts, which):
    tokenizer = tokenizers[which]
    texts = texts[:1] if which == 2 else texts
    rows = TextRows(tokenizer, 10)
    inputs, cut_B = rows.read(*([text] for text in texts))
    real = inputs["padding_mask"].numpy()[0]
    ids = inputs["token_ids"].numpy()[0][real]
    if not len(ids):
        with pytest.raises(ValueError, match="a token at least"):
            token_row(tokenizer, texts, 10)
        return
    row = token_row(tokenizer, texts, 10)
    np.testing.assert_array_equal(row.token_ids, ids)
    if tokenizer.has_segments:
        np.testing.assert_array_equal(row.segment_ids, inputs["segment_ids"].numpy()[0][real])
    assert row.cut == bool(cut_B[0])
    for token in row.tokens:
        if token.part >= 0:
            assert texts[token.part][token.start : token.end] == token.text
            assert token.start < token.end
