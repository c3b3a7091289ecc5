import concurrent.futures
import pathlib
import stat

import keras
import numpy as np
import pytest
import tensorflow as tf
from ask_in_a_process import (
    BEAM_OPTIONS,
    BEAMS,
    LONG,
    LONG_OPTIONS,
    OPTIONS,
    PROMPTS,
    REQUESTS,
    ROWS,
    TEXTS,
)
from operation_audit import assert_core_operations

from keras_lm import ELECTRA, GPT, DistilBERT, ELECTRAPretrainer, RoBERTa, export
from keras_lm.generation import Rules, Status, greedy_options
from keras_lm.models.limits import CUT, NO_MASK
from keras_lm.tokenizers import train_byte_bpe


def test_masks_are_filled_as_in_python(answers, bert):
    answer = answers["bert", "serving_default"]
    assert answer["count"] == [1, 2, 0, 0, 1]
    assert answer["status"] == [0, 0, NO_MASK, NO_MASK, 0]
    for row, text in enumerate(TEXTS):
        if "[MASK]" not in text:
            assert answer["tokens"][row] == [[""] * 3] * 2
            assert answer["scores"][row] == [[-1.0] * 3] * 2
            continue
        for mask, filling in enumerate(bert.fill_mask(text, top_k=3)):
            assert answer["tokens"][row][mask] == [token for token, _ in filling]
            np.testing.assert_allclose(
                answer["scores"][row][mask], [score for _, score in filling], atol=1e-6
            )


def test_replaced_tokens_are_found_as_in_python(answers, electra):
    answer = answers["electra", "serving_default"]
    assert answer["status"] == [0] * len(TEXTS) + [CUT]
    for row, text in enumerate([*TEXTS, LONG[: 2 * (electra.max_length - 2)]]):
        found = electra.find_replaced(text)
        count = answer["count"][row]
        assert answer["tokens"][row][:count] == [token for token, _ in found]
        np.testing.assert_allclose(
            answer["scores"][row][:count], [score for _, score in found], atol=1e-6
        )
        assert set(answer["tokens"][row][count:]) <= {""}
        assert set(answer["scores"][row][count:]) <= {-1.0}


def test_of_ids_every_one_is_judged(answers, electra):
    answer = answers["electra", "find_replaced_ids"]
    assert answer["count"] == ROWS["lengths"]
    for row, (ids, length) in enumerate(zip(*ROWS.values(), strict=True)):
        tokens = [electra.tokenizer.tokens[i] for i in ids[:length]]
        assert answer["tokens"][row] == tokens + [""] * (4 - length)
        expected = tf.sigmoid(electra(np.array([ids[:length]])))[0]
        np.testing.assert_allclose(answer["scores"][row][:length], expected, atol=1e-6)


SMALL = {
    "hidden_size": 8,
    "num_layers": 1,
    "num_attention_heads": 1,
    "num_hidden_units": 8,
    "max_length": 16,
    "heads": ("masked_lm",),
}


def assert_fills_as_in_python(model, directory, text):
    model.build()
    loaded = tf.saved_model.load(str(export(model, directory, top_k=40, extra_files=False)))
    answer = loaded.signatures["serving_default"](text=tf.constant([text]))
    (expected,) = model.fill_mask(text, top_k=40)
    assert [token.decode() for token in answer["tokens"].numpy()[0, 0]] == [t for t, _ in expected]
    np.testing.assert_allclose(answer["scores"][0, 0], [p for _, p in expected], atol=1e-6)


def test_robertas_mask_is_filled_as_in_python(topics, tmp_path):
    tokenizer = train_byte_bpe([topics], 300, kind="roberta")
    model = RoBERTa(300, **SMALL, tokenizer=tokenizer)
    assert_fills_as_in_python(model, tmp_path / "m", "The <mask> statement")


