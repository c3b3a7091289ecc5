"""What a model attends to, layer by layer and head by head."""

import numpy as np
import pytest
import tensorflow as tf

from keras_lm import BERT, GPT, Transformer
from keras_lm.tokenizers import WordPiece

SIZES = (16, 12, 2, 3, 20)
TOKENIZER = WordPiece(
    ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", "film", "##s", "good", "is", "."],
    end_token="[SEP]",
)


def test_scores_of_a_text_are_those_of_an_ordinary_pass_token_by_token():
    model = BERT(*SIZES, max_length=9, initializer_range=0.5, tokenizer=TOKENIZER)
    alone = model.attention_scores("Films good.")
    assert [token.token for token in alone.tokens] == ["[CLS]", "film", "##s", "good", ".", "[SEP]"]
    assert [token.text for token in alone.tokens[1:5]] == ["Film", "s", "good", "."]
    assert [token.part for token in alone.tokens] == [-1, 0, 0, 0, 0, -1]
    assert alone.scores.shape == (2, 3, 6, 6)
    assert not alone.cut
    np.testing.assert_allclose(alone.scores.sum(-1), 1, atol=1e-6)
    inputs = {"token_ids": np.array([[2, 6, 7, 8, 10, 3]])}
    states, scores = model.encoder(inputs, return_attention_scores=True)
    np.testing.assert_allclose(alone.scores, [x[0] for x in scores], atol=1e-6)
    np.testing.assert_allclose(states, model.encoder(inputs), atol=1e-6)

    pair, long = model.attention_scores([("a film", "is good"), ("a", "film " * 9)])
    assert [token.part for token in pair.tokens] == [-1, 0, 0, -1, 1, 1, -1]
    inputs = {"token_ids": [[2, 5, 6, 3, 9, 8, 3]], "segment_ids": [[0, 0, 0, 0, 1, 1, 1]]}
    inputs = {name: np.array(value) for name, value in inputs.items()}
    _, scores = model.encoder(inputs, return_attention_scores=True)
    np.testing.assert_allclose(pair.scores, [x[0] for x in scores], atol=1e-6)
    assert long.cut
    assert len(long.tokens) == 9


def test_a_decoder_sees_what_is_before_and_a_band_no_more_than_its_window():
    # Longer than a block of the band, which is computed in blocks where no scores are asked for.
    ids = tf.constant(np.random.default_rng(0).integers(0, 16, (2, 90)))
    model = GPT(*SIZES, max_length=90, window=4, initializer_range=0.3, dropout_rate=0.0)
    states, hidden, scores = model.decoder(
        ids, return_hidden_states=True, return_attention_scores=True
    )
    np.testing.assert_allclose(states, model.decoder(ids), atol=1e-4)
    assert len(hidden) == 3
    assert len(scores) == 2
    back = np.arange(90)[:, None] - np.arange(90)
    seen = [back >= 0, (back >= 0) & (back < 4)]
    for score_BHTT, see_TT in zip(scores, seen, strict=True):
        assert (score_BHTT.numpy()[..., ~see_TT] == 0).all()
        assert (score_BHTT.numpy()[..., see_TT] > 0).all()
        np.testing.assert_allclose(tf.reduce_sum(score_BHTT, -1), 1, atol=1e-5)
    # A cache comes last, as from a layer.
    states, scores, cache = model.decoder(ids[:, :5], cache=7, return_attention_scores=True)
    assert scores[0].shape == (2, 3, 5, 5)
    assert cache.position.numpy().tolist() == [5, 5]


def test_of_a_source_and_a_target_there_are_three_attentions():
    model = Transformer(*SIZES, max_length=9, num_decoder_layers=1, tokenizer=TOKENIZER)
    found = model.attention_scores("a good film", "Films")
    source = ["[CLS]", "a", "good", "film", "[SEP]"]
    assert [token.token for token in found.encoder.tokens] == source
    assert [token.token for token in found.cross.columns] == source
    for of in (found.decoder, found.cross):
        assert [token.token for token in of.tokens] == ["[SEP]", "film", "##s"]
    assert found.cross.texts == ("a good film", "Films")
    assert [token.part for token in found.cross.tokens] == [-1, 1, 1]
    assert [token.text for token in found.decoder.tokens[1:]] == ["Film", "s"]
    shapes = [of.scores.shape for of in found]
    assert shapes == [(2, 3, 5, 5), (1, 3, 3, 3), (1, 3, 3, 5)]
    for of in found:
        np.testing.assert_allclose(of.scores.sum(-1), 1, atol=1e-5)
    assert (found.decoder.scores[..., ~np.tri(3, dtype=bool)] == 0).all()
    # Its rows are what the first layer's product of queries and keys says.
    memory = model.encoder(np.array([[2, 5, 8, 6, 3]]))
    target = np.array([[3, 6, 7]])
    block = model.decoder.blocks[0]
    x = model.decoder.embedding(target)
    x = block.attention_norm(x + block.attention(x))
    size, cross = block.attention.head_dim, block.cross_attention
    query = np.reshape(cross.query(x), (3, 3, size))
    key = np.reshape(np.split(cross.key_value(memory), 2, -1)[0], (5, 3, size))
    weights = tf.nn.softmax(np.einsum("thk,shk->hts", query, key) / size**0.5)
    np.testing.assert_allclose(found.cross.scores[0], weights, atol=1e-5)
    # With a cache, too.
    _, cross, cache = model.decoder(target, memory, cache=4, return_cross_attention_scores=True)
    np.testing.assert_allclose(cross[0][0], weights, atol=1e-5)
    assert cache.position.numpy().tolist() == [3]


def test_what_has_no_scores_to_show_is_refused():
    with pytest.raises(ValueError, match=r"attention_scores\(\) needs a tokenizer"):
        BERT(*SIZES, max_length=9).attention_scores("a")
    model = BERT(*SIZES, max_length=9, tokenizer=TOKENIZER)
    with pytest.raises(ValueError, match=r"takes texts\. Received: 3"):
        model.attention_scores(3)
    with pytest.raises(ValueError, match="Received: none"):
        model.attention_scores([])
    pairs = Transformer(*SIZES, max_length=9, tokenizer=TOKENIZER)
    for asked, message in (
        ((3,), r"attention_scores\(\) takes texts\. Received: 3"),
        ((("a", "film"),), "sources must be single texts"),
        (("a", ""), "target must have a token at least"),
        (("a", "is " * 9), "Received: a target of 9 tokens"),
        ((["a", "a"], ["is"]), "target must be one for each of the 2 texts"),
    ):
        with pytest.raises(ValueError, match=message):
            pairs.attention_scores(*asked)
    with pytest.raises(ValueError, match="A block has scores of a cross-attention if"):
        model.encoder.blocks[0](np.zeros((1, 2, 12)), return_cross_attention_scores=True)
