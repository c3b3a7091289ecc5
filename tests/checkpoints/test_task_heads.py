"""Tasks in directories: their heads, labels, and what is said of them in config.json."""

import json
import shutil

import numpy as np
import pytest
import safetensors.numpy
from directory_changes import change_config, same_weights

from keras_lm import BERT, GPT, QuestionAnswering, TextClassifier, TokenClassifier, Transformer
from keras_lm.checkpoints import load, save
from keras_lm.tokenizers import train_byte_bpe, train_wordpiece

SIZES = {"num_layers": 1, "num_attention_heads": 2, "num_hidden_units": 12, "max_length": 16}
IDS = np.arange(10).reshape(2, 5)


def bert(**arguments):
    return BERT(
        **{"vocab_size": 20, "hidden_size": 8, **SIZES, "initializer_range": 0.3} | arguments
    )


def gpt(**arguments):
    return GPT(20, 8, **SIZES, **arguments)


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    task = TextClassifier(bert(), ["no", "yes", "perhaps"], problem="multi_label", dropout_rate=0.4)
    return task, save(task, tmp_path_factory.mktemp("written"))


@pytest.fixture(scope="module")
def headless(tmp_path_factory):
    model = bert(heads=(), pooler=True)
    return model, save(model, tmp_path_factory.mktemp("headless"))


@pytest.fixture
def directory(written, tmp_path):
    return shutil.copytree(written[1], tmp_path / "task")


def config_of(directory):
    return json.loads((directory / "config.json").read_text())


def test_a_directory_gives_the_task_back(written):
    task, directory = written
    again = load(directory)
    assert isinstance(again, TextClassifier)
    assert again.labels == ("no", "yes", "perhaps")
    assert (again.problem, again.dropout_rate) == ("multi_label", 0.4)
    assert same_weights(again, task)
    np.testing.assert_array_equal(again(IDS), task(IDS))


def test_what_transformers_needs_to_know_is_in_config_json(written):
    config = config_of(written[1])
    assert config["architectures"] == ["BertForSequenceClassification"]
    assert config["id2label"] == {"0": "no", "1": "yes", "2": "perhaps"}
    assert config["label2id"] == {"no": 0, "yes": 1, "perhaps": 2}
    assert config["problem_type"] == "multi_label_classification"
    assert config["classifier_dropout"] == 0.4


@pytest.mark.parametrize(
    ("make", "architecture"),
    [
        (lambda: TokenClassifier(bert(), ["O", "B"]), "BertForTokenClassification"),
        (lambda: QuestionAnswering(bert()), "BertForQuestionAnswering"),
        (lambda: TextClassifier(gpt(), 3, problem="multi_label"), "GPT2ForSequenceClassification"),
        (lambda: TokenClassifier(gpt(), 3, dropout_rate=0.3), "GPT2ForTokenClassification"),
        (lambda: QuestionAnswering(gpt()), "GPT2ForQuestionAnswering"),
    ],
)
def test_a_task_comes_back_with_its_labels_and_numbers(make, architecture, tmp_path):
    task = make()
    assert config_of(save(task, tmp_path))["architectures"] == [architecture]
    again = load(tmp_path)
    assert type(again) is type(task)
    for name in ("labels", "problem", "dropout_rate"):
        assert getattr(again, name, None) == getattr(task, name, None)
    assert same_weights(again, task)


def test_how_questions_are_answered_comes_back(tmp_path):
    task = QuestionAnswering(bert(), no_answer_threshold=1.5, stride=7, max_windows=3)
    config = config_of(save(task, tmp_path))
    assert config["task_specific_params"]["question_answering"]["stride"] == 7
    again = load(tmp_path)
    for name in ("no_answer_threshold", "stride", "max_windows", "max_answer_length"):
        assert getattr(again, name) == getattr(task, name)


def test_a_task_on_encoder_and_decoder_is_one_of_bart(tmp_path):
    model = Transformer(
        20,
        8,
        **SIZES,
        position_kind="learned",
        first_position=2,
        scale_embedding=False,
        normalize_embedding=True,
        decoder_start_ids=[2],
        end_id=2,
    )
    task = TextClassifier(model, ["no", "yes"], dropout_rate=0.2)
    config = config_of(save(task, tmp_path))
    assert config["architectures"] == ["BartForSequenceClassification"]
    assert (config["decoder_start_token_id"], config["classifier_dropout"]) == (2, 0.2)
    again = load(tmp_path)
    assert same_weights(again, task)
    np.testing.assert_array_equal(again(IDS), task(IDS))
    with pytest.raises(ValueError, match="A Bart must be loaded for another task"):
        load(tmp_path, "token_classification", labels=["a", "b"])


