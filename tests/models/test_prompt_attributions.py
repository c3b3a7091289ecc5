"""Which tokens of a prompt, or of a source, moved what a model writes."""

import numpy as np
import pytest
import tensorflow as tf
from line_by_hand import line_by_hand

from keras_lm import GPT, Transformer
from keras_lm.models.explanations.source_attributions import source_attributions
from keras_lm.tokenizers import WordPiece, train_byte_bpe

WORDS = ["a", "film", "##s", "good", "is", "."]
TOKENIZER = WordPiece(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *WORDS], end_token="[SEP]")
# More ids than the tokenizer has.
SIZES = (14, 12, 1, 3, 20)
SPREAD = {"max_length": 9, "dropout_rate": 0.0, "initializer_range": 0.3}


def of_labels(logits, labels):
    """The sum of the log-probabilities of labels, of what the tokenizer has text for."""
    known = tf.nn.log_softmax(logits[..., : TOKENIZER.vocab_size])
    return tf.reduce_sum(known * tf.one_hot(labels, TOKENIZER.vocab_size), axis=[1, 2])


def repeated(ids, embeddings):
    return tf.tile(tf.constant([ids]), [len(embeddings), 1])


def agrees(found, by_hand):
    scores, output, baseline_output = by_hand
    assert found.output == pytest.approx(output, abs=1e-4)
    assert found.baseline_output == pytest.approx(baseline_output, abs=1e-4)
    np.testing.assert_allclose(found.scores, scores, atol=4e-3)
    assert np.abs(found.scores).max() > 0.05
    total = found.scores.sum() - (found.output - found.baseline_output)
    assert found.error == pytest.approx(total, abs=1e-5)
    assert abs(found.error) < 4e-3


def test_a_prompt_is_explained_by_what_its_target_has_behind_it():
    model = GPT(*SIZES, **SPREAD, tokenizer=TOKENIZER)
    model.build()
    table = model.decoder.embedding.tokens.embeddings

    def said(target):
        def function(prompt):
            ids = repeated([5, 6, 7, *target[:-1]], prompt)
            embeddings = tf.concat([prompt, tf.gather(table, ids[:, 3:])], axis=1)
            logits = model({"token_ids": ids, "token_embeddings": embeddings})
            return of_labels(logits[:, 2:], target)

        return function

    found = model.attributions("A films", "good is .", batch_size=20)
    assert (found.target, found.measure, found.cut) == ("good is .", "log_probability", False)
    assert [(t.text, t.start, t.end) for t in found.tokens] == [
        ("A", 0, 1),
        ("film", 2, 6),
        ("s", 6, 7),
    ]
    agrees(found, line_by_hand(said([8, 9, 10]), table, [5, 6, 7], [0, 0, 0]))

    logits = model(np.array([[5, 6, 7]]))[0, -1, : TOKENIZER.vocab_size]
    likeliest = int(np.argmax(logits))
    one, other = model.attributions(
        ["a films", "a films"], [None, "is"], output="probability", baseline="zeros"
    )
    assert one.target == TOKENIZER.tokens[likeliest]
    by_hand = line_by_hand(lambda x: tf.exp(said([likeliest])(x)), table, [5, 6, 7], None)
    agrees(one, by_hand)
    assert one.output == pytest.approx(float(tf.nn.softmax(logits)[likeliest]), abs=1e-5)
    assert (other.target, other.measure) == ("is", "probability")


def test_a_source_is_explained_by_the_whole_target_with_its_end():
    model = Transformer(*SIZES, **SPREAD, scale_embedding=False, tokenizer=TOKENIZER)
    model.build()
    table = model.tokens.embeddings

    def function(source):
        inputs = {"token_ids": repeated([2, 5, 6, 3], source), "token_embeddings": source}
        target = repeated([3, 8, 9], source)
        hidden = model.decoder(target, model.encoder(inputs))
        return of_labels(model.seq2seq(hidden, tokens=model.tokens), [8, 9, 3])

    found = model.attributions("a film", "Good is", steps=100)
    assert [token.text for token in found.tokens] == ["[CLS]", "a", "film", "[SEP]"]
    assert (found.texts, found.target) == (("a film",), "Good is")
    agrees(found, line_by_hand(function, table, [2, 5, 6, 3], [2, 0, 0, 3]))
    np.testing.assert_array_equal(found.scores[[0, 3]], 0)
    # As it is where nobody says what was written, and nothing was.
    how = {"steps": 2, "baseline": None, "output": "probability", "batch_size": None}
    asked = []

    def write(sources):
        asked.extend(sources)
        return ["good is", ""]

    texts = ["a film", "film " * 9, "a film"]
    three = source_attributions(model, texts, [None, None, "good"], write, **how)
    assert asked == texts[:2]
    assert [one.target for one in three] == ["good is", "", "good"]
    assert [one.cut for one in three] == [False, True, False]
    assert three[0].output == pytest.approx(np.exp(found.output), rel=1e-4)
    logits = model.decoder(np.array([[3]]), model.encoder(np.array([[2, *[6] * 7, 3]])))
    logits = model.seq2seq(logits, tokens=model.tokens)
    assert three[1].output == pytest.approx(float(tf.exp(of_labels(logits, [3]))[0]), rel=1e-4)


def test_what_cannot_be_explained_is_refused(topics):
    gpt = GPT(*SIZES, **SPREAD, tokenizer=TOKENIZER)
    pairs = Transformer(*SIZES, **SPREAD, tokenizer=TOKENIZER)
    for model, asked, message in (
        (gpt, ("", "a"), r"A text must have a token at least\. Received: ''"),
        (gpt, ("a", ""), r"target must have a token at least\. Received: target=''"),
        (gpt, ("a", 3), "target must be a text that follows. Received: target=3"),
        (gpt, (3,), "takes texts. Received: 3"),
        (gpt, ([],), "Received: none"),
        (gpt, (["a", ("a", "a")],), "all of them pairs"),
        (gpt, (("a", "film"),), "prompts must be single texts.*Received: pairs, 'a'"),
        (gpt, (["a", "film"], ["is"]), "target must be one for each of the 2 texts"),
        (gpt, ("a " * 9,), "9 positions. Received: a prompt of 9 tokens, a target of 1"),
        (gpt, ("a " * 5, "is " * 5), "Received: a prompt of 5 tokens, a target of 5"),
        (pairs, ("a", "is " * 9), "behind what it begins with. Received: a target of 9 tokens"),
        (pairs, ("a", ""), "target must have a token at least"),
        (pairs, (("a", "film"),), "sources must be single texts"),
    ):
        with pytest.raises(ValueError, match=message):
            model.attributions(*asked)
    for options, message in (
        ({"output": "logit"}, "of log_probability, probability. Received: output='logit'"),
        ({"steps": 0}, "steps must be a positive number. Received: steps=0"),
        ({"baseline": "cls"}, "pad, mask, unk, zeros. Received: baseline='cls'"),
    ):
        for model in (gpt, pairs):
            with pytest.raises(ValueError, match=message):
                model.attributions("a", "is", **options)
    with pytest.raises(ValueError, match=r"attributions\(\) needs a tokenizer"):
        GPT(*SIZES, **SPREAD).attributions("a")
    bare = GPT(*SIZES, **SPREAD, heads=(), tokenizer=TOKENIZER)
    with pytest.raises(ValueError, match=r"attributions\(\)"):
        bare.attributions("a")
    with pytest.raises(ValueError, match="for this tokenizer, of pad, zeros"):
        GPT(300, *SIZES[1:], **SPREAD, tokenizer=train_byte_bpe([topics], 300)).attributions(
            "a", baseline="mask"
        )
