import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip("tensorflow_serving.apis", reason="needs the extra serve")

from keras_lm.serving.server.json_text import decimal, outputs_body, parse, string


@given(st.floats(width=32))
def test_a_float32_is_read_back_as_the_same_number(value):
    text = decimal(value)
    np.testing.assert_array_equal(np.float32(json.loads(text)), np.float32(value))
    assert not text.lstrip("-").isdecimal()  # readers take it for a decimal number


@given(st.floats())
def test_a_float64_is_read_back_as_the_same_number(value):
    np.testing.assert_array_equal(json.loads(decimal(value, wide=True)), value)


@given(st.binary())
def test_any_bytes_are_written_and_read_back(value):
    text = string(value)
    body = b'{"x": ' + text.encode("utf-8", "surrogateescape") + b"}"
    assert parse(body)["x"].encode("utf-8", "surrogateescape") == value


@given(st.lists(st.lists(st.integers(-(2**63), 2**63 - 1), min_size=2, max_size=2), min_size=1))
def test_whole_numbers_keep_their_shape(rows):
    assert json.loads(outputs_body({"x": np.array(rows, np.int64)})) == {"outputs": rows}
