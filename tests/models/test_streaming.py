"""What `stream` gives, joined, is what `generate` adds."""

import keras
import pytest
import tensorflow as tf
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from keras_lm import GPT, Transformer
from keras_lm.models.chunks import settled_text as settled_in_graph
from keras_lm.models.continuation import PLAIN
from keras_lm.models.streaming import settled, settled_text
from keras_lm.models.text_generation import TextGenerator
from keras_lm.tokenizers import WordPiece, train_byte_bpe

SIZES = {
    "hidden_size": 16,
    "num_layers": 1,
    "num_attention_heads": 2,
    "num_hidden_units": 32,
    "max_length": 64,
}
SLOW = {"deadline": None, "suppress_health_check": list(HealthCheck)}


@pytest.fixture(scope="module")
def bytes_alone(topics):
    """A vocabulary of bytes: every character beyond ASCII straddles tokens."""
    return train_byte_bpe([topics], 257)


@pytest.fixture(scope="module")
def marks():
    """Pieces of which decoding joins many: "don ' t ." becomes "don't."."""
    words = ["do", "n't", "n", "t", "'", "s", "m", "ve", "re", ".", "?", "!", ",", "##s", "##n"]
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    return WordPiece([*special, *words, "'s", "'ve", "ca"], clean_up_spaces=True)


@pytest.fixture(scope="module")
def gpt(bytes_alone):
    keras.utils.set_random_seed(0)
    model = GPT(257, **SIZES, initializer_range=0.3, tokenizer=bytes_alone)
    model.build()
    return model


@pytest.fixture(scope="module")
def transformer(marks):
    keras.utils.set_random_seed(3)
    model = Transformer(marks.vocab_size, **SIZES, initializer_range=0.5, tokenizer=marks)
    model.build()
    return model


CHARACTERS = st.sampled_from(["a", "b", "ab", "é", "ß", "漢", "🎉", "\ufffd", " ", "\n"])


@settings(max_examples=300, **SLOW)
@given(
    st.lists(CHARACTERS, max_size=12).map("".join),
    st.lists(st.binary(max_size=3), max_size=3),
    st.lists(st.lists(CHARACTERS, min_size=1, max_size=3).map("".join), max_size=3),
    st.integers(1, 7),
)
@example("aé", [], ["aé"], 1)
@example("aba", [], ["aba", "b"], 1)
@example("a🎉b", [b"\xf0\x9f"], ["🎉c", "a🎉b!"], 1)
def test_pieces_of_bytes_are_whole_characters(bytes_alone, text, junk, stops, step):
    """Valid text with some bytes between that are none, cut anywhere."""
    raw = text.encode()
    for i, piece in enumerate(junk):
        at = (i * 7) % (len(raw) + 1)
        raw = raw[:at] + piece + raw[at:]
    id_of = {token: i for i, token in enumerate(bytes_alone.token_bytes)}
    ids = [id_of[bytes([byte])] for byte in raw]
    check_pieces(bytes_alone, ids, stops, step)


@settings(max_examples=300, **SLOW)
@given(
    st.lists(st.integers(5, 22), max_size=16),
    st.lists(st.sampled_from(["n't", " .", "do", "s", ".?"]), max_size=2),
    st.integers(1, 5),
)
@example([5, 7, 9, 8], [], 1)
def test_pieces_of_words_are_not_tidied_afterwards(marks, ids, stops, step):
    check_pieces(marks, ids, stops, step)


@settings(max_examples=100, **SLOW)
@given(st.text(max_size=14) | st.lists(CHARACTERS, max_size=9).map("".join), st.booleans())
@example("a\ufffd\ufffd\ufffd\ufffd", False)
@example("a\ufffd\n", False)
def test_a_graph_holds_back_what_python_holds_back(text, tidies):
    settled_B = settled_in_graph(tf.constant([text, text]), tf.constant([False, True]), tidies)
    assert settled_B[0].numpy().decode() == text[: settled(text, [], tidies)]
    assert settled_B[1].numpy().decode() == text


