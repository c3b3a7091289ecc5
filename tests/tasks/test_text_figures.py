"""BLEU, chrF and ROUGE are those of the libraries that the field compares with."""

import pytest

from keras_lm.tasks.text_figures import Words, summary_figures, translation_figures

FOUND = ["The cat sat on the mat.", "a tool, for_C files", "nothing right"]
WANTED = ["The cat is on the mat.", "A tool for C-files!", "all of it wrong"]


def test_bleu_comes_with_its_signature():
    pytest.importorskip("sacrebleu")
    figures = translation_figures(WANTED, WANTED)
    assert figures["bleu"] == pytest.approx(100)
    assert figures["chrf"] == pytest.approx(100)
    assert "tok:13a" in figures["bleu_signature"]
    assert figures["chrf_signature"].startswith("nrefs:1|case:mixed")
    characters = translation_figures(["字字"], ["字字"], tokenize="char")
    assert "tok:char" in characters["bleu_signature"]


def test_rouge_is_rouge_score_s_own_of_english():
    rouge_scorer = pytest.importorskip("rouge_score.rouge_scorer")
    figures = summary_figures(FOUND, WANTED)
    scorer = rouge_scorer.RougeScorer(["rouge1", "rouge2", "rougeL"])
    for name, figure in figures.items():
        scores = [scorer.score(b, a)[name].fmeasure for a, b in zip(FOUND, WANTED, strict=True)]
        assert figure == pytest.approx(sum(scores) / 3)
    assert 0 < figures["rouge2"] < figures["rouge1"] < 1


def test_letters_of_other_alphabets_are_letters():
    pytest.importorskip("rouge_score")
    assert Words().tokenize("Füße_und 漢字, 2nd!") == ["füße", "und", "漢字", "2nd"]
    assert summary_figures(["Füße"], ["Füße"])["rouge1"] == 1
