"""HDF5 files of Transformers 4 and checkpoints of TensorFlow 1, made here in their layout."""

import shutil

import h5py
import numpy as np
import pytest
import tensorflow as tf

from keras_lm.checkpoints import hdf5, tf1
from keras_lm.checkpoints.hdf5 import HDF5File
from keras_lm.checkpoints.opening import open_tensors
from keras_lm.checkpoints.tf1 import TF1Checkpoint


@pytest.mark.parametrize(
    ("theirs", "ours"),
    [
        (
            "tf_bert_model/bert/encoder/layer_._0/attention/self/query/kernel:0",
            ("bert.encoder.layer.0.attention.self.query.weight", True),
        ),
        (
            "tf_bert_model/bert/embeddings/LayerNorm/gamma:0",
            ("bert.embeddings.LayerNorm.weight", False),
        ),
        (
            "tf_bert_for_pre_training/mlm___cls/predictions/transform/LayerNorm/beta:0",
            ("cls.predictions.transform.LayerNorm.bias", False),
        ),
        (
            "tf_bert_model/bert/embeddings/word_embeddings/weight:0",
            ("bert.embeddings.word_embeddings.weight", False),
        ),
        ("tfgpt2lm_head_model/transformer/wte/embeddings:0", ("transformer.wte.weight", False)),
        (
            "tfgpt2lm_head_model/transformer/h_._11/attn/c_attn/weight:0",
            ("transformer.h.11.attn.c_attn.weight", False),
        ),
        ("model.shared/model.shared/embeddings:0", ("model.shared.weight", False)),
        ("final_logits_bias:0", ("final_logits_bias", False)),
        (
            "tf_bart_model/model/decoder/layers.0/fc1/kernel:0",
            ("model.decoder.layers.0.fc1.weight", True),
        ),
    ],
)
def test_names_of_hdf5_files_become_those_of_pytorch(theirs, ours):
    assert hdf5.pytorch_name(theirs) == ours


@pytest.mark.parametrize(
    ("theirs", "ours"),
    [
        (
            "bert/encoder/layer_11/attention/self/query/kernel",
            ("bert.encoder.layer.11.attention.self.query.weight", True),
        ),
        ("bert/embeddings/word_embeddings", ("bert.embeddings.word_embeddings.weight", False)),
        ("bert/embeddings/LayerNorm/beta", ("bert.embeddings.LayerNorm.bias", False)),
        ("cls/predictions/output_bias", ("cls.predictions.bias", False)),
        ("cls/seq_relationship/output_weights", ("cls.seq_relationship.weight", False)),
        ("electra/embeddings_project/kernel", ("electra.embeddings_project.weight", True)),
        ("generator_predictions/output_bias", ("generator_lm_head.bias", False)),
        (
            "discriminator_predictions/dense_1/kernel",
            ("discriminator_predictions.dense_prediction.weight", True),
        ),
        ("output_weights", ("classifier.weight", False)),
    ],
)
def test_names_of_google_become_those_of_pytorch(theirs, ours):
    assert tf1.pytorch_name(theirs) == ours


def write_hdf5(path, tensors):
    with h5py.File(path, "w") as file:
        file.attrs["layer_names"] = ["bert"]
        for name, array in tensors.items():
            file[name] = array


def test_kernels_of_hdf5_files_lie_as_in_pytorch_and_repeated_weights_are_one(tmp_path):
    kernel, table = np.arange(6.0).reshape(2, 3), np.ones((4, 2))
    write_hdf5(
        tmp_path / "tf_model.h5",
        {
            "bert/m/bert/pooler/dense/kernel:0": kernel,
            "bert/m/bert/word_embeddings/weight:0": table,
            "mlm___cls/m/bert/word_embeddings/weight:0": table,
            "transformer/m/transformer/h_._0/attn/c_attn/bias:0": np.ones((1, 5)),
        },
    )
    with open_tensors(tmp_path) as file:
        assert {name: info.shape for name, info in file.infos.items()} == {
            "bert.pooler.dense.weight": (3, 2),
            "bert.word_embeddings.weight": (4, 2),
            "transformer.h.0.attn.c_attn.bias": (5,),
        }
        np.testing.assert_array_equal(file.read("bert.pooler.dense.weight"), kernel.T)
        assert file.read("transformer.h.0.attn.c_attn.bias").shape == (5,)


