import gzip
import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from keras_lm.data import question_answering
from keras_lm.data.questions import is_within_character, read_questions
from keras_lm.tokenizers import train_byte_bpe

PAD, CLS, SEP, W = 0, 2, 3, 5  # the ids of `numbered`


def squad(*paragraphs):
    return {"version": "v2.0", "data": [{"title": "t", "paragraphs": list(paragraphs)}]}


def paragraph(context, *questions):
    """Questions are (text, answer, place); or a text alone, that has no answer."""
    qas = []
    for i, asked in enumerate(questions):
        if isinstance(asked, str):
            qas.append({"id": f"q{i}", "question": asked, "answers": [], "is_impossible": True})
        else:
            answers = [{"text": asked[1], "answer_start": asked[2]}]
            qas.append({"id": f"q{i}", "question": asked[0], "answers": answers})
    return {"context": context, "qas": qas}


def make(numbered, path, **arguments):
    options = {"batch_size": 8, "shuffle": False, "num_buckets": 1, **arguments}
    return question_answering(path, numbered, **options)


def write(path, content):
    path.write_text(json.dumps(content), "utf-8")
    return path


CONTEXT = "w10 w11 w12 w13 w14"


def test_files_of_every_kind_give_the_same_batches(numbered, tmp_path):
    whole = squad(paragraph(CONTEXT, ("w1 w2", "w12 w13", 8), "w3"))
    rows = [
        {
            "question": "w1 w2",
            "context": CONTEXT,
            "answers": [{"text": "w12 w13", "answer_start": 8}],
        },
        {"question": "w3", "context": CONTEXT, "answers": []},
    ]
    columns = [{**row, "answers": {"text": [], "answer_start": []}} for row in rows]
    columns[0]["answers"] = {"text": ["w12 w13"], "answer_start": [np.int32(8)]}
    write(tmp_path / "a.json", whole)
    (tmp_path / "a.json.gz").write_bytes(gzip.compress(json.dumps(whole).encode()))
    (tmp_path / "a.jsonl").write_text("\n".join(map(json.dumps, rows)), "utf-8")
    sources = [{"files": tmp_path / f"a.{kind}"} for kind in ("json", "json.gz", "jsonl")]
    for source in [*sources, {"rows": rows}, {"rows": columns}]:
        data = question_answering(
            tokenizer=numbered, batch_size=2, shuffle=False, num_buckets=1, **source
        )
        ((inputs, labels),) = data.as_numpy_iterator()
        context = [W + i for i in range(10, 15)]
        np.testing.assert_array_equal(
            inputs["token_ids"],
            [[CLS, W + 1, W + 2, SEP, *context, SEP], [CLS, W + 3, SEP, *context, SEP, PAD]],
        )
        np.testing.assert_array_equal(inputs["segment_ids"][0], [0] * 4 + [1] * 6)
        assert inputs["padding_mask"].sum(1).tolist() == [10, 9]
        assert {name: places.tolist() for name, places in labels.items()} == {
            "start": [6, 0],
            "end": [7, 0],
        }
    assert (data.num_rows, data.num_questions, data.num_cut, data.dropped) == (2, 2, 0, [])


