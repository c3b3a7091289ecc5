"""README.md beside a model, and what it says: what is known of data and scores."""

import json
import math

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_lm import (
    BERT,
    ELECTRAPretrainer,
    TextClassifier,
    counterfactual,
    data,
    evaluate,
    load,
    save,
)
from keras_lm.checkpoints.model_card import model_card
from keras_lm.tokenizers import WordPiece
from keras_lm.training.provenance import Provenance, Scores, Training

WORDS = ["good", "bad", "film", "a", "no"]
TOKENIZER = WordPiece(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *WORDS])
ROWS = "text,label\n" + "good film,yes\nbad film,no\na good film,yes\na bad film,no\n" * 4


def bert(**arguments):
    return BERT(10, 12, 1, 3, 20, max_length=9, tokenizer=TOKENIZER, **arguments)


def card_of(directory):
    return (directory / "README.md").read_text("utf-8")


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A classifier that was trained and evaluated on files, and they."""
    place = tmp_path_factory.mktemp("trained")
    (place / "train.csv").write_text(ROWS, "utf-8")
    (place / "test.csv").write_text(ROWS.split("\na good")[0], "utf-8")
    save(bert(heads=()), place / "base")
    task = TextClassifier(load(place / "base", "backbone"), ["no", "yes"])
    task.compile(learning_rate=1e-2, run_eagerly=True)
    rows = data.classification(place / "train.csv", TOKENIZER, labels=task.labels, batch_size=8)
    task.fit(rows, epochs=2, verbose=0, validation_data=rows)
    assert task.provenance.scores == ()  # Those that fit itself makes are not of the last weights.
    figures = evaluate(task, place / "test.csv", verbose=0)
    return task, place, figures


def test_a_card_says_what_fit_and_evaluate_saw_and_no_more(trained, tmp_path):
    task, _, figures = trained
    save(task, tmp_path)
    card = card_of(tmp_path)
    for line in (
        "pipeline_tag: text-classification",
        "# TextClassifier on BERT",
        f"Fine-tuned from `base`; {task.count_params():,} parameters, float32, keras_lm ",
        "hidden_size 12, num_layers 1, num_attention_heads 3,",
        "2 labels, class 0 first: `no`, `yes`.",
        "- Training: `train.csv`, 16 rows, 0 of them without their end, 0 left out. "
        "TextClassifier, 2 epochs.",
        "- What `base` had learnt from before is not known here.",
        "Of `test.csv`:",
        f"| accuracy | {figures['accuracy']:.4f} |",
        "| rows | 2 |",
        "- It reads 9 tokens of a text at most",
        "- Nobody looked for differences between groups",
    ):
        assert line in card
    assert "It was trained on this file" not in card
    task.note_scores({"accuracy": 1.0}, "train.csv")
    assert "It was trained on this file" in model_card(task)
    task.provenance = load(tmp_path).provenance
    unknown = TextClassifier(bert(), ["no", "yes"])
    unknown.build()
    unknown = model_card(unknown)
    assert "- Not known: it was not trained by `fit`" in unknown
    assert "Not known: since its last training nobody evaluated it." in unknown


def test_what_is_known_comes_back_from_directories_keras_files_and_adapters(trained, tmp_path):
    task, place, _ = trained
    known = task.provenance
    assert [training.data for training in known.trainings] == ["train.csv"]
    save(task, tmp_path / "whole")
    again = load(tmp_path / "whole")
    assert again.provenance == known
    save(again, tmp_path / "again")
    assert card_of(tmp_path / "again") == card_of(tmp_path / "whole")
    task.save(tmp_path / "a.keras")
    assert load(tmp_path / "a.keras").provenance == known

    adapted = TextClassifier(load(place / "base", "backbone"), 2)
    adapted.add_lora(2)
    adapted.provenance = known
    save(adapted, tmp_path / "adapters")
    assert load(tmp_path / "adapters").provenance == known
    assert adapted.merge_lora().provenance == known
    # A new head has the data of what is beneath, and none of its scores.
    with pytest.warns(UserWarning, match="left out: classifier"):
        beneath = load(tmp_path / "whole", "backbone")
    headed = TextClassifier(beneath, 2)
    assert headed.provenance == Provenance(known.source, known.trainings)


def test_a_card_that_somebody_wrote_or_changed_stays(trained, tmp_path):
    task, *_ = trained
    save(task, tmp_path)
    task.note_scores({"accuracy": 0.25}, "more.csv")
    save(task, tmp_path)
    card = card_of(tmp_path)
    assert "Of `more.csv`:" in card
    for text in (card.replace("0.2500", "0.9999"), card + "Mine.\n", "mine", ""):
        (tmp_path / "README.md").write_text(text, "utf-8")
        save(task, tmp_path)
        assert card_of(tmp_path) == text
    (tmp_path / "README.md").unlink()
    save(task, tmp_path)
    assert card_of(tmp_path) == card


def test_groups_count_where_they_were_looked_for(trained):
    task, *_ = trained
    before = task.provenance
    counterfactual(task, rows=[{"text": "good film", "text_pair": "bad film"}], verbose=0)
    card = model_card(task)
    task.provenance = before
    assert "Of `pairs, counterfactual`:" in card
    assert "| pairs | 1 |" in card
    assert "Nobody looked" not in card


@pytest.mark.slow
def test_the_parts_of_a_pretrainer_know_what_it_read():
    sizes = {"hidden_size": 12, "num_layers": 1, "num_attention_heads": 3, "num_hidden_units": 20}
    model = ELECTRAPretrainer(10, **sizes, embedding_size=6, max_length=9, tokenizer=TOKENIZER)
    model.compile()
    texts = ["good film bad film a good film"] * 9
    rows = data.masked_lm(texts=texts, tokenizer=TOKENIZER, sequence_length=9, batch_size=4)
    model.fit(rows, epochs=1, verbose=0)
    (training,) = model.discriminator.provenance.trainings
    assert training == Training("ELECTRAPretrainer", None, rows.num_rows, 1)
    assert "data without a name" in model_card(model.discriminator)


def test_a_training_that_breaks_off_is_no_secret(tmp_path):
    class Stop(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            raise KeyboardInterrupt

    task = TextClassifier(bert(), 2)
    task.compile(run_eagerly=True)
    with pytest.raises(KeyboardInterrupt):
        task.fit(np.ones((4, 3), "int32"), np.ones(4, "int32"), callbacks=[Stop()], verbose=0)
    assert task.provenance.trainings == (Training("TextClassifier", None, 4),)
    assert "4 rows. TextClassifier, broken off." in model_card(task)
    # What Keras's evaluate finds is of data without a name.
    task.evaluate(tf.ones((2, 3), "int32"), tf.ones(2), verbose=0)
    (scores,) = task.provenance.scores
    assert scores.data is None
    assert {name: type(value) for name, value in scores.figures.items()} == {
        "loss": float,
        "accuracy": float,
    }
    save(task, tmp_path)
    assert load(tmp_path).provenance == task.provenance


def test_what_is_noted_is_json_whatever_was_found():
    noted = Provenance("base").with_scores(
        Scores("a", {"f1": math.nan, "rows": np.int64(3), "groups": {"x": np.float32(0.5)}})
    )
    said = json.loads(json.dumps(noted.as_json(), allow_nan=False))
    assert said["scores"][0]["figures"] == {"f1": None, "rows": 3, "groups": {"x": 0.5}}
    assert Provenance.from_json(said) == noted
    assert Provenance.from_json({"trainings": [{"what": 1}]}) == Provenance()
    assert Provenance.from_json("no") == Provenance.from_json({}) == Provenance()
    with pytest.raises(ValueError, match=r"must be a Provenance\. Received: int"):
        bert().provenance = 3


def test_the_hub_reads_the_head_of_a_card(trained, tmp_path):
    cards = pytest.importorskip("huggingface_hub").ModelCard
    save(trained[0], tmp_path)
    found = cards.load(tmp_path / "README.md")
    assert found.data.to_dict() == {
        "library_name": "keras",
        "pipeline_tag": "text-classification",
    }
    assert found.text.strip().startswith("# TextClassifier")
