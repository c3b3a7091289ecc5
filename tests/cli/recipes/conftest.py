import pytest


@pytest.fixture(scope="session")
def corpus(topics, tmp_path_factory):
    """Some paragraphs of the reference, a blank line between every two documents."""
    lines = [line for line in topics.read_text(encoding="utf-8").splitlines() if line.strip()]
    path = tmp_path_factory.mktemp("corpus") / "corpus.txt"
    documents = ["\n".join(lines[i : i + 4]) for i in range(0, 400, 4)]
    path.write_text("\n\n".join(documents), encoding="utf-8")
    return path
