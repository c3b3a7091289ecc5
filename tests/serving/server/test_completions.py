"""OpenAI's interface, asked by OpenAI's own client and by plain HTTP over a real port."""

import base64
import json
import os
import signal
import subprocess
import sys
import threading
import time

import numpy as np
import pytest
import tensorflow as tf
import writing_models
from a_server import serving
from asking import ask, ask_json

from keras_lm import export
from keras_lm.serving.server import EngineOptions
from keras_lm.serving.server.completions.state_graph import StateGraph

PROMPT = "The assert statement"
# What the tests' models write has an end when they happen to draw one: not before so many tokens.
LONG = {"max_tokens": 24, "extra_body": {"min_tokens": 24}}


@pytest.fixture(scope="module", params=["small", pytest.param("gpt", marks=pytest.mark.slow)])
def completing(request, tmp_path_factory):
    directory = tmp_path_factory.mktemp("completing")
    if request.param == "small":
        writing_models.writes(directory / "gpt" / "1")
    else:
        model = request.getfixturevalue("gpt")
        export(model, directory / "gpt", extra_files=False)
    writing_models.vectors(directory / "vectors" / "1")
    options = {"engine": EngineOptions(3, 4, 2), "aliases": {"text-davinci-003": "gpt"}}
    with serving(directory, **options) as found:
        yield found


@pytest.fixture(scope="module")
def client(completing):
    openai = pytest.importorskip("openai", reason="needs openai")
    url = f"http://127.0.0.1:{completing.rest_port}/v1"
    with openai.OpenAI(base_url=url, api_key="none", max_retries=0) as found:
        yield found


@pytest.fixture
def slowly(monkeypatch):
    """A model that takes long for each chunk."""
    decode = StateGraph.decode

    def slow(*arguments):
        time.sleep(0.1)
        return decode(*arguments)

    monkeypatch.setattr(StateGraph, "decode", slow)


def generated(server, prompts, seeds, **changed):
    """What the signature `generate` gives over TensorFlow Serving's REST."""
    options = {
        "max_new_tokens": 24,
        "min_new_tokens": 24,
        "temperature": 1.0,
        "top_k": 0,
        "top_p": 1.0,
        "min_p": 0.0,
        "repetition_penalty": 1.0,
        "presence_penalty": 0.0,
        "frequency_penalty": 0.0,
        **changed,
    }
    columns = {name: [value] * len(prompts) for name, value in options.items()}
    inputs = {"prompt": prompts, "seed": seeds, **columns}
    asked = {"signature_name": "generate", "inputs": inputs}
    status, found = ask_json(server.rest_port, "/v1/models/gpt:predict", asked)
    assert status == 200, found
    return found["outputs"]["completion"]


def until(holds, seconds=5.0):
    end = time.monotonic() + seconds
    while not holds() and time.monotonic() < end:
        time.sleep(0.02)
    return holds()


def idle(server):
    """Waits until no row runs or waits."""
    names = ("running_rows", "waiting_rows")
    return until(lambda: not any(counted(server, name) for name in names))


def counted(server, name):
    return server.metrics.registry.get_sample_value(
        f":keras_lm:generation:{name}", {"model_name": "gpt"}
    )


def test_completions_are_what_generate_gives_for_their_seeds(client, completing):
    prompts = [PROMPT, "", "if"]
    expected = generated(completing, [p for p in prompts for _ in range(2)], [7, 8] * 3)
    found = client.completions.create(model="gpt", prompt=prompts, n=2, seed=7, **LONG)
    assert [choice.text for choice in found.choices] == expected
    assert [choice.index for choice in found.choices] == list(range(6))
    assert {choice.finish_reason for choice in found.choices} == {"length"}
    assert found.usage.completion_tokens == 6 * 24
    assert found.usage.total_tokens == found.usage.prompt_tokens + 6 * 24
    penalties = {"presence_penalty": 1.5, "frequency_penalty": 0.5, "top_p": 0.9}
    changed = {"temperature": 0.75, **penalties}
    found = client.completions.create(model="gpt", prompt=PROMPT, seed=1, **changed, **LONG)
    assert [found.choices[0].text] == generated(completing, [PROMPT], [1], **changed)
    greedy = client.completions.create(model="gpt", prompt=PROMPT, temperature=0, **LONG)
    assert [greedy.choices[0].text] == generated(completing, [PROMPT], [0], temperature=0.0)


