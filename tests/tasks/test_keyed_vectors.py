"""Files of vectors by name."""

import numpy as np
import pytest
from task_toys import bert
from text_toys import word_piece

from keras_lm import TextEmbedder

TEXTS = ["good", "film", "Füße", "漢字"]


@pytest.fixture(scope="module")
def task():
    return TextEmbedder(bert(tokenizer=word_piece()))


@pytest.mark.parametrize("name", ["vectors.txt", "vectors.bin"])
def test_a_file_has_the_format_of_word2vec(task, name, tmp_path):
    task.save_word2vec(tmp_path / name, TEXTS, verbose=0)
    vectors = task.predict(TEXTS, verbose=0).vectors
    content = (tmp_path / name).read_bytes()
    first, _, rest = content.partition(b"\n")
    assert first == b"4 16"
    for text, vector in zip(TEXTS, vectors, strict=True):
        key, _, rest = rest.partition(b" ")
        assert key.decode() == text
        if name.endswith("bin"):
            numbers, rest = np.frombuffer(rest[:64], "<f4"), rest[65:]
        else:
            line, _, rest = rest.partition(b"\n")
            numbers = np.array(line.decode().split(" "), "f4")
        np.testing.assert_array_equal(numbers, vector)
    assert not rest


@pytest.mark.parametrize("binary", [False, True])
@pytest.mark.filterwarnings("ignore")  # gensim's own
def test_gensim_reads_it(task, binary, tmp_path):
    models = pytest.importorskip("gensim.models")
    keys = [f"key-{i}" for i in range(3)]
    texts = ["good film", "bad", "a film"]
    task.save_word2vec(tmp_path / "a", texts, keys=keys, binary=binary, verbose=0)
    found = models.KeyedVectors.load_word2vec_format(str(tmp_path / "a"), binary=binary)
    assert found.index_to_key == keys
    np.testing.assert_array_equal(found.vectors, task.predict(texts, verbose=0).vectors)


@pytest.mark.parametrize(
    ("texts", "keys", "message"),
    [
        (["a film"], None, "white space; give keys=.* Received: 'a film' at 0"),
        (["a", "b"], ["x", "x"], "must come once. Received: 'x' again at 1"),
        (["a", "b"], ["x"], "2 texts, 1 keys"),
        (["a"], [""], "Received: '' at 0"),
        (["a"], ["x\u2003y"], "Received: 'x"),
        ([], None, "0 texts"),
    ],
)
def test_a_key_that_the_format_cannot_hold_is_refused(task, texts, keys, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        task.save_word2vec(tmp_path / "a", texts, keys=keys)
    assert not list(tmp_path.iterdir())
