"""A training that was ended at any step goes on as if it had not been."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
from training_toys import Toy, ToyPipeline, both_heads, masked_rows

from keras_lm.training import Checkpoints, Perplexity
from keras_lm.training.keras_overrides import schedule_of

STEPS, EPOCHS = 3, 2
HERE = Path(__file__).parent


class Batches(ToyPipeline):
    """Batch i is drawn by i, with a partial one now and then."""

    def endless(self, start_step=0):
        rows = masked_rows(24)

        def batch(i):
            order_B = tf.random.experimental.index_shuffle(
                tf.range(i % 4 * 6, i % 4 * 6 + 6 - i % 2), tf.stack([i, i]), 23
            )
            return tf.nest.map_structure(lambda a: tf.gather(a, order_B), rows)

        return tf.data.Dataset.counter(start_step).map(batch)


class Dies(BaseException):
    """Not what anybody would catch."""


class Watch(keras.callbacks.Callback):
    """Keeps what each step shows, and ends the training before a step's end can be noticed."""

    def __init__(self, end_at=None, how=None, in_validation=False):
        super().__init__()
        self.seen, self.end_at, self.how = [], end_at, how
        self.in_validation = in_validation

    def on_epoch_begin(self, epoch, logs=None):
        self.epoch = epoch

    def on_train_batch_begin(self, batch, logs=None):
        if self.end_at == (self.epoch, batch) and not self.in_validation:
            self.end()

    def on_test_batch_begin(self, batch, logs=None):
        if self.end_at == (self.epoch, batch) and self.in_validation:
            self.end()

    def end(self):
        if self.how is not None:
            os.kill(os.getpid(), self.how)
        else:
            raise Dies

    def on_train_batch_end(self, batch, logs=None):
        self.seen.append((self.epoch, batch, *logs.values()))


def model_of(seed=0, dtype="float32", hidden_size=8, **arguments):
    """A model whose steps are eager: nothing of this depends on their being traced."""
    keras.utils.set_random_seed(seed)
    model = Toy(dropout_rate=0.2, dtype=dtype, hidden_size=hidden_size)
    arguments = {"run_eagerly": True, **arguments}
    model.compile(learning_rate=0.02, weighted_metrics=[Perplexity()], **arguments)
    return model


def state_of(model):
    variables = [*model.variables, *model.optimizer.variables]
    return [variable.numpy() for variable in variables]


def train(model, watch, *checkpoints, data=None, **arguments):
    arguments = {"epochs": EPOCHS, "verbose": 0, "validation_data": validation(), **arguments}
    data = Batches(STEPS) if data is None else data
    return model.fit(data, callbacks=[*checkpoints, watch], **arguments)


def validation():
    return tf.data.Dataset.from_tensor_slices(masked_rows(8, seed=5)).batch(4)


def same(ours, theirs):
    assert len(ours) == len(theirs)
    for mine, other in zip(ours, theirs, strict=True):
        np.testing.assert_array_equal(mine, other)


@pytest.fixture(scope="module")
def uninterrupted():
    """What the steps show, the history, and all variables of a training nobody ended."""
    model, watch = model_of(), Watch()
    history = train(model, watch)
    return watch.seen, history.history, state_of(model)


def check_equals(uninterrupted, seen, history, model):
    assert seen == uninterrupted[0][len(uninterrupted[0]) - len(seen) :]
    assert history.history == uninterrupted[1]
    assert history.epoch == list(range(EPOCHS))
    same(state_of(model), uninterrupted[2])


def test_a_training_that_died_at_any_step_goes_on_bit_for_bit(uninterrupted, tmp_path):
    # It dies twice in the midst of epochs, and between two checkpoints.
    for seed, end_at in enumerate([(0, 2), (1, 2)]):
        with pytest.raises(Dies):
            train(model_of(seed), Watch(end_at), Checkpoints(tmp_path, every_steps=2))
    names = [path.name for path in sorted(tmp_path.glob("e*"))]
    assert names == [
        "epoch-0000-step-00000002", "epoch-0001-step-00000000", "epoch-0001-step-00000001",
    ]  # fmt: skip
    model, watch = model_of(seed=7), Watch()
    history = train(model, watch, Checkpoints(tmp_path))
    assert watch.seen[0][:2] == (1, 1)
    check_equals(uninterrupted, watch.seen, history, model)
    assert schedule_of(model.optimizer).planned_steps == STEPS * EPOCHS
    # What is complete is not trained again, but all there.
    again, watch = model_of(seed=8), Watch()
    history = train(again, watch, Checkpoints(tmp_path))
    assert watch.seen == []
    check_equals(uninterrupted, watch.seen, history, again)


