"""Directories of sentence-transformers."""

import json

import numpy as np
import pytest
from directory_changes import change_config, same_weights
from safetensors import safe_open

from keras_lm import BERT, GPT, TextClassifier, TextEmbedder
from keras_lm.checkpoints import load, save
from keras_lm.tokenizers import train_byte_bpe, train_wordpiece

SIZES = {"num_layers": 1, "num_attention_heads": 2, "num_hidden_units": 12, "max_length": 16}
IDS = np.arange(10).reshape(2, 5)


def bert(**arguments):
    sizes = {"vocab_size": 20, "hidden_size": 8, **SIZES, "initializer_range": 0.3}
    return BERT(**sizes | arguments)


def write(path, content):
    path.write_text(json.dumps(content), "utf-8")


@pytest.mark.parametrize(
    ("pooling", "normalize", "length"),
    [("mean", True, None), ("first", False, 7), ("last", True, 16)],
)
def test_a_directory_gives_the_embedder_back(pooling, normalize, length, tmp_path):
    model = GPT(20, 8, **SIZES) if pooling == "last" else bert()
    task = TextEmbedder(model, pooling=pooling, normalize=normalize, max_length=length)
    save(task, tmp_path)
    again = load(tmp_path)
    assert isinstance(again, TextEmbedder)
    assert (again.pooling, again.normalize) == (pooling, normalize)
    assert again.max_length == (length or 16)
    assert same_weights(again, task)
    np.testing.assert_array_equal(again(IDS), task(IDS))
    names = [
        step["type"].rpartition(".")[2]
        for step in json.loads((tmp_path / "modules.json").read_text())
    ]
    assert names == ["Transformer", "Pooling", *(["Normalize"] if normalize else [])]
    assert type(load(tmp_path, "backbone")) is type(model)


def test_a_model_without_pooling_takes_the_mean(tmp_path):
    model = bert(heads=(), pooler=True)
    save(model, tmp_path)
    task = load(tmp_path, "text_embedding")
    assert (task.pooling, task.normalize, task.max_length) == ("mean", True, 16)
    np.testing.assert_array_equal(task(IDS), TextEmbedder(model)(IDS))


def test_what_no_architecture_can_say_is_saved_under_a_name_of_our_own(tmp_path):
    task = TextEmbedder(bert(activation="softplus"), pooling="first")
    save(task, tmp_path)
    again = load(tmp_path)
    assert again.pooling == "first"
    np.testing.assert_array_equal(again(IDS), task(IDS))


def test_another_model_in_the_directory_is_no_embedder(tmp_path):
    save(TextEmbedder(bert()), tmp_path)
    save(TextClassifier(bert(), ["a", "b"]), tmp_path)
    assert isinstance(load(tmp_path), TextClassifier)
    with pytest.raises(ValueError, match="no head for text_embedding; load it with task="):
        load(tmp_path, "text_embedding")


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        (
            "1_Pooling/config.json",
            {"pooling_mode": "max"},
            r"one of cls, mean, lasttoken.*\['max'\]",
        ),
        (
            "1_Pooling/config.json",
            {"pooling_mode_mean_tokens": True, "pooling_mode_cls_token": True},
            "'cls', 'mean'",
        ),
        (
            "modules.json",
            [{"type": "a.Transformer", "path": ""}, {"type": "a.Dense", "path": "1"}],
            "Transformer, Dense",
        ),
        ("modules.json", {"type": 1}, "no steps"),
        ("config_sentence_transformers.json", {"default_prompt_name": "query"}, "without a prompt"),
        ("sentence_bert_config.json", {"do_lower_case": True}, "do_lower_case must be"),
    ],
)
def test_what_would_be_another_vector_is_refused(name, content, message, tmp_path):
    save(TextEmbedder(bert()), tmp_path)
    write(tmp_path / name, content)
    with pytest.raises(ValueError, match=message):
        load(tmp_path)
    assert isinstance(load(tmp_path, "backbone"), BERT)


def test_new_files_of_sentence_transformers_are_read(tmp_path):
    save(TextEmbedder(bert()), tmp_path)
    write(tmp_path / "1_Pooling/config.json", {"embedding_dimension": 8, "pooling_mode": "cls"})
    write(tmp_path / "sentence_bert_config.json", {"transformer_task": "feature-extraction"})
    write(tmp_path / "tokenizer_config.json", {"model_max_length": 9})
    task = load(tmp_path)
    assert (task.pooling, task.max_length) == ("first", 9)
    change_config(tmp_path, max_position_embeddings=16)
    write(tmp_path / "tokenizer_config.json", {"model_max_length": 10**30})
    assert load(tmp_path).max_length == 16


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # torch's and sentence-transformers' own
@pytest.mark.parametrize("kind", ["bert", "gpt"])
def test_sentence_transformers_gives_the_same_vectors(kind, topics, tmp_path):
    library = pytest.importorskip("sentence_transformers")
    if kind == "bert":
        model = bert(vocab_size=310, tokenizer=train_wordpiece([topics], 300))
        task = TextEmbedder(model, pooling="first", normalize=False, max_length=9)
    else:
        tokenizer = train_byte_bpe([topics], 300)
        task = TextEmbedder(GPT(300, 8, **SIZES, tokenizer=tokenizer), pooling="last")
    save(task, tmp_path / "ours")
    texts = [
        "The assert statement",
        "is",
        "a longer text that is to be cut somewhere in the middle",
    ]
    theirs = library.SentenceTransformer(str(tmp_path / "ours"), device="cpu")
    if kind == "gpt":
        theirs.tokenizer.pad_token = theirs.tokenizer.eos_token
    vectors = task.predict(texts, verbose=0).vectors
    np.testing.assert_allclose(theirs.encode(texts), vectors, atol=1e-5)
    theirs.save(str(tmp_path / "theirs"))
    again = load(tmp_path / "theirs")
    assert isinstance(again, TextEmbedder)
    np.testing.assert_allclose(again.predict(texts, verbose=0).vectors, vectors, atol=1e-5)


def test_adapters_of_an_embedder_come_back_with_its_pooling(tmp_path):
    save(bert(heads=()), tmp_path / "base")
    task = TextEmbedder(load(tmp_path / "base"), pooling="first", max_length=9)
    task.add_lora(2)
    for weight in task.trainable_weights:
        weight.assign(np.random.default_rng(0).normal(0, 0.3, weight.shape))
    save(task, tmp_path / "adapters")
    with safe_open(tmp_path / "adapters" / "adapter_model.safetensors", "numpy") as file:
        # Without a head there is no prefix, as in PEFT on a BertModel.
        assert all(name.startswith("base_model.model.encoder.") for name in file.keys())  # noqa: SIM118
    again = load(tmp_path / "adapters")
    assert isinstance(again, TextEmbedder)
    assert (again.pooling, again.max_length, again.has_lora) == ("first", 9, True)
    np.testing.assert_array_equal(again(IDS), task(IDS))
