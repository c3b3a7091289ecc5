import pytest
from google.protobuf import text_format

from keras_lm.cli.main import main
from keras_lm.serving.bundle import bundle


@pytest.fixture
def directory(tmp_path):
    """Models without weights: a bundle reads names, sizes and sheets."""
    sheet = (
        '{"signatures": {"serving_default": {"example": {"request": {"inputs": {"prompt": '
        '["It\'s"]}}}}, "generate": {}, "classify": {"method": "classify", "example": {"request": '
        '{"signature_name": "classify", "examples": [{"text": "a"}]}}}}}'
    )
    for name, version in (("gpt", 1), ("gpt", 2), ("gpt", 12), ("plain", 3)):
        path = tmp_path / "saved_models" / name / str(version)
        (path / "assets.extra").mkdir(parents=True)
        (path / "saved_model.pb").write_bytes(b"graph")
        if name == "gpt":
            (path / "assets.extra" / "signatures.json").write_text(sheet, "utf-8")
    (tmp_path / "saved_models" / "README.md").write_text("not a model", "utf-8")
    return tmp_path / "saved_models"


def test_configs_are_read_by_the_servers_own_messages(directory):
    config = pytest.importorskip("tensorflow_serving.config.model_server_config_pb2")
    path = bundle(directory)
    assert path == directory / "deployment"
    text = (path / "models.config").read_text("utf-8")
    gpt, plain = text_format.Parse(text, config.ModelServerConfig()).model_config_list.config
    assert (gpt.name, gpt.base_path) == ("gpt", "/models/gpt")
    assert dict(gpt.version_labels) == {"stable": 2, "canary": 12}
    assert list(gpt.model_version_policy.specific.versions) == [2, 12]
    assert dict(plain.version_labels) == {"stable": 3}


def test_batches_are_small_where_text_is_generated(directory):
    reading = pytest.importorskip("keras_lm.serving.server.batching_parameters")
    found, ignored = reading.read(bundle(directory) / "batching_parameters.txt")
    assert (found.max_batch_size, found.max_enqueued_batches) == (8, 100)
    assert ignored == ["pad_variable_length_inputs"]


def test_files_for_containers_are_yaml_that_names_every_model(directory):
    yaml = pytest.importorskip("ruamel.yaml").YAML(typ="safe")
    path = bundle(directory, image="tensorflow/serving:2.19.1")
    compose = yaml.load((path / "compose.yaml").read_text("utf-8"))["services"]["serving"]
    assert compose["image"] == "tensorflow/serving:2.19.1"
    assert compose["volumes"][0] == "..:/models:ro"
    deployment, service, scaler = yaml.load_all((path / "kubernetes-gpu.yaml").read_text("utf-8"))
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    assert container["image"] == "tensorflow/serving:2.19.1-gpu"
    assert container["resources"]["limits"]["nvidia.com/gpu"] == "1"
    assert container["readinessProbe"]["httpGet"]["path"] == "/v1/models/gpt"
    assert service["spec"]["selector"] == deployment["spec"]["selector"]["matchLabels"]
    assert scaler["spec"]["scaleTargetRef"]["name"] == deployment["metadata"]["name"]


def test_there_is_a_line_of_curl_for_each_model_that_a_shell_takes(directory):
    text = (bundle(directory) / "curl.md").read_text("utf-8")
    assert """curl -d '{"inputs": {"prompt": ["It'\\''s"]}}' http://localhost:8501/""" in text
    assert '"examples": [{"text": "a"}]}\' http://localhost:8501/' in text
    assert "/v1/models/gpt/labels/stable:classify\n" in text
    assert "plain: exported without a sheet" in text


def test_a_bundle_is_replaced_only_where_asked_to(directory, tmp_path, capsys):
    assert main(["bundle", str(directory), "--output", str(tmp_path / "out")]) == 0
    assert capsys.readouterr().out == f"{tmp_path / 'out'}\n"
    (tmp_path / "out" / "mine").write_text("", "utf-8")
    assert main(["bundle", str(directory), "--output", str(tmp_path / "out")]) == 2
    assert "which exists" in capsys.readouterr().err
    assert (tmp_path / "out" / "mine").exists()
    assert main(["bundle", str(directory), "--output", str(tmp_path / "out"), "--overwrite"]) == 0
    assert sorted(file.name for file in (tmp_path / "out").iterdir()) == [
        "batching_parameters.txt",
        "compose.yaml",
        "curl.md",
        "kubernetes-gpu.yaml",
        "kubernetes.yaml",
        "models.config",
        "monitoring.config",
    ]


def test_a_directory_without_models_and_a_bad_name_are_refused(tmp_path, capsys):
    assert main(["bundle", str(tmp_path / "nowhere")]) == 2
    assert "NAME/VERSION/saved_model.pb" in capsys.readouterr().err
    (tmp_path / "a b" / "1").mkdir(parents=True)
    (tmp_path / "a b" / "1" / "saved_model.pb").write_bytes(b"graph")
    with pytest.raises(ValueError, match="Received: 'a b'"):
        bundle(tmp_path)