def test_streams_of_clients_that_come_and_go_are_what_each_gets_alone(client, completing):
    lengths = [40, 9, 30, 12, 25]
    seeds = list(range(5))
    expected = [
        generated(completing, [PROMPT], [seed], max_new_tokens=size, min_new_tokens=size)[0]
        for seed, size in zip(seeds, lengths, strict=True)
    ]
    found = [None] * 5

    def stream(i):
        events = client.completions.create(
            model="gpt",
            prompt=PROMPT,
            seed=i,
            max_tokens=lengths[i],
            stream=True,
            stream_options={"include_usage": True},
            extra_body={"min_tokens": lengths[i]},
        )
        found[i] = list(events)

    threads = [threading.Thread(target=stream, args=(i,)) for i in seeds]
    for thread in threads:  # three slots: two wait
        thread.start()
        time.sleep(0.01)
    for thread in threads:
        thread.join()
    for events, text, size in zip(found, expected, lengths, strict=True):
        *parts, usage = events
        assert "".join(part.choices[0].text for part in parts) == text
        assert len(parts) > 2
        assert len({part.id for part in events}) == 1
        assert [p.choices[0].finish_reason for p in parts] == [None] * (len(parts) - 1) + ["length"]
        assert usage.choices == []
        assert usage.usage.completion_tokens == size
    assert idle(completing)
    assert completing.repository.names() == ["gpt", "vectors"]


def test_a_stream_is_events_that_end_with_done(completing):
    asked = {"model": "gpt", "prompt": PROMPT, "stream": True, "max_tokens": 3, "seed": 1}
    status, body = ask(completing.rest_port, "POST", "/v1/completions", asked)
    *events, done, nothing = body.split(b"\n\n")
    assert (status, done, nothing) == (200, b"data: [DONE]", b"")
    for event in events:
        document = json.loads(event.removeprefix(b"data: "))
        assert document["object"] == "text_completion"
        document["choices"][0]["text"].encode("utf-8")