def check_pieces(tokenizer, ids, stops, step):
    growing = [ids[:n] for n in (*range(1, len(ids), step), len(ids))]
    pieces = list(settled_text(iter(growing), tokenizer, stops, continues=False))
    whole = tokenizer.decode(ids)
    end = min([whole.find(stop) for stop in stops if stop in whole], default=len(whole))
    assert "".join(pieces) == whole[:end]
    assert all(pieces)


@settings(max_examples=12, **SLOW)
@given(st.text(max_size=12), st.integers(0, 2**40), st.integers(1, 9), st.booleans())
def test_what_comes_in_pieces_is_what_generate_adds(gpt, prompt, seed, step, stops):
    options = {"max_new_tokens": 14, "temperature": 1.0, "seed": seed, "presence_penalty": 0.5}
    if stops:
        options["stop"] = ["a", "\ufffd\ufffd", "e\n"]
    pieces = list(gpt.stream(prompt, tokens_per_step=step, **options))
    assert prompt + "".join(pieces) == gpt.generate(prompt, **options)


@pytest.mark.parametrize("step", [pytest.param(1, marks=pytest.mark.slow), 4])
def test_targets_come_in_pieces_too(transformer, step):
    options = {"max_new_tokens": 30, "temperature": 1.0, "seed": 5}
    for source in ("do n't", ""):
        pieces = list(transformer.stream(source, tokens_per_step=step, **options))
        assert "".join(pieces) == transformer.generate(source, **options)
    assert len(pieces) > 1


def test_a_stop_may_straddle_tokens_and_calls(gpt):
    options = {"max_new_tokens": 20, "temperature": 1.0, "seed": 3}
    whole = "".join(gpt.stream("The", **options))
    assert len(whole) > 6
    stop = whole[3:6]
    for step in (1, 2, 5):
        pieces = list(gpt.stream("The", stop=["never", stop], tokens_per_step=step, **options))
        assert "".join(pieces) == whole[: whole.index(stop)]


def test_a_call_of_the_graph_gives_so_many_tokens_and_none_is_traced_again(gpt, monkeypatch):
    list(gpt.stream("a", max_new_tokens=2))
    _, generator = gpt._made_once[TextGenerator]
    graphs = generator.stream_graphs_of
    start, go_on = graphs(PLAIN)
    calls = []

    def counted(*inputs):
        calls.append(1)
        return go_on(*inputs)

    monkeypatch.setattr(generator, "stream_graphs_of", lambda structure: (start, counted))
    assert len("".join(gpt.stream("ab", max_new_tokens=21, tokens_per_step=5, top_k=9))) > 0
    assert len(calls) == 4
    list(gpt.stream("abc", max_new_tokens=1, min_p=0.5))
    assert len(calls) == 4
    assert start.experimental_get_tracing_count() == 1
    assert go_on.experimental_get_tracing_count() == 1


@pytest.mark.parametrize(
    ("prompt", "options", "error", "message"),
    [
        (["a", "b"], {}, TypeError, "prompt must be a text"),
        ([7], {}, TypeError, "prompt must be a text"),
        ("a", {"tokens_per_step": 0}, ValueError, "tokens_per_step must be positive"),
        ("a", {"tokens_per_step": 2.0}, TypeError, "tokens_per_step must be an int"),
        ("a", {"num_beams": 2}, ValueError, "nothing to give before its end"),
        ("a", {"stop": ["a", ""]}, ValueError, "stop must be texts that are not empty"),
        ("a", {"max_new_tokens": 0}, ValueError, "max_new_tokens must be at least 1"),
        ("a" * 64, {}, ValueError, "must leave room"),
        ("a", {"top_q": 1}, TypeError, "Received: top_q"),
    ],
)
def test_what_cannot_be_streamed_is_refused_at_once(gpt, prompt, options, error, message):
    with pytest.raises(error, match=message):
        gpt.stream(prompt, **options)


def test_a_model_without_tokenizer_or_head_is_refused():
    with pytest.raises(ValueError, match="needs a tokenizer"):
        GPT(50, **SIZES).stream("a")
    with pytest.raises(ValueError, match='needs the head "causal_lm"'):
        GPT(50, **SIZES, heads=()).stream("a")
