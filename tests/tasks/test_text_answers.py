"""Questions on strings: windows, the best span, no answer, files of SQuAD's format."""

import itertools
import json

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from line_by_hand import line_by_hand
from task_toys import bert, gpt, rows
from text_toys import WORDS, word_piece

from keras_lm import QuestionAnswering, evaluate
from keras_lm.data import question_answering
from keras_lm.models.explanations.text_tokens import tokens_of
from keras_lm.tasks.text_answers import TextAnswers
from keras_lm.tokenizers import WordPiece, train_byte_bpe

QUESTIONS = ["is it good", "bad", "a film", "good good good good good good good"]
CONTEXTS = [
    "it is no good film. It is bad, a bad film; good-u.s. no",
    "Good",
    "  a  film\n(u.s.)",
    "no u.s. film is a bad film",
]


@pytest.fixture(scope="module")
def task():
    # Four tokens an answer; windows of a few tokens.
    return QuestionAnswering(
        bert(tokenizer=word_piece(), initializer_range=0.6),
        max_answer_length=4,
        max_question_length=3,
        stride=2,
    )


def best_by_hand(task, question, context):
    """The best answer, and its probability, one window and one span at a time."""
    tokenizer = task.tokenizer
    asked = tokenizer.encode(question, add_special_tokens=False)[: task.max_question_length]
    words = tokenizer.tokenize_words([context])
    ids, starts, ends, firsts = (part[0].numpy().tolist() for part in words)
    room = task.max_length - 3 - len(asked)
    step = min(task.stride, room)
    begins = [0]
    while begins[-1] + room < len(ids):
        begins.append(begins[-1] + step)
    spans, nulls = {}, []
    for number, begin in enumerate(begins):
        part = ids[begin : begin + room]
        row = [tokenizer.cls_id, *asked, tokenizer.sep_id, *part, tokenizer.sep_id]
        segments = [0] * (len(asked) + 2) + [1] * (len(part) + 1)
        logits = task({"token_ids": np.array([row]), "segment_ids": np.array([segments])})
        start, end = (np.asarray(logits[side])[0].astype("float64") for side in ("start", "end"))
        nulls.append(start[0] + end[0])
        for i, word in enumerate(firsts):
            distance = [abs(b + room / 2 - word - 0.5) for b in begins]
            nearest = max(n for n, far in enumerate(distance) if far == min(distance))
            for j in range(i, len(firsts)):
                last = (firsts[j + 1] if j + 1 < len(firsts) else len(ids)) - 1
                inside = begin <= word and last < begin + len(part)
                if nearest == number and inside and last - word < task.max_answer_length:
                    at = len(asked) + 2 - begin
                    spans[starts[i], ends[j]] = start[at + word] + end[at + last]
    best = max(spans, key=spans.get)
    values = np.array([*spans.values(), min(nulls)])
    return best, np.exp(spans[best]) / np.exp(values).sum(), min(nulls) - spans[best]


@pytest.fixture(scope="module")
def by_hand(task):
    """Of each question on each context: the place of the best answer, its score and margin."""
    pairs = itertools.product(QUESTIONS, CONTEXTS)
    return {pair: best_by_hand(task, *pair) for pair in pairs}


def test_the_best_span_of_all_windows_is_the_answer(task, by_hand):
    pairs = list(by_hand)
    found = task.predict(pairs, batch_size=5, verbose=0)
    for (question, context), answer in zip(pairs, found.answers, strict=True):
        place, score, _ = by_hand[question, context]
        assert (answer.start, answer.end) == place
        assert answer.text == context[answer.start : answer.end]
        assert answer.score == pytest.approx(score, rel=1e-4)
    assert found.cut.tolist() == [False] * 12 + [True] * 4


def test_an_answer_below_the_threshold_is_none(task, by_hand):
    pairs = list(by_hand)
    margins = [margin for _, _, margin in by_hand.values()]
    threshold = float(np.median(margins))
    task.no_answer_threshold = threshold
    assert task.get_config()["no_answer_threshold"] == threshold
    found = task.predict(pairs, verbose=0).answers
    task.no_answer_threshold = None
    for margin, answer, (_, context) in zip(margins, found, pairs, strict=True):
        if margin > threshold:
            assert answer[:3] == ("", -1, -1)
            assert 0 < answer.score < 1
        else:
            assert answer.text == context[answer.start : answer.end] != ""
    assert 0 < sum(answer.text == "" for answer in found) < len(found)


