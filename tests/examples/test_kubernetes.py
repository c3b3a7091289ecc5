"""The manifests agree with themselves, and with the script that reads what they say."""

import json
import pathlib
import subprocess
import sys

import pytest

from keras_lm.training.cluster import read_cluster

DIRECTORY = pathlib.Path(__file__).parents[2] / "examples" / "kubernetes"


@pytest.fixture(scope="module")
def manifests():
    yaml = pytest.importorskip("yaml")
    documents = yaml.safe_load_all((DIRECTORY / "training.yaml").read_text(encoding="utf-8"))
    return {document["kind"]: document for document in documents}


def run(environment, *words):
    return subprocess.run(
        [sys.executable, str(DIRECTORY / "tf_config.py"), *words],
        env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip


def test_names_and_numbers_agree(manifests):
    service, job = manifests["Service"], manifests["Job"]["spec"]
    pod = job["template"]
    worker = pod["spec"]["containers"][0]
    said = {item["name"]: item["value"] for item in worker["env"]}
    assert service["spec"]["clusterIP"] == "None"
    assert service["spec"]["selector"].items() <= pod["metadata"]["labels"].items()
    assert pod["spec"]["subdomain"] == service["metadata"]["name"] == said["SERVICE"]
    assert manifests["Job"]["metadata"]["name"] == said["JOB_NAME"]
    assert job["completionMode"] == "Indexed"
    assert job["completions"] == job["parallelism"] == int(said["WORKERS"])
    port = int(said["PORT"])
    assert worker["ports"] == [{"containerPort": port}]
    assert service["spec"]["ports"][0]["port"] == port
    claim = pod["spec"]["volumes"][0]["persistentVolumeClaim"]["claimName"]
    assert manifests["PersistentVolumeClaim"]["metadata"]["name"] == claim
    assert manifests["PersistentVolumeClaim"]["spec"]["accessModes"] == ["ReadWriteMany"]
    assert worker["command"][:2] == ["python", "tf_config.py"]


def test_each_pod_gets_a_cluster_that_a_strategy_understands(manifests):
    worker = manifests["Job"]["spec"]["template"]["spec"]["containers"][0]
    said = {item["name"]: item["value"] for item in worker["env"]}
    show = "import os; print(os.environ['TF_CONFIG'])"
    clusters = []
    for index in ("0", "3"):
        done = run({**said, "JOB_COMPLETION_INDEX": index}, sys.executable, "-c", show)
        assert done.returncode == 0, done.stderr
        clusters.append(read_cluster({"TF_CONFIG": done.stdout}))
        assert json.loads(done.stdout)["task"] == {"type": "worker", "index": int(index)}
    assert clusters[0].workers == clusters[1].workers
    assert clusters[1].me == "worker 3"
    assert clusters[1].address == "bert-3.bert-workers:12345"


def test_what_is_missing_is_named():
    said = {"WORKERS": "2", "JOB_NAME": "a", "SERVICE": "b", "PORT": "1"}
    assert "no JOB_COMPLETION_INDEX" in run(said, "true").stderr
    more = run({**said, "JOB_COMPLETION_INDEX": "2"}, "true").stderr
    assert "JOB_COMPLETION_INDEX must be less than WORKERS" in more
    assert "A command must follow" in run({}).stderr
