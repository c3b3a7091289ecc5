import corpora
import numpy as np
import pytest

pytest.importorskip("sklearn")
import classify_chinese
from classify_chinese import counting, reviews


def made_up(count):
    draw = np.random.default_rng(0)
    characters = [chr(i) for i in range(0x4E00, 0x4E00 + 200)]
    found = []
    for i in range(count):
        words = "".join(draw.choice(characters, size=30))
        found.append(corpora.Review(words + ("很好" if i % 2 else "很差"), bool(i % 2), "x"))
    return found


def test_each_review_is_read_once_and_none_that_has_both_labels(monkeypatch):
    texts = [("很好。", True), ("很好", True), ("一般", True), ("一般", False), ("一般！", True)]
    found = [corpora.Review(text, positive, "x") for text, positive in texts]
    monkeypatch.setattr(corpora, "chinese_reviews", lambda: found)
    assert reviews() == [{"text": "很好。", "label": "positive"}]


def test_runs_of_characters_tell_reviews_apart(monkeypatch):
    monkeypatch.setattr(corpora, "chinese_reviews", lambda: made_up(200))
    rows = reviews()
    assert counting(rows[:150], rows[150:], rows[150:]) == [row["label"] for row in rows[150:]]


@pytest.mark.slow
def test_the_recipe_runs_from_reviews_to_an_export(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(corpora, "chinese_reviews", lambda: made_up(400))
    monkeypatch.setattr(
        "sys.argv", ["x", "--steps", "5", "--epochs", "1", "--out", str(tmp_path / "out")]
    )
    classify_chinese.main()
    printed = capsys.readouterr().out
    count = min(200, int(printed.split(" held out")[0].split()[-1]))
    assert f"labels of {count} of {count} held-out reviews are those of Python" in printed
