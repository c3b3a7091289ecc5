"""What is exported runs where there is no Python: core operations, nothing written."""

import json
import os
import subprocess
import sys

import pytest
import tensorflow as tf
from tensorflow.core.protobuf import saved_model_pb2

from keras_lm.tokenizers import ByteBPE, WordPiece

TEXTS = [
    "The import [SEP] statement",
    "",
    "Ångström \u096c 的 \u1112\u1161\u11ab",
    "<|endoftext|> \xa0\n\n x",
    "a <mask></s>b",
]

LOADED = """
import json
import sys
import tensorflow as tf
model = tf.saved_model.load(sys.argv[1])
dense = model.tokenize(tf.constant(json.loads(sys.argv[2])))
texts = [text.decode() for text in model.detokenize(dense).numpy()]
print(json.dumps([dense.numpy().tolist(), texts]))
"""


@pytest.fixture(params=["wordpiece", "byte_bpe", "roberta"])
def tokenizer(request, uncased, byte_bpe, roberta):
    if request.param == "wordpiece":
        return WordPiece(uncased.tokens, special_tokens="parse", clean_up_spaces=True)
    made = {"byte_bpe": byte_bpe, "roberta": roberta}[request.param]
    more = {"special_tokens": "parse", "add_prefix_space": request.param == "roberta"}
    return ByteBPE.from_config(made.get_config() | more)


@pytest.fixture
def exported(tokenizer, tmp_path):
    module = tf.Module()

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string)])
    def tokenize(text):
        return tokenizer.tokenize(text).to_tensor(-1)

    @tf.function(input_signature=[tf.TensorSpec([None, None], tf.int32)])
    def detokenize(ids):
        return tokenizer.detokenize(ids)

    module.tokenize, module.detokenize = tokenize, detokenize
    tf.saved_model.save(module, str(tmp_path))
    return tmp_path


def expected(tokenizer):
    ids = tokenizer.encode_batch(TEXTS)
    longest = max(map(len, ids))
    return [row + [-1] * (longest - len(row)) for row in ids], [tokenizer.decode(x) for x in ids]


def test_an_export_gives_the_same_ids_and_texts(tokenizer, exported):
    model = tf.saved_model.load(str(exported))
    ids, texts = expected(tokenizer)
    assert model.tokenize(tf.constant(TEXTS)).numpy().tolist() == ids
    assert [text.decode() for text in model.detokenize(tf.constant(ids)).numpy()] == texts


@pytest.mark.slow
def test_an_export_answers_in_a_process_that_never_imported_the_package(tokenizer, exported):
    run = subprocess.run(
        [sys.executable, "-c", LOADED, str(exported), json.dumps(TEXTS)],
        check=True,
        capture_output=True,
        text=True,
        cwd=exported,
        env=os.environ | {"PYTHONPATH": "", "PYTHONIOENCODING": "utf-8"},
    )
    assert json.loads(run.stdout.splitlines()[-1]) == list(expected(tokenizer))


def test_an_export_holds_only_stateless_core_operations(exported):
    message = saved_model_pb2.SavedModel()
    message.ParseFromString((exported / "saved_model.pb").read_bytes())
    definition = message.meta_graphs[0].graph_def
    inside = [
        node
        for function in definition.library.function
        if "_traced_" not in function.signature.name  # how TensorFlow itself saves and restores
        for node in function.node_def
    ]
    assert len(inside) > 50
    names = {node.op for node in inside}
    assert names <= set(tf.raw_ops.__dict__) | {"Placeholder"}
    forbidden = ("PyFunc", "Table", "Variable", "Assert", "Print", "Stack", "TensorList", "Custom")
    assert not [name for name in names if any(word in name for word in forbidden)]
    assert not [node.name for node in inside if node.device]
    assert not any(
        "_XlaMustCompile" in node.attr and node.attr["_XlaMustCompile"].b for node in inside
    )