@pytest.mark.slow
@pytest.mark.parametrize("model_class", [DistilBERT, ELECTRA])
def test_every_masked_lm_is_filled_as_in_python(model_class, bert, tmp_path):
    model = model_class(bert.vocab_size, **SMALL, tokenizer=bert.tokenizer)
    assert_fills_as_in_python(model, tmp_path / "m", "The [MASK] statement")


def test_prompts_are_continued_as_in_python(answers, gpt):
    greedy, drawn = answers["gpt", "serving_default"], answers["gpt", "generate"]
    for row, prompt in enumerate(PROMPTS[:3]):
        assert greedy["text"][row] == gpt.generate(prompt, max_new_tokens=8)
        options = {name: values[row] for name, values in OPTIONS.items()}
        assert drawn["text"][row] == gpt.generate(prompt, **options)
    assert drawn["status"] == [0, 0, 0, CUT]
    assert all(
        text == prompt + completion
        for text, prompt, completion in zip(
            drawn["text"], PROMPTS, drawn["completion"], strict=True
        )
    )


def test_of_a_long_prompt_the_end_is_read(answers, gpt):
    ids = gpt.tokenizer.encode(PROMPTS[3])[-(gpt.max_length - 8) :]
    expected = gpt.tokenizer.decode(gpt.generate(ids, max_new_tokens=8)[len(ids) :])
    assert answers["gpt", "serving_default"]["completion"][3] == expected
    assert answers["gpt", "serving_default"]["status"][3] == CUT


def test_ids_are_continued_as_in_python(answers, gpt):
    answer = answers["gpt", "generate_ids"]
    for row, prompt in enumerate([[7, 9, 11], [5]]):
        options = {name: values[row] for name, values in LONG_OPTIONS.items()}
        alone = gpt.generate(prompt, **options)
        new = answer["token_ids"][row]
        assert prompt + new[: answer["count"][row]] == alone
        assert set(new[answer["count"][row] :]) <= {-1}


def test_beams_are_those_of_python(answers, gpt):
    answer = answers["gpt", "beam_search"]
    assert set(answer) == {"text", "completion", "scores", "count", "status"}
    for row, prompt in enumerate(PROMPTS[:3]):
        options = {name: values[row] for name, values in BEAM_OPTIONS.items()}
        found = gpt.generate(
            prompt, num_beams=BEAMS, num_return_sequences=BEAMS, return_scores=True, **options
        )
        assert answer["text"][row] == [beam.output for beam in found]
        assert answer["completion"][row] == [beam.output[len(prompt) :] for beam in found]
        assert answer["count"][row] == [len(beam.token_ids) for beam in found]
        np.testing.assert_allclose(answer["scores"][row], [beam.score for beam in found], rtol=1e-4)
    assert answer["status"] == [0, 0, 0, CUT]


def test_scores_are_those_of_python(answers, gpt):
    answer = answers["gpt", "score"]
    rows = [0, 2]
    found = gpt.score([PROMPTS[row] for row in rows])
    for name, values in found._asdict().items():
        np.testing.assert_allclose(np.array(answer[name])[rows], values, rtol=1e-4)
    assert answer["num_tokens"][1] == 0
    assert answer["perplexity"][1] == 1
    assert answer["status"] == [0, 0, 0, CUT]


def test_options_out_of_range_are_clamped_and_said(loaded):
    prompt = ["The assert"] * 5
    answer = loaded["gpt"].signatures["generate"](
        prompt=tf.constant(prompt),
        **{
            **greedy_options(tf.constant([0, 4, 4, 4, 10_000]))._asdict(),
            "temperature": tf.constant([0.0, -1.0, 1.0, 1.0, float("nan")]),
            "top_k": tf.constant([0, 0, -3, 0, 0]),
            "top_p": tf.constant([1.0, 1.0, 1.0, 7.0, 1.0]),
            "repetition_penalty": tf.constant([1.0, 1.0, 1.0, 0.0, 1.0]),
        },
    )
    assert answer["status"].numpy().tolist() == [
        Status.MAX_NEW_TOKENS,
        Status.TEMPERATURE,
        Status.TOP_K,
        Status.TOP_P | Status.REPETITION_PENALTY,
        Status.MAX_NEW_TOKENS | Status.TEMPERATURE,
    ]
    assert answer["count"].numpy()[0] <= 1


