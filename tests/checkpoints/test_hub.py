"""The hub's own client against a small server on this machine, and without any."""

import http.server
import shutil
import sys
import threading

import huggingface_hub
import huggingface_hub.constants
import pytest
from directory_changes import same_weights

from keras_lm import BERT
from keras_lm.checkpoints import load, save

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    model = BERT(20, 8, 1, 2, 12, max_length=16)
    save(model, tmp_path_factory.mktemp("hub") / "some" / "bert")
    return model, tmp_path_factory.getbasetemp() / "hub0"


class Hub(http.server.BaseHTTPRequestHandler):
    root, asked = None, None

    def do_GET(self):
        name, _, rest = self.path.lstrip("/").partition("/resolve/")
        path = self.root / name / rest.partition("/")[2]
        if rest:  # The client asks for other things, too.
            self.asked.append((self.command, path.name))
        found = path.is_file()
        self.send_response(200 if found else 404)
        self.send_header("X-Repo-Commit", COMMIT)
        if found:
            self.send_header("ETag", f'"{path.stat().st_mtime_ns}"')
        else:
            known = (self.root / name).is_dir()
            self.send_header("X-Error-Code", "EntryNotFound" if known else "RepoNotFound")
        content = path.read_bytes() if found else b""
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(content)

    do_HEAD = do_GET  # noqa: N815

    def log_message(self, *arguments):
        pass


@pytest.fixture
def hub(model, tmp_path, monkeypatch):
    """A server for a copy of the model, and an empty cache; gives the root and what was asked."""
    shutil.copytree(model[1], tmp_path / "root")
    handler = type("Handler", (Hub,), {"root": tmp_path / "root", "asked": []})
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    endpoint = f"http://127.0.0.1:{server.server_port}"
    monkeypatch.setattr(huggingface_hub.constants, "ENDPOINT", endpoint)
    monkeypatch.setattr(
        huggingface_hub.constants,
        "HUGGINGFACE_CO_URL_TEMPLATE",
        endpoint + "/{repo_id}/resolve/{revision}/{filename}",
    )
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", False)
    yield tmp_path / "root", handler.asked
    server.shutdown()
    server.server_close()


def test_a_name_is_loaded_and_then_found_in_the_cache_even_offline(hub, model, monkeypatch):
    root, asked = hub
    for extra in ("pytorch_model.bin", "model.onnx", "tf_model.h5"):
        (root / "some/bert" / extra).write_bytes(b"not wanted")
    assert same_weights(load("some/bert"), model[0])
    fetched = {file for command, file in asked if command == "GET"}
    assert fetched == {"config.json", "model.safetensors"}

    asked.clear()
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    assert same_weights(load("some/bert"), model[0])
    assert not asked


def test_a_model_in_several_files_is_fetched_whole(hub, model):
    root, _ = hub
    save(model[0], root / "some/bert", max_shard_size="4KB")
    assert same_weights(load("some/bert"), model[0])


def test_names_that_the_hub_does_not_have_are_one_error(hub):
    with pytest.raises(FileNotFoundError, match=r"the hub has and lets you read.*'some/gpt'"):
        load("some/gpt")


def test_a_pickle_on_the_hub_is_not_even_fetched(hub):
    root, asked = hub
    (root / "some/bert/model.safetensors").rename(root / "some/bert/pytorch_model.bin")
    with pytest.raises(ValueError, match=r"is a pickle[\s\S]*some/bert"):
        load("some/bert")
    assert ("GET", "pytorch_model.bin") not in asked
    (root / "some/bert/pytorch_model.bin").unlink()
    shutil.rmtree(huggingface_hub.constants.HF_HUB_CACHE)
    with pytest.raises(FileNotFoundError, match="which has none of them"):
        load("some/bert")


def test_a_name_without_network_is_one_error(hub, monkeypatch):
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(ConnectionError, match=r"'some/bert' is no file.*not reached.*offline mode"):
        load("some/bert")


def test_a_cache_that_lacks_the_weights_is_one_error_without_network(hub, monkeypatch):
    huggingface_hub.hf_hub_download("some/bert", "config.json")
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(ConnectionError, match=r"nor is model\.safetensors in its cache"):
        load("some/bert")


def test_without_the_library_the_error_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(ImportError, match=r"keras_lm\[hub\].*some/bert"):
        load("some/bert")


def test_a_path_is_never_looked_up_on_the_hub(tmp_path):
    for path in (tmp_path / "some", "./some/bert", "a/b/c", "some/bert.keras", "/some", "../some"):
        with pytest.raises(FileNotFoundError, match="which does not exist"):
            load(path)
