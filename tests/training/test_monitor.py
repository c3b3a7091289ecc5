"""What is told of a training is what happened in it."""

import csv

import keras
import numpy as np
import pytest
import tensorflow as tf
from training_toys import Losses, Toy, masked_rows

from keras_lm.training import AdamW, Linear, Monitor
from keras_lm.training.csv_table import CsvTable

ROWS, BATCH, STEPS = 20, 8, 3  # the last batch has 4 rows


def dataset(rows=None):
    return tf.data.Dataset.from_tensor_slices(rows or masked_rows(ROWS)).batch(BATCH)


def toy(optimizer=None, **arguments):
    keras.utils.set_random_seed(3)
    model = Toy()
    model.build(None)
    model.compile(optimizer or AdamW(Linear(0.01, 1), global_clipnorm=0.1), **arguments)
    return model


def table(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def column(path, name):
    return [float(row[name]) for row in table(path)]


def test_each_step_is_told(tmp_path):
    model, losses = toy(), Losses()
    inputs, labels, weights = (
        tf.nest.map_structure(lambda x: tf.constant(x[:BATCH]), part) for part in masked_rows(ROWS)
    )
    with tf.GradientTape() as tape:
        loss = model.compute_loss(inputs, labels, model(inputs), weights)
    norm = tf.linalg.global_norm(
        [tf.convert_to_tensor(g) for g in tape.gradient(loss, model.trainable_weights)]
    )
    monitor = Monitor(tmp_path, peak_flops=1e9)
    model.fit(
        dataset(), epochs=2, validation_data=dataset(), verbose=0, callbacks=[losses, monitor]
    )
    path = tmp_path / "steps.csv"
    assert column(path, "step") == [1, 2, 3, 4, 5, 6]
    assert column(path, "epoch") == [1, 1, 1, 2, 2, 2]
    np.testing.assert_allclose(column(path, "loss"), losses.values, rtol=1e-6)
    np.testing.assert_allclose(
        column(path, "learning_rate"), [0.01, 0.01, 0.008, 0.006, 0.004, 0.002], rtol=1e-5
    )
    assert column(path, "gradient_norm")[0] == pytest.approx(float(norm), rel=1e-5)
    mask = masked_rows(ROWS)[0]["padding_mask"]
    tokens = [mask[i : i + BATCH].sum() for i in range(0, ROWS, BATCH)]
    assert column(path, "tokens") == tokens * 2
    assert all(value > 0 for value in column(path, "flops_utilization"))
    paces = zip(*(column(path, n) for n in ("tokens", "seconds", "tokens_per_second")), strict=True)
    assert all(n / s == pytest.approx(p, rel=1e-5) for n, s, p in paces)

    epochs = table(tmp_path / "epochs.csv")
    assert [(row["epoch"], row["step"]) for row in epochs] == [("1", "3"), ("2", "6")]
    history = model.history.history
    for name in ("loss", "accuracy", "val_loss", "val_accuracy"):
        found = column(tmp_path / "epochs.csv", name)
        np.testing.assert_allclose(found, history[name], rtol=1e-6)

    found = {}
    (events,) = tmp_path.glob("events.out.tfevents*")
    for record in tf.data.TFRecordDataset(str(events)):
        event = tf.compat.v1.Event.FromString(record.numpy())
        for value in event.summary.value:
            assert value.metadata.plugin_data.plugin_name == "scalars"
            found.setdefault(value.tag, {})[event.step] = float(tf.make_ndarray(value.tensor))
    for name in ("loss", "learning_rate", "gradient_norm", "flops_utilization"):
        expected = dict(zip(range(1, 7), column(path, name), strict=True))
        assert found[f"train/{name}"] == pytest.approx(expected, rel=1e-5), name
    assert found["validation/loss"] == pytest.approx(
        dict(zip((3, 6), history["val_loss"], strict=True))
    )
    assert set(found["train/tokens_per_second"]) == set(range(1, 7))


def test_steps_of_one_execution_and_of_two_replicas_are_told_as_those_of_one_device(
    replicas, tmp_path
):
    toy().fit(dataset(), verbose=0, callbacks=[Monitor(tmp_path / "one")])
    joined = Monitor(tmp_path / "joined")
    toy(steps_per_execution=2).fit(dataset(), verbose=0, callbacks=[joined])
    with replicas.scope():
        model = toy()
    model.fit(dataset(), verbose=0, callbacks=[Monitor(tmp_path / "spread")])
    for name in ("step", "epoch", "loss", "learning_rate", "gradient_norm", "tokens"):
        one = column(tmp_path / "one" / "steps.csv", name)
        for other in ("joined", "spread"):
            found = column(tmp_path / other / "steps.csv", name)
            np.testing.assert_allclose(found, one, rtol=1e-5, err_msg=f"{other} {name}")


def test_rows_of_several_steps_are_their_mean(tmp_path):
    losses = Losses()
    model = toy()
    monitor = Monitor(tmp_path, every=2, gradient_norm=False, tensorboard=False)
    model.fit(dataset(), verbose=0, callbacks=[losses, monitor])
    path = tmp_path / "steps.csv"
    assert column(path, "step") == [2, 3]
    expected = [np.mean(losses.values[:2]), losses.values[2]]
    np.testing.assert_allclose(column(path, "loss"), expected, rtol=1e-6)
    assert "gradient_norm" not in table(path)[0]
    assert model.optimizer.on_gradients is None
    assert sorted(file.name for file in tmp_path.iterdir()) == ["epochs.csv", "steps.csv"]


def test_a_resumed_training_goes_on_with_the_file(tmp_path):
    model = toy()
    model.fit(dataset(), epochs=2, verbose=0, callbacks=[Monitor(tmp_path)])
    before = table(tmp_path / "steps.csv")[:STEPS]

    class Restores(keras.callbacks.Callback):
        def on_train_begin(self, logs=None):
            model.optimizer.iterations.assign(STEPS)

    model.fit(dataset(), epochs=2, initial_epoch=1, verbose=0,
              callbacks=[Monitor(tmp_path), Restores()])  # fmt: skip
    rows = table(tmp_path / "steps.csv")
    assert rows[:STEPS] == before
    assert [row["step"] for row in rows] == ["1", "2", "3", "4", "5", "6"]
    assert [row["epoch"] for row in table(tmp_path / "epochs.csv")] == ["1", "2"]


def test_a_row_that_cannot_be_written_is_warned_of(tmp_path, monkeypatch):
    model, monitor = toy(), Monitor(tmp_path, tensorboard=False)
    begin, failed = CsvTable._begin, []

    def full_once(self, row):
        if self.key == "step" and not failed:
            failed.append(row)
            raise OSError(28, "No space left on device")
        return begin(self, row)

    monkeypatch.setattr(CsvTable, "_begin", full_once)
    with pytest.warns(UserWarning, match=r"A row of .*steps.csv could not be written.*No space"):
        model.fit(dataset(), verbose=0, callbacks=[monitor])
    assert column(tmp_path / "steps.csv", "step") == [2, 3]


def test_a_loss_that_is_no_number_stops_the_training(tmp_path):
    inputs, labels, weights = masked_rows(ROWS)
    weights[BATCH] = np.nan  # in the second batch
    model = toy(steps_per_execution=3)
    rule = "loss of every step must be finite.* nan,.* at step 5, batch 2 of epoch 2"
    model.fit(dataset(), verbose=0, callbacks=[Monitor()])
    broken = dataset((inputs, labels, weights))
    with pytest.raises(FloatingPointError, match=rule):
        model.fit(broken, initial_epoch=1, epochs=2, verbose=0, callbacks=[Monitor(tmp_path)])
    assert [row["step"] for row in table(tmp_path / "steps.csv")] == ["4", "5"]
    model.fit(broken, verbose=0, callbacks=[Monitor(stop_on_nan=False)])


def test_a_gradient_that_is_no_number_is_told_by_name():
    model = toy(loss=lambda _, logits: tf.sqrt(tf.reduce_sum(0 * logits)))
    with pytest.raises(FloatingPointError, match=r"gradient norm of every step .*step 1,"):
        model.fit(dataset(), verbose=0, callbacks=[Monitor()])


def test_a_log_has_lines_and_verbose_rules(tmp_path, capsys):
    model = toy()
    model.fit(dataset(), callbacks=[Monitor(log_seconds=1e-9)])
    *steps, epoch = capsys.readouterr().out.splitlines()
    assert len(steps) == STEPS
    assert "| 3/3, loss " in steps[-1]
    assert "tokens/s" in steps[-1]
    assert steps[-1].endswith("left")
    assert epoch.startswith("Epoch 1/1: ")
    assert "accuracy" in epoch
    model.fit(dataset(), verbose=2, callbacks=[Monitor(log_seconds=1e-9)])
    assert len(capsys.readouterr().out.splitlines()) == 1
    model.fit(dataset(), verbose=0, callbacks=[Monitor(log_seconds=1e-9)])
    assert capsys.readouterr().out == ""


def test_what_is_not_watched_has_nothing_in_its_graph():
    def operations(model):
        step = tf.function(model.train_step)
        graph = step.get_concrete_function(next(iter(dataset()))).graph
        return len(graph.get_operations())

    model = toy()
    model.optimizer.build(model.trainable_variables)
    plain = operations(model)
    model.watch(gradient_norm=True)
    assert operations(model) > plain
    model.compile(AdamW(Linear(0.01, 1), global_clipnorm=0.1))
    model.optimizer.build(model.trainable_variables)
    model._step_values = None
    assert operations(model) == plain


def test_wrong_use_is_told_before_the_first_step(tmp_path):
    with pytest.raises(ValueError, match="every must be a positive number"):
        Monitor(every=0)
    with pytest.raises(ValueError, match="peak_flops must be a positive number"):
        Monitor(peak_flops="A100")
    with pytest.raises(ValueError, match="log_seconds must be positive"):
        Monitor(log_seconds=0)
    model = toy(keras.optimizers.SGD(0.1))
    with pytest.raises(ValueError, match=r"optimizers of keras_lm.training.*SGD"):
        model.fit(dataset(), verbose=0, callbacks=[Monitor()])
    model.fit(dataset(), verbose=0, callbacks=[Monitor(gradient_norm=False)])
    other = keras.Sequential([keras.layers.Dense(1)])
    other.compile("sgd", "mse")
    with pytest.raises(ValueError, match=r"watches a keras_lm.training.LanguageModel.*Sequential"):
        other.fit(np.ones((4, 2)), np.ones(4), verbose=0, callbacks=[Monitor()])
    (tmp_path / "steps.csv").write_text("a,b\n")
    with pytest.raises(ValueError, match="whose first line is 'a,b'"):
        toy().fit(dataset(), verbose=0, callbacks=[Monitor(tmp_path)])
