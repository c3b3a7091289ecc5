"""What all tasks do alike."""

import json

import keras
import numpy as np
import pytest
from task_toys import (
    SIZES,
    bert,
    distilbert,
    electra,
    gpt,
    roberta,
    rows,
    transformer,
    with_noise_at_padding,
)

from keras_lm import QuestionAnswering, TextClassifier, TokenClassifier
from keras_lm.tokenizers import train_byte_bpe, train_wordpiece
from keras_lm.training import LanguageModel

MAKERS = {
    "text": lambda model, **more: TextClassifier(model, ["no", "yes", "perhaps"], **more),
    "token": lambda model, **more: TokenClassifier(model, ["O", "B", "I"], **more),
    "answer": QuestionAnswering,
}
FAMILIES = [bert, roberta, electra, distilbert, gpt, transformer]
SHAPES = {"text": [(4, 3)], "token": [(4, 7, 3)], "answer": [(4, 7), (4, 7)]}


@pytest.fixture(params=MAKERS)
def kind(request):
    return request.param


# The heads for texts differ between families; the others do not.
CASES = [("text", make) for make in FAMILIES]
CASES += [(kind, make) for kind in ("token", "answer") for make in (bert, gpt)]
CASES.append(("answer", transformer))


@pytest.fixture(params=CASES, ids=lambda case: f"{case[0]}-{case[1].__name__}")
def case(request):
    kind, make = request.param
    return kind, make()


def outputs_of(task, inputs):
    return [np.asarray(x) for x in keras.tree.flatten(task(inputs))]


def test_outputs_are_float32_logits(case):
    kind, model = case
    outputs = outputs_of(MAKERS[kind](model), rows(4))
    assert [x.shape for x in outputs] == SHAPES[kind]
    assert {x.dtype for x in outputs} == {np.dtype("float32")}


def test_the_stack_is_shared_and_heads_are_left_behind(kind):
    model = bert(heads=("masked_lm", "next_sentence"))
    model.build()
    task = MAKERS[kind](model)
    task.build()
    shared = {id(v) for v in model.weights} & {id(v) for v in task.weights}
    pooler = model.pooler.weights if kind == "text" else []
    assert shared == {id(v) for v in [*model.encoder.weights, *pooler]}
    assert task.count_params() - model.encoder.count_params() == {
        "text": 16 * 16 + 16 + 16 * 3 + 3,
        "token": 16 * 3 + 3,
        "answer": 16 * 2 + 2,
    }.get(kind)


def test_padding_does_not_leak(case):
    kind, model = case
    task, inputs = MAKERS[kind](model), rows(4)
    one, other = outputs_of(task, inputs), outputs_of(task, with_noise_at_padding(inputs))
    for a, b in zip(one, other, strict=True):
        if kind != "text":
            a, b = a[inputs["padding_mask"]], b[inputs["padding_mask"]]
        np.testing.assert_allclose(a, b, atol=1e-6)


def test_a_batch_of_mixed_lengths_equals_one_by_one(case):
    kind, model = case
    task, inputs = MAKERS[kind](model), rows(3)
    together = outputs_of(task, inputs)
    for row in range(3):
        length = inputs["padding_mask"][row].sum()
        alone = outputs_of(task, {k: v[row : row + 1, :length] for k, v in inputs.items()})
        for a, b in zip(together, alone, strict=True):
            a = a[row] if kind == "text" else a[row, :length]
            np.testing.assert_allclose(a, b[0], atol=1e-6)


def test_segments_are_read_where_the_model_has_them(kind):
    one, other = rows(4), rows(4)
    other["segment_ids"] = 1 - other["segment_ids"]
    tells = [bert(), electra(), roberta(num_segments=2)]
    does_not = [bert(num_segments=1), roberta(), distilbert(), gpt()]
    for model, differ in [(m, True) for m in tells] + [(m, False) for m in does_not]:
        task = MAKERS[kind](model)
        a, b = outputs_of(task, one), outputs_of(task, other)
        assert any(np.abs(x - y).max() > 1e-3 for x, y in zip(a, b, strict=True)) == differ


def test_a_keras_file_gives_the_same_task_back(case, tmp_path):
    kind, model = case
    task = MAKERS[kind](model, dropout_rate=0.3, name="mine")
    task.save(tmp_path / "task.keras")
    again = keras.saving.load_model(tmp_path / "task.keras")
    assert again.get_config() == task.get_config()
    assert (again.name, again.dropout_rate) == ("mine", 0.3)
    assert getattr(again, "labels", None) == getattr(task, "labels", None)
    for a, b in zip(outputs_of(again, rows(4)), outputs_of(task, rows(4)), strict=True):
        np.testing.assert_array_equal(a, b)
    # The model beneath has neither heads nor a state of its own.
    beneath = json.loads(json.dumps(task.get_config()))["model"]
    assert beneath["config"]["heads"] == []
    assert set(beneath) == {"module", "class_name", "config", "registered_name"}


