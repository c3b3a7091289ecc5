"""What the pages say can be followed: links lead somewhere, names exist, code is Python."""

import contextlib
import importlib
import pathlib
import re

import pytest

import keras_lm

ROOT = pathlib.Path(__file__).parents[1]
PAGES = [
    path
    for pattern in ("*.md", "docs/**/*.md", "examples/*.md", "saved_models/*.md")
    for path in sorted(ROOT.glob(pattern))
]


def page_id(path):
    return str(path.relative_to(ROOT))


def anchors(text):
    """GitHub's: lower case, spaces to dashes, punctuation dropped."""
    headings = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=page_id)
def test_links_lead_somewhere(page):
    prose = re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    for target in re.findall(r"\]\(([^)]+)\)", prose):
        if "://" in target:
            continue
        name, _, anchor = target.partition("#")
        other = page.parent / name if name else page
        assert other.exists(), target
        assert not anchor or anchor in anchors(other.read_text(encoding="utf-8")), target


@pytest.mark.parametrize("page", PAGES, ids=page_id)
def test_names_of_the_package_exist(page):
    for name in re.findall(r"\bkeras_lm(?:\.\w+)+", page.read_text(encoding="utf-8")):
        found = keras_lm
        for part in name.split(".")[1:]:
            if not hasattr(found, part):
                with contextlib.suppress(ImportError, AttributeError):
                    importlib.import_module(f"{found.__name__}.{part}")
            assert hasattr(found, part), name
            found = getattr(found, part)


@pytest.mark.parametrize("page", PAGES, ids=page_id)
def test_files_that_are_named_exist(page):
    text = page.read_text(encoding="utf-8")
    for name in re.findall(r"`((?:keras_lm|tests|examples|benchmarks|docs)/[\w./]+)`", text):
        assert (ROOT / name).exists(), name


@pytest.mark.parametrize("page", PAGES, ids=page_id)
def test_code_is_python(page):
    for code in re.findall(r"```python\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL):
        compile(code, page.name, "exec")