def test_without_a_rate_of_dropout_it_is_that_of_the_family(directory):
    change_config(directory, classifier_dropout=None)
    assert load(directory).dropout_rate == 0.1


def test_labels_keep_their_order_beyond_ten(tmp_path):
    labels = [f"class {i}" for i in range(12)]
    save(TokenClassifier(bert(), labels), tmp_path)
    assert load(tmp_path).labels == tuple(labels)


def test_a_task_on_what_was_a_task_leaves_the_old_labels_behind(directory, tmp_path):
    for task in (
        TokenClassifier(load_backbone(directory), ["O", "B"]),
        QuestionAnswering(load_backbone(directory)),
    ):
        config = config_of(save(task, tmp_path / "new"))
        assert config.get("id2label", {}).get("0") != "no"
        assert "problem_type" not in config
        assert same_weights(load(tmp_path / "new"), task)


def load_backbone(directory):
    with pytest.warns(UserWarning, match=r"left out: classifier\.weight, class"):
        return load(directory, "backbone")


@pytest.mark.parametrize(
    ("theirs", "number", "ours"),
    [
        ("GONE", 3, "single_label"),
        (None, 3, "single_label"),
        ("regression", 3, "regression"),
        ("GONE", 1, "regression"),
        ("multi_label_classification", 1, "multi_label"),
    ],
)
def test_the_problem_type_is_honoured(tmp_path, theirs, number, ours):
    save(TextClassifier(bert(), number, problem="regression"), tmp_path)
    change_config(tmp_path, problem_type=theirs)
    assert load(tmp_path).problem == ours


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"id2label": {"0": "a", "2": "b"}}, r"without a gap\. .*id2label="),
        ({"id2label": {"1": "a", "2": "b", "3": "c"}}, "without a gap"),
        ({"id2label": {"0": "a", "1": "a", "2": "b"}}, "without a gap"),
        ({"id2label": {"0": "a", "1": 5, "2": "b"}}, "without a gap"),
        ({"id2label": ["a", "b", "c"]}, "without a gap"),
        ({"id2label": {"0": "no", "1": "yes"}}, r"of the 3 classes that classifier\.weight has"),
        ({"id2label": "GONE", "num_labels": 2}, "num_labels must be of the 3 classes"),
        ({"label2id": {"no": 1, "yes": 0, "perhaps": 2}}, "label2id must say of 'no'"),
        ({"problem_type": "ranking"}, "problem_type must be one of"),
        ({"classifier_dropout": -1}, "classifier_dropout must be"),
        ({"architectures": ["BertForMultipleChoice"]}, "architectures must name one of"),
    ],
)
def test_labels_that_contradict_something_are_refused(directory, fields, message):
    change_config(directory, **fields)
    with pytest.raises(ValueError, match=message):
        load(directory)


def test_one_class_is_no_choice(tmp_path):
    save(TextClassifier(bert(), 1, problem="regression"), tmp_path)
    change_config(tmp_path, problem_type="single_label_classification")
    with pytest.raises(ValueError, match="problem_type must be another one"):
        load(tmp_path)


def test_classes_without_names_are_numbered_and_can_be_named(directory):
    change_config(directory, id2label="GONE", label2id="GONE")
    assert load(directory).labels == ("LABEL_0", "LABEL_1", "LABEL_2")
    assert load(directory, labels=["x", "y", "z"]).labels == ("x", "y", "z")
    # What LABEL_0 is called in label2id is no contradiction.
    names = {"0": "a", "1": "b", "2": "c"}
    change_config(directory, id2label=names, label2id={"LABEL_0": 0, "LABEL_1": 1, "LABEL_2": 2})
    assert load(directory, labels=3).labels == ("a", "b", "c")
    with pytest.raises(ValueError, match=r"must have the classes \('c', 'b', 'a'\)"):
        load(directory, labels=["c", "b", "a"])
    with pytest.raises(ValueError, match=r"must have the classes \('a', 'b'\)"):
        load(directory, labels=["a", "b"])


