"""The REST interface is what `/openapi.json` says that it is."""

import pytest
from a_server import serving
from asking import ask, ask_json
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

BODIES = {
    "predict": {"instances": [1.0]},
    "classify": {"signature_name": "classify", "examples": [{"x": 1.0}]},
    "regress": {"signature_name": "regress", "examples": [{"x": 1.0}]},
}


def test_every_path_answers_what_is_documented(server):
    status, document = ask_json(server.rest_port, "/openapi.json")
    assert status == 200
    assert document["openapi"].startswith("3.1")
    parameters = document["paths"]["/v1/models/{model}"]["get"]["parameters"]
    assert "halves" in parameters[0]["schema"]["enum"]
    seen = set()
    for path, methods in document["paths"].items():
        asked = path.format(model="halves", version=2, label="stable")
        for method, operation in methods.items():
            body = BODIES.get(path.rpartition(":")[2])
            status, _ = ask(server.rest_port, method.upper(), asked, body)
            assert str(status) in operation["responses"], path
            # There is no such label, one of the models cannot be loaded, and none writes.
            refused = ("label" in path, path in ("/readyz", "/v1/completions", "/v1/embeddings"))
            assert (status == 200) != any(refused), path
            seen.add(path)
    assert len(seen) == 20


def test_what_is_nowhere_is_told_in_json_too(server):
    for path in ("/nowhere", "/v1/models/a%0Ab"):
        status, answer = ask_json(server.rest_port, path)
        assert (status, set(answer)) == (404, {"error"})


def test_with_a_token_it_is_told_to_its_owner(models, tmp_path):
    (tmp_path / "halves").symlink_to(models / "halves")
    with serving(tmp_path, token="secret") as server:
        for path in ("/openapi.json", "/models.json"):
            assert ask(server.rest_port, "GET", path)[0] == 401
            headers = {"Authorization": "Bearer secret"}
            assert ask(server.rest_port, "GET", path, headers=headers)[0] == 200


@pytest.mark.slow
def test_schemathesis_finds_nothing_that_is_not_documented(server):
    schemathesis = pytest.importorskip("schemathesis")
    from schemathesis.specs.openapi.checks import (
        content_type_conformance,
        response_schema_conformance,
        status_code_conformance,
    )

    checks = [
        content_type_conformance,
        response_schema_conformance,
        status_code_conformance,
    ]
    schema = schemathesis.openapi.from_url(f"http://127.0.0.1:{server.rest_port}/openapi.json")
    asked = 0
    for result in schema.get_all_operations():
        operation = result.ok()
        # A model that cannot be loaded: the server says that it is not ready.
        if operation.path == "/readyz":
            continue
        cases = st.one_of(
            operation.as_strategy(generation_mode=mode) for mode in schemathesis.GenerationMode
        )

        @settings(
            max_examples=100,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        )
        @given(case=cases)
        def run(case):
            nonlocal asked
            asked += 1
            response = case.call()
            # 504: a case may leave no time at all; 501: JSON has no float16.
            assert response.status_code < 500 or response.status_code in (501, 504), response.text
            case.validate_response(response, checks=checks)

        run()
    assert asked > 500