def test_the_tokenizer_comes_along_and_can_be_set(kind, topics):
    words, bytes_ = train_wordpiece([topics], 300), train_byte_bpe([topics], 300)
    task = MAKERS[kind](bert(vocab_size=310, tokenizer=words))
    assert task.tokenizer is words
    task.tokenizer = other = train_wordpiece([topics], 290)
    assert type(task).from_config(task.get_config()).tokenizer.tokens == other.tokens
    with pytest.raises(ValueError, match="needs a tokenizer with the special tokens"):
        task.tokenizer = bytes_
    task.tokenizer = None
    assert type(task).from_config(task.get_config()).tokenizer is None


def test_dropout_is_that_of_the_family_unless_it_is_given(kind):
    rates = {
        "text": (0.25, 0.25, 0.25, 0.2, 0.0, 0.0),
        "token": (0.25, 0.25, 0.25, 0.25, 0.1),
        "answer": (0.0, 0.0, 0.0, 0.1, 0.0, 0.0),
    }[kind]
    for make, rate in zip(FAMILIES, rates, strict=kind != "token"):
        assert MAKERS[kind](make(dropout_rate=0.25)).dropout_rate == rate
        assert MAKERS[kind](make(dropout_rate=0.25), dropout_rate=0.5).dropout_rate == 0.5


def test_the_default_learning_rate_is_one_of_fine_tuning(kind):
    task = MAKERS[kind](bert())
    task.compile()
    assert task.optimizer.get_config()["learning_rate"]["config"]["peak_learning_rate"] == 5e-5


def test_a_task_computes_in_the_dtype_of_its_model(kind):
    task = MAKERS[kind](bert(dtype="mixed_bfloat16"))
    assert task.dtype_policy.name == "mixed_bfloat16"
    assert outputs_of(task, rows(2))[0].dtype == "float32"
    with pytest.raises(ValueError, match="Received: dtype='float32', a model of mixed_bfloat16"):
        MAKERS[kind](bert(dtype="mixed_bfloat16"), dtype="float32")


def test_the_model_is_not_kept(kind):
    model = bert()
    task = MAKERS[kind](model)
    assert not any(value is model for value in task.constructor_arguments.values())
    assert not any(isinstance(layer, LanguageModel) for layer in task.layers)


def test_a_model_that_has_no_task_is_refused(kind):
    with pytest.raises(ValueError, match=r"stands on one of BERT, .*Received: a TokenClassifier"):
        MAKERS[kind](TokenClassifier(bert(), 2))
    with pytest.raises(TypeError, match="Received: lables"):
        MAKERS[kind](bert(), lables=3)


def test_tokens_are_not_classified_by_encoder_and_decoder_together():
    with pytest.raises(ValueError, match=r"not by both\. Received: a Transformer"):
        TokenClassifier(transformer(), 2)
    with pytest.raises(ValueError, match="What a target begins with must be known"):
        TextClassifier(transformer(decoder_start_ids=None), 2)


def test_a_decoder_reads_the_source_once_more_one_place_later():
    model, inputs = transformer(heads=()), rows(3)
    ids, real = inputs["token_ids"], inputs["padding_mask"]
    target = np.concatenate([np.full((3, 1), 2), ids[:, :-1]], 1)
    states = model({"token_ids": ids, "padding_mask": real, "decoder_token_ids": target})
    task = TextClassifier(model, 2)
    np.testing.assert_allclose(task.hidden_states(inputs), states, atol=1e-6)


def test_a_model_of_another_scope_is_refused(kind, replicas):
    model = bert()
    with replicas.scope(), pytest.raises(ValueError, match="scope of the same strategy"):
        MAKERS[kind](model)


def test_an_input_that_no_task_reads_is_refused(kind):
    inputs = {**rows(2), "masked_positions": np.zeros((2, 1), "int32")}
    with pytest.raises(ValueError, match=r"A task reads token_ids and.*Received: masked_pos"):
        MAKERS[kind](bert())(inputs)


def test_sizes_are_known(case):
    kind, model = case
    task = MAKERS[kind](model)
    assert (task.max_length, task.vocab_size, task.hidden_size) == (10, 20, 16)
    assert task.backbone.model is type(model)
    assert {k: task.backbone.arguments[k] for k in SIZES} == SIZES
