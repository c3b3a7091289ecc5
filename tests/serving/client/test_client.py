"""The client over both protocols, at a server on real ports."""

import contextlib
import subprocess
import sys

import numpy as np
import pytest
from ask_in_a_process import PAIRS, TEXTS

pytest.importorskip("tensorflow_serving.apis", reason="needs the extra serve")

from a_server import serving

from keras_lm.serving import Client, ClientError
from keras_lm.serving.client import (
    DeadlineError,
    InvalidRequestError,
    NotAllowedError,
    NotFoundError,
    UnavailableError,
)

MANY = TEXTS * 5


def urls(server, tls=False):
    end = "s" if tls else ""
    return f"http{end}://127.0.0.1:{server.rest_port}", f"grpc{end}://127.0.0.1:{server.port}"


@contextlib.contextmanager
def clients(server, tls=False, **options):
    """One for each protocol."""
    with contextlib.ExitStack() as stack:
        yield [stack.enter_context(Client(url, **options)) for url in urls(server, tls)]


def test_texts_are_classified_as_in_python(task_server, classifier, pair_classifier):
    found = classifier.predict(MANY, verbose=0)
    pairs = pair_classifier.predict(list(zip(*PAIRS.values(), strict=True)), verbose=0)
    with clients(task_server, batch_size=4) as both:
        for client in both:
            answers = client.classify("classifier", MANY)
            assert [answer.label for answer in answers] == found.labels
            scores = [list(answer.scores.values()) for answer in answers]
            np.testing.assert_allclose(scores, found.scores, atol=1e-5)
            assert list(answers[0].scores) == ["Übel", "gut"]
            one = client.classify("classifier", MANY[0])
            assert one.label == found.labels[0]
            answers = client.classify("pair_classifier", *PAIRS.values())
            assert [answer.labels for answer in answers] == pairs.labels
            with pytest.raises(ValueError, match="2 of text, 1 of text_pair"):
                client.classify("pair_classifier", ["a", "b"], ["c"])


def test_entities_and_masks_are_found_as_in_python(task_server, tagger, bert):
    entities = tagger.predict(MANY, verbose=0).entities
    filled = bert.fill_mask(TEXTS[0], top_k=3)
    with clients(task_server, batch_size=4) as both:
        for client in both:
            answers = client.tag("tagger", MANY)
            assert [[e[:4] for e in row] for row in answers] == [
                [e[:4] for e in row] for row in entities
            ]
            (mask,) = client.fill_mask("bert", TEXTS[0])
            assert [filling.token for filling in mask] == [token for token, _ in filled[0]]
            np.testing.assert_allclose(
                [f.score for f in mask], [s for _, s in filled[0]], atol=1e-5
            )
            with pytest.raises(ValueError, match="must have the outputs of this task"):
                client.classify("bert", "[MASK]")


def test_what_both_protocols_tell_is_the_same(task_server):
    with clients(task_server) as both:
        (here, there) = (client.signatures("classifier") for client in both)
        assert here == there
        assert here["serving_default"].inputs["text"] == ("string", (-1,))
        (here, there) = (client.status("classifier") for client in both)
        assert here == there
        assert here[0][:2] == (1, "AVAILABLE")
        # Widths differ from piece to piece.
        asked = {"text": MANY}
        (here, there) = (client.predict("tagger", asked) for client in both)
        for name, value in here.items():
            assert value.dtype == there[name].dtype
            if value.dtype == object:
                assert value.tolist() == there[name].tolist()
            else:
                np.testing.assert_allclose(value, there[name], rtol=1e-5)


def test_any_model_is_asked_in_the_dtypes_that_it_takes(server):
    asked = {"text": ["Füße", b"\xff\x00"], "token_ids": [[1, 2], [3, 4]]}
    with clients(server) as both:
        for client in both:
            found = client.predict("kinds", asked, version=1)
            assert found["sum"].tolist() == [3, 7]
            assert found["text"].tolist() == ["Füße", "\ufffd\x00"]
            assert found["raw_bytes"].tolist() == ["Füße".encode(), b"\xff\x00"]
            found = client.predict("halves", np.arange(100), signature="serving_default")
            np.testing.assert_array_equal(found["y"], np.arange(100, dtype=np.float32) / 2 + 3)
            # No rows to cut.
            found = client.predict("halves", {"x": [1.0] * 100, "by": 2}, signature="scale")
            assert found["y"].tolist() == [2.0] * 100
            big = client.predict("kinds", [2**63 - 1], signature="int64")
            assert big["x"].tolist() == [2**63 - 1]
            with pytest.raises(ValueError, match=r"takes text, token_ids\. Received: text$"):
                client.predict("kinds", {"text": ["a"]})
            with pytest.raises(ValueError, match="Input 'x' must be int64"):
                client.predict("kinds", [2**63], signature="int64")
            with pytest.raises(ValueError, match=r"has the signatures .*scale.* Received: 'no'"):
                client.predict("halves", [1.0], signature="no")


