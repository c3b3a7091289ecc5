"""models.config and batching_parameters.txt, as operators of TensorFlow Serving have them."""

import pytest

pytest.importorskip("tensorflow_serving.apis", reason="needs the extra serve")

from keras_lm.serving.server import (
    BatchingParameters,
    ServerOptions,
    batching_parameters,
    model_config,
)


def versions(directory, *names):
    for name in names:
        (directory / name).mkdir(parents=True)
    return directory


def test_models_are_read_with_their_policies_and_labels(tmp_path):
    versions(tmp_path / "a", "1", "2", "10", "x", ".3.writing", "-4")
    (tmp_path / "models.config").write_text(
        """
        model_config_list {
          config { name: "newest" base_path: "a" model_platform: "tensorflow"
                   version_labels { key: "stable" value: 10 } }
          config { name: "two" base_path: "a" model_version_policy { latest { num_versions: 2 } } }
          config { name: "some" base_path: "a"
                   model_version_policy { specific { versions: 2 versions: 7 } } }
          config { name: "all" base_path: "%s" model_version_policy { all {} } }
        }
        """
        % (tmp_path / "a")
    )
    found = {config.name: config for config in model_config.read(tmp_path / "models.config")}
    assert {name: sorted(config.wanted()) for name, config in found.items()} == {
        "newest": [10],
        "two": [2, 10],
        "some": [2],
        "all": [1, 2, 10],
    }
    assert found["newest"].labels == {"stable": 10}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("model_config_list { nonsense: 1 }", "protobuf's text format. Received: .*nonsense"),
        ("", "must have a model_config_list"),
        ('model_config_list { config { name: "a/b" base_path: "a" } }', "Received: 'a/b'"),
        ('model_config_list { config { name: "a" } }', "must have a base_path"),
        (
            'model_config_list { config { name: "a" base_path: "a" model_platform: "torch" } }',
            "model_platform must be tensorflow. Received: torch",
        ),
        (
            'model_config_list { config { name: "a" base_path: "a" } '
            'config { name: "a" base_path: "b" } }',
            "Illegal to list model a multiple times",
        ),
    ],
)
def test_a_models_config_that_cannot_be_is_told_why(tmp_path, text, message):
    path = tmp_path / "models.config"
    path.write_text(text)
    with pytest.raises(ValueError, match=message):
        model_config.read(path)


def test_a_directory_may_hold_many_models_or_versions_of_one(tmp_path):
    versions(tmp_path, "bert/1", "gpt/3", "no_versions", "bad name/1", ".hidden/1")
    assert [config.name for config in model_config.in_directory(tmp_path)] == ["bert", "gpt"]
    (tmp_path / "bert" / "1" / "saved_model.pb").touch()
    (config,) = model_config.in_directory(tmp_path / "bert")
    assert (config.name, sorted(config.wanted())) == ("bert", [1])


def test_batching_parameters_are_read(tmp_path):
    path = tmp_path / "batching_parameters.txt"
    path.write_text(
        "max_batch_size { value: 8 }\nbatch_timeout_micros { value: 500 }\n"
        "max_enqueued_batches { value: 7 }\nnum_batch_threads { value: 2 }\n"
        "allowed_batch_sizes: 4 allowed_batch_sizes: 8\npad_variable_length_inputs: true\n"
    )
    found, ignored = batching_parameters.read(path)
    assert found == BatchingParameters(8, 500, 7, 2, (4, 8))
    assert ignored == ["pad_variable_length_inputs"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("max_batch_size: 8", "text format"),
        ("max_batch_size { value: 0 }", "max_batch_size must be positive. Received: 0"),
        ("batch_timeout_micros { value: -1 }", "must not be negative"),
        ("allowed_batch_sizes: 4 allowed_batch_sizes: 2", "must increase"),
        ("max_batch_size { value: 8 } allowed_batch_sizes: 4", "must match max_batch_size"),
    ],
)
def test_batching_parameters_that_cannot_be_are_told_why(tmp_path, text, message):
    path = tmp_path / "batching_parameters.txt"
    path.write_text(text)
    with pytest.raises(ValueError, match=message):
        batching_parameters.read(path)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "one of the two"),
        ({"directory": "a", "config": "b"}, "one of the two"),
        ({"directory": "a", "port": 70000}, "port must be in 0 .. 65535"),
        ({"directory": "a", "port": 1, "rest_port": 1}, "two ports. Received: 1 for both"),
        ({"directory": "a", "max_rows": 0}, "max_rows must be positive. Received: 0"),
        ({"directory": "a", "token": " "}, "must not be empty"),
        ({"directory": "a", "tls_key": "k"}, "a certificate and its key"),
    ],
)
def test_options_that_cannot_be_are_told_why(options, message):
    with pytest.raises(ValueError, match=message):
        ServerOptions(**options)