def test_hdf5_files_that_are_cut_or_of_something_else_are_refused(tmp_path):
    path = tmp_path / "tf_model.h5"
    write_hdf5(path, {"bert/m/a/kernel:0": np.ones((20, 30))})
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ValueError, match=r"must be whole\. Received: .*tf_model\.h5"):
        HDF5File(path)
    path.write_bytes(b"no HDF5")
    with pytest.raises(ValueError, match="must be whole"):
        HDF5File(path)
    with h5py.File(path, "w") as file:
        file["data"] = np.ones(2)
    with pytest.raises(ValueError, match="names no layers"):
        HDF5File(path)
    write_hdf5(path, {"a/m/x/bias:0": np.ones(2), "b/m/x/bias:0": np.ones(3)})
    with pytest.raises(ValueError, match=r"x\.bias of \(2,\) and \(3,\)"):
        HDF5File(path)


@pytest.fixture
def checkpoint(tmp_path):
    values = {
        "bert/pooler/dense/kernel": np.arange(6, dtype="float32").reshape(2, 3),
        "bert/pooler/dense/kernel/adam_m": np.ones((2, 3), "float32"),
        "bert/pooler/dense/kernel/adam_v": np.ones((2, 3), "float32"),
        "cls/seq_relationship/output_weights": np.ones((2, 4), "float32"),
        "global_step": np.array(7),
    }
    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
        for name, value in values.items():
            tf.compat.v1.get_variable(name, initializer=value)
        session.run(tf.compat.v1.global_variables_initializer())
        tf.compat.v1.train.Saver().save(session, str(tmp_path / "bert_model.ckpt"))
    (tmp_path / "checkpoint").unlink()  # Google's archives have none.
    return tmp_path, values


def test_a_checkpoint_is_read_without_what_only_training_needs(checkpoint):
    directory, values = checkpoint
    with open_tensors(directory) as file:
        assert {name: info.shape for name, info in file.infos.items()} == {
            "bert.pooler.dense.weight": (3, 2),
            "cls.seq_relationship.weight": (2, 4),
        }
        np.testing.assert_array_equal(
            file.read("bert.pooler.dense.weight"), values["bert/pooler/dense/kernel"].T
        )


def test_a_checkpoint_that_is_cut_or_incomplete_is_refused(checkpoint):
    directory, _ = checkpoint
    data = next(directory.glob("*.data-*"))
    data.write_bytes(data.read_bytes()[:8])
    with pytest.raises(ValueError, match=r"bert_model\.ckpt, bert\.pooler\.dense\.weight"):
        open_tensors(directory).read("bert.pooler.dense.weight")
    index = directory / "bert_model.ckpt.index"
    index.write_bytes(index.read_bytes()[:10])
    with pytest.raises(ValueError, match=r"files must be there and whole.*bert_model\.ckpt"):
        TF1Checkpoint(directory / "bert_model.ckpt")


def test_two_checkpoints_without_a_file_that_names_the_last_are_refused(checkpoint):
    directory, _ = checkpoint
    (directory / "model.ckpt-10.index").write_bytes(b"")
    with pytest.raises(ValueError, match=r"must hold one checkpoint.*model\.ckpt-10"):
        open_tensors(directory)


def test_the_file_checkpoint_names_a_checkpoint_beside_it_alone(checkpoint, tmp_path):
    directory, _ = checkpoint
    for path in list(directory.glob("bert_model*")):
        shutil.copy(path, directory / path.name.replace("bert_model", "other"))
    state = directory / "checkpoint"
    state.write_text('model_checkpoint_path: "/far/away/other.ckpt"\n')
    assert tf1.find_checkpoint(directory) == directory / "other.ckpt"
    state.write_text(f'model_checkpoint_path: "{tmp_path.parent}/none.ckpt"\n')
    with pytest.raises(ValueError, match="must hold one checkpoint"):
        tf1.find_checkpoint(directory)


def test_hdf5_files_that_show_another_file_are_refused(tmp_path):
    (tmp_path / "secret").write_bytes(bytes(80))
    with h5py.File(tmp_path / "tf_model.h5", "w") as file:
        file.attrs["layer_names"] = ["bert"]
        place = [(str(tmp_path / "secret"), 0, 80)]
        file.create_dataset("bert/m/x/bias:0", (10,), "float64", external=place)
    with pytest.raises(ValueError, match=r"bert/m/x/bias:0 lies in another file"):
        HDF5File(tmp_path / "tf_model.h5")


def test_a_pickle_is_refused_with_the_line_that_converts_it(tmp_path):
    (tmp_path / "pytorch_model.bin").write_bytes(b"")
    with pytest.raises(ValueError, match=r"weights_only=True.*save_file"):
        open_tensors(tmp_path)


def test_a_directory_without_weights_says_what_it_holds(tmp_path):
    (tmp_path / "notes.txt").write_text("")
    with pytest.raises(FileNotFoundError, match=r"must hold model\.safetensors.*notes\.txt"):
        open_tensors(tmp_path)
