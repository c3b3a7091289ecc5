import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_lm.data import Pipeline, causal_lm, denoising, masked_lm, seq2seq
from keras_lm.data.row_pipeline import RowPipeline

B = 4


def rows_and_draws(row_B, seed):
    draw_B = tf.random.stateless_uniform(tf.shape(row_B), seed, alg="philox")
    return {"row": row_B, "draw": draw_B}


def make(num_rows=22, **arguments):
    return RowPipeline(rows_and_draws, num_rows=num_rows, batch_size=B, **arguments)


def listed(dataset):
    return [(b["row"].tolist(), b["draw"].tolist()) for b in dataset.as_numpy_iterator()]


def rows(dataset):
    return [row for batch in dataset.as_numpy_iterator() for row in batch["row"].tolist()]


def test_cardinality_is_one_epoch_of_full_batches():
    pipeline = make(22)
    assert isinstance(pipeline, Pipeline)
    assert isinstance(pipeline, tf.data.Dataset)
    assert pipeline.steps_per_epoch == pipeline.cardinality() == len(pipeline) == 5
    assert len(listed(pipeline)) == 5


def test_an_epoch_has_each_row_once_at_most_and_every_row_where_batches_are_full():
    assert len(set(rows(make(22)))) == 20
    assert sorted(rows(make(20))) == list(range(20))
    assert rows(make(20)) != list(range(20))


def test_without_shuffling_rows_come_as_they_stand_in_each_epoch():
    pipeline = make(22, shuffle=False)
    assert rows(pipeline.endless().take(10)) == [*range(20), *range(20)]


def test_batches_are_the_same_each_time_the_pipeline_is_iterated():
    pipeline = make()
    assert listed(pipeline) == listed(pipeline) == listed(make())


def test_batch_i_does_not_depend_on_where_the_iteration_started():
    steps = listed(make().endless().take(17))
    assert listed(make().endless(start_step=7).take(10)) == steps[7:]
    assert listed(make(start_step=7)) == steps[7:10]
    assert listed(make(start_step=10)) == steps[10:15]


def test_eager_steps_equal_those_of_the_pipeline():
    pipeline = make()
    steps = listed(pipeline.endless().take(7))
    eager = [
        tf.nest.map_structure(lambda x: x.numpy().tolist(), pipeline.step(i)) for i in range(7)
    ]
    assert [(batch["row"], batch["draw"]) for batch in eager] == steps


def test_a_late_start_needs_no_skipping():
    step = 10**12
    assert listed(make().endless(step).take(1)) == listed(make(start_step=step).take(1))


def test_epochs_differ_in_order_and_in_draws():
    steps = listed(make(20).endless().take(10))
    assert [row for row, _ in steps[:5]] != [row for row, _ in steps[5:]]
    draws = [draw for _, batch in steps for draw in batch]
    assert len(set(draws)) == len(draws)


@pytest.mark.parametrize("seed", [1, -1, 2**40, 2**63 - 1, -(2**63)])
def test_seeds_differ_in_order_and_in_draws(seed):
    ours, others = listed(make(seed=seed)), listed(make(seed=0))
    assert [row for row, _ in ours] != [row for row, _ in others]
    assert not {d for _, draw in ours for d in draw} & {d for _, draw in others for d in draw}


def test_shuffled_rows_are_spread_evenly():
    """Each row is as likely to come first as any other."""
    first = [rows[0] for rows, _ in listed(make(20).endless().take(5 * 600))[::5]]
    count = np.bincount(first, minlength=20)
    assert ((count - 30) ** 2 / 30).sum() < 45.3  # chi-square of 19 degrees, 0.1 %.


@pytest.mark.slow
def test_batches_are_what_they_were_in_another_process_at_another_time(numbered):
    pipeline = masked_lm(
        None,
        numbered,
        texts=[" ".join(f"w{i}" for i in range(j, j + 40)) for j in range(0, 2400, 40)],
        sequence_length=16,
        batch_size=8,
        next_sentence=True,
        masking="whole_word",
        seed=5,
    )
    inputs, labels, _ = next(pipeline.endless(100).as_numpy_iterator())
    row = [2, 1429, 1430, 4, 1432, 1433, 1434, 3, 1683, 1684, 3, 0, 0, 0, 0, 0]
    assert inputs["token_ids"][0].tolist() == row
    assert inputs["token_ids"].sum() == 66123
    assert inputs["masked_positions"].max(1).tolist() == [3, 5, 5, 6, 4, 10, 11, 9]
    assert labels["next_sentence"].tolist() == [1, 1, 0, 0, 1, 0, 0, 0]