def test_a_text_ends_before_what_a_client_named(client, completing):
    (whole,) = generated(completing, [PROMPT], [3])
    stop = whole[len(whole) // 2 :][:3]
    expected = whole[: whole.index(stop)]
    asked = {"model": "gpt", "prompt": PROMPT, "seed": 3, "stop": [stop, "no such text"], **LONG}
    choice = client.completions.create(**asked).choices[0]
    assert (choice.text, choice.finish_reason) == (expected, "stop")
    events = list(client.completions.create(**asked, stream=True))
    assert "".join(event.choices[0].text for event in events) == expected
    assert events[-1].choices[0].finish_reason == "stop"


def test_tokens_are_told_with_their_log_probabilities(client, completing):
    asked = {"model": "gpt", "prompt": PROMPT, "temperature": 0, **LONG}
    choice = client.completions.create(**asked, logprobs=2).choices[0]
    found = choice.logprobs
    assert len(found.tokens) == 24
    # Greedy: the likeliest is what was taken, and what the model finds the text worth.
    for token, value, top in zip(
        found.tokens, found.token_logprobs, found.top_logprobs, strict=True
    ):
        assert value == pytest.approx(max(top.values()), abs=1e-4)
        assert token in top
    assert found.text_offset[0] == 0
    assert found.text_offset == sorted(found.text_offset)
    streamed = list(client.completions.create(**asked, logprobs=2, stream=True))
    told = [event.choices[0].logprobs for event in streamed]
    assert [t for part in told if part for t in part.tokens] == found.tokens
    assert [at for part in told if part for at in part.text_offset] == found.text_offset
    # Of the prompt alone: what `score` finds behind the first token.
    echo = client.completions.create(
        model="gpt", prompt=PROMPT, max_tokens=0, echo=True, logprobs=1
    )
    (choice,) = echo.choices
    assert choice.text == PROMPT == "".join(choice.logprobs.tokens)
    assert choice.logprobs.token_logprobs[0] is None
    assert all(value < 0 for value in choice.logprobs.token_logprobs[1:])
    assert echo.usage.completion_tokens == 0


def test_ids_are_a_prompt_too(client, completing):
    ids = [5, 77, 100, 12]
    asked = {"model": "gpt", "prompt": [ids, ids], "temperature": 0, "max_tokens": 4}
    first, second = client.completions.create(**asked, echo=True).choices
    plain = client.completions.create(**asked).choices[0]
    assert first.text == second.text
    assert first.text.endswith(plain.text)
    assert len(first.text) > len(plain.text)


BAD = [
    ({"max_tokens": -1}, "max_tokens", "invalid_value"),
    ({"max_tokens": "many"}, "max_tokens", "invalid_type"),
    ({"max_tokens": 100_000}, "max_tokens", "context_length_exceeded"),
    ({"prompt": "assert " * 500}, "prompt", "context_length_exceeded"),
    ({"prompt": []}, "prompt", "invalid_type"),
    ({"prompt": [1, "a"]}, "prompt", "invalid_type"),
    ({"temperature": 3}, "temperature", "invalid_value"),
    ({"top_p": 0}, "top_p", "invalid_value"),
    ({"n": 0}, "n", "invalid_value"),
    ({"logprobs": 6}, "logprobs", "invalid_value"),
    ({"stop": ["a"] * 5}, "stop", "invalid_value"),
    ({"stop": ""}, "stop", "invalid_value"),
    ({"suffix": "end"}, "suffix", "unsupported_parameter"),
    ({"logit_bias": {"5": 1}}, "logit_bias", "unsupported_parameter"),
    ({"best_of": 3}, "best_of", "unsupported_parameter"),
    ({"colour": "red"}, "colour", "unknown_field"),
    ({"model": "vectors"}, "model", "model_not_supported"),
    ({"stream": "yes"}, "stream", "invalid_type"),
]


def test_what_cannot_be_done_is_named(client, completing):
    openai = pytest.importorskip("openai")
    for changed, param, code in BAD:
        for stream in (False, True):
            asked = {"model": "gpt", "prompt": PROMPT, "stream": stream, **changed}
            status, found = ask_json(completing.rest_port, "/v1/completions", asked)
            error = found["error"]
            assert (status, error["param"], error["code"]) == (400, param, code), error
            assert error["type"] == "invalid_request_error"
            assert error["message"]
    with pytest.raises(openai.NotFoundError) as caught:
        client.completions.create(model="none", prompt=PROMPT)
    assert caught.value.code == "model_not_found"
    with pytest.raises(openai.BadRequestError):
        client.completions.create(model="gpt", prompt=PROMPT, best_of=3)
    assert ask(completing.rest_port, "POST", "/v1/completions", "{")[0] == 400
    assert idle(completing)


def test_what_finds_no_place_is_told_to_come_again(client, completing, slowly):
    openai = pytest.importorskip("openai")
    stream = client.completions.create(model="gpt", prompt=PROMPT, n=3, stream=True, **LONG)
    assert until(lambda: counted(completing, "running_rows") == 3)
    # Three run and nobody waits: four may.
    with pytest.raises(openai.InternalServerError) as caught:
        client.completions.create(model="gpt", prompt=PROMPT, n=5)
    assert caught.value.status_code == 503
    assert caught.value.code == "overloaded"
    late = {"model": "gpt", "prompt": PROMPT, "max_tokens": 24, "min_tokens": 24}
    for headers, status, code in (
        ({"X-Request-Timeout": "0.05"}, 504, "timeout"),
        ({"X-Request-Timeout": "soon"}, 400, None),
    ):
        found = ask(completing.rest_port, "POST", "/v1/completions", late, headers)
        assert (found[0], json.loads(found[1])["error"]["code"]) == (status, code)
    stream.close()
    assert idle(completing)


def test_a_client_that_is_killed_frees_its_slots(completing, slowly):
    program = (
        "import http.client, json, sys\n"
        f"connection = http.client.HTTPConnection('127.0.0.1', {completing.rest_port})\n"
        "asked = {'model': 'gpt', 'n': 3, 'stream': True, 'max_tokens': 90, 'min_tokens': 90}\n"
        "connection.request('POST', '/v1/completions', json.dumps(asked))\n"
        "print(connection.getresponse().readline(), flush=True)\n"
        "sys.stdin.read()\n"
    )
    before = counted(completing, "cancelled_total")
    with subprocess.Popen(
        [sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout.readline()
        assert until(lambda: counted(completing, "running_rows") == 3)
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        killed = time.monotonic()
        assert idle(completing)
        # Ninety tokens in chunks of two would have taken more than four seconds.
        assert time.monotonic() - killed < 2
    assert counted(completing, "cancelled_total") == before + 3
    asked = {"model": "gpt", "prompt": PROMPT, "max_tokens": 2}
    assert ask_json(completing.rest_port, "/v1/completions", asked)[0] == 200


def test_a_run_that_fails_ends_its_rows_and_nothing_else(completing, monkeypatch):
    decode, failures = StateGraph.decode, [tf.errors.ResourceExhaustedError(None, None, "/a/b")]

    def failing(*arguments):
        if failures:
            raise failures.pop()
        return decode(*arguments)

    monkeypatch.setattr(StateGraph, "decode", failing)
    asked = {"model": "gpt", "prompt": PROMPT, "max_tokens": 20, "min_tokens": 20, "n": 2}
    status, found = ask_json(completing.rest_port, "/v1/completions", asked)
    assert (status, found["error"]["code"]) == (429, "rate_limit_exceeded")
    failures.append(RuntimeError("a secret"))
    # A drawn first token may be half a character; the prompt's text is told with it in any case.
    asked |= {"stream": True, "echo": True}
    status, body = ask(completing.rest_port, "POST", "/v1/completions", asked)
    # That had been told, so the error is the last event.
    last = json.loads(body.split(b"\n\n")[-2].removeprefix(b"data: "))
    assert (status, last["error"]["type"]) == (200, "server_error")
    assert b"secret" not in body
    assert b"[DONE]" not in body
    asked |= {"stream": False}
    assert ask_json(completing.rest_port, "/v1/completions", asked)[0] == 200
    assert idle(completing)


def test_streams_are_told_to_their_end_when_the_server_ends(tmp_path, slowly):
    writing_models.writes(tmp_path / "gpt" / "1")
    with serving(tmp_path, engine=EngineOptions(1, 4, 4)) as server:
        asked = {"model": "gpt", "stream": True, "max_tokens": 20, "min_tokens": 20}
        found = []
        thread = threading.Thread(
            target=lambda: found.append(ask(server.rest_port, "POST", "/v1/completions", asked))
        )
        thread.start()
        assert until(lambda: counted(server, "running_rows") == 1)
        server.stop()
        thread.join()
    assert found[0][0] == 200
    assert found[0][1].endswith(b"data: [DONE]\n\n")


def test_vectors_come_as_numbers_and_packed(client, completing):
    texts = ["a", "bcd"]
    expected = writing_models.VECTOR * np.array([[1.0], [3.0]], np.float32)
    # The client asks for base64 unless told otherwise.
    for options in ({}, {"encoding_format": "float"}, {"encoding_format": "base64"}):
        found = client.embeddings.create(model="vectors", input=texts, **options)
        if options.get("encoding_format") == "base64":
            vectors = [np.frombuffer(base64.b64decode(x.embedding), "<f4") for x in found.data]
        else:
            vectors = [x.embedding for x in found.data]
        np.testing.assert_array_equal(np.array(vectors, np.float32), expected)
    one = client.embeddings.create(model="vectors", input="bcd", dimensions=3)
    assert len(one.data) == 1
    assert one.model == "vectors"
    for changed, param in (
        ({"model": "gpt"}, "model"),
        ({"input": []}, "input"),
        ({"dimensions": 2}, "dimensions"),
        ({"encoding_format": "hex"}, "encoding_format"),
        ({"input": [1, 2]}, "model"),
    ):
        asked = {"model": "vectors", "input": "a", **changed}
        status, error = ask_json(completing.rest_port, "/v1/embeddings", asked)
        assert (status, error["error"]["param"]) == (400, param)


@pytest.mark.slow
def test_exports_in_half_precision_write_and_embed(gpt, embedder, tmp_path):
    openai = pytest.importorskip("openai", reason="needs openai")
    export(gpt, tmp_path / "gpt", dtype="bfloat16", extra_files=False)
    export(embedder, tmp_path / "vectors", extra_files=False)
    export(embedder, tmp_path / "halves", dtype="bfloat16", extra_files=False)
    prompts = [PROMPT, "", "if"]
    with (
        serving(tmp_path, engine=EngineOptions(3, 4, 2)) as server,
        openai.OpenAI(
            base_url=f"http://127.0.0.1:{server.rest_port}/v1", api_key="none", max_retries=0
        ) as client,
    ):
        written = client.completions.create(model="gpt", prompt=prompts, seed=7, **LONG)
        expected = generated(server, prompts, [7] * 3)
        assert [choice.text for choice in written.choices] == expected
        vectors, halves = (
            [x.embedding for x in client.embeddings.create(model=name, input=prompts).data]
            for name in ("vectors", "halves")
        )
    exact = embedder.predict(prompts, verbose=0).vectors
    np.testing.assert_allclose(vectors, exact, atol=1e-6)
    np.testing.assert_allclose(halves, exact, atol=0.05)
    assert np.abs(np.array(halves) - exact).max() > 1e-4


def test_models_are_listed_by_all_names_and_keep_their_status(client, completing):
    assert [model.id for model in client.models.list()] == ["gpt", "text-davinci-003", "vectors"]
    assert client.models.retrieve("gpt").owned_by == "keras_lm"
    status, found = ask_json(completing.rest_port, "/v1/models/text-davinci-003")
    assert (status, found["id"]) == (200, "text-davinci-003")
    assert found["model_version_status"][0]["state"] == "AVAILABLE"
    openai = pytest.importorskip("openai")
    with pytest.raises(openai.NotFoundError):
        client.models.retrieve("none")
    # The route of older clients, with a name that they know.
    asked = {"prompt": PROMPT, "max_tokens": 3, "temperature": 0}
    path = "/v1/engines/text-davinci-003/completions"
    status, older = ask_json(completing.rest_port, path, asked)
    assert status == 200
    assert older["model"] == "text-davinci-003"
    newer = client.completions.create(model="gpt", **asked)
    assert older["choices"][0]["text"] == newer.choices[0].text
    assert ask_json(completing.rest_port, "/v1/engines")[1]["object"] == "list"


def test_a_token_is_asked_for_in_openais_words(models):
    openai = pytest.importorskip("openai", reason="needs openai")
    with serving(models, token="secret") as server:
        url = f"http://127.0.0.1:{server.rest_port}/v1"
        for key, is_right in (("secret", True), ("wrong", False)):
            with openai.OpenAI(base_url=url, api_key=key, max_retries=0) as client:
                if is_right:
                    assert client.models.list().data
                    continue
                for ask_it in (
                    client.models.list,
                    lambda client=client: client.completions.create(model="gpt", prompt="a"),
                    lambda client=client: client.embeddings.create(model="gpt", input="a"),
                ):
                    with pytest.raises(openai.AuthenticationError) as caught:
                        ask_it()
                    assert caught.value.code == "invalid_api_key"


def test_a_server_in_front_of_another_gives_what_that_gives(completing):
    address = f"127.0.0.1:{completing.port}"
    options = {"aliases": {"davinci": "gpt"}, "engine": EngineOptions(2, 3)}
    with serving(backend=address, backend_models=["gpt"], **options) as server:

        def complete(port, **changed):
            asked = {"model": "gpt", "prompt": PROMPT, "seed": 5, "max_tokens": 24, **changed}
            asked = {"min_tokens": asked["max_tokens"], **asked}
            return ask_json(port, "/v1/completions", asked)

        def pieces(port, **changed):
            asked = {"model": "gpt", "prompt": PROMPT, "max_tokens": 40, "stream": True, **changed}
            status, body = ask(port, "POST", "/v1/completions", {"min_tokens": 40, **asked})
            assert status == 200, body
            events = [event.removeprefix(b"data: ") for event in body.split(b"\n\n")[:-2]]
            return [json.loads(event)["choices"][0]["text"] for event in events]

        for changed in (
            {"n": 2, "logprobs": 1},
            {"prompt": [[5, 77, 100], [9]], "echo": True},
            {"prompt": "", "presence_penalty": 1.0, "logprobs": 0, "echo": True},
            {"max_tokens": 0, "echo": True},
        ):
            (_, here), (status, there) = (
                complete(port, **changed) for port in (completing.rest_port, server.rest_port)
            )
            assert status == 200, there
            assert there["choices"] == here["choices"]
            assert there["usage"] == here["usage"]
        greedy = {"temperature": 0, "model": "davinci"}
        found = pieces(server.rest_port, **greedy)
        assert len(found) > 2
        expected = pieces(completing.rest_port, temperature=0)
        assert "".join(found) == "".join(expected)
        drawn = [pieces(server.rest_port, seed=seed) for seed in (1, 1, 2)]
        assert drawn[0] == drawn[1] != drawn[2]
        for changed, status, code in (
            ({"max_tokens": 100_000}, 400, "context_length_exceeded"),
            ({"model": "vectors"}, 404, "model_not_found"),
            ({"n": 6}, 503, "overloaded"),
        ):
            found = complete(server.rest_port, **changed)
            assert (found[0], found[1]["error"]["code"]) == (status, code)
        listed = ask_json(server.rest_port, "/v1/models")[1]["data"]
        assert [model["id"] for model in listed] == ["davinci", "gpt"]
        assert ask_json(server.rest_port, "/v1/models/gpt")[1]["id"] == "gpt"
        assert ask(server.rest_port, "GET", "/readyz")[0] == 200
