"""Texts that are searched by meaning."""

import os
import sys

import numpy as np
import pytest
from task_toys import bert
from text_toys import word_piece

from keras_lm import SearchIndex, TextClassifier, TextEmbedder

pytest.importorskip("faiss", reason="needs the extra search")

TEXTS = ["good film", "bad", "it is no good", "good", "a bad film", "a\u2028film\nis", "bad"]


@pytest.fixture(scope="module")
def model():
    return TextEmbedder(bert(tokenizer=word_piece()), normalize=False)


@pytest.fixture(scope="module")
def index(model):
    return SearchIndex(model, TEXTS, verbose=0)


@pytest.mark.parametrize("kind", ["exact", "hnsw"])
def test_a_query_finds_the_texts_of_the_highest_cosine(model, kind):
    index = SearchIndex(model, TEXTS, kind=kind, verbose=0)
    assert len(index) == 7
    found = index.query(["a good film", "bad"], top_k=3)
    cosines = model.similarity(["a good film", "bad"], TEXTS)
    for row in range(2):
        best = np.sort(cosines[row])[::-1][:3]
        np.testing.assert_allclose(found.scores[row], best, atol=1e-6)
        assert found.texts[row] == [TEXTS[place] for place in found.places[row]]
        np.testing.assert_allclose(cosines[row][found.places[row]], best, atol=1e-6)
    one = index.query("bad", top_k=99)
    assert one.texts[:2] == ["bad", "bad"]
    assert sorted(one.places) == list(range(7))


def test_texts_can_be_added(model):
    index = SearchIndex(model, TEXTS[:2], verbose=0)
    index.add(["it is no film"], verbose=0)
    assert index.texts == [*TEXTS[:2], "it is no film"]
    assert index.query("it is no film", top_k=1).places == [2]


@pytest.mark.parametrize("kind", ["exact", "hnsw"])
def test_a_file_gives_the_index_back(model, kind, tmp_path):
    index = SearchIndex(model, TEXTS, kind=kind, verbose=0)
    index.save(tmp_path / "texts.index")
    again = SearchIndex.load(tmp_path / "texts.index", model)
    assert (again.texts, again.kind) == (TEXTS, kind)
    assert again.query("a film") == index.query("a film")
    assert os.listdir(tmp_path) == ["texts.index"]


def test_a_save_that_fails_leaves_the_old_file(index, tmp_path, monkeypatch):
    path = tmp_path / "texts.index"
    index.save(path)
    before = path.read_bytes()

    def full(*ignored):
        raise OSError("No space left on device")

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(OSError, match="No space"):
        index.save(path)
    assert os.listdir(tmp_path) == ["texts.index"]
    assert path.read_bytes() == before


def test_another_model_or_file_is_refused(index, tmp_path):
    path = tmp_path / "texts.index"
    index.save(path)
    other = TextEmbedder(bert(tokenizer=word_piece()), normalize=False)
    with pytest.raises(ValueError, match="with the model that its texts were embedded with"):
        SearchIndex.load(path, other)
    wide = TextEmbedder(bert(hidden_size=32, tokenizer=word_piece()))
    with pytest.raises(ValueError, match="with the model that its texts were embedded with"):
        SearchIndex.load(path, wide)
    with pytest.raises(FileNotFoundError, match=r"Received: .*other\.index"):
        SearchIndex.load(tmp_path / "other.index", index.model)
    path.write_bytes(path.read_bytes()[:300])
    with pytest.raises(ValueError, match="a file that save wrote"):
        SearchIndex.load(path, index.model)


def test_what_cannot_be_is_refused(model, index):
    with pytest.raises(ValueError, match=r"kind='flat'"):
        SearchIndex(model, TEXTS, kind="flat")
    with pytest.raises(ValueError, match=r"not empty\. Received: ' ' at 1"):
        SearchIndex(model, ["a", " "])
    with pytest.raises(ValueError, match=r"a list of strings\. Received: 'good'"):
        SearchIndex(model, "good")
    with pytest.raises(ValueError, match="a TextClassifier"):
        SearchIndex(TextClassifier(bert(), 2), TEXTS)
    with pytest.raises(ValueError, match="top_k=0"):
        index.query("a", top_k=0)
    with pytest.raises(ValueError, match=r"Received: \('a', 'b'\)"):
        index.query(("a", "b"))


def test_without_the_package_the_extra_is_named(model, monkeypatch):
    monkeypatch.setitem(sys.modules, "faiss", None)
    with pytest.raises(ImportError, match=r"pip install keras_lm\[search\]"):
        SearchIndex(model, TEXTS)