def test_questions_and_contexts_can_be_given_by_name(task):
    pairs = task.predict([("bad", CONTEXTS[0]), ("a film", CONTEXTS[0])], verbose=0)
    named = task.predict(question=["bad", "a film"], context=CONTEXTS[0], verbose=0)
    assert [a[:3] for a in named.answers] == [a[:3] for a in pairs.answers]
    one = task.predict(question="bad", context=CONTEXTS[0], verbose=0)
    assert one.answers[:3] == pairs.answers[0][:3]
    assert one.cut is False


def test_what_is_beyond_the_last_window_is_not_read_and_that_is_said(task):
    few = QuestionAnswering(bert(tokenizer=word_piece()), stride=3, max_windows=2)
    found = few.predict(question=["bad"] * 2, context=["a " * 9, "a " * 10], verbose=0)
    assert found.cut.tolist() == [False, True]  # six tokens a window
    long = task.predict(question="bad", context="x " * 60_000, verbose=0)
    assert long.cut is True


@settings(deadline=None, max_examples=25)
@given(st.lists(st.sampled_from([*WORDS, "\u0301", " ", "🎉", "漢", "\n", "É"]), min_size=1))
def test_an_answer_is_a_part_of_its_context(task, parts):
    context = "".join(parts)
    if context.strip():
        answer = task.predict(question="good", context=context, verbose=0).answers
        assert (answer.start < 0) == (answer.text == "")
        if answer.start >= 0:
            assert answer.text == context[answer.start : answer.end]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"question": "a"}, "both question= and context="),
        ({"x": "a", "question": "a", "context": "b"}, "both question= and context="),
        ({}, "both question= and context="),
        ({"x": "a"}, "A question is asked of a context"),
        ({"question": "a", "context": ["b"]}, "One question must have one context"),
        ({"question": ["a", "b"], "context": ["b"]}, "2 questions, 1 contexts"),
        ({"question": ["a", " "], "context": "b"}, "A question must not be empty.*' ' at 1"),
        ({"question": "a", "context": ""}, "A context must not be empty"),
    ],
)
def test_what_cannot_be_asked_is_refused(task, options, message):
    with pytest.raises(ValueError, match=message):
        task.predict(**options)


def test_an_answer_is_explained_by_its_window(task, by_hand):
    table = task.encoder.embedding.tokens.embeddings
    longest = task.max_answer_length

    def of_row(row, segments, span, allowed):
        """Embeddings to the probability of a span among others and none."""

        def function(embeddings):
            inputs = {"token_ids": row, "segment_ids": segments}
            inputs = {name: np.tile([ids], (len(embeddings), 1)) for name, ids in inputs.items()}
            logits = task({**inputs, "token_embeddings": embeddings})
            start, end = logits["start"], logits["end"]
            every = tf.stack([start[:, i] + end[:, j] for i, j in [(0, 0), *allowed]], axis=1)
            return tf.exp(start[:, span[0]] + end[:, span[1]] - tf.reduce_logsumexp(every, axis=1))

        return function

    # One window, all of it words: [CLS] is it good [SEP] a film ( u . [SEP]
    question, context = "Is it good", "a film no u"
    row, segments = [2, 11, 10, 5, 3, 7, 8, 9, 15, 3], [0] * 5 + [1] * 5
    assert task.tokenizer.encode(question, context) == row
    allowed = [(i, j) for i in range(5, 9) for j in range(i, min(i + longest, 9))]
    answer = task.predict(question=question, context=context, verbose=0).answers
    found = task.attributions(question=question, context=context, steps=80)
    assert (found.target, found.measure, found.cut) == (answer.text, "probability", False)
    assert found.output == pytest.approx(answer.score, rel=1e-4)
    places = [
        (token.part, found.texts[token.part][token.start : token.end])
        for token in found.tokens
        if token.part >= 0
    ]
    assert places == [*((0, w) for w in question.split()), *((1, w) for w in context.split())]
    starts = {token.start: i for i, token in enumerate(found.tokens) if token.part == 1}
    ends = {token.end: i for i, token in enumerate(found.tokens) if token.part == 1}
    baseline = [2, 0, 0, 0, 3, 0, 0, 0, 0, 3]
    none, other = task.attributions([(question, context)] * 2, at=[(-1, -1), (3, 8)], steps=80)
    assert (none.target, other.target) == ("no answer", "film no")
    for one, span in (
        (found, (starts[answer.start], ends[answer.end])),
        (none, (0, 0)),
        (other, (6, 7)),  # words are taken whole
    ):
        function = of_row(row, segments, span, allowed)
        scores, output, baseline_output = line_by_hand(function, table, row, baseline)
        assert one.output == pytest.approx(output, abs=1e-4)
        assert one.baseline_output == pytest.approx(baseline_output, abs=1e-4)
        np.testing.assert_allclose(one.scores, scores, atol=2e-3)
        assert abs(one.error) < 2e-3
    logit = task.attributions((question, context), (-1, -1), output="logit", steps=2)
    logits = task({"token_ids": np.array([row]), "segment_ids": np.array([segments])})
    assert logit.output == pytest.approx(float(logits["start"][0, 0] + logits["end"][0, 0]), 1e-4)


