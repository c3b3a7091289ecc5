"""Translations and summaries by commands: files to a directory, its figures and its answers."""

import functools
import json
import sys

import pytest

from keras_lm import Summarizer, Transformer, Translator, evaluate, load
from keras_lm.cli.main import main
from keras_lm.tokenizers import WordPiece

PAIRS = "en\tfr\n" + "good film\tbad film\na film\tfilm\n" * 4


def transformer():
    words = ["good", "bad", "a", "film", "."]
    tokenizer = WordPiece(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *words])
    sizes = {"max_length": 10, "dropout_rate": 0.0, "initializer_range": 0.2}
    return Transformer(tokenizer.vocab_size, 16, 1, 2, 32, tokenizer=tokenizer, **sizes)


@pytest.fixture
def loaded(monkeypatch):
    """Commands load a directory once, see test_finetune.py."""
    once = functools.cache(load)
    monkeypatch.setattr("keras_lm.cli.fine_tuned.load", once)
    return once


@pytest.mark.slow  # Beams and scores in graphs take long to trace; in Python others hold them.
def test_pairs_become_a_translator_that_is_evaluated_and_asked(tmp_path, capsys, loaded):
    pytest.importorskip("sacrebleu", reason="needs the extra figures")
    model = Translator(transformer(), num_beams=1, max_new_tokens=3)
    model.build()
    model.save(tmp_path / "before.keras")
    pairs, out = str(tmp_path / "pairs.tsv"), str(tmp_path / "en-fr")
    (tmp_path / "pairs.tsv").write_text(PAIRS)
    columns = ["--column", "source=en", "--column", "target=fr"]
    words = ["--task", "translation", "--train", pairs, "--validation", pairs, *columns]
    words += ["--learning-rate", "1e-2", "--epochs", "2", "--tokens-per-batch", "40"]
    words = ["finetune", str(tmp_path / "before.keras"), *words, "--out", out, "--verbose", "0"]
    assert main(words) == 0
    printed = capsys.readouterr()
    said = "8 pairs, 0 of them too long and left out, 0 bad and left out"
    assert f"pairs.tsv: {said}" in printed.err
    assert printed.out.splitlines()[-1] == out
    assert "pipeline_tag: translation" in (tmp_path / "en-fr" / "README.md").read_text()

    model = loaded(out)
    assert (type(model), model.num_beams, model.max_new_tokens) == (Translator, 1, 3)
    assert main(["evaluate", out, pairs, *columns, "--json"]) == 0
    figures = json.loads(capsys.readouterr().out)
    assert figures == evaluate(model, pairs, source="en", target="fr", verbose=0)
    assert main(["predict", out, pairs, "--column", "source=en"]) == 0
    found = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    texts = ["good film", "a film"] * 4
    expected = model.predict(texts, verbose=0).texts
    assert found == [
        {"source": text, "translation": target, "cut": False}
        for text, target in zip(texts, expected, strict=True)
    ]


@pytest.mark.slow
def test_texts_become_a_summarizer_with_its_own_decoding(tmp_path, capsys, loaded):
    pytest.importorskip("rouge_score", reason="needs the extra figures")
    model = transformer()
    model.build()
    model.save(tmp_path / "before.keras")
    rows = [{"text": "a good film . a film .", "summary": "good"}, {"text": "", "summary": "bad"}]
    texts, out = str(tmp_path / "texts.jsonl"), str(tmp_path / "summaries")
    (tmp_path / "texts.jsonl").write_text("\n".join(map(json.dumps, rows)))
    (tmp_path / "dev.jsonl").write_text(json.dumps(rows[0]))
    words = ["--task", "summarization", "--train", texts, "--bad-rows", "drop", "--epochs", "1"]
    words += ["--validation", str(tmp_path / "dev.jsonl"), "--monitor", "rouge1"]
    words += ["--patience", "1", "--out", out, "--verbose", "0"]
    assert main(["finetune", str(tmp_path / "before.keras"), *words]) == 0
    printed = capsys.readouterr()
    assert f"in column 'text', line 2 of {texts}" in printed.err
    assert "rougeL" in printed.out
    assert type(loaded(out)) is Summarizer
    assert main(["evaluate", out, str(tmp_path / "dev.jsonl")]) == 0
    assert "rouge1" in capsys.readouterr().out
    assert main(["predict", out, "--text", "a film"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["summary"] == loaded(out).predict("a film", verbose=0).texts


@pytest.mark.parametrize("task", ["translation", "summarization"])
def test_figures_that_cannot_be_counted_are_told_before_the_training(
    task, tmp_path, capsys, monkeypatch
):
    for name in ("sacrebleu", "rouge_score.rouge_scorer"):
        monkeypatch.setitem(sys.modules, name, None)
    file = tmp_path / "a.csv"
    file.write_text("source,target,text,summary\na,b,c,d\n")
    words = ["finetune", "gone", "--task", task, "--train", str(file), "--validation", str(file)]
    assert main([*words, "--out", str(tmp_path / "out")]) == 2
    assert 'pip install "keras_lm[figures]"' in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
