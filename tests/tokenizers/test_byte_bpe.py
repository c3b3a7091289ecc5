"""The graph is held to the `tokenizers` library, id by id and text by text."""

import json
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf
import tokenizers
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from keras_lm.tokenizers.byte_bpe import ByteBPE

# All of them in TensorFlow 2.12, none with state. Look a new one up before adding it.
KNOWN_OPERATIONS = """
    AddV2 Any BitwiseAnd BroadcastTo Cast ConcatV2 Const Cumsum DecodeRaw DenseBincount
    Equal ExpandDims Fill FloorMod GatherV2 Greater GreaterEqual Identity Less LogicalAnd
    LogicalNot LogicalOr Max Maximum Minimum Mul Pack Pad PadV2 Placeholder Prod RaggedRange
    Range ReduceJoin Reshape RightShift SelectV2 Shape Size Squeeze StatelessIf
    StatelessWhile StridedSlice StringJoin StringToHashBucketFast Sub TensorScatterUpdate
    Tile UnicodeDecode UnicodeEncode UnicodeTranscode Unique UnsortedSegmentJoin
    UnsortedSegmentMin Where
"""

STRINGS = tf.TensorSpec([None], tf.string)

# What the word rule looks at, and what other tokenizers were seen to trip over.
SPACES = "\t\n\x0b\x0c\r \x85\xa0\u1680\u2000\u2009\u200a\u2028\u2029\u202f\u205f\u3000"
NO_SPACES = "\x00\x1c\x1f\x7f\u180e\u200b\u200d\u2060\ufeff\ufffd\uffff\U0010ffff\U0001f468\ufe0f"
LETTERS = "astmdrevl é\u0301\u0345\u096cßİı中한ㄱ\u1100\U00020000²½٣Ⅷ!'’,=-"
TEXTS = st.text(
    st.one_of(
        st.sampled_from(SPACES + NO_SPACES + LETTERS), st.characters(exclude_categories=["Cs"])
    ),
    max_size=40,
)
CONTRACTED = st.lists(
    st.sampled_from(["'", "s", "t", "re", "ve", "m", "ll", "d", "l", "r", " ", "\n", "a", "!", "1"])
).map("".join)


@pytest.fixture(scope="module")
def trained(topics):
    """A vocabulary of real text, and the library's own engine over it."""
    engine = tokenizers.Tokenizer(tokenizers.models.BPE())
    engine.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    engine.decoder = tokenizers.decoders.ByteLevel()
    alphabet = tokenizers.pre_tokenizers.ByteLevel.alphabet()
    trainer = tokenizers.trainers.BpeTrainer(
        vocab_size=1500,
        show_progress=False,
        initial_alphabet=alphabet,
        special_tokens=["<|endoftext|>"],
    )
    engine.train([str(topics)], trainer)
    engine.encode_special_tokens = True
    return engine


@pytest.fixture(scope="module")
def spec(trained):
    model = json.loads(trained.to_str())["model"]
    return {"vocab": model["vocab"], "merges": [" ".join(pair) for pair in model["merges"]]}


@pytest.fixture(scope="module")
def tokenizer(spec):
    return ByteBPE(**spec)


@pytest.fixture(scope="module")
def tokenize(tokenizer):
    return tf.function(tokenizer.tokenize, input_signature=[STRINGS])


@pytest.fixture(scope="module")
def detokenize(tokenizer):
    spec = tf.RaggedTensorSpec([None, None], tf.int32, ragged_rank=1)
    return tf.function(
        lambda ids: (tokenizer.detokenize(ids), tokenizer.detokenize(ids, False)),
        input_signature=[spec],
    )


def in_library(engine, texts):
    return [encoding.ids for encoding in engine.encode_batch(texts)]


def ragged(rows):
    return tf.RaggedTensor.from_row_lengths(
        tf.constant([id_ for row in rows for id_ in row], tf.int32), [len(row) for row in rows]
    )


