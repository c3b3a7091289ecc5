import numpy as np
import pytest
import tensorflow as tf

from keras_lm.data import causal_lm
from keras_lm.tokenizers import WordPiece

B, T = 4, 16


def stream(tokenizer, texts):
    ids = [[*tokenizer.encode(text), tokenizer.end_id] for text in texts]
    return np.array([id_ for text in ids for id_ in text])


def texts(topics):
    paragraphs = topics.read_text(encoding="utf-8")[:20_000].split("\n\n")
    return [paragraph.strip("\n") for paragraph in paragraphs]


def test_an_epoch_covers_every_token_once_as_input_and_once_as_label(topics, bytes_bpe):
    pipeline = causal_lm(
        None, bytes_bpe, texts=texts(topics), sequence_length=T, batch_size=1, shuffle=False
    )
    batches = list(pipeline.as_numpy_iterator())
    expected = stream(bytes_bpe, texts(topics))
    n = (len(expected) - 1) // T * T
    inputs = np.concatenate([inputs["token_ids"].ravel() for inputs, _, _ in batches])
    labels = np.concatenate([labels.ravel() for _, labels, _ in batches])
    np.testing.assert_array_equal(inputs, expected[:n])
    np.testing.assert_array_equal(labels, expected[1 : n + 1])


def test_a_shuffled_epoch_has_the_same_rows_in_another_order(topics, bytes_bpe):
    rows = [
        np.concatenate([b[0]["token_ids"] for b in pipeline.as_numpy_iterator()]).tolist()
        for pipeline in (
            causal_lm(
                None,
                bytes_bpe,
                texts=texts(topics),
                sequence_length=T,
                batch_size=1,
                shuffle=shuffle,
            )
            for shuffle in (False, True)
        )
    ]
    assert rows[0] != rows[1]
    assert sorted(rows[0]) == sorted(rows[1])


def test_weights_are_1(topics, bytes_bpe):
    for _, labels, weights in causal_lm(topics, bytes_bpe, sequence_length=T, batch_size=B).take(3):
        np.testing.assert_array_equal(weights, np.ones(labels.shape, np.float32))


def test_shapes_are_static(topics, bytes_bpe):
    assert causal_lm(
        topics, bytes_bpe, sequence_length=T, batch_size=B, document_ids=True
    ).element_spec == (
        {
            "token_ids": tf.TensorSpec((B, T), tf.int32),
            "document_ids": tf.TensorSpec((B, T), tf.int32),
        },
        tf.TensorSpec((B, T), tf.int32),
        tf.TensorSpec((B, T), tf.float32),
    )


def test_document_ids_rise_behind_each_end_and_the_label_across_it_has_no_weight(bytes_bpe):
    end, a, b = bytes_bpe.end_id, *bytes_bpe.encode("ab"[:1]), *bytes_bpe.encode("b")
    pipeline = causal_lm(
        None,
        bytes_bpe,
        texts=["a", "b", "a"],
        sequence_length=5,
        batch_size=1,
        document_ids=True,
    )
    ((inputs, labels, weights),) = pipeline.as_numpy_iterator()
    np.testing.assert_array_equal(inputs["token_ids"], [[a, end, b, end, a]])
    np.testing.assert_array_equal(inputs["document_ids"], [[0, 0, 1, 1, 2]])
    np.testing.assert_array_equal(labels, [[end, b, end, a, end]])
    np.testing.assert_array_equal(weights, [[1, 0, 1, 0, 1]])


def test_lines_of_a_document_are_joined_by_newlines(tmp_path, bytes_bpe):
    path = tmp_path / "a.txt"
    path.write_text("one two\nthree\n\n\nfour\n", encoding="utf-8")
    for document, expected in [
        (None, ["one two\nthree", "four"]),
        ("line", ["one two", "three", "four"]),
        ("file", ["one two\nthree\n\n\nfour"]),
    ]:
        pipeline = causal_lm(
            path,
            bytes_bpe,
            sequence_length=1,
            batch_size=1,
            shuffle=False,
            document=document,
        )
        ids = [int(inputs["token_ids"][0, 0]) for inputs, _, _ in pipeline.as_numpy_iterator()]
        np.testing.assert_array_equal(ids, stream(bytes_bpe, expected)[:-1])


def test_ids_beyond_16_bits_survive():
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    tokenizer = WordPiece([*special, *(f"w{i}" for i in range(70_000))])
    tokenizer.end_id = tokenizer.sep_id
    pipeline = causal_lm(None, tokenizer, texts=["w69999 w0"], sequence_length=2, batch_size=1)
    ((inputs, _, _),) = pipeline.as_numpy_iterator()
    np.testing.assert_array_equal(inputs["token_ids"], [[70_004, 5]])


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"sequence_length": 0}, ValueError, "sequence_length must be .* positive"),
        ({"batch_size": 0}, ValueError, "batch_size must be .* positive"),
        ({"batch_size": True}, ValueError, "batch_size must be an integer"),
        ({"sequence_length": 10}, ValueError, "Received: rows=0, batch_size=1"),
        ({"texts": ["  "]}, ValueError, "empty corpus"),
        ({"next_sentence": True}, TypeError, "unexpected keyword argument"),
    ],
)
def test_bad_arguments_raise(arguments, error, message, bytes_bpe):
    arguments = {"texts": ["a b"], "sequence_length": 2, "batch_size": 1, **arguments}
    with pytest.raises(error, match=message):
        causal_lm(None, bytes_bpe, **arguments)


def test_a_tokenizer_without_an_end_token_raises(numbered):
    with pytest.raises(ValueError, match=r"end\. Received: WordPiece without end"):
        causal_lm(None, numbered, texts=["w1 w2"])
