"""Exports of a model from text to text answer as it does in Python."""

import numpy as np
import pytest
import tensorflow as tf
from ask_in_a_process import BEAM_OPTIONS, BEAMS, OPTIONS, PROMPTS, ROWS, TARGETS

from keras_lm import export
from keras_lm.generation import Status, greedy_options
from keras_lm.models.interface import made_once
from keras_lm.models.limits import CUT
from keras_lm.models.source_rows import SourceRows
from keras_lm.models.text_to_text import TextToText

RULES = {"no_repeat_ngram_size": 3}  # of the export


def test_texts_are_answered_as_in_python(answers, transformer):
    greedy, drawn = answers["transformer", "serving_default"], answers["transformer", "generate"]
    assert set(greedy) == set(drawn) == {"target", "count", "status", "log_probs", "score"}
    for row, text in enumerate(PROMPTS[:3]):
        assert greedy["target"][row] == transformer.generate(text, max_new_tokens=8, **RULES)
        options = {name: values[row] for name, values in OPTIONS.items()}
        assert drawn["target"][row] == transformer.generate(text, **options, **RULES)
    assert drawn["status"] == greedy["status"] == [0, 0, 0, CUT]


def test_of_a_long_text_the_start_is_read(answers, transformer):
    rows = SourceRows(transformer.tokenizer, transformer.max_length)
    (ids,) = rows.encode([PROMPTS[3]])
    ids = [*ids[: transformer.max_length - 1], ids[-1]]
    expected = transformer.generate(ids, max_new_tokens=8, **RULES)
    expected = transformer.tokenizer.decode(expected)
    assert answers["transformer", "serving_default"]["target"][3] == expected


def test_ids_are_answered_as_in_python(answers, transformer):
    answer = answers["transformer", "generate_ids"]
    for row, length in enumerate(ROWS["lengths"]):
        options = {name: values[row] for name, values in OPTIONS.items()}
        alone = transformer.generate(ROWS["token_ids"][row][:length], **options, **RULES)
        new = answer["token_ids"][row]
        assert new[: answer["count"][row]] == alone
        assert set(new[answer["count"][row] :]) <= {-1}


def test_beams_are_those_of_python(answers, transformer):
    answer = answers["transformer", "beam_search"]
    assert set(answer) == {"target", "scores", "count", "status"}
    for row, text in enumerate(PROMPTS[:3]):
        options = {name: values[row] for name, values in BEAM_OPTIONS.items()}
        found = transformer.generate(
            text,
            num_beams=BEAMS,
            num_return_sequences=BEAMS,
            early_stopping=True,
            return_scores=True,
            **options,
            **RULES,
        )
        assert answer["target"][row] == [beam.output for beam in found]
        assert answer["count"][row] == [len(beam.token_ids) for beam in found]
        np.testing.assert_allclose(answer["scores"][row], [beam.score for beam in found], rtol=1e-4)


def test_scores_are_those_of_python(answers, transformer):
    answer = answers["transformer", "score"]
    found = transformer.score(PROMPTS[:2], TARGETS[:2])
    for name, values in found._asdict().items():
        np.testing.assert_allclose(answer[name][:2], values, rtol=1e-4)
    # What was cut has no end, and an empty target nothing but its end.
    assert answer["num_tokens"][2:] == [transformer.max_length - 1, 1]
    assert answer["status"] == [0, 0, CUT, CUT]
    assert answer["num_characters"][3] == 0


def options(rows, **changed):
    given = greedy_options(tf.fill([rows], 4))._asdict()
    return {**given, **{name: tf.constant(value) for name, value in changed.items()}}


def test_options_out_of_range_are_clamped_and_said(loaded, transformer):
    answer = loaded["transformer"].signatures["generate"](
        text=tf.constant(["The"] * 3),
        **options(3, max_new_tokens=[0, 10_000, 4], temperature=[0.0, 0.0, -1.0]),
    )
    room = Status.MAX_NEW_TOKENS
    assert answer["status"].numpy().tolist() == [room, room, Status.TEMPERATURE]
    assert answer["count"].numpy()[0] <= 1
    assert answer["count"].numpy().max() <= transformer.max_length - 1


def test_an_empty_batch_and_hostile_ids_are_answered(loaded, transformer):
    signatures = loaded["transformer"].signatures
    assert signatures["serving_default"](text=tf.constant([], tf.string))["target"].shape == (0,)
    nothing = signatures["generate_ids"](
        token_ids=tf.zeros([0, 0], tf.int32), lengths=tf.zeros([0], tf.int32), **options(0)
    )
    assert nothing["count"].shape == (0,)
    answer = signatures["generate_ids"](
        token_ids=tf.constant([[10**6, -5, 3], [7, 7, 7], [10**6, -5, 3]]),
        lengths=tf.constant([99, -1, 3]),
        **options(3),
    )
    # Unknown ids are read as the unknown token, a row without ids as the end of an empty text.
    unknown, closing = transformer.tokenizer.unk_id, transformer.tokenizer.sep_id
    expected = transformer.generate([[unknown, unknown, 3], [closing]], max_new_tokens=4, **RULES)
    for row, wanted in enumerate([*expected, expected[0]]):
        assert answer["token_ids"][row, : answer["count"][row]].numpy().tolist() == wanted
    assert answer["status"].numpy().tolist() == [0, 0, 0]
    no_columns = signatures["generate_ids"](
        token_ids=tf.zeros([1, 0], tf.int32), lengths=tf.constant([0]), **options(1)
    )
    assert no_columns["count"].numpy() == len(expected[1])


def test_rows_of_ids_that_are_too_long_are_cut_and_said(loaded, transformer):
    long = np.random.default_rng(0).integers(5, 600, (1, 70)).astype("int32")
    answer = loaded["transformer"].signatures["generate_ids"](
        token_ids=tf.constant(long), lengths=tf.constant([70]), **options(1)
    )
    assert answer["status"].numpy().tolist() == [CUT]
    expected = transformer.generate(long[0, :64].tolist(), max_new_tokens=4, **RULES)
    assert answer["token_ids"][0, : answer["count"][0]].numpy().tolist() == expected


def test_ten_megabytes_are_cut_before_they_are_tokenized(loaded):
    huge = tf.constant(["word " * 2_000_000])
    answer = loaded["transformer"].signatures["serving_default"](text=huge)
    assert answer["status"].numpy().tolist() == [CUT]


@pytest.mark.slow
def test_without_a_limit_a_target_may_be_so_much_longer_than_its_text(transformer):
    generator = made_once(TextToText, transformer, transformer.tokenizer)
    texts = ["The assert statement", "", "x " * 300]
    answer = generator.answer_text(tf.constant(texts))
    lengths = [len(transformer.tokenizer.encode(text)) for text in texts[:2]]
    for row, length in enumerate(lengths):
        wanted = transformer.generate(texts[row], max_new_tokens=length + 50)
        assert answer["target"].numpy()[row].decode() == wanted
    # As many as fit, where that is less.
    counts = answer["count"].numpy().tolist()
    assert counts == [*(length + 50 for length in lengths), transformer.max_length - 1]
    assert answer["status"].numpy().tolist() == [0, 0, CUT]


def test_limits_beyond_the_models_length_are_refused(transformer, tmp_path):
    with pytest.raises(ValueError, match=r"1 .. 63.*Received: 64"):
        export(transformer, tmp_path / "m", max_new_tokens=64)
