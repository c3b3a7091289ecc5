import pytest

from keras_lm.data import split_by_hash

SHARES = {"train": 0.8, "dev": 0.1, "test": 0.1}


def texts(number):
    return [" ".join(f"{letter}{i}" for letter in "abcdefghijkl") for i in range(number)]


def test_every_text_has_a_part_and_the_parts_their_shares():
    items = texts(2000)
    parts, left_out = split_by_hash(items, SHARES)
    assert sorted(item for part in parts.values() for item in part) == sorted(items)
    assert left_out == []
    for name, share in SHARES.items():
        assert abs(len(parts[name]) / len(items) - share) < 0.03


def test_a_text_stays_in_its_part_when_others_are_added():
    few, many = (split_by_hash(texts(n), SHARES).parts for n in (300, 600))
    for name, items in few.items():
        assert set(items) <= set(many[name])


def test_duplicates_are_in_one_part_whatever_their_case_and_punctuation():
    items = [
        form for i in range(200) for form in (f"It is {i}, no?", f"it is {i} - NO!", f"{i} it")
    ]
    parts = split_by_hash(items, SHARES).parts
    for i in range(200):
        assert any({f"It is {i}, no?", f"it is {i} - NO!"} <= set(part) for part in parts.values())


def test_texts_without_words_are_their_own_key():
    parts = split_by_hash([":)", ":("] * 50 + texts(50), {"a": 0.5, "b": 0.5}).parts
    assert sum(len(part) for part in parts.values()) == 150


def test_what_shares_a_run_of_words_with_training_is_left_out():
    run = "one two three four five six seven eight"
    items = [f"{i} {run} {i}" for i in range(100)] + texts(100)
    split = split_by_hash(items, SHARES)
    assert split.left_out
    assert all(run in text for text in split.left_out)
    assert not any(run in text for name in ("dev", "test") for text in split.parts[name])
    whole = split_by_hash(items, SHARES, shared_words=None)
    assert whole.left_out == []
    assert len(whole.parts["train"]) == len(split.parts["train"])


def test_rows_are_split_by_a_column_or_by_what_is_made_of_them():
    rows = [{"text": text, "label": i} for i, text in enumerate(texts(100))]
    by_column = split_by_hash(rows, SHARES)
    assert by_column == split_by_hash(rows, SHARES, text=lambda row: row["text"])
    assert [row["text"] for row in by_column.parts["test"]] == (
        split_by_hash(texts(100), SHARES).parts["test"]
    )


@pytest.mark.parametrize("shares", [{}, {"a": 0.5}, {"a": 1.5, "b": -0.5}])
def test_shares_add_up_to_1(shares):
    with pytest.raises(ValueError, match="must add up to 1"):
        split_by_hash([], shares)
    with pytest.raises(ValueError, match=r"by text='text'. Received: \{'review': 'a'\}"):
        split_by_hash([{"review": "a"}], {"train": 1.0})
    with pytest.raises(ValueError, match="Received: 0"):
        split_by_hash([], {"a": 1}, shared_words=0)
