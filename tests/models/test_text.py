"""What models do with text, and with what is no text."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import keras_lm
from keras_lm import BERT, ELECTRA, GPT, DistilBERT, RoBERTa
from keras_lm.generation import greedy_options
from keras_lm.models.interface import made_once
from keras_lm.models.limits import CUT
from keras_lm.models.scoring import TextScorer
from keras_lm.models.text_generation import TextGenerator
from keras_lm.tokenizers import train_byte_bpe, train_wordpiece

SIZES = {
    "hidden_size": 16,
    "num_layers": 1,
    "num_attention_heads": 2,
    "num_hidden_units": 32,
    "max_length": 32,
}


@pytest.fixture(scope="module")
def bpe(topics):
    return train_byte_bpe([topics], 500)


@pytest.fixture(scope="module")
def wordpiece(topics):
    return train_wordpiece([topics], 500)


@pytest.fixture(scope="module")
def roberta_bpe(topics):
    return train_byte_bpe([topics], 500, kind="roberta")


@pytest.fixture(scope="module")
def gpt(bpe):
    model = GPT(bpe.vocab_size, **SIZES, initializer_range=0.5, tokenizer=bpe)
    model.build()
    return model


@pytest.fixture(scope="module")
def bert(wordpiece):
    model = BERT(wordpiece.vocab_size, **SIZES, tokenizer=wordpiece)
    model.build()
    return model


@pytest.mark.slow
def test_a_causal_model_over_word_pieces_goes_on_behind_a_space(topics):
    tokenizer = train_wordpiece([topics], 500, end_token="[SEP]")
    model = GPT(tokenizer.vocab_size, **SIZES, initializer_range=0.5, tokenizer=tokenizer)
    prompts = ["the assert", ""]
    found = model.generate(prompts, max_new_tokens=6)
    ids = [tokenizer.encode(prompt, add_special_tokens=False) for prompt in prompts]
    new = model.generate(ids[0], max_new_tokens=6)[len(ids[0]) :]
    assert found[0] == "the assert" + tokenizer.decode(new, continues=True)
    assert not found[1].startswith(" ")
    answer = TextGenerator(model, tokenizer).answer_text(
        tf.constant(prompts), greedy_options(tf.constant([6, 6]))
    )
    assert [text.decode() for text in answer["text"].numpy()] == found


def test_a_prompt_of_text_comes_back_with_its_continuation(gpt):
    found = gpt.generate(["The assert", "Füße 🎉"], max_new_tokens=6)
    for text, prompt in zip(found, ["The assert", "Füße 🎉"], strict=True):
        ids = gpt.tokenizer.encode(prompt)
        assert text == prompt + gpt.tokenizer.decode(
            gpt.generate(ids, max_new_tokens=6)[len(ids) :]
        )
    assert gpt.generate("The assert", max_new_tokens=6) == found[0]
    assert gpt.generate(b"The assert", max_new_tokens=6) == found[0]
    assert gpt.generate(tf.constant(["The assert"]), max_new_tokens=6) == found[:1]


def test_an_empty_prompt_begins_a_document(gpt):
    end = [gpt.tokenizer.end_id]
    begun = gpt.generate(end, max_new_tokens=6)
    assert gpt.generate("", max_new_tokens=6) == gpt.tokenizer.decode(begun[1:])
    assert gpt.generate([[]], max_new_tokens=6) == [begun[1:]]


@pytest.mark.parametrize("part", [slice(3, 4), slice(3, 6), slice(10, 13)])
def test_a_text_ends_before_a_stop_even_inside_of_a_token(gpt, part):
    options = {"max_new_tokens": 12, "temperature": 1.0, "seed": 3}
    prompt = "The assert"
    whole = gpt.generate(prompt, **options)[len(prompt) :]
    stop = whole[part]
    assert gpt.generate(prompt, stop=stop, **options) == prompt + whole[: whole.index(stop)]
    several = gpt.generate(prompt, stop=["never comes.*", stop], **options)
    assert several == prompt + whole[: whole.index(stop)]


@pytest.mark.parametrize("stop", [".*", "\n", "(a|b)[c]{2}\\", "🎉", "é"])
def test_a_stop_is_no_pattern(gpt, stop):
    options = {"max_new_tokens": 10, "temperature": 1.0, "seed": 3}
    whole = gpt.generate("The", **options)
    found = gpt.generate("The", stop=stop, **options)
    assert found == "The" + whole[3:].split(stop)[0]


def test_without_a_seed_equal_prompts_get_different_texts(gpt):
    found = gpt.generate(["The"] * 4, max_new_tokens=10, temperature=2.0)
    assert len(set(found)) > 1


def test_lists_of_limits_belong_to_the_prompts(gpt):
    found = gpt.generate([[7, 9], [7, 9]], max_new_tokens=[2, 5])
    assert [len(row) for row in found] == [4, 7]
    assert found[1][:4] == found[0]


def test_scores_do_not_depend_on_the_batch(gpt):
    texts = ["The assert statement.", "x", "Füße und Hände 漢字", "if a: pass"]
    together, alone = gpt.score(texts, batch_size=3), [gpt.score(text) for text in texts]
    for name, values in together._asdict().items():
        expected = [getattr(one, name)[0] for one in alone]
        np.testing.assert_allclose(values, expected, rtol=1e-4)
    assert together.num_characters.tolist() == [len(text) for text in texts]


def test_each_token_is_scored_behind_those_before_it(gpt, bpe):
    ids = bpe.encode("The assert statement")
    rows = [ids, [bpe.vocab_size + 7, -4, *ids], []]  # what has no text is the end token
    width = max(map(len, rows)) + 2
    padded = np.array([row + [9] * (width - len(row)) for row in rows], "int32")
    score = made_once(TextScorer, gpt, bpe).score_tokens
    found = score(tf.constant(padded), tf.constant([len(row) for row in rows]))
    found = {name: value.numpy() for name, value in found.items()}
    assert found["count"].tolist() == [len(ids), len(ids) + 2, 0]
    read = [bpe.end_id, bpe.end_id, *ids]
    logits = np.array(gpt(np.array([read])))[0, :, : bpe.vocab_size].astype("float64")
    log_probs = logits - np.log(np.exp(logits).sum(-1, keepdims=True))
    expected = [log_probs[place - 1, id_] for place, id_ in enumerate(read)]
    np.testing.assert_allclose(found["log_probs"][1, 1 : len(read)], expected[1:], atol=1e-4)
    assert found["log_probs"][0, 0] == found["log_probs"][1, 0] == 0
    assert not found["log_probs"][0, len(ids) :].any()
    assert b"".join(found["tokens"][0]) == b"The assert statement"
    for place in range(1, len(read)):
        best = np.argsort(-log_probs[place - 1])[:5]
        assert found["top_tokens"][1, place].tolist() == [bpe.token_bytes[id_] for id_ in best]
        likely = log_probs[place - 1, best]
        np.testing.assert_allclose(found["top_log_probs"][1, place], likely, atol=1e-4)
    # Of what is too long the start is read; of nothing nothing.
    long = score(tf.fill([1, 40], 5), tf.constant([40]))
    assert (long["log_probs"].shape[1], long["status"].numpy().tolist()) == (32, [CUT])
    assert score(tf.zeros([2, 0], "int32"), tf.zeros([2], "int32"))["tokens"].shape == (2, 0)


def test_a_score_is_the_sum_over_tokens(gpt):
    ids = gpt.tokenizer.encode("The assert")
    logits = gpt(np.array([[gpt.tokenizer.end_id, *ids[:-1]]]))
    expected = sum(float(tf.nn.log_softmax(logits[0, t])[id_]) for t, id_ in enumerate(ids))
    found = gpt.score("The assert")
    assert found.log_likelihood[0] == pytest.approx(expected, rel=1e-4)
    assert found.perplexity[0] == pytest.approx(np.exp(-expected / len(ids)), rel=1e-3)
    assert found.perplexity_per_character[0] == pytest.approx(np.exp(-expected / 10), rel=1e-3)


def test_text_far_longer_than_its_tokens_is_read_whole(bert):
    (filling,) = bert.fill_mask("the " + " " * 5_000 + "[MASK]", 1)
    assert filling == bert.fill_mask("the [MASK]", 1)[0]
    assert len(bert.fill_mask("a" * 5_000 + " [MASK]", 1)) == 1


def test_masks_are_filled_in_their_order(bert):
    first, second = bert.fill_mask("[MASK] is a [MASK].", 3)
    assert len(first) == len(second) == 3
    assert [score for _, score in first] == sorted((score for _, score in first), reverse=True)
    assert bert.fill_mask(["the [MASK]", b"[MASK] is a [MASK]."], 3)[1] == [first, second]
    # Another row's padding does not count.
    long = bert.fill_mask(["[MASK] is", "[MASK] " * 20], np.int64(1))
    assert long[0][0][0][0] == bert.fill_mask("[MASK] is", 1)[0][0][0]


@pytest.mark.parametrize("model_class", [DistilBERT, ELECTRA])
def test_every_masked_lm_fills_masks(model_class, wordpiece):
    options = {"heads": ("masked_lm",), "initializer_range": 0.5, "tokenizer": wordpiece}
    model = model_class(500, **SIZES, **options)
    cls, *words, sep = wordpiece.encode("is a")
    mask = wordpiece.mask_id
    probability = tf.nn.softmax(model(np.array([[cls, mask, *words, mask, sep]]))[0])
    first, second = model.fill_mask("[MASK] is a [MASK]", 3)
    for place, filling in ((1, first), (len(words) + 2, second)):
        expected = tf.math.top_k(probability[place], 3)
        assert [token for token, _ in filling] == [wordpiece.tokens[i] for i in expected.indices]
        np.testing.assert_allclose([p for _, p in filling], expected.values, rtol=1e-4)


def test_roberta_fills_its_own_mask_with_text(roberta_bpe):
    model = RoBERTa(500, **SIZES, initializer_range=0.5, tokenizer=roberta_bpe)
    # The mask takes the space before it, which is a part of the token there.
    cls, *words, sep = roberta_bpe.encode("The assert")
    row = [cls, *words, roberta_bpe.mask_id, sep]
    expected = tf.math.top_k(tf.nn.softmax(model(np.array([row]))[0, -2]), 500)
    (filling,) = model.fill_mask("The assert <mask>", 500)
    np.testing.assert_allclose([p for _, p in filling], expected.values, rtol=1e-4)
    assert [token for token, _ in filling] == [
        roberta_bpe.decode([i], skip_special_tokens=False) for i in expected.indices.numpy()
    ]
    assert " the" in [token for token, _ in filling]
    with pytest.raises(ValueError, match="must hold <mask> where"):
        model.fill_mask("The [MASK]")


def test_every_token_of_a_text_is_told_how_likely_it_was_replaced(wordpiece):
    model = ELECTRA(500, **SIZES, initializer_range=0.5, tokenizer=wordpiece)
    text = "The assert statement [MASK]"
    found = model.find_replaced(text)
    ids = wordpiece.encode(text)
    assert [token for token, _ in found] == [wordpiece.tokens[i] for i in ids[1:-1]]
    expected = tf.sigmoid(model(np.array([ids])))[0, 1:-1]
    np.testing.assert_allclose([score for _, score in found], expected, atol=1e-6)
    # Another row's padding does not count.
    several = model.find_replaced([text, "", b"x " * 20])
    assert [token for token, _ in several[0]] == [token for token, _ in found]
    np.testing.assert_allclose([s for _, s in several[0]], [s for _, s in found], atol=1e-5)
    assert several[1] == []
    assert len(several[2]) == 20


def test_what_has_no_such_head_or_is_too_long_is_refused(wordpiece):
    model = ELECTRA(500, **SIZES, tokenizer=wordpiece)
    with pytest.raises(ValueError, match='needs the head "masked_lm"'):
        model.fill_mask("[MASK]")
    with pytest.raises(ValueError, match=r"max_length=32 tokens. Received: 42"):
        model.find_replaced("x " * 40)
    with pytest.raises(ValueError, match="at least one text"):
        model.find_replaced([])
    with pytest.raises(ValueError, match='needs the head "replaced_token"'):
        ELECTRA(500, **SIZES, heads=("masked_lm",), tokenizer=wordpiece).find_replaced("x")
    with pytest.raises(ValueError, match="needs a tokenizer"):
        ELECTRA(500, **SIZES).find_replaced("x")


@pytest.mark.parametrize(
    ("texts", "top_k", "message"),
    [
        ("no mask", 1, r"must hold \[MASK\].*Received: 'no mask'"),
        ("[mask]", 1, r"must hold \[MASK\]"),
        ("", 1, r"must hold \[MASK\]"),
        ([], 1, "at least one text"),
        ("[MASK]", 0, "Received: 0"),
        ("[MASK]", 501, "1 .. 500"),
        ("[MASK] " * 40, 1, "max_length=32 tokens. Received: 42"),
    ],
)
def test_what_cannot_be_filled_is_refused(bert, texts, top_k, message):
    with pytest.raises(ValueError, match=message):
        bert.fill_mask(texts, top_k)


@pytest.mark.parametrize(
    ("texts", "message"),
    [([], "not empty"), (["a", ""], "not empty"), ("word " * 40, "max_length=32 tokens")],
)
def test_what_cannot_be_scored_is_refused(gpt, texts, message):
    with pytest.raises(ValueError, match=message):
        gpt.score(texts)


@pytest.mark.parametrize(
    "prompts", [[["1", "2"]], [[1.7]], [True], {"a": 1}, [["text"]], 7, None, np.zeros((1, 1, 1))]
)
def test_what_is_no_prompt_is_refused(gpt, prompts):
    with pytest.raises(ValueError, match="prompts must be"):
        gpt.generate(prompts)


def test_a_stop_must_be_text(gpt):
    for stop in ("", ["a", ""], [1]):
        if stop == "":
            continue  # The default: no stop.
        with pytest.raises(ValueError, match="stop must be texts"):
            gpt.generate("a", stop=stop)


def test_a_tokenizer_of_another_kind_is_refused(bpe, wordpiece):
    with pytest.raises(ValueError, match=r"a ByteBPE without \['unk', 'cls', 'sep', 'mask'\]"):
        BERT(500, **SIZES, tokenizer=bpe)
    with pytest.raises(ValueError, match=r"a WordPiece without \['end'\]"):
        GPT(500, **SIZES, tokenizer=wordpiece)
    with pytest.raises(ValueError, match="Received: 'gpt2'"):
        GPT(500, **SIZES, tokenizer="gpt2")


def test_a_subclass_that_chooses_its_sizes_keeps_the_checks(bpe):
    class Small(GPT):
        def __init__(self, **kwargs):
            super().__init__(300, **SIZES, **kwargs)

    with pytest.raises(ValueError, match="500 tokens, vocab_size=300"):
        Small(tokenizer=bpe)


def test_a_model_without_its_head_is_refused(bpe):
    model = GPT(bpe.vocab_size, **SIZES, heads=(), tokenizer=bpe)
    for deed in (model.generate, model.stream, model.score):
        with pytest.raises(ValueError, match='needs the head "causal_lm"'):
            deed("text")


@pytest.mark.slow
def test_a_model_that_was_not_built_generates_and_is_saved_whole(bpe, tmp_path):
    model = GPT(bpe.vocab_size, **SIZES, tokenizer=bpe)
    text = model.generate("The", max_new_tokens=5)
    model.save(tmp_path / "model.keras")
    assert keras_lm.load(tmp_path / "model.keras").generate("The", max_new_tokens=5) == text
    fresh = GPT(bpe.vocab_size, **SIZES, tokenizer=bpe)
    fresh.save(tmp_path / "fresh.keras")
    assert len(keras_lm.load(tmp_path / "fresh.keras").weights) == len(model.weights)


def test_an_encoder_that_was_called_by_itself_is_part_of_the_model():
    model = BERT(50, **SIZES)
    model.encoder(np.ones((1, 3), "int32"))
    model.build()
    assert model(np.ones((1, 3), "int32")).shape == (1, 3, 50)


@pytest.mark.parametrize("dtype", ["float64", "bfloat16", "float16", "mixed_bfloat16"])
def test_logits_are_float32_under_every_policy(dtype):
    assert BERT(50, **SIZES, dtype=dtype)(np.ones((1, 3), "int32")).dtype == "float32"
    assert GPT(50, **SIZES, dtype=dtype)(np.ones((1, 3), "int32")).dtype == "float32"
    electra = ELECTRA(50, **SIZES, heads=("replaced_token", "masked_lm"), dtype=dtype)
    found = electra(np.ones((1, 3), "int32"))
    assert {str(logits.dtype.name) for logits in found.values()} == {"float32"}


def test_weights_made_outside_the_scope_belong_to_the_strategy_all_the_same(replicas):
    with replicas.scope():
        model = GPT(50, **SIZES)
    model.build()
    assert all(replicas.extended.variable_created_in_scope(v.value) for v in model.weights)


def test_a_keras_mask_hides_padding():
    inputs = keras.Input((None,), dtype="int32")
    x = keras.layers.Embedding(20, 8, mask_zero=True)(inputs)
    x = keras_lm.layers.PositionalEncoding(10)(x)
    x = keras_lm.layers.TransformerBlock(2, 8, 16, 0.0)(x)
    x = keras_lm.layers.MultiHeadAttention(2, 8, dropout_rate=0.0)(x)
    model = keras.Model(inputs, x)
    short, padded = np.array([[3, 4, 5]]), np.array([[3, 4, 5, 0, 0]])
    np.testing.assert_allclose(model(padded)[:, :3], model(short), atol=1e-5)
    assert padded.shape[1] == model(padded)._keras_mask.shape[1]