def test_of_a_long_context_the_window_with_the_answer_is_explained(task, by_hand):
    for question, context in itertools.product(QUESTIONS[::3], CONTEXTS[:1]):
        (start, end), _, _ = by_hand[question, context]
        found = task.attributions((question, context), steps=1)
        assert found.target == context[start:end]
        assert found.cut == (question == QUESTIONS[3])
        read = [token for token in found.tokens if token.part == 1]
        assert read[0].start <= start < end <= read[-1].end
        assert 0 < len(read) < len(task.tokenizer.encode(context)) - 2
        asked = [token.text for token in found.tokens if token.part == 0]
        assert asked == question.split()[: task.max_question_length]
    # No answer is what speaks most against none in any window.
    ids = task.tokenizer.encode(CONTEXTS[0], add_special_tokens=False)
    begins = list(range(0, len(ids) - 4, 2))
    parts = [ids[begin : begin + 6] for begin in begins]
    read = [[2, 6, 3, *part, 3] + [0] * (6 - len(part)) for part in parts]
    real = [[True] * (4 + len(part)) + [False] * (6 - len(part)) for part in parts]
    segments = [[0] * 3 + [1] * 7] * len(parts)
    inputs = {"token_ids": read, "segment_ids": segments, "padding_mask": real}
    logits = task({name: np.array(value) for name, value in inputs.items()})
    nulls = dict(zip(begins, (logits["start"][:, 0] + logits["end"][:, 0]).numpy(), strict=True))
    found = task.attributions(("bad", CONTEXTS[0]), (-1, -1), steps=1, output="logit")
    assert found.output == pytest.approx(min(nulls.values()), abs=1e-4)
    begin = min(nulls, key=nulls.get)
    names = [token.token for token in found.tokens if token.part == 1]
    assert names == [task.tokenizer.tokens[id_] for id_ in ids[begin : begin + 6]]
    # A picture shows the rest of the context in grey, on both sides.
    middle = task.attributions(("bad", CONTEXTS[0]), (26, 28), steps=1)
    assert middle._repr_html_().count('class="rest"') == 2


def test_special_tokens_in_a_context_are_text_to_its_explanation_too():
    parsing = WordPiece.from_config({**word_piece().get_config(), "special_tokens": "parse"})
    read = word_piece().encode("a [MASK] film", add_special_tokens=False)
    known = tokens_of(parsing, "a [MASK] film", 1, 99, parse=False)
    assert [id_ for id_, _ in known] == read != parsing.encode("a [MASK] film")[1:-1]
    assert parsing.host.encode_special_tokens is False


def test_what_cannot_be_explained_is_refused(task):
    for asked, message in (
        ({}, r"attributions\(\) takes data, pairs, or both"),
        ({"texts": "a"}, "A question is asked of a context"),
        ({"texts": ("a", " ")}, "A context must not be empty"),
        ({"texts": [("a", "b"), "a"]}, "all of them pairs"),
        ({"texts": ("a", "a film"), "at": 3}, r"or \(-1, -1\) for no answer. Received: at=3"),
        ({"texts": ("a", "a film"), "at": (3, 3)}, r"Received: at=\(3, 3\)"),
        ({"texts": ("a", "a film"), "at": (3, 9)}, r"at most 6. Received: at=\(3, 9\)"),
        ({"texts": ("a", "a film"), "at": (1, 2)}, r"with a word that is read.*\(1, 2\), ' '"),
        ({"texts": ("a", "a " * 6), "at": (0, 9)}, "of max_answer_length=4.*5 tokens"),
        ({"texts": ("a", "a " * 90), "at": (170, 171)}, "fits into a window of the context"),
        ({"texts": [("a", "a")] * 2, "at": [(0, 1)]}, "at must be one for each of the 2 texts"),
        ({"texts": ("a", "a"), "output": "cosine"}, "probability, logit. Received"),
        ({"texts": ("a", "a"), "steps": 0}, "Received: steps=0"),
    ):
        with pytest.raises(ValueError, match=message):
            task.attributions(**asked)