def test_an_empty_batch_and_hostile_ids_are_answered(loaded):
    empty = loaded["gpt"].signatures["serving_default"](prompt=tf.constant([], tf.string))
    assert empty["text"].shape == (0,)
    assert (
        loaded["bert"]
        .signatures["serving_default"](text=tf.constant([], tf.string))["tokens"]
        .shape[0]
        == 0
    )
    empty = loaded["electra"].signatures["serving_default"](text=tf.constant([], tf.string))
    assert empty["tokens"].shape[0] == 0
    ids = tf.constant([[10**6, -5, 3]] * 2)
    answer = loaded["electra"].signatures["find_replaced_ids"](
        token_ids=ids, lengths=tf.constant([99, -1])
    )
    assert answer["count"].numpy().tolist() == [3, 0]
    assert answer["status"].numpy().tolist() == [CUT, 0]
    answer = loaded["bert"].signatures["fill_mask_ids"](
        token_ids=ids, lengths=tf.constant([99, -1])
    )
    assert answer["count"].numpy().tolist() == [0, 0]
    options = greedy_options(tf.constant([2, 2]))._asdict()
    answer = loaded["gpt"].signatures["generate_ids"](
        token_ids=ids, lengths=tf.constant([99, -1]), **options
    )
    assert answer["count"].numpy().max() <= 2


def test_ten_megabytes_are_cut_before_they_are_tokenized(loaded):
    huge = "word " * 2_000_000
    answer = loaded["bert"].signatures["serving_default"](text=tf.constant(["[MASK] " + huge]))
    assert answer["status"].numpy().tolist() == [CUT]
    assert answer["count"].numpy().tolist() == [1]
    answer = loaded["gpt"].signatures["serving_default"](prompt=tf.constant([huge]))
    assert answer["status"].numpy().tolist() == [CUT]


def test_eight_threads_get_eight_right_answers(loaded):
    complete = loaded["gpt"].signatures["serving_default"]
    prompts = [
        f"The {word}" for word in ("if", "for", "with", "def", "class", "try", "del", "pass")
    ]
    expected = [complete(prompt=tf.constant([p]))["text"].numpy()[0] for p in prompts]

    def ask(prompt):
        return [complete(prompt=tf.constant([prompt]))["text"].numpy()[0] for _ in range(5)]

    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        found = list(pool.map(ask, prompts))
    assert found == [[text] * 5 for text in expected]


@pytest.mark.parametrize("name", ["bert", "electra", "gpt", "transformer"])
def test_the_operations_are_those_of_core_tensorflow(exports, name):
    assert_core_operations(exports / name / "1")


def test_every_output_has_the_batch_first(loaded):
    for model in loaded.values():
        for function in model.signatures.values():
            for spec in function.structured_outputs.values():
                assert spec.shape.rank is None or spec.shape.rank >= 1


def test_keras_can_hold_an_export_as_a_layer(exports, answers):
    layer = keras.layers.TFSMLayer(str(exports / "bert" / "1"), call_endpoint="serving_default")
    found = layer(tf.constant(TEXTS))
    assert found["count"].numpy().tolist() == answers["bert", "serving_default"]["count"]


def test_versions_count_up_and_are_never_changed(bert, tmp_path):
    assert export(bert, tmp_path / "m", extra_files=False) == tmp_path / "m" / "1"
    assert export(bert, tmp_path / "m", version=7, extra_files=False) == tmp_path / "m" / "7"
    before = (tmp_path / "m" / "7" / "saved_model.pb").stat().st_mtime_ns
    with pytest.raises(FileExistsError, match="never changed"):
        export(bert, tmp_path / "m", version=7, extra_files=False)
    assert (tmp_path / "m" / "7" / "saved_model.pb").stat().st_mtime_ns == before
    assert stat.S_IMODE((tmp_path / "m" / "7").stat().st_mode) == 0o755