def test_a_long_context_becomes_windows_that_overlap(numbered, tmp_path):
    context = " ".join(f"w{i}" for i in range(10, 30))
    answer = "w21 w22"
    whole = squad(paragraph(context, ("w1", answer, context.index(answer)), "w2"))
    # Beside [CLS] w1 [SEP] and [SEP] there is room for 8 tokens.
    data = make(numbered, write(tmp_path / "a.json", whole), sequence_length=12, stride=5)
    ((inputs, labels),) = data.as_numpy_iterator()
    assert (data.num_rows, data.num_questions) == (8, 2)
    for row, (ids, start, end) in enumerate(
        zip(inputs["token_ids"], labels["start"], labels["end"], strict=True)
    ):
        begin = 10 + row % 4 * 5
        part = [W + i for i in range(begin, min(begin + 8, 30))]
        assert ids.tolist() == [CLS, W + 1 + row // 4, SEP, *part, SEP, *[PAD] * (8 - len(part))]
        inside = row < 4 and begin <= 21 < 22 < begin + 8
        assert [start, end] == ([3 + 21 - begin, 3 + 22 - begin] if inside else [0, 0])
    assert (labels["start"] > 0).sum() == 2


def test_an_answer_begins_and_ends_with_words(bytes_bpe, topics):
    tokenizer = train_byte_bpe(topics, 500)
    assert tokenizer.sep_id is None
    with pytest.raises(ValueError, match="a tokenizer with a separator token"):
        question_answering(
            tokenizer=bytes_bpe,
            batch_size=1,
            rows=[{"question": "a", "context": "b", "answers": []}],
        )


def test_part_of_a_word_stands_for_the_word(numbered, tmp_path):
    whole = squad(paragraph("w1 w7x, w2", ("w3", "7", 4), ("w3", "x, w", 5)))
    ((_, labels),) = make(numbered, write(tmp_path / "a.json", whole)).as_numpy_iterator()
    # [CLS] w3 [SEP] w1 w7 ##x , w2
    assert labels["start"].tolist() == [4, 4]
    assert labels["end"].tolist() == [5, 7]


def test_long_questions_lose_their_end_and_are_counted(numbered, tmp_path):
    whole = squad(paragraph("w1 w2", " ".join(["w3"] * 9), "w4"))
    data = make(numbered, write(tmp_path / "a.json", whole), max_question_length=3)
    ((inputs, _),) = data.as_numpy_iterator()
    assert inputs["token_ids"][0].tolist() == [CLS, *[W + 3] * 3, SEP, W + 1, W + 2, SEP]
    assert data.num_cut == 1


EMOJI = "\U0001f469\u200d\U0001f680"  # a woman, a joiner, a rocket: an astronaut
BAD = [
    (
        ("w1", "w12", 9),
        r"'w12' at 9, where there is '12 '; it stands at 8, in id 'q1' in data\[0\]\.",
    ),
    (("w1", "w99", 8), "where there is 'w12'; the context does not have it"),
    (("w1", "w12", -1), "'w12' at -1"),
    (("w1", "w12", "8"), "a whole number as answer_start"),
    (("w1", "", 8), "a text that is not empty and"),
    ((" ", "w12", 8), r"A question must be a text that is not empty\. Received: ' ' in id 'q1'"),
    (("w1", "\u0301 ", 1), "not within an emoji or before a combining mark"),
]


@pytest.mark.parametrize(("asked", "message"), BAD)
def test_a_bad_question_is_named_or_left_out_and_listed(numbered, asked, message, tmp_path):
    context = "e\u0301 " + CONTEXT[3:] if asked[1].startswith("\u0301") else CONTEXT
    path = write(tmp_path / "a.json", squad(paragraph(context, "w3", asked)))
    with pytest.raises(ValueError, match=message):
        make(numbered, path)
    data = make(numbered, path, bad_rows="drop")
    assert (data.num_questions, len(data.dropped)) == (1, 1)
    assert f"data[0].paragraphs[0].qas[1] of {path}" in data.dropped[0]


@pytest.mark.parametrize(
    ("text", "places"),
    [
        (f"a {EMOJI} b", [3, 4]),
        ("e\u0301a", [1]),
        ("\u2764\ufe0f!", [1]),
        ("\U0001f44d\U0001f3fd.", [1]),
        ("\U0001f1e9\U0001f1ea\U0001f1eb\U0001f1f7", [1, 3]),
        ("\u0915\u093f\u0915", [1]),
        ("plain", []),
    ],
)
def test_what_a_reader_takes_for_one_character_is_whole(text, places):
    assert [i for i in range(len(text) + 1) if is_within_character(text, i)] == places


def test_offsets_behind_emoji_are_code_points(numbered, tmp_path):
    context = f"{EMOJI} w2"
    path = write(tmp_path / "a.json", squad(paragraph(context, ("w1", "w2", 4))))
    ((_, labels),) = make(numbered, path).as_numpy_iterator()
    assert labels["start"].tolist() != [0]
    utf16 = write(tmp_path / "b.json", squad(paragraph(context, ("w1", "w2", 6))))
    with pytest.raises(ValueError, match="'w2' at 6, where there is ''; it stands at 4"):
        make(numbered, utf16)


@pytest.mark.parametrize(
    ("question", "message"),
    [
        ({"answers": []}, "or is_impossible must be true, not both"),
        ({"answers": [{"text": "w2", "answer_start": 0}], "is_impossible": True}, "not both"),
        ({"answers": None}, "must have answers: a list, empty where the context has none"),
        ({"answers": "w2"}, "Answers must be a list. Received: 'w2'"),
        ({"answers": ["w2"]}, "An answer must have a text"),
    ],
)
def test_answers_that_contradict_something_are_refused(question, message, numbered, tmp_path):
    asked = {"id": "x", "question": "w1", **question}
    path = write(tmp_path / "a.json", squad({"context": "w2", "qas": [asked]}))
    with pytest.raises(ValueError, match=message):
        make(numbered, path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "must be JSON. Received: .* in .*a.json"),
        ("[]", "no list 'data' in .*a.json"),
        ('{"data": [{"paragraphs": {}}]}', r"no list 'paragraphs' in data\[0\] of .*a.json"),
        ('{"data": [{"paragraphs": [{}]}]}', r"no list 'qas' in data\[0\]\.paragraphs\[0\] of"),
        ('{"data": []}', "There must be a question at least"),
        ('{"data": [{"paragraphs": [{"context": "", "qas": [{"question": "a"}]}]}]}', "A context"),
    ],
)
def test_a_file_of_another_kind_is_named(content, message, numbered, tmp_path):
    (tmp_path / "a.json").write_text(content, "utf-8")
    with pytest.raises(ValueError, match=message):
        make(numbered, tmp_path / "a.json")


def test_an_answer_must_fit_into_a_window(numbered, tmp_path):
    context = " ".join(f"w{i}" for i in range(10, 30))
    whole = squad(paragraph(context, ("w1", context[:39], 0), ("w1", "w10", 0)))
    path = write(tmp_path / "a.json", whole)
    with pytest.raises(
        ValueError, match=r"of 8 tokens, one every 5\. Received: .* of 10 tokens in"
    ):
        make(numbered, path, sequence_length=12, stride=5)
    data = make(numbered, path, sequence_length=12, stride=5, bad_rows="drop")
    assert (data.num_questions, len(data.dropped)) == (1, 1)
    with pytest.raises(ValueError, match="a row of 4 tokens"):
        make(numbered, path, sequence_length=4)


@given(st.text(max_size=30), st.integers(0, 30), st.integers(1, 30))
def test_every_answer_that_is_read_stands_where_it_says(context, start, length):
    rows = [
        {
            "question": "a",
            "context": context,
            "answers": [{"text": context[start : start + length], "answer_start": start}],
        },
        {"question": "a", "context": "b", "answers": []},
    ]
    found, dropped = read_questions(None, rows, "drop")
    assert len(found) + len(dropped) == 2
    for question in found:
        for answer in question.answers:
            end = answer.start + len(answer.text)
            assert question.context[answer.start : end] == answer.text