def test_of_ids_the_best_tokens_of_the_context_are_the_answer(task):
    pairs = [("a film", "no u.s."), ("bad", "good"), ("good", "")]
    rows = [task.tokenizer.encode(*pair) for pair in pairs]
    firsts = [len(task.tokenizer.encode(question)) for question, _ in pairs]
    width = max(map(len, rows)) + 1
    ids = np.array([row + [task.tokenizer.pad_id] * (width - len(row)) for row in rows])
    lengths = np.array([len(row) for row in rows])
    found = TextAnswers(task, task.tokenizer).of_ids(ids.astype("int32"), lengths.astype("int32"))
    for i, (row, first) in enumerate(zip(rows, firsts, strict=True)):
        segments = [0] * first + [1] * (len(row) - first)
        logits = task({"token_ids": np.array([row]), "segment_ids": np.array([segments])})
        start, end = (np.asarray(logits[side])[0].astype("float64") for side in ("start", "end"))
        spans = {
            (begin, last + 1): start[begin] + end[last]
            for begin in range(first, len(row) - 1)
            for last in range(begin, min(begin + task.max_answer_length, len(row) - 1))
        }
        best = max(spans, key=spans.get, default=(-1, -1))
        assert (found["start"][i], found["end"][i]) == best
        values = np.exp([*spans.values(), start[0] + end[0]])
        right = np.exp(spans[best]) if spans else values[-1]
        np.testing.assert_allclose(found["score"][i], right / values.sum(), rtol=1e-4)
    np.testing.assert_array_equal(found["status"], 0)


def test_a_tokenizer_without_a_separator_is_refused(topics):
    tokenizer = train_byte_bpe(topics, 300)
    task = QuestionAnswering(gpt(vocab_size=300, tokenizer=tokenizer))
    with pytest.raises(ValueError, match="a tokenizer with a separator token"):
        task.predict(question="a", context="b")
    with pytest.raises(ValueError, match=r"or None\. Received: nan"):
        QuestionAnswering(bert(), no_answer_threshold=float("nan"))
    with pytest.raises(ValueError, match=r"stride must be .* Received: 0"):
        QuestionAnswering(bert(), stride=0)


def test_data_are_predicted_as_keras_does(task):
    inputs = rows(3)
    np.testing.assert_allclose(task.predict(inputs, verbose=0)["end"], task(inputs)["end"], 1e-5)


def test_a_file_is_learnt_saved_and_counted(tmp_path):
    """The whole path on a small file of SQuAD's format, some of it without an answer."""
    words = itertools.product(("good", "bad", "no"), ("good", "bad", "it"))
    contexts = [f"{one} {other} film is {one}" for one, other in words]
    paragraphs = []
    for i, context in enumerate(contexts):
        place = context.index("film")
        right = {"text": "film", "answer_start": place}
        qas = [
            {"id": f"{i}a", "question": "a film", "answers": [right]},
            {"id": f"{i}b", "question": "u s", "answers": [], "is_impossible": True},
        ]
        paragraphs.append({"context": context, "qas": qas})
    path = tmp_path / "train.json"
    path.write_text(json.dumps({"version": "v2.0", "data": [{"paragraphs": paragraphs}]}), "utf-8")
    task = QuestionAnswering(bert(tokenizer=word_piece()), no_answer_threshold=0.0)
    data = question_answering(path, task.tokenizer, batch_size=6, sequence_length=10)
    task.compile(learning_rate=1e-2)
    task.fit(data, epochs=20, verbose=0)
    found = evaluate(task, path, verbose=0)
    threshold = found.pop("best_threshold")
    assert found == {
        **dict.fromkeys(["exact_match", "f1", "best_f1"], 1.0),
        **dict.fromkeys(["exact_match_with_answer", "f1_with_answer"], 1.0),
        **dict.fromkeys(["exact_match_without", "f1_without"], 1.0),
        "rows": 18,
        "cut": 0,
    }
    assert threshold <= 0
    answer = task.predict(question="a film", context=contexts[0], verbose=0).answers
    assert answer[:3] == ("film", 10, 14)
