"""A Transformer from text to text: it learns, answers, and tells how likely a target is."""

import contextlib

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_lm import Transformer, data
from keras_lm.generation import log_likelihood
from keras_lm.models.source_rows import SourceRows
from keras_lm.tokenizers import WordPiece, train_byte_bpe

LETTERS = "abcdefghij"
SIZES = {
    "hidden_size": 32,
    "num_layers": 1,
    "num_attention_heads": 4,
    "num_hidden_units": 64,
    "dropout_rate": 0.0,
    "max_length": 16,
}


@pytest.fixture(scope="module")
def letters():
    return WordPiece(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *LETTERS])


@pytest.fixture(scope="module")
def reversals():
    """Pairs of letters and the same letters the other way round: 64 held out, and the rest."""
    rng = np.random.default_rng(0)
    rows = {tuple(rng.choice(list(LETTERS), rng.integers(2, 5))) for _ in range(3_000)}
    pairs = [(" ".join(row), " ".join(row[::-1])) for row in sorted(rows)]
    rng.shuffle(pairs)
    pairs = [tuple(pair) for pair in pairs]
    return pairs[:64], pairs[64:]


@pytest.fixture(scope="module")
def trained(letters, reversals):
    keras.utils.set_random_seed(0)
    model = Transformer(letters.vocab_size, **SIZES, tokenizer=letters)
    model.compile(learning_rate=1e-2)
    batches = data.seq2seq(
        pairs=reversals[1], tokenizer=letters, tokens_per_batch=512, num_buckets=2
    )
    history = model.fit(batches, epochs=10, verbose=0).history
    return model, history


def test_it_learns_to_turn_rows_round(trained, reversals):
    model, history = trained
    assert set(history) == {"loss", "accuracy", "perplexity"}
    assert history["perplexity"][-1] < 1.3 < 5 < history["perplexity"][0]
    found = model.generate([source for source, _ in reversals[0]])
    right = [answer == target for answer, (_, target) in zip(found, reversals[0], strict=True)]
    assert np.mean(right) > 0.7


@pytest.mark.slow
def test_training_on_two_replicas_has_the_losses_and_weights_of_one_device(
    letters, reversals, replicas
):
    batches = data.seq2seq(
        pairs=reversals[1][:200], tokenizer=letters, tokens_per_batch=128, num_buckets=1
    )

    def train(strategy):
        keras.utils.set_random_seed(5)
        with strategy.scope() if strategy else contextlib.nullcontext():
            model = Transformer(letters.vocab_size, **SIZES)
            model.compile(learning_rate=1e-3)
        # An epoch of one step, so that the history has the loss of every step.
        return model, model.fit(batches, epochs=4, steps_per_epoch=1, verbose=0).history["loss"]

    one, two = train(None), train(replicas)
    np.testing.assert_allclose(two[1], one[1], atol=2e-6)
    for ours, theirs in zip(one[0].weights, two[0].weights, strict=True):
        np.testing.assert_allclose(theirs.numpy(), ours.numpy(), atol=2e-6, err_msg=ours.path)


def test_ids_outside_the_vocabulary_are_refused_on_either_side(letters):
    model = Transformer(letters.vocab_size, **SIZES)
    model.compile()
    row = np.ones((2, 3), "int32")
    for name in ("token_ids", "decoder_token_ids"):
        inputs = {"token_ids": row, "decoder_token_ids": row, name: row * 99}
        with pytest.raises(ValueError, match=f"{name} must be in 0 .. 14. Received: .* 99 to 99"):
            model.fit(inputs, row, verbose=0)


@pytest.fixture(scope="module")
def byte_pairs(topics):
    return {kind: train_byte_bpe([topics], 500, kind=kind) for kind in ("gpt2", "roberta")}


