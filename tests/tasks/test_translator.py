"""Translators and summarizers: trained on pairs, asked with strings, saved and loaded."""

import keras
import numpy as np
import pytest

import keras_lm
from keras_lm import Summarizer, Transformer, Translator, data
from keras_lm.tasks.text_figures import summary_figures
from keras_lm.tokenizers import WordPiece

LETTERS = "abcdefghij"
SIZES = {
    "hidden_size": 32,
    "num_layers": 1,
    "num_attention_heads": 4,
    "num_hidden_units": 64,
    "dropout_rate": 0.0,
    "max_length": 16,
}


@pytest.fixture(scope="module")
def letters():
    return WordPiece(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *LETTERS])


def transformer(letters, **arguments):
    return Transformer(letters.vocab_size, **SIZES, tokenizer=letters, **arguments)


@pytest.fixture(scope="module")
def reversals():
    """Rows of letters and the same letters the other way round: 32 held out, and the rest."""
    rng = np.random.default_rng(0)
    found = {tuple(rng.choice(list(LETTERS), rng.integers(2, 5))) for _ in range(2_000)}
    rows = [{"source": " ".join(row), "target": " ".join(row[::-1])} for row in sorted(found)]
    rng.shuffle(rows)
    return rows[:32], rows[32:]


@pytest.fixture(scope="module")
def trained(letters, reversals):
    keras.utils.set_random_seed(0)
    model = Translator(transformer(letters), num_beams=2, max_new_tokens=6)
    model.compile(learning_rate=1e-2)
    batches = data.translation(
        rows=reversals[1], tokenizer=letters, tokens_per_batch=512, num_buckets=2
    )
    model.fit(batches, epochs=8, verbose=0)
    return model


def test_it_learns_and_is_measured_as_it_predicts(trained, reversals, capsys):
    sources = [row["source"] for row in reversals[0]]
    found = trained.predict(sources, batch_size=8)
    assert "4/4" in capsys.readouterr().out  # a progress bar, in batches
    targets = [row["target"] for row in reversals[0]]
    assert np.mean([a == b for a, b in zip(found.texts, targets, strict=True)]) > 0.5
    assert not found.cut.any()
    single = trained.predict(sources[0], verbose=0)
    assert single == (found.texts[0], False)

    sacrebleu = pytest.importorskip("sacrebleu")
    figures = keras_lm.evaluate(trained, rows=reversals[0], verbose=0)
    bleu = sacrebleu.BLEU()
    assert figures["bleu"] == bleu.corpus_score(found.texts, [targets]).score > 10
    assert figures["bleu_signature"] == str(bleu.get_signature())
    assert figures["chrf"] == sacrebleu.CHRF().corpus_score(found.texts, [targets]).score
    assert (figures["rows"], figures["cut"]) == (32, 0)


@pytest.mark.slow  # three graphs of a decode loop
def test_it_decodes_as_it_was_told(trained, reversals, letters):
    sources = [row["source"] for row in reversals[0]][:4]
    found = trained.predict(sources, verbose=0).texts
    assert found == trained.generate(sources, num_beams=2, max_new_tokens=6)
    # The same weights, told otherwise.
    other = Translator(transformer(letters), num_beams=1, max_new_tokens=5, min_new_tokens=5)
    other.build()
    for weight, value in zip(other.weights, trained.weights, strict=True):
        weight.assign(value)
    texts = other.predict(sources, verbose=0).texts
    assert texts == other.generate(sources, max_new_tokens=5, min_new_tokens=5)
    assert [len(text.split()) for text in texts] == [5] * 4


def test_a_text_that_is_too_long_is_cut_and_that_is_said(trained):
    long = "a b " * 20
    found = trained.predict([long, "a b", "", long[: 4 * 7]], verbose=0)
    assert found.cut.tolist() == [True, False, False, False]
    assert found.texts[0] == found.texts[3]


