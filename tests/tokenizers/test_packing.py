import pytest
import tensorflow as tf
import tokenizers
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import models, pre_tokenizers, processors

from keras_lm.tokenizers import packing

WORDS = ["[PAD]", "[CLS]", "[SEP]", *"abcdefgh"]
ROWS = st.lists(st.lists(st.sampled_from("abcdefgh"), max_size=9), min_size=4, max_size=4)


def reference(max_length):
    engine = tokenizers.Tokenizer(
        models.WordLevel({word: id_ for id_, word in enumerate(WORDS)}, unk_token="[PAD]")
    )
    engine.pre_tokenizer = pre_tokenizers.Whitespace()
    engine.post_processor = processors.TemplateProcessing(
        "[CLS] $A [SEP]", "[CLS] $A [SEP] $B:1 [SEP]:1", [("[CLS]", 1), ("[SEP]", 2)]
    )
    engine.enable_truncation(max_length)
    engine.enable_padding(length=max_length)
    return engine


def ids(rows):
    return tf.ragged.constant(
        [[WORDS.index(word) for word in row] for row in rows], tf.int32, ragged_rank=1
    )


def bert(first, second, max_length):
    return packing.pack(first, second, max_length=max_length, start_id=1, separator_id=2, pad_id=0)


@settings(deadline=None, derandomize=True, max_examples=60)
@given(ROWS, st.none() | ROWS, st.integers(3, 16))
def test_rows_are_what_the_library_packs_and_truncates(first, second, max_length):
    packed = bert(ids(first), None if second is None else ids(second), max_length)
    for row, words in enumerate(first):
        pair = () if second is None else (" ".join(second[row]),)
        expected = reference(max_length).encode(" ".join(words), *pair)
        assert packed["token_ids"][row].numpy().tolist() == expected.ids
        assert packed["segment_ids"][row].numpy().tolist() == expected.type_ids
        assert packed["padding_mask"][row].numpy().tolist() == [
            bool(mask) for mask in expected.attention_mask
        ]


def test_without_special_tokens_rows_are_cut_at_the_end_and_padded():
    packed = packing.pack(
        tf.ragged.constant([[5, 6, 7, 8], [9], []]),
        max_length=3,
        second=None,
        start_id=None,
        separator_id=None,
        pad_id=4,
    )
    assert packed["token_ids"].numpy().tolist() == [[5, 6, 7], [9, 4, 4], [4, 4, 4]]
    assert packed["padding_mask"].numpy().sum(1).tolist() == [3, 1, 0]


def test_the_mask_counts_lengths_and_not_padding_ids():
    packed = bert(tf.constant([[0, 0, 3]]), None, 6)
    assert packed["padding_mask"].numpy().tolist() == [[True] * 5 + [False]]


def test_shapes_are_known_in_a_graph_with_any_batch():
    @tf.function(input_signature=[tf.RaggedTensorSpec([None, None], tf.int32)] * 2)
    def pack(first, second):
        packed = bert(first, second, 8)
        assert [value.shape[1] for value in packed.values()] == [8, 8, 8]
        assert packed["token_ids"].dtype == packed["segment_ids"].dtype == tf.int32
        return packed

    assert pack(ids(["ab", "c"]), ids(["d", ""]))["token_ids"].shape == (2, 8)


def test_a_row_that_cannot_hold_its_special_tokens_is_refused():
    with pytest.raises(ValueError, match="Received: max_length=2"):
        bert(ids(["ab"]), ids(["c"]), 2)


def test_a_pair_without_a_separator_is_refused():
    with pytest.raises(ValueError, match="separator"):
        packing.pack(
            ids(["a"]), ids(["b"]), max_length=4, start_id=None, separator_id=None, pad_id=0
        )
