"""What an export fixes for all requests: texts at which answers end, and whether scores come along.

The functions that are written, without writing them.
"""

import numpy as np
import pytest
import tensorflow as tf
from ask_in_a_process import PROMPTS

from keras_lm import export
from keras_lm.generation import greedy_options
from keras_lm.models.continuation import Structure
from keras_lm.models.speculation import Proposals
from keras_lm.serving.signatures import generation_signatures, text_to_text_signatures

NEW = 12
MAKERS = {
    "gpt": (generation_signatures, "completion"),
    "transformer": (text_to_text_signatures, "target"),
}


@pytest.fixture(scope="module", params=["gpt", pytest.param("transformer", marks=pytest.mark.slow)])
def model(request):
    return request.param, request.getfixturevalue(request.param)


def asked(function):
    # As many as they may have: no end token comes before.
    limit = tf.fill([len(PROMPTS)], NEW)
    return function(tf.constant(PROMPTS), *greedy_options(limit)._replace(min_new_tokens=limit))


def test_answers_end_at_a_stop_and_come_with_scores(model):
    kind, model = model
    make, answer = MAKERS[kind]
    plain = make(model, model.tokenizer, NEW)
    texts = [text.decode() for text in asked(plain["generate"])[answer].numpy()]
    # From the midst of the longest; where tokens begin and end makes no difference.
    longest = max(texts, key=len)
    stop = (longest[len(longest) // 2 :][:3], "never written")
    signatures = make(model, model.tokenizer, NEW, Structure(stop=stop, scores=True))
    found = asked(signatures["generate"])
    kept = [text.split(stop[0])[0] for text in texts]
    assert [text.decode() for text in found[answer].numpy()] == kept
    assert kept != texts

    prompts = [text for text in PROMPTS if len(text) < 100]
    limits = {"max_new_tokens": NEW, "min_new_tokens": NEW}
    here = model.generate(prompts, stop=stop, return_scores=True, **limits)
    for row, text in zip(here, prompts, strict=True):
        i = PROMPTS.index(text)
        assert found["count"][i] == len(row.token_ids)
        scored = found["log_probs"][i][: len(row.token_ids)]
        np.testing.assert_allclose(scored, row.log_probs, atol=1e-4)
        np.testing.assert_allclose(found["score"][i], row.score, atol=1e-4)
        assert not np.any(found["log_probs"][i][len(row.token_ids) :])

    # Nothing of a stop is in a piece, and nothing of an answer is lost.
    state = asked(signatures["prefill"])
    pieces = [state.pop("piece")]
    names = [spec.name for spec in signatures["decode_chunk"].input_signature[1:]]
    while not np.all(state["reason"] > 0):
        state = signatures["decode_chunk"](tf.constant(1), *(state[name] for name in names))
        pieces.append(state.pop("piece"))
    streamed = [b"".join(row).decode() for row in np.stack(pieces, 1)]
    assert streamed == kept
    assert [text.decode() for text in state[answer].numpy()] == kept


def test_proposals_change_no_answer(gpt):
    structure = Structure(stop=("e",), scores=True)
    whole = structure._replace(proposals=Proposals(3))
    plain, proposing = (
        generation_signatures(gpt, gpt.tokenizer, NEW, of) for of in (structure, whole)
    )
    expected, found = asked(plain["generate"]), asked(proposing["generate"])
    assert expected.keys() == found.keys()
    for name, value in expected.items():
        if value.dtype == tf.float32:
            np.testing.assert_allclose(found[name], value, atol=1e-4)
        else:
            np.testing.assert_array_equal(found[name], value)
    kinds = {node.op for node in nodes_of(proposing["generate"])}
    assert "Cumprod" in kinds  # that looks for what stood before
    assert "Cumprod" not in {node.op for node in nodes_of(plain["generate"])}


def nodes_of(function):
    definition = function.get_concrete_function().graph.as_graph_def()
    return [*definition.node, *(node for f in definition.library.function for node in f.node_def)]


def test_proposals_are_for_a_gpt(bert, transformer, tmp_path):
    for model in (bert, transformer):
        with pytest.raises(ValueError, match=r"prompt_lookup_num_tokens is for a GPT\. Received"):
            export(model, tmp_path / "m", prompt_lookup_num_tokens=2)
    assert not (tmp_path / "m").exists()


def test_a_model_that_generates_nothing_takes_no_stop(bert, gpt, tmp_path):
    for options in ({"stop": "."}, {"return_scores": True}):
        with pytest.raises(ValueError, match="for a model that generates"):
            export(bert, tmp_path / "m", **options)
    with pytest.raises(ValueError, match=r"stop must be texts that are not empty\. Received"):
        export(gpt, tmp_path / "m", stop=["a", ""])
    assert not (tmp_path / "m").exists()
