"""Tell the pods of an Indexed Job of each other, then run the training.

    python tf_config.py python train.py ...

Makes TF_CONFIG of what `training.yaml` gives each pod: WORKERS, JOB_NAME, SERVICE, PORT and
JOB_COMPLETION_INDEX, which Kubernetes sets itself. Needs the standard library alone.
"""

import json
import os
import sys
from collections.abc import Mapping

NEEDED = ("WORKERS", "JOB_NAME", "SERVICE", "PORT", "JOB_COMPLETION_INDEX")


def tf_config(environment: Mapping[str, str]) -> str:
    """Returns TF_CONFIG for one pod.

    A pod of an Indexed Job is called JOB_NAME-index, and under a headless service of the same
    namespace that is its address: it stays when the pod is started again.

    Args:
        environment: of the pod.

    Raises:
        ValueError: a variable is missing, or a number is none.
    """
    missing = [name for name in NEEDED if not environment.get(name)]
    if missing:
        raise ValueError(f"{', '.join(NEEDED)} must be set. Received: no {', '.join(missing)}")
    job, service, port = (environment[name] for name in ("JOB_NAME", "SERVICE", "PORT"))
    number, index = int(environment["WORKERS"]), int(environment["JOB_COMPLETION_INDEX"])
    if not 0 <= index < number:
        raise ValueError(
            "JOB_COMPLETION_INDEX must be less than WORKERS, as completions and parallelism must "
            f"be the same number. Received: JOB_COMPLETION_INDEX={index}, WORKERS={number}"
        )
    workers = [f"{job}-{i}.{service}:{port}" for i in range(number)]
    return json.dumps({"cluster": {"worker": workers}, "task": {"type": "worker", "index": index}})


if __name__ == "__main__":
    if not sys.argv[1:]:
        sys.exit("A command must follow: python tf_config.py python train.py. Received: none")
    os.environ["TF_CONFIG"] = tf_config(os.environ)
    # In the place of this process, so that the training itself gets SIGTERM.
    os.execvp(sys.argv[1], sys.argv[1:])
