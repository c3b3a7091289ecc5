"""Files to a fine-tuned directory, its figures and its answers, by commands alone."""

import functools
import json
import sys

import numpy as np
import pytest

from keras_lm import BERT, TextClassifier, TokenClassifier, counterfactual, evaluate, load
from keras_lm.cli.main import main
from keras_lm.tokenizers import WordPiece

WORDS = ["good", "bad", "a", "film", ".", "lon", "##don"]
TRAIN = "review,label\n" + "good film .,yes\nbad film .,no\na good film,yes\na bad film,no\n" * 4
TAGGED = "a O\nlondon B-LOC\nfilm O\n\nfilm O\nlondon B-LOC\n\n" * 8


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A directory with a small model and files."""
    path = tmp_path_factory.mktemp("finetune")
    tokenizer = WordPiece(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *WORDS])
    model = BERT(
        tokenizer.vocab_size,
        16,
        1,
        2,
        32,
        max_length=10,
        dropout_rate=0.0,
        tokenizer=tokenizer,
        initializer_range=0.2,
    )
    model.build()
    model.save(path / "bert.keras")
    (path / "train.csv").write_text(TRAIN)
    (path / "tags.conll").write_text(TAGGED)
    (path / "texts.txt").write_text("good film\nbad film .\n")
    (path / "utf16.txt").write_text("no\nyes\n", "utf-16")
    (path / "mark.txt").write_text("yes\nmaybe\n", "utf-8-sig")
    return path


def finetune(place, out, *words):
    rest = ["--out", str(place / out), "--verbose", "0", *words]
    return main(["finetune", str(place / "bert.keras"), *rest])


@pytest.fixture
def loaded(monkeypatch):
    """Commands load a directory once: to read and trace it each time would take most of a test."""
    once = functools.cache(load)
    monkeypatch.setattr("keras_lm.cli.fine_tuned.load", once)
    return once


def test_a_file_becomes_a_directory_that_is_evaluated_and_asked(place, capsys, loaded, monkeypatch):
    train, out = str(place / "train.csv"), str(place / "sentiment")
    words = ["--task", "text_classification", "--train", train, "--validation", train]
    words += ["--labels", "no, yes", "--column", "text=review", "--learning-rate", "1e-2"]
    assert finetune(place, "sentiment", *words, "--epochs", "12", "--batch-size", "4") == 0
    printed = capsys.readouterr()
    assert printed.out.splitlines()[-1] == out
    assert "accuracy  1.0000" in printed.out
    assert "16 rows, 0 of them without their end, 0 left out" in printed.err
    assert sorted(p.name for p in place.iterdir() if p.name.startswith(".")) == []

    card = (place / "sentiment" / "README.md").read_text()
    assert card.startswith("---\nlibrary_name: keras\npipeline_tag: text-classification\n---\n")
    assert "2 labels, class 0 first: `no`, `yes`." in card
    assert "- Training: `train.csv`, 16 rows, 0 of them without their end, 0 left out." in card
    assert "| accuracy | 1.0000 |" in card

    model = loaded(out)
    assert isinstance(model, TextClassifier)
    assert model.labels == ("no", "yes")
    assert main(["evaluate", out, train, "--column", "text=review", "--json"]) == 0
    expected = evaluate(model, train, text="review", verbose=0)
    assert json.loads(capsys.readouterr().out) == expected

    answers = place / "answers.jsonl"
    assert main(["predict", out, str(place / "texts.txt"), "--out", str(answers)]) == 0
    rows = [json.loads(line) for line in answers.read_text().splitlines()]
    assert [(row["text"], row["label"]) for row in rows] == [
        ("good film", "yes"),
        ("bad film .", "no"),
    ]
    found = model.predict(["good film", "bad film ."], verbose=0)
    for row, scores in zip(rows, found.scores, strict=True):
        assert list(row["scores"].values()) == pytest.approx(scores.tolist(), abs=1e-5)
    capsys.readouterr()
    assert main(["predict", out, train, "--column", "text=review", "--batch-size", "1"]) == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [row["label"] for row in lines] == [
        line.split(",")[1] for line in TRAIN.splitlines()[1:]
    ]

    # On a terminal there is a bar, and never in the answers; nothing is asked of a bad file.
    (place / "broken.csv").write_text(TRAIN + " ,no\n")
    with monkeypatch.context() as patched:
        patched.setattr(sys.stderr, "isatty", lambda: True, raising=False)
        for file, said, answers in ((train, "16/16", lines), (place / "broken.csv", "line 18", [])):
            words = ["predict", out, str(file), "--column", "text=review", "--batch-size", "1"]
            assert main(words) == (0 if answers else 2)
            printed = capsys.readouterr()
            assert said in printed.err
            assert [json.loads(line) for line in printed.out.splitlines()] == answers

    pairs = place / "pairs.csv"
    pairs.write_text(
        "text,text_pair,group\ngood film .,bad film .,mood\ngood film .,a good film,article\n"
    )
    assert main(["evaluate", out, "--counterfactual", str(pairs), "--json"]) == 0
    expected = counterfactual(model, pairs, verbose=0)
    assert json.loads(capsys.readouterr().out) == expected
    assert expected["groups"]["mood"]["changed"] == 1
    assert main(["evaluate", out, "--counterfactual", str(pairs)]) == 0
    assert "groups.mood.rate " in capsys.readouterr().out

    # The head that is there goes on; it keeps its labels.
    words = ["--task", "text_classification", "--train", train, "--out", str(place / "b")]
    assert main(["finetune", out, *words, "--labels", "yes,no", "--column", "text=review"]) == 2
    assert "goes on with the labels that it has" in capsys.readouterr().err
    assert not (place / "b").exists()


def test_words_are_tagged_and_their_entities_printed(place, capsys):
    words = ["--task", "token_classification", "--train", str(place / "tags.conll")]
    assert (
        finetune(
            place,
            "places",
            *words,
            "--labels",
            "O,B-LOC",
            "--learning-rate",
            "1e-2",
            "--epochs",
            "12",
        )
        == 0
    )
    assert isinstance(load(place / "places"), TokenClassifier)
    capsys.readouterr()
    assert main(["predict", str(place / "places"), "--text", "film london"]) == 0
    (entity,) = json.loads(capsys.readouterr().out)["entities"]
    assert (entity["text"], entity["type"], entity["start"]) == ("london", "LOC", 5)


def test_adapters_are_trained_saved_alone_and_asked_without_a_warning(place, capsys, loaded):
    base, out, train = place / "base", str(place / "adapters"), str(place / "train.csv")
    assert main(["convert", str(place / "bert.keras"), str(base)]) == 0
    before = (base / "model.safetensors").read_bytes()
    words = ["finetune", str(base), "--task", "text_classification", "--labels", "no,yes"]
    words += ["--train", train, "--column", "text=review", "--lora", "2", "--epochs", "1"]
    assert main([*words, "--out", out, "--verbose", "0"]) == 0
    assert (base / "model.safetensors").read_bytes() == before
    names = {path.name for path in (place / "adapters").iterdir()}
    assert {"adapter_config.json", "adapter_model.safetensors", "README.md"} <= names
    assert "model.safetensors" not in names
    capsys.readouterr()
    assert main(["evaluate", out, train, "--column", "text=review", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["rows"] == 16
    assert main(["predict", out, "--text", "good film"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert loaded(out).has_lora
    expected = loaded(out).predict("good film", verbose=0)
    assert list(found["scores"].values()) == pytest.approx(expected.scores.tolist(), abs=1e-6)


@pytest.mark.slow
def test_a_part_of_a_model_trains_and_learns_from_a_teacher(place, capsys):
    common = ["--task", "text_classification", "--train", str(place / "train.csv")]
    common += ["--column", "text=review", "--learning-rate", "1e-2", "--batch-size", "4"]
    common += ["--validation", str(place / "train.csv")]
    labels = ["--labels", "no,yes"]
    assert finetune(place, "teacher", *common, *labels, "--epochs", "8") == 0
    words = [*common, "--freeze-embeddings", "--layer-decay", "0.5", "--epochs", "8"]
    words += ["--teacher", str(place / "teacher"), "--soft", "0.75", "--patience", "8"]
    assert finetune(place, "student", *words, "--monitor", "accuracy") == 0
    assert "accuracy  1.0000" in capsys.readouterr().out
    before, after = load(place / "bert.keras").encoder, load(place / "student").encoder
    same = [
        (weight.path.split("/")[-3:], np.array_equal(weight, other))
        for weight, other in zip(before.weights, after.weights, strict=True)
    ]
    assert [equal for path, equal in same if "embedding" in "/".join(path)]
    for path, equal in same:
        assert equal == ("embedding" in "/".join(path)), path
    card = (place / "student" / "README.md").read_text()
    assert "Distillation, 8 epochs." in card
    assert "soft 0.75, teacher teacher" in card
    assert "freeze_embeddings True" in card
    words = [*common, *labels[:1], "yes,no", "--teacher", str(place / "teacher")]
    assert finetune(place, "other", *words) == 2
    assert "must have the same labels, in the same order" in capsys.readouterr().err
    assert main(["convert", str(place / "bert.keras"), str(place / "beneath")]) == 0
    words = ["finetune", str(place / "beneath"), *common, *labels, "--layer-decay", "0.5"]
    words += ["--lora", "2", "--lora-alpha", "8", "--lora-targets", "query, feed_forward_in"]
    words += ["--verbose", "0", "--epochs", "1"]
    assert main([*words, "--out", str(place / "few")]) == 0
    said = json.loads((place / "few" / "adapter_config.json").read_text())
    assert (said["r"], said["lora_alpha"]) == (2, 8)
    assert {name.rpartition(".")[2] for name in said["target_modules"]} == {"query", "dense"}


@pytest.mark.slow
def test_two_devices_give_the_weights_of_one(place):
    words = ["--task", "text_classification", "--train", str(place / "train.csv")]
    words += ["--labels", "no,yes", "--column", "text=review", "--batch-size", "6"]
    found = []
    for kind in ("one_device", "mirrored"):
        assert finetune(place, kind, *words, "--epochs", "2", "--strategy", kind) == 0
        found.append(load(place / kind).get_weights())
    for one, two in zip(*found, strict=True):
        np.testing.assert_allclose(two, one, atol=1e-6)


@pytest.mark.slow
def test_training_stops_by_a_figure_of_the_field(place, capsys):
    tags = str(place / "tags.conll")
    words = ["--task", "token_classification", "--train", tags, "--validation", tags]
    words += ["--labels", "O,B-LOC", "--learning-rate", "1e-2", "--patience", "1"]
    out = str(place / "stopped")
    words = ["finetune", str(place / "bert.keras"), *words, "--monitor", "f1", "--out", out]
    assert main([*words, "--epochs", "40", "--verbose", "2"]) == 0
    printed = capsys.readouterr().out
    assert "val_f1" in printed
    assert "Epoch 40/40" not in printed
    assert "f1         1.0000" in printed


@pytest.mark.slow
def test_embeddings_and_answers_come_from_files_too(place, capsys):
    scored = place / "scored.csv"
    scored.write_text("text,text_pair,score\ngood film,a good film,1\ngood,bad,0\nfilm,a,0.5\n")
    words = ["--train", str(scored), "--validation", str(scored), "--epochs", "1"]
    words += ["--task", "text_embedding", "--objective", "cosine"]
    assert finetune(place, "vectors", *words) == 0
    assert "spearman" in capsys.readouterr().out
    assert main(["predict", str(place / "vectors"), "--text", "good film"]) == 0
    found = json.loads(capsys.readouterr().out)["embedding"]
    expected = load(place / "vectors").predict("good film", verbose=0).vectors
    assert found == pytest.approx(expected.tolist(), abs=1e-6)

    answer = {"text": "film", "answer_start": 7}
    row = {"question": "a film", "context": "a good film", "answers": [answer], "id": "1"}
    asked = place / "questions.jsonl"
    asked.write_text(json.dumps(row))
    words = ["--task", "question_answering", "--train", str(asked), "--epochs", "1"]
    assert finetune(place, "answers", *words) == 0
    capsys.readouterr()
    assert main(["predict", str(place / "answers"), str(asked)]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["context"][found["start"] : found["end"]] == found["answer"]
    paragraph = {"context": row["context"], "qas": [{"id": "1", "question": row["question"]}]}
    (place / "squad.json").write_text(json.dumps({"data": [{"paragraphs": [paragraph]}]}))
    assert main(["predict", str(place / "answers"), str(place / "squad.json")]) == 0
    assert json.loads(capsys.readouterr().out) == found


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"--train": "gone.csv"}, "--train must be a file. Received: 'gone.csv'"),
        ({"--out": "."}, "--out must not exist yet"),
        ({"--labels": None}, "needs --labels"),
        ({"--labels": None, "--labels-file": "@utf16"}, "--labels-file must be UTF-8. Received: "),
        (
            {"--labels": None, "--labels-file": "@mark"},
            "A label must be one of yes, maybe. Received: 'no' in",
        ),
        ({"--labels": "a,a"}, "Labels must be different names"),
        ({"--column": "label=stars"}, "'stars' missing"),
        ({"--column": "words=1"}, "NAME one of text, text_pair, label"),
        ({"--labels": "yes"}, "labels must be at least 2"),
        ({"--labels": "yes,maybe"}, "'no' in column 'label', line 3 of"),
        ({"--tokens-per-batch": "9"}, "--tokens-per-batch is for translation"),
        ({"--patience": "2"}, "--patience needs --validation"),
        ({"--monitor": "f1"}, "--monitor needs --patience"),
        ({"--patience": "1", "--monitor": "f1", "--validation": "@"}, "one of loss, accuracy, mac"),
        ({"--max-length": "11"}, "--max-length must be in 1 .. 10"),
        ({"--lora": "2"}, "--lora needs one"),
        ({"--lora": "2", "--freeze-blocks": "1"}, "--lora freezes all but the adapters"),
        ({"--lora-alpha": "2"}, "--lora-alpha needs --lora RANK"),
        ({"--freeze-blocks": "2"}, "blocks must be in 0 .. 1"),
        ({"--layer-decay": "1.5"}, "--layer-decay must be above 0 and at most 1"),
        ({"--freeze-blocks": "1", "--layer-decay": "0.5"}, "layer_decay is for models of blocks"),
        ({"--soft": "0.5"}, "--soft needs --teacher MODEL"),
        ({"--teacher": "@bert", "--soft": "2"}, "--soft must be in 0 .. 1"),
        ({"--teacher": "@bert"}, "--teacher must be fine-tuned for text_classification"),
    ],
)
def test_what_cannot_be_is_said_and_leaves_nothing(place, tmp_path, capsys, changes, message):
    words = {
        "--task": "text_classification",
        "--train": str(place / "train.csv"),
        "--labels": "no,yes",
        "--out": str(tmp_path / "out"),
        **changes,
    }
    there = {"@": words["--train"], "@bert": str(place / "bert.keras")}
    there |= {"@utf16": str(place / "utf16.txt"), "@mark": str(place / "mark.txt")}
    words = {name: there.get(word, word) for name, word in words.items()}
    given = [part for name, word in words.items() if word is not None for part in (name, word)]
    if "--column" not in changes or "label=" in changes["--column"]:
        given += ["--column", "text=review"]
    assert main(["finetune", str(place / "bert.keras"), *given]) == 2
    assert message in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["evaluate", "bert.keras", "gone.csv"], "must exist"),
        (["evaluate", "bert.keras"], "a file or --counterfactual PAIRS. Received: neither"),
        (["evaluate", "bert.keras", "train.csv"], "must be fine-tuned for one of"),
        (["predict", "bert.keras", "gone.csv"], "predict takes a file, or --text"),
        (["predict", "bert.keras"], "Received: neither"),
        (["predict", "bert.keras", "texts.txt", "--out", "train.csv"], "--out must not exist yet"),
        (["predict", "bert.keras", "texts.txt", "--out", "gone/x"], "in a directory that exists"),
    ],
)
def test_questions_that_cannot_be_are_said_in_one_line(place, capsys, monkeypatch, words, message):
    monkeypatch.chdir(place)
    assert main(words) == 2
    assert message in capsys.readouterr().err
