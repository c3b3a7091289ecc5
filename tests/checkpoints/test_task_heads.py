import json

import numpy as np
import pytest

from keras_lm import BERT, GPT
from keras_lm.checkpoints import load, save
from keras_lm.tasks import QuestionAnswering, TextClassifier, TokenClassifier

IDS = np.arange(1, 11).reshape(2, 5)


def bert(**options):
    return BERT(20, 8, 1, 2, 12, max_length=16, heads=(), **options)


def change_config(directory, **fields):
    path = directory / "config.json"
    values = {**json.loads(path.read_text()), **fields}
    path.write_text(json.dumps({k: v for k, v in values.items() if v != "GONE"}))


@pytest.mark.parametrize(
    ("make", "architecture"),
    [
        (lambda: TextClassifier(bert(), ["no", "yes", "?"]), "BertForSequenceClassification"),
        (lambda: TokenClassifier(bert(), ["O", "B"]), "BertForTokenClassification"),
        (lambda: QuestionAnswering(bert()), "BertForQuestionAnswering"),
        (
            lambda: TextClassifier(GPT(20, 8, 1, 2, 12, max_length=16), 3, problem="multi_label"),
            "GPT2ForSequenceClassification",
        ),
        (lambda: TextClassifier(bert(), 1, problem="regression"), "BertForSequenceClassification"),
    ],
)
def test_a_task_comes_back_with_its_labels_and_numbers(make, architecture, tmp_path):
    task = make()
    save(task, tmp_path)
    assert json.loads((tmp_path / "config.json").read_text())["architectures"] == [architecture]
    again = load(tmp_path)
    assert type(again) is type(task)
    for name in ("labels", "problem", "dropout_rate"):
        assert getattr(again, name, None) == getattr(task, name, None)
    for one, other in zip(again.weights, task.weights, strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.fixture
def directory(tmp_path):
    save(TextClassifier(bert(), ["no", "yes"], dropout_rate=0.3), tmp_path)
    return tmp_path


def test_without_names_the_classes_are_numbered(directory):
    change_config(directory, id2label="GONE", label2id="GONE", problem_type="GONE")
    model = load(directory)
    assert (model.labels, model.problem) == (("LABEL_0", "LABEL_1"), "single_label")


def test_the_rate_of_dropout_is_that_of_the_config(directory):
    assert load(directory).dropout_rate == 0.3
    change_config(directory, classifier_dropout=None)
    assert load(directory).dropout_rate == 0.1


def test_the_model_beneath_a_task_can_be_loaded_alone(directory):
    with pytest.warns(UserWarning, match=r"left out: classifier\.\w+, classifier\.\w+$"):
        model = load(directory, "backbone")
    assert isinstance(model, BERT)
    assert model.heads == ()
    assert hasattr(model, "pooler")


def test_a_task_that_the_file_has_no_head_for_is_refused(directory, tmp_path):
    save(bert(pooler=True), tmp_path / "bare")
    with pytest.raises(ValueError, match=r"lacks classifier\.weight of shape \(2, 8\)"):
        load(tmp_path / "bare", "text_classification")
    assert isinstance(load(directory, "text_classification"), TextClassifier)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("id2label", {"0": "no", "2": "yes"}),
        ("id2label", ["no", "yes"]),
        ("problem_type", "ranking"),
        ("classifier_dropout", "much"),
    ],
)
def test_fields_of_a_task_that_are_none_are_refused_by_name(directory, field, value):
    change_config(directory, **{field: value})
    with pytest.raises(ValueError, match=rf"{field} must .*{field}="):
        load(directory)


def test_more_labels_than_the_head_has_are_refused(directory):
    change_config(directory, id2label={"0": "a", "1": "b", "2": "c"})
    with pytest.raises(ValueError, match=r"classifier\.weight of shape \(2, 8\), not \(3, 8\)"):
        load(directory)


def test_a_task_on_what_no_architecture_can_say_comes_back_too(tmp_path):
    task = TokenClassifier(bert(activation="softplus"), ["O", "B"])
    save(task, tmp_path)
    assert json.loads((tmp_path / "config.json").read_text())["model_type"] == "keras_lm_bert"
    again = load(tmp_path)
    np.testing.assert_array_equal(again(IDS), task(IDS))
    assert again.labels == ("O", "B")