@pytest.mark.parametrize("kind", ["wordpiece", "gpt2", "roberta"])
def test_rows_begin_and_end_as_in_training(letters, byte_pairs, kind):
    tokenizer = letters if kind == "wordpiece" else byte_pairs[kind]
    model = Transformer(tokenizer.vocab_size, **SIZES, tokenizer=tokenizer)
    batches = data.seq2seq(
        pairs=[("a b c", "d e")], tokenizer=tokenizer, tokens_per_batch=16, drop_remainder=False
    )
    ((inputs, labels, _),) = batches.as_numpy_iterator()
    assert inputs["decoder_token_ids"][0, : len(model.start_ids)].tolist() == model.start_ids
    assert labels[0, -1] == model.end_id
    rows = SourceRows(tokenizer, 16)
    assert rows.encode(["a b c"]) == inputs["token_ids"].tolist()
    ids, lengths, cut = rows.read(tf.constant(["a b c", "", "a " * 99]))
    assert ids[:1, : lengths[0]].numpy().tolist() == inputs["token_ids"].tolist()
    assert ids[1, : lengths[1]].numpy().tolist() == rows.encode([""])[0]
    assert (lengths[2], ids[2, -1]) == (16, inputs["token_ids"][0, -1])
    assert cut.numpy().tolist() == [False, False, True]
    assert {"wordpiece": 3, "gpt2": 499, "roberta": 2}[kind] == model.end_id


def test_texts_are_answered_as_their_ids_are(trained):
    model, _ = trained
    ids = [model.tokenizer.encode(text) for text in ("a b c", "j")]
    answers = [model.tokenizer.decode(row) for row in model.generate(ids)]
    assert model.generate(["a b c", "j"]) == answers
    assert model.generate("a b c") == model.generate(b"a b c") == answers[0]
    assert model.generate(tf.constant(["a b c"])) == answers[:1]
    assert isinstance(model.generate(""), str)
    several = model.generate(["a b c", "j"], num_return_sequences=3, seed=1)
    assert [len(row) for row in several] == [3, 3]


def test_a_target_ends_before_a_stop(trained):
    model, _ = trained
    whole = model.generate("a b c d")
    assert len(whole.split()) == 4
    stop = whole[4:]
    assert model.generate("a b c d", stop=stop) == whole[:4]
    assert model.generate("a b c d", stop=["never.*", stop]) == whole[:4]


def test_a_score_is_the_sum_over_the_targets_tokens_and_its_end(trained):
    model, _ = trained
    tokenizer = model.tokenizer
    target = tokenizer.encode("c a", add_special_tokens=False)
    logits = model(
        {
            "token_ids": np.array([tokenizer.encode("a b c")]),
            "decoder_token_ids": np.array([[*model.start_ids, *target]]),
        }
    )
    expected = float(log_likelihood(logits, np.array([[*target, model.end_id]]), [3])[0])
    found = model.score("a b c", "c a")
    assert found.log_likelihood[0] == pytest.approx(expected, rel=1e-4)
    assert found.num_tokens.tolist() == [3]
    assert found.num_characters.tolist() == [3]
    assert found.perplexity[0] == pytest.approx(np.exp(-expected / 3), rel=1e-3)
    right, wrong = model.score(["a b c"] * 2, ["c b a", "a b c"]).log_likelihood
    assert right > wrong + 1


def test_scores_do_not_depend_on_the_batch(trained):
    model, _ = trained
    sources, targets = ["a b", "c", "d e f g h"], ["b a i j", "c", "h g"]
    together = model.score(sources, targets, batch_size=2)
    for row, pair in enumerate(zip(sources, targets, strict=True)):
        for values, alone in zip(together, model.score(*pair), strict=True):
            np.testing.assert_allclose(values[row], alone[0], rtol=1e-4)


@pytest.mark.parametrize(
    ("sources", "targets", "message"),
    [
        ([], [], "one pair at least"),
        (["a", "b"], ["a"], "2 sources, 1 targets"),
        (["a"], [""], "not empty"),
        (["a " * 20], ["a"], "max_length=16 tokens. Received: 22"),
        (["a"], ["a " * 16], "max_length=15 tokens. Received: 16"),
    ],
)
def test_what_cannot_be_scored_is_refused(trained, sources, targets, message):
    with pytest.raises(ValueError, match=message):
        trained[0].score(sources, targets)


def test_a_tokenizer_that_ends_no_text_is_refused(letters):
    class Endless:
        vocab_size, end_id, sep_id = 15, None, None

    with pytest.raises(ValueError, match=r"a Endless without \['end or sep'\]"):
        Transformer(15, **SIZES, tokenizer=Endless())


def test_a_source_that_is_too_long_is_refused(trained):
    with pytest.raises(ValueError, match=r"max_length=16 tokens\. Received: 22"):
        trained[0].generate("a " * 20)