def property_test(**kwargs):
    def decorate(test):
        checks = [HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
        relaxed = settings(deadline=None, max_examples=60, suppress_health_check=checks)
        return relaxed(given(**kwargs)(test))

    return decorate


@property_test(texts=st.lists(TEXTS, max_size=8))
def test_any_unicode_gives_the_ids_of_the_library(tokenize, trained, texts):
    got = tokenize(tf.constant([text.encode() for text in texts], tf.string)).to_list()
    assert got == in_library(trained, texts)


@property_test(texts=st.lists(CONTRACTED, max_size=8))
def test_contractions_count_only_where_the_apostrophe_begins_a_token(tokenize, trained, texts):
    got = tokenize(tf.constant(texts, tf.string)).to_list()
    assert got == in_library(trained, texts)


@property_test(texts=st.lists(st.binary(max_size=12), max_size=8))
def test_invalid_utf8_is_read_as_python_replaces_it(tokenize, trained, texts):
    got = tokenize(tf.constant(texts, tf.string)).to_list()
    assert got == in_library(trained, [text.decode("utf-8", "replace") for text in texts])


@property_test(rows=st.lists(st.lists(st.integers(0, 1499), max_size=12), max_size=6))
def test_any_ids_give_the_text_of_the_library(detokenize, trained, rows):
    skipped, kept = detokenize(ragged(rows))
    assert [text.decode() for text in skipped.numpy()] == trained.decode_batch(rows)
    assert [text.decode() for text in kept.numpy()] == trained.decode_batch(
        rows, skip_special_tokens=False
    )


@property_test(text=TEXTS)
def test_any_text_comes_back_as_it_was(tokenizer, detokenize, tokenize, text):
    ids = tokenize(tf.constant([text.encode()]))
    assert detokenize(ids)[0].numpy()[0].decode() == text
    assert tokenizer.decode(tokenizer.encode(text)) == text


def test_real_text_gives_the_ids_of_the_library(tokenize, trained, topics):
    text = topics.read_text("utf-8")
    texts = [*text.split("\n"), text]
    assert tokenize(tf.constant(texts)).to_list() == in_library(trained, texts)


def test_a_long_word_gives_the_ids_of_the_library(tokenize, trained):
    letters = np.random.default_rng(0).choice(list("etaoinshrdlu"), 10_000)
    texts = [
        "".join(letters),
        "a" * 10_001,
        "=" * 10_000,
        " " * 9_999,
        "\n\t" * 5_000,
        "中" * 3_000,
    ]
    assert tokenize(tf.constant(texts)).to_list() == in_library(trained, texts)


@pytest.mark.parametrize("texts", [[], [""], ["", "", "a", ""], ["\n"], [" "], ["  a"]])
def test_empty_texts_keep_their_rows(tokenize, trained, texts):
    assert tokenize(tf.constant(texts, tf.string)).to_list() == in_library(trained, texts)


def test_ids_are_the_same_eagerly_and_in_a_pipeline(tokenizer, trained):
    texts = ["Hello  world's\n\n end", "", "don't 'reveal 12345", "naïve 中文"]
    assert tokenizer.tokenize(texts).to_list() == in_library(trained, texts)
    pipeline = tf.data.Dataset.from_tensor_slices(texts).batch(3).map(tokenizer.tokenize)
    assert [row for batch in pipeline for row in batch.to_list()] == in_library(trained, texts)


def test_a_tokenizer_first_used_inside_a_function_can_be_used_outside(spec, trained):
    fresh = ByteBPE(**spec)
    inside = tf.function(fresh.tokenize)(tf.constant(["it's a word"])).to_list()
    assert (
        inside == fresh.tokenize(["it's a word"]).to_list() == in_library(trained, ["it's a word"])
    )


class Exported(tf.Module):
    def __init__(self, tokenizer):
        super().__init__()
        self._tokenizer = tokenizer

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="text")])
    def __call__(self, text):
        ids = self._tokenizer.tokenize(text)
        return {
            "ids": ids.values,
            "splits": ids.row_splits,
            "text": self._tokenizer.detokenize(ids),
        }


