"""What RoBERTa, DistilBERT and ELECTRA have in common, and what tells them apart."""

import keras
import numpy as np
import pytest

import keras_lm
from keras_lm import ELECTRA, DistilBERT, RoBERTa
from keras_lm.layers import TextEmbedding

SIZES = {
    "vocab_size": 50,
    "hidden_size": 16,
    "num_layers": 1,
    "num_attention_heads": 4,
    "num_hidden_units": 32,
    "max_length": 12,
    "dropout_rate": 0.0,
    "initializer_range": 0.5,
}
B, T = 3, 10
KINDS = {
    "roberta": lambda **options: RoBERTa(**SIZES, **options),
    "distilbert": lambda **options: DistilBERT(**SIZES, **options),
    "generator": lambda **options: ELECTRA(
        **SIZES, **{"embedding_size": 8, "heads": ("masked_lm",), **options}
    ),
    "discriminator": lambda **options: ELECTRA(**SIZES, **{"embedding_size": 8, **options}),
}


@pytest.fixture(scope="module", params=KINDS)
def model(request):
    return built(KINDS[request.param]())


@pytest.fixture(scope="module")
def electra():
    return built(KINDS["discriminator"](heads=("replaced_token", "masked_lm")))


def built(model):
    model.build()
    return model


def ids(batch=B, length=T, seed=0):
    return np.random.default_rng(seed).integers(5, 50, (batch, length)).astype("int32")


def test_the_output_is_that_of_the_head(model):
    inputs = {"token_ids": ids(), "masked_positions": np.array([[1, 4]] * B)}
    shape = (B, T) if model.heads == ("replaced_token",) else (B, 2, 50)
    assert model(inputs).shape == shape
    assert model(inputs).dtype == "float32"


@pytest.mark.parametrize("kind", ["roberta", "distilbert", "generator"])
def test_hidden_states_times_the_table_are_the_logits(kind):
    model = built(KINDS[kind]())
    table, bias = model.head_table("masked_lm")
    bias.assign(np.arange(50) / 10)
    logits = np.asarray(model(ids(), logits=False)) @ table.numpy().T + bias.numpy()
    np.testing.assert_allclose(logits, model(ids()), atol=1e-4)


def test_without_a_head_hidden_states_come_out():
    for kind in ("roberta", "distilbert", "discriminator"):
        model = KINDS[kind](heads=())
        assert model(ids()).shape == (B, T, 16)
        assert {w.path.split("/")[1] for w in model.weights} == {"encoder"}


def test_a_batch_of_mixed_lengths_equals_one_by_one(model):
    lengths = [10, 6, 3]
    real = np.arange(T)[None] < np.array(lengths)[:, None]
    batch = model({"token_ids": ids(), "padding_mask": real})
    for row, length in enumerate(lengths):
        alone = model({"token_ids": ids()[row : row + 1, :length]})
        np.testing.assert_allclose(batch[row, :length], alone[0], atol=1e-5)


def test_documents_in_one_row_do_not_see_each_other(model):
    first, second = ids(1, 4), ids(1, 6, seed=1)
    packed = model(
        {
            "token_ids": np.concatenate([first, second], 1),
            "document_ids": np.array([[7] * 4 + [3] * 6]),
        }
    )
    for part, alone in ((packed[:, :4], first), (packed[:, 4:], second)):
        np.testing.assert_allclose(part, model({"token_ids": alone}), atol=1e-5)


def test_positions_count(model):
    turned = model(ids()[:, ::-1])[:, ::-1]
    assert np.abs(model(ids()) - turned).max() > 1e-3


def test_a_keras_file_gives_the_same_model_back(model, tmp_path):
    model.save(tmp_path / "model.keras")
    again = keras_lm.load(tmp_path / "model.keras")
    assert type(again) is type(model)
    assert again.get_config() == model.get_config()
    np.testing.assert_allclose(again(ids()), model(ids()), atol=1e-6)