@pytest.mark.parametrize(
    ("task", "kind", "labels"),
    [
        ("text_classification", TextClassifier, ["x", "y"]),
        ("token_classification", TokenClassifier, ["x", "y"]),
        ("question_answering", QuestionAnswering, None),
    ],
)
def test_a_model_without_a_head_gets_a_new_one_and_a_warning(headless, task, kind, labels):
    model, directory = headless
    with pytest.warns(UserWarning, match=f"has no head for {task}: it is new and has to be train"):
        made = load(directory, task, labels=labels)
    assert type(made) is kind
    assert getattr(made, "labels", None) == (labels and tuple(labels))
    for ours, theirs in zip(made.encoder.weights, model.encoder.weights, strict=True):
        np.testing.assert_array_equal(ours, theirs)
    if task == "text_classification":
        np.testing.assert_array_equal(made.dense.kernel, model.pooler.kernel)
    last = made.weights[-2].numpy()
    assert 0.1 < last.std() < 0.5  # Drawn, and not left empty for a file to fill.
    with pytest.raises(ValueError, match=r"labels are for|needs labels"):
        load(directory, task, labels=["x"] if labels is None else None)


def test_labels_of_a_directory_are_those_of_a_new_head(headless, tmp_path):
    directory = shutil.copytree(headless[1], tmp_path / "copy")
    change_config(directory, id2label={"0": "x", "1": "y"})
    with pytest.warns(UserWarning, match="has no head"):
        assert load(directory, "text_classification").labels == ("x", "y")


def test_labels_are_for_tasks(headless, directory):
    for path, task in ((headless[1], None), (directory, "backbone")):
        with pytest.raises(ValueError, match=r"labels are for .* for a model without a task"):
            load(path, task, labels=["a", "b"])


def test_the_head_of_one_task_is_none_for_another(directory):
    assert isinstance(load(directory, "text_classification"), TextClassifier)
    with pytest.raises(ValueError, match="trained for text_classification has no head for token_"):
        load(directory, "token_classification")


def test_without_architectures_a_task_that_is_asked_for_takes_the_head_of_the_file(directory):
    change_config(directory, architectures="GONE")
    assert load(directory, "text_classification").labels == ("no", "yes", "perhaps")


def test_what_a_head_needs_and_the_file_lacks_is_named(directory):
    path = directory / "model.safetensors"
    tensors = safetensors.numpy.load_file(path)
    del tensors["classifier.bias"], tensors["bert.pooler.dense.weight"]
    safetensors.numpy.save_file(tensors, path, {"format": "pt"})
    with pytest.raises(
        ValueError,
        match=r"lacks bert\.pooler\.dense\.weight of shape \(8, 8\); "
        r"lacks classifier\.bias of shape \(3,\)",
    ):
        load(directory)


def test_what_no_architecture_can_say_is_saved_under_a_name_of_our_own(tmp_path):
    task = TokenClassifier(bert(activation="softplus", pos_embedding_size=4), ["a", "b"])
    save(task, tmp_path)
    assert config_of(tmp_path)["model_type"] == "keras_lm_bert"
    again = load(tmp_path)
    assert again.labels == ("a", "b")
    assert same_weights(again, task)
    np.testing.assert_array_equal(again(IDS), task(IDS))


def test_the_tokenizer_and_its_files_travel_through_a_task(topics, tmp_path):
    model = bert(vocab_size=310, tokenizer=train_wordpiece([topics], 300))
    save(model, tmp_path / "model")
    (tmp_path / "model/special_tokens_map.json").write_text("{ }")
    task = TextClassifier(load(tmp_path / "model"), ["no", "yes"])
    save(task, tmp_path / "task")
    for path in (tmp_path / "model").iterdir():
        if path.name not in ("config.json", "model.safetensors", "README.md"):
            assert (tmp_path / "task" / path.name).read_bytes() == path.read_bytes()
    assert load(tmp_path / "task").tokenizer.tokens == model.tokenizer.tokens


def test_transformers_is_told_what_gpt_is_padded_with(topics, tmp_path):
    tokenizer = train_byte_bpe([topics], 300)
    model = GPT(300, 8, **SIZES, tokenizer=tokenizer)
    save(TextClassifier(model, 2), tmp_path)
    config = config_of(tmp_path)
    assert config["architectures"] == ["GPT2ForSequenceClassification"]
    assert config["pad_token_id"] == tokenizer.end_id
    assert isinstance(load(tmp_path), TextClassifier)


def test_a_rate_of_dropout_that_has_no_field_is_named(tmp_path):
    save(QuestionAnswering(bert()), tmp_path)
    with pytest.warns(UserWarning, match=r"dropout_rate=0\.3 is not saved"):
        save(QuestionAnswering(bert(), dropout_rate=0.3), tmp_path)


def test_a_task_of_another_kind_is_refused(tmp_path, written):
    class Mine(TextClassifier):
        pass

    with pytest.raises(ValueError, match=r"or a task on one of them; .* Received: a Mine"):
        save(Mine(bert(), 2), tmp_path / "mine")
    assert not (tmp_path / "mine").exists()