# By default tests/serving asks such a process, and test_tokenizer_export a graph that was loaded.
@pytest.mark.slow
def test_a_saved_model_gives_the_same_ids_in_a_process_with_tensorflow_alone(
    tokenizer, trained, tmp_path
):
    texts = ["Hello  world's end", "", "unseenwords zzqj 中文\n\n", "'ll"]
    tf.saved_model.save(Exported(tokenizer), str(tmp_path / "model"))
    (tmp_path / "texts.json").write_text(json.dumps(texts))
    program = """
import json, sys, tensorflow as tf
texts = json.load(open(sys.argv[1] + "/texts.json"))
model = tf.saved_model.load(sys.argv[1] + "/model")
out = model.signatures["serving_default"](tf.constant(texts))
rows = tf.RaggedTensor.from_row_splits(out["ids"], out["splits"]).to_list()
print(json.dumps([rows, [text.decode() for text in out["text"].numpy()]]))
assert "keras_lm" not in sys.modules and "tensorflow_text" not in sys.modules
"""
    command = [sys.executable, "-c", program, str(tmp_path)]
    result = subprocess.run(command, capture_output=True, text=True, check=True, cwd=tmp_path)
    assert json.loads(result.stdout.splitlines()[-1]) == [in_library(trained, texts), texts]


def test_the_graph_holds_only_operations_that_tensorflow_2_12_has(tokenizer):
    exported = Exported(tokenizer)
    graph = exported.__call__.get_concrete_function().graph.as_graph_def()
    functions = [node for function in graph.library.function for node in function.node_def]
    used = {node.op for node in [*graph.node, *functions]}
    assert used - set(KNOWN_OPERATIONS.split()) == set()


def test_special_tokens_in_a_text_are_text_unless_parsed(spec, tokenizer, trained):
    text = "a<|endoftext|> <|endoftext|>'s <|endoftext|"
    assert tokenizer.tokenize([text]).to_list() == in_library(trained, [text])
    assert tokenizer.end_id not in tokenizer.encode(text)

    parsing = ByteBPE(**spec, special_tokens="parse")
    ids = parsing.encode(text)
    assert ids.count(parsing.end_id) == 2
    assert parsing.tokenize([text]).to_list() == [ids]


def test_ids_outside_of_the_vocabulary_leave_no_text(tokenizer):
    a, b = tokenizer.encode("a"), tokenizer.encode("b")
    row = [-1, *a, tokenizer.vocab_size, 2**31 - 1, *b, tokenizer.end_id]
    assert tokenizer.detokenize(tf.constant([row])).numpy().tolist() == [b"ab"]
    assert tokenizer.decode(row) == "ab"


def test_broken_characters_are_replaced_as_the_library_replaces_them(tokenizer, trained):
    first, second, third = (
        tokenizer.encode("\u6f22")[-3:]
        if len(tokenizer.encode("\u6f22")) > 2
        else [tokenizer.id(letter) for letter in "æ¼¢"]
    )
    rows = [
        [first],
        [first, second],
        [second, third],
        [third, first, second, third],
        [first, first],
    ]
    got = [text.decode() for text in tokenizer.detokenize(ragged(rows)).numpy()]
    assert got == trained.decode_batch(rows)
    assert "\ufffd" in got[0]


def test_the_end_token_is_the_only_special_token_and_pads(tokenizer):
    assert tokenizer.tokens[tokenizer.end_id] == "<|endoftext|>"
    assert tokenizer.pad_id == tokenizer.end_id
    assert tokenizer.special_ids == (tokenizer.end_id,)
    assert tokenizer.cls_id is tokenizer.sep_id is tokenizer.mask_id is tokenizer.unk_id is None


def test_token_bytes_join_to_the_text(tokenizer):
    text = "naïve 中文 it's"
    assert b"".join(tokenizer.token_bytes[id_] for id_ in tokenizer.encode(text)) == text.encode()
    assert len(tokenizer.token_bytes) == tokenizer.vocab_size


