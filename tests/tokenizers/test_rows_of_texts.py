"""Texts and pairs with literal special tokens: ids and rows in the graph are those of the host."""

import pytest
import tensorflow as tf
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from unicode_texts import SPACES, TEXT

from keras_lm.tokenizers import ByteBPE, WordPiece

many = settings(
    max_examples=30, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True
)
SPECIAL = ["<mask>", "<s>", "</s>", "<unk>", "<pad>", "[MASK]", "[SEP]", "[CLS]", "<|endoftext|>"]
PIECES = [
    *SPECIAL,
    "<",
    "s>",
    "mask",
    "[",
    " ",
    "the",
    " class",
    "'s",
    "é",
    "<mask><mask>",
    *SPACES,
]
TEXTS = st.lists(st.sampled_from(PIECES), max_size=10).map("".join) | TEXT
KINDS = {
    "wordpiece": ("uncased", {"special_tokens": "parse"}),
    "gpt2": ("byte_bpe", {"special_tokens": "parse"}),
    "roberta, text and prefix": ("roberta", {"add_prefix_space": True}),
    "roberta": ("roberta", {"special_tokens": "parse"}),
    "roberta, prefix": ("roberta", {"special_tokens": "parse", "add_prefix_space": True}),
    "roberta, more tokens, and the mask leaves spaces": (
        "roberta",
        {
            "special_tokens": "parse",
            "mask_lstrip": False,
            "extra_special_tokens": ["Ġthe", "s", "<"],
        },
    ),
}


@pytest.fixture(scope="module", params=KINDS)
def both(request):
    """A tokenizer, and its ids and rows in a graph that knows no batch size."""
    name, changes = KINDS[request.param]
    config = request.getfixturevalue(name).get_config() | changes
    tokenizer = (WordPiece if name == "uncased" else ByteBPE).from_config(config)

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string)] * 2)
    def rows(first, second):
        ids = tokenizer.tokenize(first), tokenizer.tokenize(second)
        alone = tokenizer.pack(ids[0], max_length=9)
        pairs = {} if tokenizer.sep_id is None else tokenizer.pack(*ids, max_length=11)
        return ids[0], alone, pairs

    return tokenizer, rows


def on_the_host(tokenizer, max_length, *texts):
    """What the library encodes, truncates and pads."""
    tokenizer.host.enable_truncation(max_length)
    tokenizer.host.enable_padding(length=max_length, pad_id=tokenizer.pad_id)
    try:
        return tokenizer.host.encode(*texts)
    finally:
        tokenizer.host.no_truncation()
        tokenizer.host.no_padding()


@many
@given(st.lists(st.tuples(TEXTS, TEXTS), min_size=1, max_size=5))
def test_ids_and_rows_of_texts_and_pairs_are_those_of_the_library(both, pairs):
    tokenizer, rows = both
    first, second = ([pair[place] for pair in pairs] for place in (0, 1))
    ids, *packed = rows(tf.constant(first), tf.constant(second))
    assert ids.to_list() == tokenizer.encode_batch(first)
    alone = [on_the_host(tokenizer, 9, text) for text in first]
    together = [on_the_host(tokenizer, 11, *pair) for pair in pairs]
    for found, expected in zip(packed, (alone, together), strict=True):
        if found:
            assert found["token_ids"].numpy().tolist() == [row.ids for row in expected]
            masks = found["padding_mask"].numpy().astype(int)
            assert masks.tolist() == [row.attention_mask for row in expected]
        if "segment_ids" in found:
            assert found["segment_ids"].numpy().tolist() == [row.type_ids for row in expected]


def test_only_wordpiece_has_segments(both):
    tokenizer, _ = both
    packed = tokenizer.pack(tf.ragged.constant([[4]]), max_length=4)
    assert ("segment_ids" in packed) == isinstance(tokenizer, WordPiece)
