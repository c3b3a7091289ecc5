import subprocess

import keras
import pytest
import small_models
import tensorflow as tf
from ask_in_a_process import BEAMS, REQUESTS, TASK_REQUESTS, ask_in_another_process

from keras_lm import (
    BERT,
    ELECTRA,
    GPT,
    QuestionAnswering,
    SearchIndex,
    TextClassifier,
    TextEmbedder,
    TokenClassifier,
    Transformer,
    export,
)
from keras_lm.generation import Rules
from keras_lm.tokenizers import train_byte_bpe, train_wordpiece

SIZES = {
    "hidden_size": 16,
    "num_layers": 2,
    "num_attention_heads": 2,
    "num_hidden_units": 32,
    "max_length": 48,
    "initializer_range": 0.4,
}
# Examples are asked of some exports alone: first answers take seconds.
PLAIN = {"extra_files": False}


@pytest.fixture(scope="session")
def bert(topics):
    keras.utils.set_random_seed(0)  # whatever ran before
    tokenizer = train_wordpiece([topics], 600)
    model = BERT(tokenizer.vocab_size, **SIZES, tokenizer=tokenizer)
    model.build()
    return model


@pytest.fixture(scope="session")
def gpt(topics):
    keras.utils.set_random_seed(0)  # whatever ran before
    tokenizer = train_byte_bpe([topics], 600)
    # Both kinds of layers, and heads that together are wider than the model.
    sizes = {**SIZES, "max_length": 112}
    model = GPT(tokenizer.vocab_size, **sizes, head_dim=12, window=6, tokenizer=tokenizer)
    model.build()
    return model


@pytest.fixture(scope="session")
def electra(bert):
    keras.utils.set_random_seed(0)  # whatever ran before
    model = ELECTRA(
        bert.vocab_size, **{**SIZES, "num_layers": 1}, embedding_size=8, tokenizer=bert.tokenizer
    )
    model.build()
    return model


@pytest.fixture(scope="session")
def transformer(bert):
    keras.utils.set_random_seed(0)  # whatever ran before
    sizes = {**SIZES, "num_layers": 1, "max_length": 64}
    model = Transformer(bert.vocab_size, **sizes, tokenizer=bert.tokenizer)
    model.build()
    return model


@pytest.fixture(scope="session")
def classifier(bert):
    keras.utils.set_random_seed(0)  # whatever ran before
    model = TextClassifier(bert, ["Übel", "gut"])
    model.build()
    return model


@pytest.fixture(scope="session")
def pair_classifier(bert):
    keras.utils.set_random_seed(0)  # whatever ran before
    model = TextClassifier(bert, ["a", "b", "c"], problem="multi_label")
    model.build()
    return model


@pytest.fixture(scope="session")
def tagger(bert):
    keras.utils.set_random_seed(0)  # whatever ran before
    model = TokenClassifier(bert, ["O", "B-PER", "I-PER", "B-LOC", "I-LOC"])
    model.build()
    return model


@pytest.fixture(scope="session")
def embedder(bert):
    model = TextEmbedder(bert)
    model.build()
    return model


@pytest.fixture(scope="session")
def index(embedder):
    pytest.importorskip("faiss", reason="needs the extra search")
    return SearchIndex(embedder, ["an assert statement", "Füße 漢字", "is it?", "🎉"], verbose=0)


@pytest.fixture(scope="session")
def answerer(bert):
    keras.utils.set_random_seed(0)  # whatever ran before
    model = QuestionAnswering(bert, stride=9, max_windows=6, no_answer_threshold=0.5)
    model.build()
    return model


@pytest.fixture(scope="session")
def exports(bert, electra, gpt, transformer, tmp_path_factory):
    """A directory with version 1 of each."""
    directory = tmp_path_factory.mktemp("saved_models")
    export(bert, directory / "bert", top_k=3)
    export(electra, directory / "electra", **PLAIN)
    export(gpt, directory / "gpt", max_new_tokens=8, num_beams=BEAMS)
    export(
        transformer,
        directory / "transformer",
        max_new_tokens=8,
        num_beams=BEAMS,
        early_stopping=True,
        rules=Rules(no_repeat_ngram_size=3),
        # It ends nothing: what does is told in test_export_stops.
        stop="🎉🎉",
        return_scores=True,
        **PLAIN,
    )
    return directory


@pytest.fixture(scope="session")
def task_exports(classifier, pair_classifier, tagger, embedder, index, answerer, tmp_path_factory):
    """The same of tasks."""
    directory = tmp_path_factory.mktemp("saved_tasks")
    export(classifier, directory / "classifier")
    export(pair_classifier, directory / "pair_classifier", pairs=True, **PLAIN)
    export(tagger, directory / "tagger", **PLAIN)
    export(embedder, directory / "embedder", **PLAIN)
    export(index, directory / "search", top_k=2, **PLAIN)
    export(answerer, directory / "answers", **PLAIN)
    return directory


def asked(directory, requests):
    """By model and signature, from a process that never imported keras_lm."""
    found = ask_in_another_process(directory, requests)
    assert found["unwanted"] == []
    return {request[:2]: answer for request, answer in zip(requests, found["answers"], strict=True)}


@pytest.fixture(scope="session")
def answers(exports):
    return asked(exports, REQUESTS)


@pytest.fixture(scope="session")
def task_answers(task_exports):
    return asked(task_exports, TASK_REQUESTS)


def loaded_from(directory):
    return {
        path.name: tf.saved_model.load(str(path / "1"))
        for path in sorted(directory.iterdir())
        if path.is_dir()
    }


@pytest.fixture(scope="session")
def loaded(exports):
    return loaded_from(exports)


@pytest.fixture(scope="session")
def task_loaded(task_exports):
    return loaded_from(task_exports)


@pytest.fixture(scope="session")
def models(tmp_path_factory):
    """A directory of small models; nobody writes into it."""
    directory = tmp_path_factory.mktemp("models")
    small_models.halves(directory / "halves" / "2", add=3.0)
    for name in ("kinds", "picky", "slow", "calls_python"):
        getattr(small_models, name)(directory / name / "1")
    return directory


@pytest.fixture(scope="session")
def server(models):
    """Serves them."""
    pytest.importorskip("tensorflow_serving.apis", reason="needs the extra serve")
    from a_server import serving

    with serving(models, allow_reload_config=True) as found:
        yield found


@pytest.fixture(scope="session")
def task_server(exports, task_exports, tmp_path_factory):
    """Serves the exports of tasks, and of a masked LM."""
    pytest.importorskip("tensorflow_serving.apis", reason="needs the extra serve")
    from a_server import serving

    directory = tmp_path_factory.mktemp("served")
    for path in (*task_exports.glob("*/"), exports / "bert"):
        (directory / path.name).symlink_to(path)
    with serving(directory) as found:
        yield found


@pytest.fixture(scope="session")
def certificate(tmp_path_factory):
    """Files in PEM for 127.0.0.1: a certificate that signs itself, and its key."""
    directory = tmp_path_factory.mktemp("tls")
    found = directory / "certificate.pem", directory / "key.pem"
    words = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"]
    words += ["-nodes", "-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1"]
    try:
        subprocess.run(
            [*words, "-out", str(found[0]), "-keyout", str(found[1])],
            check=True,
            capture_output=True,
        )
    except FileNotFoundError:
        pytest.skip("needs openssl")
    return found
