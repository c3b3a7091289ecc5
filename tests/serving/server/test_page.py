"""The page at `/`: what its headers forbid, and what a person sees in a real browser."""

import base64
import hashlib
import re
import shutil
import urllib.request

import pytest
from a_server import serving

from keras_lm import export

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
TEXT = "Füße 🎉 & <img src=x onerror=alert(1)>"


def test_the_page_may_load_nothing_and_run_its_own_script_alone(server):
    with urllib.request.urlopen(f"http://127.0.0.1:{server.rest_port}/") as response:
        text, policy = response.read().decode(), response.headers["Content-Security-Policy"]
        assert response.headers["Content-Type"] == "text/html; charset=utf-8"
    for tag in ("script", "style"):
        (part,) = re.findall(f"<{tag}>(.*?)</{tag}>", text, re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(part.encode()).digest()).decode()
        assert f"{tag}-src 'sha256-{digest}';" in policy
    assert policy.startswith("default-src 'none'; ")
    assert "unsafe" not in policy
    assert not re.search(r"https?://|src=|@import|innerHTML", text)
    assert not re.search(r"<[^>]* (?:style|on\w+)=", text)


@pytest.fixture(scope="module")
def all_served(bert, gpt, classifier, pair_classifier, tagger, models, tmp_path_factory):
    directory = tmp_path_factory.mktemp("page")
    export(bert, directory / "bert", top_k=3, extra_files=False)
    export(gpt, directory / "gpt", extra_files=False)
    export(classifier, directory / "classifier", extra_files=False)
    export(pair_classifier, directory / "pair_classifier", pairs=True, extra_files=False)
    export(tagger, directory / "tagger", extra_files=False)
    (directory / "halves").symlink_to(models / "halves")
    with serving(directory, token="secret") as server:
        yield server


@pytest.fixture(scope="module")
def browser():
    sync_api = pytest.importorskip("playwright.sync_api")
    program = next(filter(None, map(shutil.which, BROWSERS)), None)
    if program is None:
        pytest.skip(f"needs one of {', '.join(BROWSERS)}")
    with sync_api.sync_playwright() as playwright:
        found = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        yield found
        found.close()


class Page:
    """A tab, and what went wrong in it."""

    def __init__(self, browser, server):
        self.errors = []
        self.tab = browser.new_page()
        self.tab.on("pageerror", lambda error: self.errors.append(str(error)))
        self.tab.on("dialog", lambda dialog: self.errors.append("a dialog"))
        self.tab.on("console", self._hear)
        self.tab.goto(f"http://127.0.0.1:{server.rest_port}/")

    def _hear(self, message):
        if "Content Security Policy" in message.text:
            self.errors.append(message.text)

    def choose(self, model):
        with self.tab.expect_response(lambda response: f"/{model}/metadata" in response.url):
            self.tab.select_option("#model", model)
        self.tab.wait_for_selector("#ask:not([hidden])")
        self.tab.wait_for_timeout(50)

    def ask(self):
        self.tab.keyboard.press("Control+Enter")
        self.tab.wait_for_selector("#time:not(:empty)", timeout=120_000)
        assert self.tab.is_hidden("#error"), self.tab.inner_text("#error")
        return self.tab.inner_text("#answer")


@pytest.mark.slow
def test_a_person_asks_every_kind_of_model_by_keyboard(
    all_served, browser, classifier, tagger, gpt
):
    page = Page(browser, all_served)
    tab = page.tab
    tab.wait_for_selector("#token-form:not([hidden])")
    tab.keyboard.type("secret")
    tab.keyboard.press("Enter")
    tab.wait_for_selector("#ask:not([hidden])")

    page.choose("classifier")
    tab.keyboard.type(TEXT)  # the text has the focus
    words = page.ask().split("\n")
    label, scores, _ = classifier.predict(TEXT, verbose=0)
    assert words[0] == label
    assert words[1] == f"{max(scores) * 100:.1f} %"

    page.choose("pair_classifier")
    tab.fill("#field-text_pair", "b")
    assert {"a", "b", "c"} < set(page.ask().split("\n"))

    page.choose("tagger")
    tab.fill("#field-text", TEXT)
    page.ask()
    found = tagger.predict(TEXT, verbose=0).entities
    assert found
    marks = tab.locator(".entity").all_inner_texts()
    assert [mark.strip() for mark in marks] == [f"{TEXT[e.start : e.end]}{e.type}" for e in found]
    assert tab.locator("#answer img").count() == 0

    page.choose("bert")
    tab.fill("#field-text", "The [MASK] is [MASK].")
    page.ask()
    assert tab.locator("fieldset").count() == 2
    second = tab.locator("fieldset").first.locator("button").nth(1)
    second.focus()
    tab.keyboard.press("Enter")
    assert second.get_attribute("aria-pressed") == "true"
    word = second.locator("span").first.inner_text()
    assert tab.locator(".filled").first.inner_text() == word
    tab.fill("#field-text", "no mask")
    page.ask()
    assert "has no mask" in tab.inner_text("#note")

    page.choose("gpt")
    tab.fill("#field-text", "The assert")
    tab.fill("#option-max_new_tokens", "5")
    page.ask()
    expected = gpt.generate("The assert", max_new_tokens=5)
    assert tab.locator("#answer .prose").text_content() == expected
    assert "/v1/completions" in tab.locator("#curl").text_content()

    page.choose("halves")
    assert '"outputs"' in page.ask()
    tab.fill("#field-body", '{"inputs": "a"}')
    tab.keyboard.press("Control+Enter")
    tab.wait_for_selector("#error:not([hidden])")
    assert "is not of expected type: float" in tab.inner_text("#error")
    assert page.errors == []
    tab.close()