def test_the_configuration_makes_the_same_tokenizer(tokenizer):
    config = json.loads(json.dumps(tokenizer.get_config()))
    again = ByteBPE.from_config(config)
    assert again.get_config() == tokenizer.get_config()
    assert again.encode("it's the same") == tokenizer.encode("it's the same")
    with pytest.raises(TypeError, match="end_tokn"):
        ByteBPE.from_config({**config, "end_tokn": "x"})


def test_saved_files_make_the_same_tokenizer(tokenizer, tmp_path):
    tokenizer.save(tmp_path)
    again = ByteBPE(tmp_path / "vocab.json", tmp_path / "merges.txt")
    assert again.get_config() == tokenizer.get_config()


def test_the_librarys_own_files_are_read(trained, tokenizer, tmp_path):
    trained.model.save(str(tmp_path))
    again = ByteBPE(str(tmp_path / "vocab.json"), str(tmp_path / "merges.txt"))
    assert again.get_config() == tokenizer.get_config()


LETTERS_ONLY = {"a": 0, "b": 1, "ab": 2, "<|endoftext|>": 3}


@pytest.mark.parametrize("merge", ["a", "a b c", "a  b", "", " ab", "ab "])
def test_a_broken_merge_is_named_with_its_line(merge, tmp_path):
    (tmp_path / "merges.txt").write_text(f"#version: 0.2\na b\n{merge}\nb a\n")
    with pytest.raises(ValueError, match=r"two tokens .* Received: .*merges.txt', line 3"):
        ByteBPE(LETTERS_ONLY, tmp_path / "merges.txt")
    with pytest.raises(ValueError, match=r"two tokens .* Received: merge 2"):
        ByteBPE(LETTERS_ONLY, ["a b", merge])


@pytest.mark.parametrize(("merge", "missing"), [("x b", "'x'"), ("a y", "'y'"), ("b a", "'ba'")])
def test_a_token_of_a_merge_that_the_vocabulary_lacks_is_named(merge, missing):
    with pytest.raises(
        ValueError, match=f"in the vocabulary. Received: .* and {missing} is missing"
    ):
        ByteBPE(LETTERS_ONLY, [merge])


def test_a_vocabulary_without_the_end_token_raises():
    with pytest.raises(ValueError, match=r"must have .*<\|endoftext\|>.*Received: 1 tokens"):
        ByteBPE({"a": 0}, [])


def test_a_vocabulary_with_holes_raises():
    with pytest.raises(ValueError, match=r"0 \.\. V-1"):
        ByteBPE({"a": 0, "<|endoftext|>": 2}, [])


@pytest.mark.parametrize(("content", "rule"), [("{", "must be JSON"), ("[1]", "one object")])
def test_a_broken_vocabulary_file_is_named(content, rule, tmp_path):
    (tmp_path / "vocab.json").write_text(content)
    with pytest.raises(ValueError, match=rf"{rule}.*Received: .*vocab.json"):
        ByteBPE(tmp_path / "vocab.json", [])


def test_bytes_without_a_token_vanish_as_in_the_library():
    tokenizer = ByteBPE(LETTERS_ONLY, ["a b"])
    text = "axb ba\u00e9ab"
    assert tokenizer.tokenize([text]).to_list() == [tokenizer.encode(text)] == [[2, 1, 0, 2]]


def test_of_two_merges_alike_the_later_counts_as_in_the_library():
    vocab = {"a": 0, "b": 1, "ab": 2, "bb": 3, "<|endoftext|>": 4}
    tokenizer = ByteBPE(vocab, ["a b", "b b", "a b"])
    assert tokenizer.tokenize(["abb"]).to_list() == [tokenizer.encode("abb")] == [[0, 3]]


def test_tokens_that_no_merge_makes_are_not_found():
    vocab = {"a": 0, "b": 1, "ab": 2, "<|endoftext|>": 3, "ba": 4, "a b": 5}
    tokenizer = ByteBPE(vocab, ["a b"])
    assert tokenizer.tokenize(["ba", "ab"]).to_list() == [[1, 0], [2]]
    assert tokenizer.detokenize(tf.constant([[5, 4]])).numpy()[0] == b"a bba"
    assert tokenizer.decode([5, 4]) == "a bba"