def test_errors_say_the_code_the_servers_words_and_the_model(server):
    with clients(server) as both:
        for client in both:
            with pytest.raises(NotFoundError) as told:
                client.predict("unheard_of", [1.0])
            assert told.value.code == "NOT_FOUND"
            assert told.value.model == "unheard_of"
            with pytest.raises(NotFoundError, match="halves"):
                client.predict("halves", [1.0], version=7)
            with pytest.raises(InvalidRequestError, match="no negative numbers") as told:
                client.predict("picky", [-1.0] * 100)
            assert "from model 'picky'" in str(told.value)
            with pytest.raises(DeadlineError, match=r"within 0\.3 seconds"):
                client.predict("slow", [2.0], timeout=0.3)
            with pytest.raises(ValueError, match="number or a label"):
                client.predict("halves", [1.0], version=1, label="stable")


def test_tokens_and_tls_let_in_who_may(models, certificate, tmp_path):
    (tmp_path / "halves").symlink_to(models / "halves")
    file, key = certificate
    options = {"tls_certificate": file, "tls_key": key, "token": "secret"}
    with serving(tmp_path, **options) as server:
        with clients(server, tls=True, token="secret", ca=file) as both:
            for client in both:
                assert client.predict("halves", [1.0])["y"].tolist() == [3.5]
        with clients(server, tls=True, token="other", ca=file) as both:
            for client in both:
                with pytest.raises(NotAllowedError, match="bearer token"):
                    client.predict("halves", [1.0])
        with clients(server, tls=True, token="secret", retries=0, timeout=5) as both:
            for client in both:
                with pytest.raises(UnavailableError):
                    client.predict("halves", [1.0])


SCRIPT = """
import sys
from keras_lm.serving import Client
with Client(sys.argv[1]) as client:
    print(client.predict("halves", [1.0])["y"].tolist())
    print([name for name in ("tensorflow", "keras", "grpc") if name in sys.modules])
"""


def test_over_http_tensorflow_is_not_imported(server):
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, urls(server)[0]], capture_output=True, text=True, check=True
    )
    assert done.stdout.split("\n")[:2] == ["[3.5]", "[]"], done.stderr


@pytest.mark.slow
def test_models_write_and_score_as_in_python(exports, gpt, transformer):
    prompts = ["The assert", "Füße 漢字 🎉"]
    options = {"max_new_tokens": 5, "top_p": 0.9, "seed": [3, 4]}
    with serving(exports) as server, clients(server, timeout=120) as both:
        for client in both:
            found = client.generate("gpt", prompts, **options)
            expected = [
                gpt.generate(prompt, max_new_tokens=5, top_p=0.9, seed=seed)
                for prompt, seed in zip(prompts, (3, 4), strict=True)
            ]
            assert [p + f.completion for p, f in zip(prompts, found, strict=True)] == expected
            scores = client.score("gpt", prompts)
            np.testing.assert_allclose(
                [s.log_likelihood for s in scores], gpt.score(prompts).log_likelihood, rtol=1e-4
            )
            translated = client.translate("transformer", prompts)
            again = client.translate("transformer", prompts, max_new_tokens=8)
            assert [t.completion for t in translated] == [t.completion for t in again]
            assert all(t.score < 0 for t in translated)
            with pytest.raises(ValueError, match=r"has the options .*top_k.* Received: beams"):
                client.generate("gpt", prompts, beams=2)
            with pytest.raises(ValueError, match=r"one for each of 2 texts\. Received: 3"):
                client.generate("gpt", prompts, seed=[1, 2, 3])


@pytest.mark.parametrize(
    "url",
    [
        "localhost:8501",
        "ftp://localhost:1",
        "grpc://localhost",
        "grpc://a:1/x",
        "http://",
        "http://a?b",
    ],
)
def test_an_address_names_its_protocol(url):
    with pytest.raises(ValueError, match="A server is grpc://host:port"):
        Client(url)


def test_all_errors_are_of_one_family():
    kinds = (DeadlineError, InvalidRequestError, NotAllowedError, NotFoundError, UnavailableError)
    assert all(issubclass(kind, ClientError) for kind in kinds)
