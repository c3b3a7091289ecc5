"""`keras-lm explain`, as a user types it."""

import json

import numpy as np
import pytest

from keras_lm import (
    BERT,
    GPT,
    QuestionAnswering,
    TextClassifier,
    TextEmbedder,
    TokenClassifier,
    Transformer,
    save,
)
from keras_lm.cli.main import main
from keras_lm.tokenizers import WordPiece

WORDS = ["good", "bad", "film", "a", "."]
TOKENIZER = WordPiece(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *WORDS])
WITH_END = WordPiece(TOKENIZER.tokens, end_token="[SEP]")


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    place = tmp_path_factory.mktemp("models")
    model = BERT(10, 12, 1, 3, 20, max_length=9, tokenizer=TOKENIZER, heads=())
    texts, tokens = TextClassifier(model, ["no", "yes"]), TokenClassifier(model, ["O", "X"])
    tokens.build()
    tokens.token_classifier.bias.assign([0.0, 5.0])
    for name, saved in (("base", model), ("texts", texts), ("tokens", tokens)):
        save(saved, place / name)
    sizes = {"max_length": 9, "tokenizer": WITH_END}
    save(QuestionAnswering(model), place / "answers")
    save(TextEmbedder(model), place / "vectors")
    save(GPT(10, 12, 1, 3, 20, **sizes), place / "prompts")
    save(Transformer(10, 12, 1, 3, 20, **sizes), place / "pairs")
    return place


def said(capsys):
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def test_answers_are_explained_as_json_or_as_a_picture(models, tmp_path, capsys):
    asked = ["explain", str(models / "texts"), "a good film", "bad.", "--target", "yes"]
    assert main([*asked, "--steps", "20"]) == 0
    first, second = said(capsys)
    assert (first["text"], first["target"], first["cut"]) == ("a good film", "yes", False)
    assert [token["text"] for token in second["tokens"]] == ["[CLS]", "bad", ".", "[SEP]"]
    total = sum(token["score"] for token in first["tokens"])
    assert total == pytest.approx(first["output"] - first["baseline_output"], abs=1e-3)
    assert main([*asked, "--out", str(tmp_path / "a.html")]) == 0
    assert capsys.readouterr().out == f"{tmp_path / 'a.html'}\n"
    assert (tmp_path / "a.html").read_text("utf-8").count("<section>") == 2
    # Of a token classifier each entity: here the words together are one.
    assert main(["explain", str(models / "tokens"), "a good film"]) == 0
    (entity,) = said(capsys)
    assert entity["target"] == "X"


@pytest.mark.parametrize(
    ("name", "words", "target", "measure"),
    [
        ("prompts", ["a film", "--target", "good"], "good", "log_probability"),
        pytest.param(
            "answers",
            ["bad", "--context", "a film", "--at", "-1", "-1"],
            "no answer",
            "probability",
            marks=pytest.mark.slow,
        ),
        pytest.param(
            "vectors", ["a film", "--other", "bad"], "bad", "cosine", marks=pytest.mark.slow
        ),
        pytest.param(
            "pairs",
            ["a film", "--target", "good", "--output", "probability"],
            "good",
            "probability",
            marks=pytest.mark.slow,
        ),
    ],
)
def test_each_kind_of_model_is_asked_in_its_own_words(models, capsys, name, words, target, measure):
    assert main(["explain", str(models / name), *words, "--steps", "2"]) == 0
    (found,) = said(capsys)
    assert (found["text"], found["target"], found["measure"]) == (words[0], target, measure)
    scored = [token for token in found["tokens"] if token["part"] >= 0]
    assert [token["text"] for token in scored] == f"{words[0]} {found.get('text_pair', '')}".split()
    assert any(token["score"] for token in scored)


def test_a_target_attends_to_its_source(models, capsys):
    asked = ["explain", str(models / "pairs"), "a film", "--target", "good", "--attention"]
    assert main(asked) == 0
    (found,) = said(capsys)
    weight_TS = np.array(found["attention"]["cross, layer 0, mean of 3 heads"])
    assert [token["token"] for token in found["tokens"]] == ["[SEP]", "good"]
    assert [token["token"] for token in found["attended"]] == ["[CLS]", "a", "film", "[SEP]"]
    assert weight_TS.shape == (2, 4)


def test_attention_is_shown_of_any_model(models, capsys):
    asked = ["explain", str(models / "base"), "a good film", "--text-pair", "bad", "--attention"]
    assert main([*asked, "--layer", "0", "--head", "-1"]) == 0
    (found,) = said(capsys)
    weight_TT = np.array(found["attention"]["layer 0, head 2"])
    assert weight_TT.shape == (7, 7)
    np.testing.assert_allclose(weight_TT.sum(-1), 1, atol=1e-5)
    assert found["text_pair"] == "bad"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (
            ["texts", "a", "--out", "a.gif"],
            "must end in .html, .png, .svg. Received: 'a.gif'",
        ),
        (["texts", "a", "--out", "nowhere/a.png"], "must lie in a directory. Received: 'nowhere"),
        (["texts", "a", "--steps", "0"], "--steps must be positive. Received: 0"),
        (["texts", "a", "--layer", "1"], "--layer and --head are for --attention"),
        (["texts", "a", "b", "--text-pair", "c"], "--text-pair is for one TEXT. Received: 2"),
        (
            ["texts", "a", "--attention", "--target", "no"],
            "--target is not for --attention of a Text",
        ),
        (["texts", "a", "--of", "cross"], "--of is for --attention. Received: --of cross alone"),
        (["texts", "a", "--at", "0", "1"], "--at is not for a TextClassifier. Received: "),
        (["answers", "a"], "A question is asked of a --context. Received: none"),
        (["answers", "a", "--context", "b", "--other", "c"], "Received: --context and --other"),
        (["vectors", "a"], "compares with an --other text. Received: none"),
        (
            ["vectors", "a", "--other", "b", "--output", "logit"],
            "--output is not for a TextEmbedder",
        ),
        (["prompts", "a", "--output", "logit"], "log_probability, probability. Received"),
        (["texts", "a", "--target", "maybe"], "a label of no, yes. Received: target='maybe'"),
        (["base", "a"], "The model must be fine-tuned, or write texts"),
        (["nothing", "a"], "nothing, which does not exist"),
    ],
)
def test_bad_input_is_one_line(models, words, message, capsys):
    name, *rest = words
    assert main(["explain", str(models / name), *rest]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