def test_sigterm_saves_at_the_end_of_the_step_and_exits(uninterrupted, tmp_path, capsys):
    before = signal.getsignal(signal.SIGTERM)
    ends = (Watch((0, 1), signal.SIGTERM), Watch((0, 1), signal.SIGTERM, in_validation=True),
            Watch((1, 2), signal.SIGTERM))  # fmt: skip
    for seed, end in enumerate(ends):
        with pytest.raises(SystemExit) as raised:
            train(model_of(seed), end, Checkpoints(tmp_path), verbose=2)
        assert raised.value.code == 143
        assert signal.getsignal(signal.SIGTERM) is before
    assert "SIGTERM: saved" in capsys.readouterr().out
    names = {path.name for path in tmp_path.glob("e*")}
    assert names == {
        f"epoch-{epoch:04d}-step-{step:08d}" for epoch, step in ((0, 3), (1, 0), (1, 3))
    }
    model, watch = model_of(seed=4), Watch()
    history = train(model, watch, Checkpoints(tmp_path))
    check_equals(uninterrupted, watch.seen, history, model)


@pytest.mark.slow
def test_a_sigterm_that_comes_after_the_last_step_is_not_lost(tmp_path):
    class Late(keras.callbacks.Callback):
        def on_train_end(self, logs=None):
            os.kill(os.getpid(), signal.SIGTERM)

    came = []
    before = signal.signal(signal.SIGTERM, lambda *_: came.append(True))
    try:
        model = model_of()
        model.fit(Batches(1), verbose=0, callbacks=[Late(), Checkpoints(tmp_path)])
    finally:
        signal.signal(signal.SIGTERM, before)
    assert came == [True]


def test_a_damaged_checkpoint_is_left_out_and_named(uninterrupted, tmp_path):
    with pytest.raises(Dies):
        train(model_of(), Watch((1, 2)), Checkpoints(tmp_path, every_steps=1))
    newest = tmp_path / "epoch-0001-step-00000002"
    data = newest / "variables.data-00000-of-00001"
    content = bytearray(data.read_bytes())
    content[len(content) // 2] ^= 1
    data.write_bytes(content)
    before = tmp_path / "epoch-0001-step-00000001"
    os.truncate(before / "checkpoint.json", 100)
    (tmp_path / ".writing-half").mkdir()  # somebody died while writing
    model, watch = model_of(seed=7), Watch()
    with pytest.warns(UserWarning, match="is damaged and left out.*checksum") as said:
        history = train(model, watch, Checkpoints(tmp_path, keep=2))
    assert [str(newest) in str(said[0].message), str(before) in str(said[1].message)] == [True] * 2
    check_equals(uninterrupted, watch.seen, history, model)
    assert watch.seen[0][:2] == (1, 0)
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        ".lock", "damaged-epoch-0001-step-00000001", "damaged-epoch-0001-step-00000002",
        "epoch-0001-step-00000000", "epoch-0002-step-00000000",
    ]  # fmt: skip


def test_a_full_disk_loses_no_checkpoint(uninterrupted, tmp_path):
    import resource

    class FillsTheDisk(Watch):
        def on_epoch_begin(self, epoch, logs=None):
            super().on_epoch_begin(epoch)
            if epoch == 1:  # the kernel writes no file further than this
                resource.setrlimit(resource.RLIMIT_FSIZE, (2_000, hard))

    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        with (
            pytest.warns(
                UserWarning, match="could not be written.*last one is epoch-0001-step-0+. "
            ),
            pytest.raises(Dies),
        ):
            train(model_of(), FillsTheDisk((1, 2)), Checkpoints(tmp_path, every_steps=1, keep=1))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert [path.name for path in tmp_path.iterdir() if path.name != ".lock"] == [
        "epoch-0001-step-00000000"
    ]
    model, watch = model_of(seed=7), Watch()
    history = train(model, watch, Checkpoints(tmp_path))
    check_equals(uninterrupted, watch.seen, history, model)
    assert len(watch.seen) == STEPS * (EPOCHS - 1)


