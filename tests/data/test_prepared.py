import collections
import json
import shutil
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf

from keras_lm.data import Prepared, causal_lm, denoising, masked_lm, prepare, prepare_on_beam
from keras_lm.tokenizers import WordPiece
from keras_lm.training.provenance import data_name, training_on

SEP, WORD = 3, 5
NUM_DOCUMENTS = 150
PREPARED = ["masked_lm", "causal_lm"]


MEMORY = """
import resource, sys
from keras_lm.data import Prepared, causal_lm
prepared = Prepared(sys.argv[1], shuffle_tokens=2**20)
data = causal_lm(prepared, prepared.tokenizer, sequence_length=128, batch_size=64)
steps = iter(data.endless())
next(steps)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
print(1 + sum(1 for _, i in zip(steps, range(data.steps_per_epoch - 1))))
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


def document_of(word):
    return word // 20


def lines(document):
    """Twenty words, numbered through, some of them in two pieces, in one to four lines."""
    words = [f"w{20 * document + i}" + "x" * (i % 3 == 1) for i in range(20)]
    number = 1 + document % 4
    return [" ".join(words[i::number]) for i in range(number)]


@pytest.fixture(scope="module")
def causal(numbered):
    """Of the same vocabulary, with an end token."""
    return WordPiece(numbered.tokens, end_token="[SEP]")


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    path = tmp_path_factory.mktemp("corpus")
    texts = ["\n".join(lines(i)) for i in range(NUM_DOCUMENTS)]
    (path / "a.txt").write_text("\n\n".join(texts[:90]))
    (path / "b.txt").write_text("\n\n\n".join(texts[90:]))
    return [path / "a.txt", path / "b.txt"]


@pytest.fixture(scope="module")
def directories(corpus, causal, tmp_path_factory):
    """The corpus in a few shards, for each objective."""
    path = tmp_path_factory.mktemp("prepared")
    for objective in PREPARED:
        prepared = prepare(
            corpus,
            causal,
            output=path / objective,
            objective=objective,
            shard_size=700,
            num_processes=1,
        )
        assert len(prepared.index.shards) > 16
    return path


def whole_rows(batch, key="token_ids"):
    """The rows of a batch as bytes, before they were masked."""
    inputs, labels, weights = batch
    token_ids = inputs[key].copy()
    if "masked_positions" in inputs:
        row, place = np.nonzero(weights)
        token_ids[row, inputs["masked_positions"][row, place]] = labels[row, place]
    return [tuple(row) for row in token_ids.tolist()]


def rows(pipeline, **arguments):
    return [row for x in pipeline.as_numpy_iterator() for row in whole_rows(x, **arguments)]


@pytest.mark.parametrize("across_documents", [True, False])
def test_masked_rows_are_those_of_the_files(corpus, directories, causal, across_documents):
    options = {"sequence_length": 16, "batch_size": 1, "across_documents": across_documents}
    memory = masked_lm(corpus, causal, **options, shuffle=False)
    whole = Prepared(directories / "masked_lm", shuffle_tokens=500)
    shards = masked_lm(whole, causal, **options, shuffle=False)
    expected = rows(memory)
    assert rows(shards) == expected
    np.testing.assert_array_equal(shards.token_counts, memory.token_counts)
    shuffled = rows(masked_lm(whole, causal, **options))
    assert shuffled != expected
    assert collections.Counter(shuffled) == collections.Counter(expected)


@pytest.mark.parametrize("shard_size", [1, 700])  # documents are shorter and longer than rows
@pytest.mark.parametrize("length", [7, 64])
def test_causal_rows_are_those_of_the_files(
    corpus, directories, causal, tmp_path, shard_size, length
):
    options = {"sequence_length": length, "batch_size": 1, "shuffle": False}
    memory = causal_lm(corpus, causal, **options)
    directory = directories / "causal_lm"
    if shard_size == 1:
        directory = tmp_path
        prepare(
            corpus[0],
            causal,
            output=tmp_path,
            objective="causal_lm",
            shard_size=1,
            num_processes=1,
        )
        memory = causal_lm(corpus[0], causal, **options)
    shards = causal_lm(Prepared(directory, shuffle_tokens=300), causal, **options)
    assert rows(shards) == rows(memory)
    np.testing.assert_array_equal(shards.token_counts, memory.token_counts)


@pytest.mark.slow
def test_rows_of_denoising_are_those_of_the_files(corpus, directories, causal):
    options = {"sequence_length": 16, "batch_size": 1, "permute_sentences": False}
    memory = denoising(corpus, causal, **options)
    shards = denoising(directories / "masked_lm", causal, **options)
    key = "decoder_token_ids"
    assert sorted(rows(shards, key=key)) == sorted(rows(memory, key=key))


@pytest.fixture(scope="module")
def pipeline(directories, causal):
    """In several windows and two streams."""
    prepared = Prepared(directories / "masked_lm", num_streams=2, shuffle_tokens=700)
    return masked_lm(prepared, causal, sequence_length=16, batch_size=8)


@pytest.fixture(scope="module")
def steps(pipeline):
    """The batches of two epochs."""
    return list(pipeline.endless().take(2 * pipeline.steps_per_epoch).as_numpy_iterator())


def same(ours, theirs):
    tf.nest.map_structure(np.testing.assert_array_equal, ours, theirs)


def test_an_epoch_has_each_row_once_and_another_order_than_the_next(pipeline, steps):
    assert pipeline.steps_per_epoch == pipeline.cardinality() > 2
    number = pipeline.steps_per_epoch
    epochs = [
        [row for x in part for row in whole_rows(x)] for part in (steps[:number], steps[number:])
    ]
    for epoch in epochs:
        assert len(set(epoch)) == len(epoch) == 8 * number
    assert epochs[0] != epochs[1]
    assert set(epochs[0]) != set(epochs[1])  # other rows are left out
    masks = [x[0]["masked_positions"].tolist() for x in steps]
    assert len({str(x) for x in masks}) == len(masks)


def test_batch_i_does_not_depend_on_where_the_iteration_started(
    pipeline, directories, causal, steps
):
    again = masked_lm(
        Prepared(directories / "masked_lm", num_streams=2, shuffle_tokens=700),
        causal,
        sequence_length=16,
        batch_size=8,
        start_step=3,
    )
    same(list(again.take(3).as_numpy_iterator()), steps[3:6])
    late = pipeline.steps_per_epoch + 2  # in the middle of a window
    same(list(pipeline.endless(late).take(3).as_numpy_iterator()), steps[late : late + 3])
    same(pipeline.step(5), steps[5])


def test_the_parts_of_two_workers_are_the_batches_and_share_no_row(pipeline, directories, steps):
    number = pipeline.steps_per_epoch
    parts = [pipeline.for_worker(2, i) for i in range(2)]
    batches = [list(part.endless().take(2 * number).as_numpy_iterator()) for part in parts]
    assert [part.batch_size for part in parts] == [4, 4]
    for first, second, whole in zip(*batches, steps, strict=True):
        same(tf.nest.map_structure(lambda *x: np.concatenate(x), first, second), whole)
    for begin in (0, number):
        mine, others = (
            {row for x in part[begin : begin + number] for row in whole_rows(x)} for part in batches
        )
        assert len(mine) == len(others) == 4 * number
        assert not mine & others


@pytest.mark.parametrize("worker", [0, 1])
def test_a_worker_reads_its_own_shards_alone(
    worker, pipeline, steps, directories, causal, tmp_path
):
    """And the first records behind a shard, where its last row may end."""
    shutil.copytree(directories / "masked_lm", tmp_path / "x")
    prepared = Prepared(tmp_path / "x", num_streams=2, shuffle_tokens=700)
    part = masked_lm(prepared, causal, sequence_length=16, batch_size=8).for_worker(2, worker)
    expected = [
        row
        for x in steps[: pipeline.steps_per_epoch]
        for row in whole_rows(x)[4 * worker : 4 * worker + 4]
    ]
    # A document is in one shard; the shards hold them in order.
    border = np.cumsum([shard.documents for shard in prepared.index.shards])
    documents = {
        document_of(id_ - WORD)
        for row in expected
        for id_ in row
        if WORD <= id_ < WORD + 20 * NUM_DOCUMENTS
    }
    own = {int(np.searchsorted(border, document, side="right")) for document in documents}
    others = set(range(len(border))) - own - {shard + 1 for shard in own}
    assert len(others) > len(border) / 8
    for shard in others:
        path = tmp_path / "x" / prepared.index.shards[shard].file
        path.write_bytes(bytes(path.stat().st_size))
    assert rows(part) == expected


@pytest.mark.slow
def test_the_memory_that_is_used_does_not_depend_on_the_corpus(causal, tmp_path):
    """An epoch over 128 MB of ids, 64 times the same shard, in windows of 2 MB."""
    document = " ".join(f"w{i % 3000}" for i in range(10_000))
    output = tmp_path / "x"
    prepare(texts=[document] * 100, tokenizer=causal, output=output, objective="causal_lm")
    values = json.loads((output / "index.json").read_text())
    (shard,) = values["shards"]
    for i in range(1, 64):
        name = f"{i:05}.tfrecord.gz"
        shutil.copy(output / shard["file"], output / name)
        values["shards"].append({**shard, "file": name})
    values["statistics"]["documents"] *= 64
    (output / "index.json").write_text(json.dumps(values))
    done = subprocess.run(
        [sys.executable, "-c", MEMORY, str(output)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    before, steps, after = map(int, done.stdout.split())
    assert steps == 64 * 1_000_100 // 128 // 64
    assert after - before < 60_000  # kB


def test_replicas_together_see_the_global_batch(pipeline, steps, replicas):
    distributed = pipeline.distributed(replicas, start_step=2)
    for (inputs, labels, weights), whole in zip(distributed, steps[2:7], strict=False):
        together = tf.nest.map_structure(
            lambda x: np.concatenate([y.numpy() for y in replicas.experimental_local_results(x)]),
            (inputs, labels, weights),
        )
        assert replicas.experimental_local_results(inputs["token_ids"])[0].shape == (4, 16)
        same(together, whole)


def test_pairs_follow_or_are_of_another_document(corpus, causal, tmp_path):
    whole = prepare(corpus, causal, output=tmp_path, shard_size=3000, num_processes=1)
    whole.shuffle_tokens = 600
    pipeline = masked_lm(whole, causal, sequence_length=16, batch_size=8, next_sentence=True)
    labels = []
    for inputs, label, weights in pipeline.as_numpy_iterator():
        labels += label["next_sentence"].tolist()
        restored = whole_rows((inputs, label["masked_lm"], weights["masked_lm"]))
        for row, segment, random in zip(
            restored, inputs["segment_ids"], label["next_sentence"], strict=True
        ):
            first, second = (
                {document_of(x - WORD) for x in np.array(row)[segment == i] if WORD <= x < 3005}
                for i in range(2)
            )
            assert len(first) == 1
            assert len(second) <= 1 or random
            assert not random or not first & second
            assert random or first >= second
    assert 0.3 < np.mean(labels) < 0.7
    assert len(labels) > 200


def test_one_document_a_shard_is_too_little_for_pairs(corpus, causal, tmp_path):
    whole = prepare(
        corpus[0], causal, output=tmp_path, objective="masked_lm", shard_size=1, num_processes=1
    )
    with pytest.raises(ValueError, match="at least two documents") as raised:
        masked_lm(whole, causal, sequence_length=16, batch_size=8, next_sentence=True)
    assert "in the same shard, here 00000.tfrecord.gz" in raised.value.__notes__[0]


def test_a_pipeline_finds_the_rows_that_another_one_cut(directories, causal, monkeypatch):
    options = {"sequence_length": 16, "batch_size": 8}
    masked_lm(directories / "masked_lm", causal, **options)
    monkeypatch.setattr("keras_lm.data.row_tables.rows_between", None)
    masked_lm(directories / "masked_lm", causal, **options)


def test_a_directory_that_cannot_be_written_is_read_all_the_same(
    corpus, directories, causal, tmp_path
):
    shutil.copytree(directories / "masked_lm", tmp_path / "x")
    shutil.rmtree(tmp_path / "x" / "rows", ignore_errors=True)
    (tmp_path / "x" / "rows").write_text("in the way")
    options = {"sequence_length": 64, "batch_size": 1, "shuffle": False}
    with pytest.warns(UserWarning, match="written to a temporary directory"):
        pipeline = masked_lm(tmp_path / "x", causal, **options)
    assert rows(pipeline) == rows(masked_lm(corpus, causal, **options))


def test_the_directory_knows_its_tokenizer(directories, causal):
    prepared = Prepared(directories / "causal_lm")
    assert prepared.tokenizer.tokens == causal.tokens
    causal_lm(prepared, prepared.tokenizer, sequence_length=8, batch_size=2)


def test_a_card_learns_the_names_of_the_files_and_the_number_of_rows(corpus, directories, causal):
    options = {"sequence_length": 16, "batch_size": 8}
    told = [
        training_on(None, masked_lm(source, causal, **options), 1)
        for source in (directories / "masked_lm", corpus)
    ]
    assert told[0] == told[1]
    assert told[0].data == "a.txt, b.txt"
    assert data_name([f"{i}.txt" for i in range(10)]).endswith(", 7.txt and 2 more")


def test_duplicates_and_personal_data_are_left_out_if_asked(causal, tmp_path):
    texts = ["w1 w2", "w3", "w1 w2", "a@b.de w4"]
    prepared = prepare(
        texts=texts, tokenizer=causal, output=tmp_path, drop_duplicates=True, mask_personal=True
    )
    assert prepared.objective == "masked_lm"
    assert {name: n for name, n in prepared.statistics.items() if n} == {
        "documents": 3,
        "texts": 3,
        "tokens": 7,
        "characters": 16,
        "emails": 1,
        "duplicate_documents": 1,
    }


def test_a_tokenizer_or_an_objective_that_does_not_fit_is_refused(directories, causal, numbered):
    path, options = directories / "causal_lm", {"sequence_length": 8, "batch_size": 2}
    with pytest.raises(ValueError, match=r"the one that .* prepared with.*'\)? gives\. Rec"):
        masked_lm(directories / "masked_lm", WordPiece(numbered.tokens[:-1]), **options)
    with pytest.raises(ValueError, match=r'objective="masked_lm" for this .*"causal_lm"'):
        masked_lm(path, causal, **options)
    with pytest.raises(ValueError, match="What ends a document is said when"):
        causal_lm(path, causal, **options, document="line")
    with pytest.raises(TypeError, match="either source"):
        causal_lm(path, causal, **options, texts=["w1"])


def test_numbers_that_do_not_fit_are_refused(directories, causal):
    path = directories / "causal_lm"
    with pytest.raises(ValueError, match=r"at least one batch of rows.*batch_size=9999"):
        causal_lm(path, causal, sequence_length=8, batch_size=9999)
    with pytest.raises(ValueError, match=r"multiple of num_streams.*batch_size=4, num_streams=3"):
        causal_lm(Prepared(path, num_streams=3), causal, sequence_length=8, batch_size=4)
    with pytest.raises(ValueError, match="num_streams must be an integer, positive"):
        Prepared(path, num_streams=0)
    pipeline = causal_lm(path, causal, sequence_length=8, batch_size=4)
    for number, index in ((3, 0), (2, 2), (0, 0), (2, -1)):
        with pytest.raises(ValueError, match=r"num_workers must divide num_streams.*_streams=4"):
            pipeline.for_worker(number, index)
    with pytest.raises(ValueError, match="cannot be divided again"):
        pipeline.for_worker(2, 0).for_worker(2, 0)


def test_prepare_refuses_bad_arguments_before_it_writes(corpus, causal, numbered, tmp_path):
    output = tmp_path / "new"
    for arguments, error, message in (
        ({"shard_size": 0}, ValueError, "shard_size must be an integer, positive"),
        ({"num_processes": 0}, ValueError, "num_processes must be an integer, positive"),
        ({"objective": "gpt"}, ValueError, 'objective must be "masked_lm" or "causal_lm"'),
        ({"document": "page"}, ValueError, "document must be"),
        ({"tokenizer": "dir"}, TypeError, "tokenizer must be a keras_lm"),
        ({"source": tmp_path / "none"}, FileNotFoundError, "must exist"),
        ({"source": None}, TypeError, "Received: neither"),
        ({"tokenizer": numbered, "objective": "causal_lm"}, ValueError, "without end"),
    ):
        with pytest.raises(error, match=message):
            prepare(**{"source": corpus, "tokenizer": causal, "output": output, **arguments})
    assert not output.exists()


def test_beam_is_asked_for_by_its_name(corpus, causal, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "apache_beam", None)
    with pytest.raises(ImportError, match=r"needs Apache Beam: pip install"):
        prepare_on_beam(corpus, causal, output=tmp_path / "x")
    assert not (tmp_path / "x").exists()


def test_damaged_and_unfinished_directories_are_refused(directories, causal, tmp_path):
    shutil.copytree(directories / "masked_lm", tmp_path / "x")
    shutil.rmtree(tmp_path / "x" / "rows", ignore_errors=True)
    options = {"sequence_length": 16, "batch_size": 8}
    path = tmp_path / "x" / "00002.tfrecord.gz"
    data = bytearray(path.read_bytes())
    data[-9] ^= 1
    path.write_bytes(data)
    with pytest.raises(ValueError, match=r"SHA-256 .*00002\.tfrecord\.gz"):
        Prepared(tmp_path / "x", verify=True)
    with pytest.raises(ValueError, match=r"as it was written\. .*0000[12]\.tfrecord\.gz"):
        masked_lm(tmp_path / "x", causal, **options)
    path.write_bytes(data[:40])
    with pytest.raises(ValueError, match=r"bytes\. Received: .*00002\.tfrecord\.gz.* of 40 bytes"):
        masked_lm(tmp_path / "x", causal, **options)
    path.unlink()
    with pytest.raises(FileNotFoundError, match=r"all its shards.*00002\.tfrecord\.gz"):
        masked_lm(tmp_path / "x", causal, **options)
    (tmp_path / "x" / "index.json").unlink()
    (tmp_path / "x" / "unfinished").mkdir()
    with pytest.raises(FileNotFoundError, match="prepare has not finished"):
        masked_lm(tmp_path / "x", causal, **options)
