import pytest
import tensorflow as tf
import tokenizers
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import AddedToken, models, pre_tokenizers

from keras_lm.tokenizers import WordPiece
from keras_lm.tokenizers.characters import decode
from keras_lm.tokenizers.special_tokens import SpecialTokens

fast = settings(max_examples=50, deadline=None, derandomize=True)
PIECES = [
    "[SEP]",
    "[MASK]",
    "[CLS",
    "[",
    "sep",
    "]",
    " ",
    "the",
    "class",
    "[UNK]",
    "\xa0",
    "é",
    "[[PAD]]",
    "!",
]
TEXTS = st.lists(st.lists(st.sampled_from(PIECES), max_size=10).map("".join), max_size=5)


KINDS = {
    "text": {"special_tokens": "text"},
    "parse": {"special_tokens": "parse"},
    "other tokens": {
        "special_tokens": "parse",
        "mask_token": "!",
        "end_token": "[PAD]",
        "extra_special_tokens": ["the", "]"],
    },
}


@pytest.fixture(scope="module", params=KINDS)
def tokenizer(request, uncased):
    return WordPiece(uncased.tokens, **KINDS[request.param])


@fast
@given(TEXTS)
def test_literal_special_tokens_are_read_as_the_library_reads_them(tokenizer, texts):
    ids = tokenizer.tokenize(tf.constant(texts, tf.string, [len(texts)])).to_list()
    assert ids == tokenizer.encode_batch(texts)


def test_by_default_a_special_token_in_a_text_is_text(uncased):
    assert uncased.sep_id not in uncased.encode("[SEP]", add_special_tokens=False)
    assert WordPiece(uncased.tokens, special_tokens="parse").encode(
        "the[SEP]", add_special_tokens=False
    ) == [uncased.id("the"), uncased.sep_id]


def by_character(tokens):
    """The library's engine, and the graph's, over a vocabulary of characters."""
    alphabet = ["<unk>", *"abc <>|\t\u3000."]
    engine = tokenizers.Tokenizer(
        models.WordLevel({x: id_ for id_, x in enumerate(alphabet)}, unk_token="<unk>")
    )
    engine.pre_tokenizer = pre_tokenizers.Split("", "isolated")
    engine.add_special_tokens(tokens)
    ids = {ord(x): id_ for id_, x in enumerate(alphabet[1:], 1)}
    table = tf.constant([ids.get(x, 0) for x in range(0x10000)])
    special = SpecialTokens(tokens, [engine.token_to_id(token.content) for token in tokens])

    def tokenize(strings):
        return special.tokenize(
            strings, lambda x: tf.ragged.map_flat_values(tf.gather, table, decode(x))
        )

    return engine, tokenize


LETTERS = st.lists(
    st.sampled_from(["<a>", "<a>b", "<|", "<|a|>", "|", ">", " ", "\t", "\u3000", "a", "b", "."]),
    max_size=10,
).map("".join)


@fast
@given(st.lists(LETTERS, min_size=1, max_size=5))
def test_the_leftmost_longest_token_wins_and_takes_spaces_along(texts):
    engine, tokenize = by_character(
        [
            AddedToken("<a>", special=True),
            AddedToken("<a>b", special=True, lstrip=True),
            AddedToken("<|a|>", special=True, rstrip=True),
            AddedToken(".", special=True, lstrip=True, rstrip=True),
        ]
    )
    assert tokenize(tf.constant(texts)).to_list() == [engine.encode(text).ids for text in texts]


def test_invalid_bytes_do_not_pass_for_the_mark_between_pieces():
    engine, tokenize = by_character([AddedToken("<a>", special=True)])
    text = b"a\xffb<a>\xff\xff<a>"
    assert tokenize(tf.constant([text])).to_list() == [
        engine.encode(text.decode("utf-8", "replace")).ids
    ]


@pytest.mark.parametrize("keywords", [{"single_word": True}, {"normalized": True}])
def test_a_rule_that_is_not_supported_is_refused(keywords):
    with pytest.raises(ValueError, match="single_word"):
        SpecialTokens([AddedToken("<a>", special=True, **keywords)], [0])
