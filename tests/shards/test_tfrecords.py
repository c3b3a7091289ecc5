import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from keras_lm.shards.tfrecords import compressed


@settings(max_examples=25, deadline=None)
@given(st.lists(st.binary(max_size=300)))
def test_tensorflow_reads_the_records_that_were_written(tmp_path_factory, records):
    path = tmp_path_factory.mktemp("records") / "x.tfrecord.gz"
    path.write_bytes(compressed(records))
    assert list(tf.data.TFRecordDataset(str(path), "GZIP").as_numpy_iterator()) == records


def test_the_same_records_give_the_same_bytes():
    assert compressed([b"a", b"", b"b" * 999]) == compressed(iter([b"a", b"", b"b" * 999]))
