import re
from pydoc_data.topics import topics

import held_out
import numpy as np
import pytest


def paragraphs(count):
    return [" ".join(f"{word}{i}" for word in "abcdefghijkl") for i in range(count)]


def test_one_text_cannot_be_divided():
    with pytest.raises(ValueError, match="each of three parts"):
        held_out.split(["A single paragraph of a hundred thousand characters. " * 2_000])


def test_no_held_out_text_shares_eight_words_in_a_row_with_training():
    blocks = {" ".join(b.split()) for text in topics.values() for b in text.split("\n\n")}
    text = held_out.split(sorted(blocks))

    def runs(texts):
        words = [re.findall(r"\w+", paragraph.lower()) for paragraph in texts]
        return {" ".join(row[i : i + 8]) for row in words for i in range(len(row) - 7)}

    assert len(runs(text.held_out)) > 1_000
    assert not runs(text.train) & runs(text.held_out)
    assert not runs(text.train) & runs(text.dev)


def test_chinese_characters_are_words_of_a_run():
    texts = [f"{i}这是一个很好的酒店我们{i}喜欢它的早餐和{i}服务" for i in range(3_000)]
    with pytest.raises(ValueError, match="each of three parts"):
        held_out.split(texts, run=4)
    assert len(held_out.split(texts, run=12).held_out) > 200


def test_a_text_stays_in_its_part_when_text_is_added():
    few, many = paragraphs(1_500), paragraphs(3_000)
    assert set(held_out.split(few).train) <= set(held_out.split(many).train)


def test_an_interval_of_a_mean_is_that_of_the_normal_distribution():
    values = np.random.default_rng(1).standard_normal(1_000)
    low, high = held_out.bootstrap_interval(lambda rows: values[rows].mean(), len(values))
    half = 1.96 * values.std() / np.sqrt(1_000)
    assert low == pytest.approx(values.mean() - half, abs=0.008)
    assert high == pytest.approx(values.mean() + half, abs=0.008)