@pytest.mark.parametrize("kind", ["roberta", "distilbert"])
def test_a_model_without_segments_reads_none(kind):
    model = KINDS[kind]()
    inputs = {"token_ids": ids(), "segment_ids": np.ones((B, T), "int32")}
    np.testing.assert_array_equal(model(inputs), model(ids()))


def test_roberta_adds_its_one_segment_everywhere_and_reads_two():
    model = built(KINDS["roberta"](heads=()))
    before = model(ids())
    segments = model.encoder.embedding.segments.embeddings
    assert segments.shape == (1, 16)
    segments.assign(segments + keras.random.normal((1, 16)))
    assert np.abs(model(ids()) - before).max() > 1e-3
    two = KINDS["roberta"](num_segments=2)
    second = {"token_ids": ids(), "segment_ids": np.ones((B, T), "int32")}
    assert np.abs(two(second) - two(ids())).max() > 1e-3


def test_the_first_rows_of_robertas_position_table_are_never_read():
    model = built(KINDS["roberta"](heads=()))
    table = model.encoder.embedding.positions.embeddings
    assert table.shape == (SIZES["max_length"] + 2, 16)
    before = model(ids())
    table.assign(np.concatenate([np.full((2, 16), np.nan), table.numpy()[2:]]))
    np.testing.assert_array_equal(model(ids()), before)


def test_distilbert_can_start_with_sinusoids_and_learns_them():
    model = built(KINDS["distilbert"](sinusoidal_positions=True))
    table = model.encoder.embedding.positions.embeddings
    place, pair = np.arange(12)[:, None], np.arange(16)[None] // 2
    angle = place / 10_000 ** (2 * pair / 16)
    np.testing.assert_allclose(table[:, ::2], np.sin(angle)[:, ::2], atol=1e-6)
    np.testing.assert_allclose(table[:, 1::2], np.cos(angle)[:, 1::2], atol=1e-6)
    assert any(weight is table for weight in model.trainable_weights)


def test_electra_projects_what_is_narrower_and_has_segments(electra):
    assert electra.encoder.embedding.tokens.embeddings.shape == (50, 8)
    assert electra.encoder.projection.kernel.shape == (8, 16)
    assert electra.masked_lm.dense.kernel.shape == (16, 8)
    first = electra(ids())
    second = electra({"token_ids": ids(), "segment_ids": np.ones((B, T), "int32")})
    for head in ("replaced_token", "masked_lm"):
        assert np.abs(first[head] - second[head]).max() > 1e-3


def test_an_embedding_can_be_shared_and_is_saved_with_each_model(tmp_path):
    first = built(KINDS["discriminator"](name="first"))
    second = built(KINDS["generator"](embedding=first.encoder.embedding, name="second"))
    assert second.encoder.embedding is first.encoder.embedding
    expected = second(ids())
    second.save(tmp_path / "second.keras")
    again = keras_lm.load(tmp_path / "second.keras")
    np.testing.assert_allclose(again(ids()), expected, atol=1e-6)
    assert again.get_config()["embedding"] is None


def test_an_embedding_of_other_sizes_is_refused():
    with pytest.raises(ValueError, match=r"\(50, 8, 12\). Received: \(50, 8, 11\)"):
        KINDS["discriminator"](embedding=TextEmbedding(50, 8, 11))


@pytest.mark.parametrize(
    ("kind", "arguments", "message"),
    [
        ("roberta", {"heads": ("next_sentence",)}, "next_sentence"),
        ("distilbert", {"heads": ("replaced_token",)}, "replaced_token"),
        ("discriminator", {"heads": ("causal_lm",)}, "causal_lm"),
        ("roberta", {"first_position": -1}, "first_row=-1"),
        ("discriminator", {"embedding_size": 0}, "size=0"),
    ],
)
def test_what_cannot_be_is_refused(kind, arguments, message):
    with pytest.raises(ValueError, match=message):
        KINDS[kind](**arguments)