def test_who_comes_second_takes_the_next_version(bert, tmp_path, monkeypatch):
    def save_while_somebody_writes_version_3(root, path, signatures):
        pathlib.Path(path, "saved_model.pb").write_text("ours")
        (tmp_path / "m" / "3").mkdir(exist_ok=True)
        (tmp_path / "m" / "3" / "saved_model.pb").write_text("theirs")

    (tmp_path / "m" / "2").mkdir(parents=True)
    monkeypatch.setattr(tf.saved_model, "save", save_while_somebody_writes_version_3)
    assert export(bert, tmp_path / "m", extra_files=False) == tmp_path / "m" / "4"
    assert (tmp_path / "m" / "3" / "saved_model.pb").read_text() == "theirs"
    (tmp_path / "m" / "3" / "saved_model.pb").unlink()
    (tmp_path / "m" / "3").rmdir()
    with pytest.raises(FileExistsError, match="never changed"):
        export(bert, tmp_path / "m", version=3)


def test_a_failed_export_leaves_nothing_behind(bert, tmp_path, monkeypatch):
    def fail(root, path, signatures):
        pathlib.Path(path, "half").write_text("")
        raise OSError("disk full")

    monkeypatch.setattr(tf.saved_model, "save", fail)
    with pytest.raises(OSError, match="disk full"):
        export(bert, tmp_path / "m", extra_files=False)
    assert list((tmp_path / "m").iterdir()) == []


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"version": 0}, "version=0"),
        ({"max_new_tokens": 0}, r"1 .. 111.*Received: 0"),
        ({"max_new_tokens": 112}, "Received: 112"),
        ({"num_beams": 0}, "num_beams must be in 1 .. "),
        ({"num_beams": 9_999}, "Received: 9999"),
        ({"early_stopping": True}, "early_stopping is for num_beams above 1"),
        ({"num_beams": 2, "early_stopping": 3}, "early_stopping must be"),
        ({"rules": Rules(suppressed_ids=[9_999])}, "Received: 9999"),
    ],
)
def test_numbers_out_of_range_are_refused(gpt, tmp_path, options, message):
    with pytest.raises(ValueError, match=message):
        export(gpt, tmp_path / "m", **options)
    assert not (tmp_path / "m").exists()


def test_a_model_that_cannot_answer_is_refused(gpt, bert, tmp_path):
    sizes = {k: v for k, v in gpt.get_config().items() if k not in ("tokenizer", "heads", "name")}
    with pytest.raises(ValueError, match="unbuilt"):
        export(GPT(**sizes), tmp_path / "m")
    for options, message in (({}, "needs a tokenizer"), ({"heads": ()}, r"heads=\(\)")):
        model = GPT(**sizes, **options)
        model.build()
        with pytest.raises(ValueError, match=message):
            export(model, tmp_path / "m")
    with pytest.raises(ValueError, match="Received: Sequential"):
        export(keras.Sequential(), tmp_path / "m")
    pretrainer = ELECTRAPretrainer(50, 8, 1, 1, 8, max_length=8, generator_size=0.5)
    pretrainer.build()
    with pytest.raises(ValueError, match="export its discriminator or its generator"):
        export(pretrainer, tmp_path / "m")
    with pytest.raises(ValueError, match=r"num_beams, rules, stop and .* are for a model that"):
        export(bert, tmp_path / "m", num_beams=2)


def test_a_server_answers_as_a_process_does(task_server, answers):
    from ask_a_server import assert_served

    asked = [request for request in REQUESTS if request[0] == "bert"]
    assert_served(task_server, asked, answers)


@pytest.mark.slow
def test_a_server_answers_as_a_process_does_with_every_signature(exports, answers):
    pytest.importorskip("tensorflow_serving.apis", reason="needs the extra serve")
    from a_server import serving
    from ask_a_server import assert_served

    asked = [request for request in REQUESTS if not request[1].startswith("prefill")]
    with serving(exports) as server:
        assert_served(server, asked, answers)
