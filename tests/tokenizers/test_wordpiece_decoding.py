"""Ids of a WordPiece to texts, to texts that go on, and to tidy ones."""

import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from keras_lm.tokenizers import WordPiece

many = settings(max_examples=60, deadline=None, derandomize=True)
WORDS = ["it", "'", "s", "don", "n", "t", "##t", "m", "ve", ".", "?", "!", ",", "##s", "re"]


@pytest.fixture(scope="module")
def tidy(uncased):
    tokens = dict.fromkeys([*uncased.tokens, "n't", "'m", "'s", "'ve", "'re", *WORDS])
    return WordPiece(list(tokens), clean_up_spaces=True)


@pytest.fixture(scope="module")
def detokenize(tidy):
    signature = [
        tf.RaggedTensorSpec([None, None], tf.int32, ragged_rank=1),
        tf.TensorSpec([None], tf.bool),
    ]
    return tf.function(
        lambda ids, continues: tidy.detokenize(ids, continues=continues), input_signature=signature
    )


@many
@given(st.data())
def test_texts_in_the_graph_are_those_of_the_host(tidy, detokenize, data):
    words = [tidy.id(word) for word in [*WORDS, "n't", "'m", "'s", "'ve", "'re", "[SEP]"]]
    id_ = st.sampled_from(words) | st.integers(-1, tidy.vocab_size)
    rows = data.draw(st.lists(st.lists(id_, max_size=9), min_size=1, max_size=5))
    continues = data.draw(st.lists(st.booleans(), min_size=len(rows), max_size=len(rows)))
    texts = detokenize(tf.ragged.constant(rows, tf.int32, ragged_rank=1), tf.constant(continues))
    assert [text.decode() for text in texts.numpy()] == [
        tidy.decode(row, continues=more) for row, more in zip(rows, continues, strict=True)
    ]


def test_spaces_are_cleaned_up_where_that_was_asked_for(uncased, tidy):
    ids = tidy.encode("it ' s the class ' s don't.")
    assert tidy.decode(ids) == "it's the class's don't."
    assert WordPiece(tidy.tokens).decode(ids) == "it ' s the class ' s don ' t."


@pytest.mark.parametrize("skip", [True, False])
def test_what_goes_on_with_a_text_brings_its_space_along(uncased, skip):
    ids = uncased.encode("the import of statements, [SEP]")
    for place in range(1, len(ids)):
        before = uncased.decode(ids[:place], skip)
        continues = before != ""
        assert before + uncased.decode(ids[place:], skip, continues=continues) == uncased.decode(
            ids, skip
        )


def test_byte_pairs_need_no_space_to_go_on(byte_bpe):
    ids = byte_bpe.encode(" the end")
    assert byte_bpe.decode(ids, continues=True) == " the end"
    assert byte_bpe.detokenize([ids], continues=True).numpy().tolist() == [b" the end"]


def test_token_bytes_are_what_each_token_adds_to_a_text(uncased):
    ids = uncased.encode("the statements, end", add_special_tokens=False)
    joined = b"".join(uncased.token_bytes[id_] for id_ in ids)
    assert joined == b" " + uncased.decode(ids).encode()
    assert len(uncased.token_bytes) == uncased.vocab_size