def test_pipelines_know_how_often_each_id_stands_in_their_text(numbered):
    texts, rows = ["w1 w2 w1", "w2 w1"], {"sequence_length": 8, "batch_size": 1}
    sep, w1, w2 = 3, 6, 7

    def counts(pipeline):
        assert pipeline.token_counts.shape == (numbered.vocab_size,)
        return {id_: n for id_, n in enumerate(pipeline.token_counts.tolist()) if n}

    assert counts(masked_lm(None, numbered, texts=texts, **rows)) == {sep: 2, w1: 3, w2: 2}
    assert counts(denoising(None, numbered, texts=texts, permute_sentences=False, **rows)) == {
        sep: 2,
        w1: 3,
        w2: 2,
    }
    pairs = seq2seq(None, numbered, pairs=[("w1", "w2 w2")], tokens_per_batch=4)
    assert counts(pairs) == {sep: 2, w2: 2}  # the decoder's start is one of them


def test_fewer_rows_than_a_batch_raise():
    with pytest.raises(ValueError, match=r"at least one batch of rows\. Received: rows=3, batch"):
        make(3)


@pytest.fixture(scope="module")
def strategy():
    return tf.distribute.MirroredStrategy(
        ["CPU:0", "CPU:1"], cross_device_ops=tf.distribute.ReductionToOneDevice()
    )


@pytest.mark.parametrize("next_sentence", [False, True])
def test_two_replicas_together_see_the_global_batch(next_sentence, strategy, numbered):
    pipeline = masked_lm(
        None,
        numbered,
        texts=[" ".join(f"w{i}" for i in range(j, j + 40)) for j in range(0, 2400, 40)],
        sequence_length=32,
        batch_size=8,
        next_sentence=next_sentence,
    )
    distributed = strategy.experimental_distribute_dataset(pipeline.endless(3))
    for (parts, labels, weights), whole in zip(
        distributed, pipeline.endless(3).take(8), strict=False
    ):
        together = tf.nest.map_structure(
            lambda value: tf.concat(strategy.experimental_local_results(value), 0),
            (parts, labels, weights),
        )
        assert strategy.experimental_local_results(parts["token_ids"])[1].shape == (4, 32)
        tf.nest.map_structure(np.testing.assert_array_equal, together, whole)


def test_two_replicas_see_an_epoch_to_its_end(strategy, topics, bytes_bpe):
    pipeline = causal_lm(topics, bytes_bpe, sequence_length=256, batch_size=32)
    distributed = strategy.experimental_distribute_dataset(pipeline)
    assert sum(1 for _ in distributed) == pipeline.steps_per_epoch


def test_a_stock_keras_model_fits_without_warnings(topics, bytes_bpe):
    pipeline = causal_lm(topics, bytes_bpe, sequence_length=16, batch_size=32)
    ids = keras.Input((16,), dtype="int32", name="token_ids")
    hidden = keras.layers.Embedding(bytes_bpe.vocab_size, 8)(ids)
    probabilities = keras.layers.Dense(bytes_bpe.vocab_size, activation="softmax")(hidden)
    model = keras.Model({"token_ids": ids}, probabilities)
    model.compile(keras.optimizers.Adam(0.01), "sparse_categorical_crossentropy")
    history = model.fit(
        pipeline.endless(),
        steps_per_epoch=20,
        epochs=2,
        shuffle=False,  # Keras warns that a Dataset has its own order
        validation_data=pipeline.take(2),
        verbose=0,
    )
    assert history.history["val_loss"][1] < history.history["val_loss"][0]


def test_a_stock_keras_model_with_two_outputs_fits_pairs_without_warnings(numbered):
    T, P = 16, 3
    pipeline = masked_lm(
        None,
        numbered,
        texts=[" ".join(f"w{i}" for i in range(j, j + 30)) for j in range(0, 900, 30)],
        sequence_length=T,
        batch_size=8,
        next_sentence=True,
    )
    dtypes = {"token_ids": T, "segment_ids": T, "padding_mask": T, "masked_positions": P}
    inputs = {
        name: keras.Input((n,), dtype="bool" if name == "padding_mask" else "int32", name=name)
        for name, n in dtypes.items()
    }
    hidden = keras.layers.Embedding(numbered.vocab_size, 8)(inputs["token_ids"])
    pooled = keras.layers.GlobalAveragePooling1D()(hidden)
    masked = keras.layers.RepeatVector(P)(pooled)
    outputs = {
        "masked_lm": keras.layers.Dense(numbered.vocab_size, activation="softmax")(masked),
        "next_sentence": keras.layers.Dense(2, activation="softmax")(pooled),
    }
    model = keras.Model(inputs, outputs)
    model.compile("adam", dict.fromkeys(outputs, "sparse_categorical_crossentropy"))
    history = model.fit(pipeline, epochs=2, shuffle=False, verbose=0)
    assert np.isfinite(history.history["loss"]).all()
