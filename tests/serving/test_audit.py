import gzip
import json
import pathlib

import pytest
import tensorflow as tf

from keras_lm.cli.main import main
from keras_lm.serving.audit import inspect
from keras_lm.serving.audit.releases import releases

KERAS_NLP = pathlib.Path(__file__).parent / "golden" / "keras_nlp_bert.pb.gz"


@pytest.fixture(scope="module")
def bad(tmp_path_factory):
    """A SavedModel with everything that a server should not be given."""

    class Bad(tf.Module):
        def __init__(self):
            self.total = tf.Variable(0.0)
            self.frozen = tf.random.normal([600, 600])

        @tf.function(autograph=False, input_signature=[tf.TensorSpec([], name="x")])
        def add(self, x):
            self.total.assign_add(x)
            with tf.device("CPU:0"):
                x = tf.numpy_function(lambda value: value, [x], tf.float32)
            tf.debugging.assert_positive(x)
            read = tf.strings.to_number(tf.io.read_file("number.txt"))
            return {"y": x + read + tf.reduce_sum(self.frozen)}

        @tf.function(
            autograph=False, jit_compile=True, input_signature=[tf.TensorSpec([3, 4], name="x")]
        )
        def double(self, x):
            return {"y": 2.0 * x}

        @tf.function(autograph=False, input_signature=[tf.TensorSpec([None], name="x")])
        def spectrum(self, x):
            found = tf.raw_ops.FFTND(input=tf.cast(x, "complex64"), fft_length=[4], axes=[0])
            return {"y": tf.abs(found)}

    path = tmp_path_factory.mktemp("saved_models") / "bad" / "1"
    model = Bad()
    signatures = {"add": model.add, "double": model.double, "spectrum": model.spectrum}
    tf.saved_model.save(model, str(path), signatures=signatures)
    return path


@pytest.fixture(scope="module")
def keras_nlp(tmp_path_factory):
    """A classifier that takes strings, exported from keras-nlp with tensorflow-text."""
    path = tmp_path_factory.mktemp("keras_nlp")
    (path / "saved_model.pb").write_bytes(gzip.decompress(KERAS_NLP.read_bytes()))
    return path


def test_exports_have_no_problem_and_run_from_2_12_on(exports, task_exports):
    for path in (*exports.glob("*/1"), *task_exports.glob("*/1")):
        found = inspect(path)
        assert found.problems == ()
        assert found.oldest == "2.12"
        alone = {name for name, value in found.signatures.items() if not value.joins_rows}
        assert alone <= {"decode_chunk", "join_states"}


def test_parameters_are_those_of_the_model(exports, gpt):
    assert inspect(exports / "gpt" / "1").parameters == gpt.count_params()


def test_each_problem_is_found_where_it_is(bad):
    found = inspect(bad)
    assert {(finding.kind, finding.where) for finding in found.problems} == {
        ("python", ("add",)),
        ("device", ("add",)),
        ("state", ("add",)),
        ("files", ("add",)),
        ("xla", ("double",)),
    }
    notes = {(f.kind, f.where) for f in found.findings if not f.is_problem}
    assert notes == {("assert", ("add",)), ("batch", ("add", "double"))}
    assert found.megabytes["large constants"] > 1
    assert found.signatures["double"].inputs[0].shape == (3, 4)


def test_what_a_release_does_not_know_is_a_problem_where_it_has_to_run(bad):
    assert inspect(bad).oldest == "2.15"
    assert inspect(bad, "2.15").problems == inspect(bad).problems
    named = {finding.what for finding in inspect(bad, "2.14").problems if finding.kind == "release"}
    assert named == {"FFTND is known from TensorFlow 2.15 on"}


def test_the_table_knows_every_operation_of_this_tensorflow():
    public = [name for name in dir(tf.raw_ops) if not name.startswith("_")]
    assert [name for name in public if releases().since(name) is None] == []


def test_an_attribute_can_be_younger_than_its_operation():
    known = releases()
    assert known.minor(known.since("VarHandleOp")) == "2.12"
    assert known.minor(known.since("VarHandleOp", ["debug_name"])) == "2.15"


def test_operations_of_tensorflow_text_are_custom(keras_nlp):
    found = inspect(keras_nlp)
    assert found.oldest is None
    custom = {finding.what for finding in found.problems if finding.kind == "custom operation"}
    operations = ("CaseFoldUTF8", "FastWordpieceTokenizeWithOffsets", "RegexSplitWithOffsets")
    assert custom == {
        f"{op} is in no TensorFlow release (tensorflow-text has it)"
        for op in (*operations, "TFText>RoundRobinTrim")
    }


def test_the_command_prints_a_table_and_exits_with_1_for_problems(bad, exports, capsys):
    assert main(["inspect", str(bad)]) == 1
    printed = capsys.readouterr().out
    assert "FFTND                                         1  2.15\n" in printed
    assert "problem: python: PyFunc needs the Python process that made it (add)\n" in printed
    assert printed.endswith("5 problems\n")
    assert main(["inspect", str(exports / "bert" / "1"), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["signatures"]["serving_default"]["inputs"][0]["shape"] == [-1]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nowhere"], "Received: nowhere, which is no directory"),
        (["."], "Give the directory of one version, with a saved_model.pb in it."),
    ],
)
def test_a_wrong_path_is_one_line(arguments, message, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["inspect", *arguments]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1


def test_a_directory_of_versions_says_which(bad, capsys):
    assert main(["inspect", str(bad.parent)]) == 2
    assert "which holds versions 1\n" in capsys.readouterr().err


def test_a_damaged_file_and_an_unknown_release_are_refused(bad, tmp_path):
    (tmp_path / "saved_model.pb").write_bytes((bad / "saved_model.pb").read_bytes()[:1000])
    with pytest.raises(ValueError, match="A SavedModel must be whole"):
        inspect(tmp_path)
    with pytest.raises(ValueError, match=r"Releases that are known are 2\.12, .*Received: 1\.15"):
        inspect(bad, "1.15")
