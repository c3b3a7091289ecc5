import corpora
import keras
import numpy as np
import pytest
import tag_entities
from tag_entities import counts_of, f1, tags_of, text_of, with_case

import keras_lm
from keras_lm.data.tags import TagScheme
from keras_lm.tasks.token_classifier import Entity

SCHEME = TagScheme(["O", "B-a", "I-a", "B-b", "I-b"])
VOCAB = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "px", "##ley", "##es", "i", "##p", "1", "ß"]


@pytest.fixture(scope="module")
def bert():
    model = keras_lm.BERT(
        len(VOCAB),
        16,
        1,
        2,
        16,
        heads=(),
        max_length=48,
        tokenizer=keras_lm.tokenizers.WordPiece(VOCAB),
    )
    model.build()
    return model


def test_a_model_that_is_made_to_see_case_cuts_words_where_it_did_before(bert):
    cased = with_case(bert, length=0.5)

    def pieces(model, text):
        return [model.tokenizer.tokens[i] for i in model.tokenizer.encode(text)[1:-1]]

    assert pieces(bert, "Pxleyes PXLEY iP 1") == pieces(bert, "pxleyes pxley ip 1")
    assert pieces(cased, "Pxleyes PXLEY iP 1 ß") == [
        *["Px", "##ley", "##es", "PX", "##LEY", "i", "##P", "1", "ß"]
    ]


def test_a_capital_is_the_same_vector_in_every_embedding(bert):
    cased = with_case(bert, length=0.5)
    table = next(w for w in cased.weights if w.shape[0] == cased.vocab_size).numpy()
    at = {token: table[i] for i, token in enumerate(cased.tokenizer.tokens)}
    np.testing.assert_allclose(at["Px"] - at["px"], at["I"] - at["i"], atol=1e-6)
    np.testing.assert_allclose(at["PX"] - at["px"], at["##LEY"] - at["##ley"], atol=1e-6)
    assert np.abs(at["PX"] - at["Px"]).max() > 1e-3
    old = next(w for w in bert.weights if w.shape[0] == len(VOCAB)).numpy()
    np.testing.assert_array_equal(table[: len(VOCAB)], old)


def test_entities_of_a_text_are_tags_of_its_words():
    row = {"words": ["In", "St.", "Ives", "-Rome"], "tags": []}
    text = text_of(row)
    found = [Entity("St. Ives", "a", 3, 11, 1.0), Entity("Rome", "a", 13, 17, 1.0)]
    assert all(text[e.start : e.end] == e.text for e in found)
    # What begins within a word is not the word's.
    assert tags_of(row["words"], found) == ["O", "B-a", "I-a", "O"]


def test_entities_are_counted_over_all_rows():
    rows = [{"words": ["x"] * 3, "tags": ["B-a", "I-a", "O"]}, {"words": ["x"], "tags": ["B-b"]}]
    counts = counts_of(rows, [["B-a", "O", "B-a"], ["B-b"]], SCHEME)
    np.testing.assert_array_equal(counts, [[0, 1, 2], [1, 1, 1]])
    assert f1(counts) == pytest.approx(2 / 5)
    assert f1(counts[:0]) == 0.0


@pytest.mark.slow
def test_the_recipe_runs_from_tweets_to_an_export(tmp_path, monkeypatch, capsys):
    pytest.importorskip("pycrfsuite")
    keras.utils.set_random_seed(0)
    draw = np.random.default_rng(0)
    rows = []
    for _ in range(200):
        words = [f"w{i}" for i in draw.integers(30, size=6)]
        rows.append({"words": [*words, "mr", f"N{draw.integers(9)}"], "tags": ["O"] * 7 + ["B-a"]})
    tokenizer = keras_lm.tokenizers.train_wordpiece(texts=map(text_of, rows), vocab_size=150)
    model = keras_lm.BERT(
        tokenizer.vocab_size, 16, 1, 2, 16, heads=(), max_length=48, tokenizer=tokenizer
    )
    model.build()
    keras_lm.save(model, tmp_path / "bert")
    monkeypatch.setattr(corpora, "tweets", lambda: rows)
    monkeypatch.setattr(corpora, "minilm", lambda: tmp_path / "bert")
    monkeypatch.setattr(tag_entities, "MOST_TOKENS", 48)
    monkeypatch.setattr("sys.argv", ["x", "--epochs", "1", "--out", str(tmp_path / "out")])
    tag_entities.main()
    printed = capsys.readouterr().out
    count = min(200, int(printed.split(" held out")[0].split()[-1]))
    assert f"entities of {count} of {count} tweets are those of Python" in printed