def test_the_last_and_the_best_are_kept(tmp_path):
    class Scores(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            logs["score"] = [0.1, 0.9, float("nan"), 0.3, 0.2][epoch]

    checkpoints = Checkpoints(tmp_path, keep=2, monitor="score", mode="max")
    model, weights = model_of(), {}

    class Keeps(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            weights[epoch] = model.get_weights()

    model.fit(Batches(2), epochs=5, verbose=0, callbacks=[Scores(), Keeps(), checkpoints])
    assert [path.name[:10] for path in sorted(tmp_path.glob("e*"))] == [
        "epoch-0002", "epoch-0004", "epoch-0005",
    ]  # fmt: skip
    assert checkpoints.best == tmp_path / "epoch-0002-step-00000000"
    assert checkpoints.newest == tmp_path / "epoch-0005-step-00000000"
    other = Toy(dropout_rate=0.2)
    checkpoints.load_weights(other, "best")
    same(other.get_weights(), weights[1])
    with pytest.raises(FileNotFoundError, match="without a best one, monitor=None"):
        Checkpoints(tmp_path).load_weights(other, "best")
    with pytest.raises(ValueError, match=r"tokens/embeddings of shape \(17, 8\).*\(17, 9\)"):
        checkpoints.load_weights(Toy(hidden_size=9))


@pytest.mark.parametrize(
    ("dtype", "repeated"),
    [
        ("float32", False),  # each epoch the same three batches
        pytest.param("mixed_float16", False, marks=pytest.mark.slow),
        pytest.param("float32", True, marks=pytest.mark.slow),  # epochs cut through them
    ],
)
def test_a_dataset_goes_on_too(dtype, repeated, tmp_path):
    def rows():
        tf.random.set_seed(1)  # it belongs to the order
        order = {"seed": 3, "reshuffle_each_iteration": False}
        data = tf.data.Dataset.from_tensor_slices(masked_rows(10)).shuffle(10, **order).batch(4)
        return data.repeat() if repeated else data

    arguments = {"steps_per_epoch": 4} if repeated else {}
    model, watch = model_of(dtype=dtype), Watch()
    whole = train(model, watch, data=rows(), **arguments)
    with pytest.raises(Dies):
        train(model_of(0, dtype), Watch((1, 1)), Checkpoints(tmp_path, every_steps=1),
              data=rows(), **arguments)  # fmt: skip
    again, watched = model_of(9, dtype), Watch()
    history = train(again, watched, Checkpoints(tmp_path), data=rows(), **arguments)
    assert watched.seen == watch.seen[-len(watched.seen) :]
    assert history.history == whole.history
    same(state_of(again), state_of(model))


@pytest.mark.slow
@pytest.mark.parametrize(
    "arguments", [{}, {"steps_per_execution": 2}, {"jit_compile": True}], ids=str
)
def test_steps_that_are_traced_go_on_too(arguments, tmp_path):
    arguments = {"run_eagerly": False, **arguments}
    model, watch = model_of(**arguments), Watch()
    train(model, watch, data=Batches(4))
    for seed, end_at in enumerate([(0, 2), (1, 2)]):
        with pytest.raises(Dies):
            train(model_of(seed, **arguments), Watch(end_at), Checkpoints(tmp_path, every_steps=1),
                  data=Batches(4))  # fmt: skip
    again, watched = model_of(4, **arguments), Watch()
    train(again, watched, Checkpoints(tmp_path), data=Batches(4))
    assert watched.seen[0][0] == 1
    assert watched.seen == watch.seen[-len(watched.seen) :]
    same(state_of(again), state_of(model))


@pytest.mark.slow
def test_two_replicas_go_on(replicas, tmp_path):
    def replicated(seed):
        with replicas.scope():
            return model_of(seed)

    # Whole batches: without them Keras's logs of a step are means over unequal replicas.
    model, watch = replicated(0), Watch()
    history = train(model, watch)
    with pytest.raises(Dies):
        train(replicated(0), Watch((1, 2)), Checkpoints(tmp_path, every_steps=1))
    again, watched = replicated(4), Watch()
    history_again = train(again, watched, Checkpoints(tmp_path))
    np.testing.assert_allclose(watched.seen, watch.seen[-len(watched.seen) :], atol=1e-6)
    for name, values in history.history.items():
        np.testing.assert_allclose(history_again.history[name], values, atol=1e-6)
    for ours, theirs in zip(state_of(again), state_of(model), strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-6)
    # One device takes over from two.
    one = model_of(5)
    Checkpoints(tmp_path).load_weights(one)
    same(one.get_weights(), again.get_weights())
    train(model_of(5), Watch(), Checkpoints(tmp_path), epochs=EPOCHS + 1)


KILLED = """
import sys; sys.path.insert(0, sys.argv[1])
import signal
from test_checkpoints import *
train(model_of(), Watch((1, 1), signal.SIGKILL), Checkpoints(sys.argv[2], every_steps=1))
"""


def test_kill_9_loses_no_bit(uninterrupted, tmp_path):
    process = subprocess.run(
        [sys.executable, "-c", KILLED, str(HERE), str(tmp_path)], capture_output=True, timeout=120
    )
    assert process.returncode == -signal.SIGKILL, process.stderr
    model, watch = model_of(seed=7), Watch()
    history = train(model, watch, Checkpoints(tmp_path))
    assert watch.seen[0][:2] == (1, 1)
    check_equals(uninterrupted, watch.seen, history, model)


# What can't be.


def test_a_checkpoint_of_another_model_is_refused_by_its_first_variable(tmp_path):
    train(model_of(), Watch(), Checkpoints(tmp_path), epochs=1)
    with pytest.raises(
        ValueError,
        match=r"same model and optimizer.*whose weights have tokens/embeddings of shape \(17, 8\), "
        r"float32, where those of this model have tokens/embeddings of shape \(17, 16\)",
    ):
        train(model_of(hidden_size=16), Watch(), Checkpoints(tmp_path))
    model = Toy(dropout_rate=0.2)
    model.compile("sgd")
    with pytest.raises(ValueError, match=r"optimizer have adam_w.*/iteration.*sgd.*/iteration"):
        train(model, Watch(), Checkpoints(tmp_path))
    heads = Toy(heads=("masked_lm", "next_sentence"))
    heads.compile(learning_rate=0.1)
    rows = tf.data.Dataset.from_tensors(both_heads(4))
    with pytest.raises(ValueError, match="goes on with the data it began with"):
        heads.fit(rows, callbacks=[Checkpoints(tmp_path)])


def test_data_that_cannot_be_continued_are_refused(tmp_path):
    rows = masked_rows(8)
    model, checkpoints = model_of(), Checkpoints(tmp_path)
    with pytest.raises(
        ValueError, match=r"needs data that can start at any step.*Received: a dict"
    ):
        model.fit(rows[0], rows[1], callbacks=checkpoints)
    shuffled = tf.data.Dataset.from_tensor_slices(rows).shuffle(100, seed=1).batch(2)
    with pytest.raises(ValueError, match="reshuffle_each_iteration=False"):
        model.fit(shuffled, callbacks=[checkpoints])
    assert list(tmp_path.iterdir()) == []


def test_a_directory_that_cannot_be_written_is_refused_before_the_first_step(tmp_path):
    (tmp_path / "file").write_text("")
    for directory in (tmp_path / "file", tmp_path / "file" / "run"):
        watch = Watch()
        with pytest.raises(ValueError, match="directory must be a folder that can be made and"):
            train(model_of(), watch, Checkpoints(directory))
        assert watch.seen == []


def test_one_training_at_a_time_has_a_directory(tmp_path):
    class Intrudes(Watch):
        def on_epoch_begin(self, epoch, logs=None):
            super().on_epoch_begin(epoch)
            with pytest.raises(ValueError, match="Only one training at a time"):
                train(model_of(), Watch(), Checkpoints(tmp_path))

    train(model_of(), Intrudes(), Checkpoints(tmp_path), epochs=1)


def test_other_models_and_two_of_them_are_refused(tmp_path):
    model = keras.Sequential([keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    with pytest.raises(ValueError, match=r"fit\(\) of a keras_lm.training.LanguageModel"):
        model.fit(np.ones((2, 1)), np.ones(2), callbacks=[Checkpoints(tmp_path)], verbose=0)
    with pytest.raises(ValueError, match="has one Checkpoints"):
        train(model_of(), Watch(), Checkpoints(tmp_path), Checkpoints(tmp_path / "other"))


@pytest.mark.parametrize(
    ("arguments", "rule"),
    [
        ({"every_steps": 0}, "every_steps must be positive"),
        ({"every_minutes": -1.0}, "every_minutes must be positive"),
        ({"keep": 0}, "keep must be positive"),
        ({"monitor": "val_loss", "mode": "up"}, 'mode must be "min", "max" or None'),
        ({"monitor": "val_score"}, "whose name does not say it"),
        ({"directory": "gs://bucket/run"}, "a folder that this machine has mounted"),
    ],
)
def test_arguments_that_cannot_be_raise(arguments, rule):
    with pytest.raises(ValueError, match=rule):
        Checkpoints(**{"directory": "run", **arguments})
