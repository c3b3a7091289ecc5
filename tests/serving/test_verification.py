import shutil

import numpy as np
import pytest

from keras_lm import save
from keras_lm.cli.main import main
from keras_lm.serving import verification
from keras_lm.serving.verification import verify

TEXTS = ["The [MASK] statement.", "", "Füße 漢字 [MASK] 🎉", "x " * 300]


def test_an_export_answers_in_cpp_as_its_model_in_python(exports, task_exports, bert, classifier):
    for path, model, signatures in (
        (exports / "bert", bert, {"serving_default"}),
        (task_exports / "classifier", classifier, {"serving_default", "classify"}),
    ):
        found = verify(path / "1", model, TEXTS)
        assert found.differences == ()
        assert set(found.signatures) == signatures
        assert max(found.largest.values()) <= 1e-6


@pytest.mark.slow
def test_what_generates_answers_in_cpp_as_in_python(exports, gpt):
    found = verify(exports / "gpt" / "1", gpt, TEXTS)
    assert found.differences == ()
    assert set(found.signatures) == {"beam_search", "generate", "score", "serving_default"}


def test_another_model_is_told_apart_by_its_answers(
    task_exports, classifier, tmp_path, monkeypatch, capsys
):
    kernel = classifier.trainable_variables[-2]
    before = kernel.numpy()
    try:
        kernel.assign(before + np.linspace(0.0, 1.0, before.size).reshape(before.shape))
        save(classifier, tmp_path / "other")
    finally:
        kernel.assign(before)
    told = []
    monkeypatch.setattr(
        verification,
        "verify",
        lambda *asked, **options: told.append(verify(*asked, **options)) or told[-1],
    )
    path, model = str(task_exports / "classifier" / "1"), str(tmp_path / "other")
    (tmp_path / "texts.txt").write_text("one text\nanother\n", "utf-8")
    words = ["verify", path, "--model", model, "--texts", str(tmp_path / "texts.txt")]
    assert main(words) == 1
    (found,) = told
    assert {difference.output for difference in found.differences} >= {"scores"}
    assert found.largest["serving_default"] > 1e-3
    printed = capsys.readouterr().out
    assert "serving_default scores of 'one text': model [" in printed
    assert printed.endswith(" differences\n")


def test_what_cannot_be_compared_is_said(exports, bert, gpt, tmp_path):
    with pytest.raises(ValueError, match="texts must be a list of strings, at least one"):
        verify(exports / "bert" / "1", bert, [])
    with pytest.raises(FileNotFoundError, match=r"signatures\.json that keras_lm\.export writes"):
        verify(exports / "electra" / "1", bert, TEXTS)
    copied = tmp_path / "bert"
    shutil.copytree(exports / "bert" / "1", copied)
    sheet = (exports / "gpt/1/assets.extra/signatures.json").read_text("utf-8")
    (copied / "assets.extra" / "signatures.json").write_text(sheet, "utf-8")
    with pytest.raises(ValueError, match="must have the model's signatures, beam_search"):
        verify(copied, gpt, TEXTS)
    with pytest.raises(FileNotFoundError, match=r"with a saved_model\.pb in it"):
        verify(tmp_path, bert, TEXTS)


def test_a_library_that_is_not_there_is_said(exports, bert, tmp_path):
    with pytest.raises(RuntimeError, match=r"libtensorflow_framework\.so\.2 must be there"):
        verify(exports / "bert" / "1", bert, TEXTS, library=tmp_path)