def test_it_comes_back_as_it_was(trained, tmp_path):
    rows = {"token_ids": np.array([[2, 5, 6, 3]]), "decoder_token_ids": np.array([[3, 6, 5]])}
    logits = trained(rows)
    keras_lm.save(trained, tmp_path / "directory")
    trained.save(tmp_path / "model.keras")
    for path in ("directory", "model.keras"):
        again = keras_lm.load(tmp_path / path)
        assert isinstance(again, Translator)
        assert again.decoding == trained.decoding
        np.testing.assert_array_equal(again(rows), logits)
        assert again.tokenizer.encode("a b") == trained.tokenizer.encode("a b")
    # What holds a translator can be loaded as something else.
    for task, kind in (("seq2seq", Transformer), ("summarization", Summarizer)):
        other = keras_lm.load(tmp_path / "directory", task=task)
        assert type(other) is kind
        np.testing.assert_array_equal(other(rows), logits)


def test_barts_own_start_is_asked_for(letters, reversals, tmp_path):
    start = [letters.cls_id, letters.sep_id]
    model = Summarizer(
        transformer(letters, decoder_start_ids=start, position_kind="learned", logits_bias=True),
        no_repeat_ngram_size=2,
    )
    model.compile()
    rows = [{"text": row["source"], "summary": row["target"]} for row in reversals[1][:40]]
    options = {"rows": rows, "tokenizer": letters, "tokens_per_batch": 64}
    with pytest.raises(ValueError, match=r"decoder_start=\[2, 3\]. Received: .* begin with \[3\]"):
        model.fit(data.summarization(**options))
    model.fit(data.summarization(**options, decoder_start=model.start_ids), verbose=0)
    keras_lm.save(model, tmp_path)
    again = keras_lm.load(tmp_path)
    assert isinstance(again, Summarizer)
    assert again.start_ids == start
    assert again.no_repeat_ngram_size == 2
    for weight, value in zip(again.weights, model.weights, strict=True):
        np.testing.assert_array_equal(weight, value)


@pytest.mark.slow  # a graph of a decode loop
def test_a_summarizer_is_measured_by_rouge(letters):
    pytest.importorskip("rouge_score")
    model = Summarizer(transformer(letters), num_beams=1)
    rows = [{"text": "a b c", "summary": "c"}, {"text": "b", "summary": "d e"}]
    figures = keras_lm.evaluate(model, rows=rows, verbose=0)
    texts = model.predict(["a b c", "b"], verbose=0).texts
    expected = summary_figures(texts, ["c", "d e"])
    assert figures == {**expected, "rows": 2, "cut": 0}


def test_adapters_of_a_translator_bring_how_it_decodes(trained, tmp_path):
    keras_lm.save(trained, tmp_path / "base")
    model = keras_lm.load(tmp_path / "base")
    model.add_lora(2)
    for weight in model.trainable_weights:
        weight.assign(np.random.default_rng(0).normal(0, 0.1, weight.shape))
    keras_lm.save(model, tmp_path / "adapters")
    again = keras_lm.load(tmp_path / "adapters")
    assert isinstance(again, Translator)
    assert again.decoding == trained.decoding
    rows = {"token_ids": np.array([[2, 5, 6, 3]]), "decoder_token_ids": np.array([[3, 6, 5]])}
    np.testing.assert_array_equal(again(rows), model(rows))


def test_what_cannot_be_raises(letters, trained):
    with pytest.raises(ValueError, match=r"A Translator stands on a Transformer. Received: a GPT"):
        Translator(keras_lm.GPT(20, 8, 1, 2, 12))
    with pytest.raises(ValueError, match=r"num_beams must be in 1 \.\. 15"):
        Translator(transformer(letters), num_beams=0)
    with pytest.raises(ValueError, match=r"max_new_tokens must be in 1 \.\. 15"):
        Translator(transformer(letters), max_new_tokens=99)
    with pytest.raises(ValueError, match="reads single texts"):
        trained.predict([("a", "b")], verbose=0)
    with pytest.raises(ValueError, match="How a Translator decodes is said when it is made"):
        keras_lm.export(trained, "nowhere", num_beams=3)
