import keras
import numpy as np
import pytest
from training_toys import Toy, masked_rows

from keras_lm.training import average_checkpoints


def moved(model, number):
    """The model's weights, as if trained a little."""
    random = np.random.default_rng(number)
    for variable in model.weights:
        variable.assign(random.normal(size=variable.shape))
    return [variable.numpy() for variable in model.weights]


@pytest.fixture
def model():
    model = Toy()
    model.build(None)
    return model


@pytest.mark.parametrize("suffix", [".weights.h5", ".keras"])
def test_the_weights_are_the_mean_of_the_files(suffix, model, tmp_path):
    weights, paths = [], []
    for number in range(3):
        weights.append(moved(model, number))
        paths.append(tmp_path / f"{number}{suffix}")
        (model.save if suffix == ".keras" else model.save_weights)(paths[-1])
    fresh = Toy()
    average_checkpoints(fresh, paths)
    for variable, *values in zip(fresh.weights, *weights, strict=True):
        mean = np.mean(np.array(values, np.float64), 0).astype(np.float32)
        np.testing.assert_array_equal(variable.numpy(), mean, err_msg=variable.path)


def test_half_precision_is_summed_in_float64(tmp_path):
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(3, dtype="bfloat16")])
    paths = []
    for number, value in enumerate([1.0, 1.0078125, 1.0078125]):
        model.layers[0].kernel.assign(np.full((2, 3), value))
        paths.append(tmp_path / f"{number}.weights.h5")
        model.save_weights(paths[-1])
    average_checkpoints(model, paths)
    kernel = keras.ops.convert_to_numpy(keras.ops.cast(model.layers[0].kernel, "float32"))
    np.testing.assert_array_equal(kernel, np.full((2, 3), 1.0078125))


@pytest.mark.slow
def test_checkpoints_of_fit_are_averaged_and_the_optimizer_stays(tmp_path):
    inputs, labels, weights = masked_rows(8)
    model = Toy(dropout_rate=0.1)
    model.compile(learning_rate=0.01)
    keep = keras.callbacks.ModelCheckpoint(
        str(tmp_path / "{epoch:03d}.weights.h5"), save_weights_only=True
    )
    model.fit(inputs, labels, sample_weight=weights, epochs=3, callbacks=[keep], verbose=0)
    state = [variable.numpy() for variable in model.optimizer.variables]
    paths = sorted(tmp_path.glob("*.weights.h5"))[-2:]
    average_checkpoints(model, paths)
    for variable, before in zip(model.optimizer.variables, state, strict=True):
        np.testing.assert_array_equal(variable.numpy(), before)
    kernels = []
    for path in paths:
        one = Toy(dropout_rate=0.1)
        one.build(None)
        one.load_weights(path)
        kernels.append(one.blocks[0].kernel.numpy())
    np.testing.assert_allclose(model.blocks[0].kernel.numpy(), np.mean(kernels, 0), rtol=1e-6)


def test_files_of_different_models_raise_with_the_tensor(model, tmp_path):
    model.save_weights(tmp_path / "a.weights.h5")
    other = Toy(hidden_size=4)
    other.build(None)
    other.save_weights(tmp_path / "b.weights.h5")
    with pytest.raises(
        ValueError, match=r"of one model\. .*\(8, 8\) in .*a.w.*, \(4, 4\) in .*b.w"
    ):
        average_checkpoints(model, [tmp_path / "a.weights.h5", tmp_path / "b.weights.h5"])


def test_paths_that_are_no_checkpoints_raise(model, tmp_path):
    with pytest.raises(ValueError, match="one file or more"):
        average_checkpoints(model, [])
    with pytest.raises(ValueError, match=r"\.weights\.h5 or a \.keras file. Received: a\.ckpt"):
        average_checkpoints(model, ["a.ckpt"])
    with pytest.raises(FileNotFoundError, match=r"no\.keras"):
        average_checkpoints(model, [tmp_path / "no.keras"])
    for name in ("a.keras", "a.weights.h5"):
        (tmp_path / name).write_bytes(b"text")
        with pytest.raises(ValueError, match=r"must be an archive|must hold HDF5"):
            average_checkpoints(model, [tmp_path / name])
