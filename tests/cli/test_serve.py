import os
import signal
import socket
import stat

import pytest

from keras_lm.cli.main import main

pytest.importorskip("tensorflow_serving.apis", reason="needs the extra serve")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "one of the two"),
        (["a", "--config", "b"], "one of the two"),
        (["no/such/directory"], "no/such/directory"),
        ([".", "--port", "99999"], "port must be in 0 .. 65535. Received: 99999"),
        ([".", "--max-batch-size", "0"], "max_batch_size must be positive. Received: 0"),
        ([".", "--batching-parameters", "no_file"], "no_file"),
        ([".", "--token-file", "no_file"], "no_file"),
        ([".", "--tls-key", "key.pem"], "a certificate and its key"),
        ([".", "--op-library", "none.so"], "An operation library must be one of TensorFlow"),
        ([".", "--engine", "tensorflow_model_server"], "it is not on the PATH"),
    ],
)
def test_bad_input_is_said_in_one_line(words, message, capsys, monkeypatch):
    monkeypatch.setenv("PATH", "")
    assert main(["serve", *words]) == 2
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert error.startswith("keras-lm: ")
    assert message in error


def test_the_other_server_is_started_where_it_is_and_can(tmp_path, capfd, monkeypatch):
    program = tmp_path / "bin" / "tensorflow_model_server"
    program.parent.mkdir()
    program.write_text('#!/bin/sh\nprintf "%s\\n" "$@"\ncat "${3#*=}"\nexit 7\n')
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    model = tmp_path / "models" / "bert" / "1"
    model.mkdir(parents=True)
    monkeypatch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")
    words = ["serve", str(tmp_path / "models"), "--max-batch-size", "8"]
    assert main([*words, "--host", "0.0.0.0"]) == 7
    told = capfd.readouterr().out
    assert {"--port=8500", "--rest_api_port=8501", "--enable_batching=true"} <= set(told.split())
    assert f'base_path: "{model.parent}"' in told
    # It would listen at all addresses.
    assert main([*words, "--engine", "tensorflow_model_server"]) == 2
    assert "not at 127.0.0.1 alone" in capfd.readouterr().err


def test_a_port_that_is_taken_is_said(tmp_path, capsys):
    before = signal.getsignal(signal.SIGTERM)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        assert main(["serve", str(tmp_path), "--port", "0", "--rest-port", port]) == 2
        assert f"Port {port} of 127.0.0.1 cannot be opened" in capsys.readouterr().err
        assert main(["serve", str(tmp_path), "--port", port, "--rest-port", "0"]) == 2
        assert f"Port {port} of 127.0.0.1 cannot be opened" in capsys.readouterr().err
    assert signal.getsignal(signal.SIGTERM) is before
