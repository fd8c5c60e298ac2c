"""MLflow's own client: mlflow_client.py PART TRACKING-URI. It fails by an exception."""

import hashlib
import os
import random
import sys
import tempfile

import mlflow
from mlflow.entities import Metric, Param
from mlflow.tracking import MlflowClient

part, uri = sys.argv[1], sys.argv[2]
mlflow.set_tracking_uri(uri)
client = MlflowClient()
MIB = 1 << 20


def equal(left, right):
    assert left == right, f"{left!r} is not {right!r}"


def digest(path):
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def runs():
    experiment = client.create_experiment("through the edge")
    for number in range(3):
        run = client.create_run(experiment, run_name=f"run {number}")
        metrics = [Metric("loss", 1 / (step + 1), step, step) for step in range(500)]
        client.log_batch(run.info.run_id, metrics=metrics, params=[Param("number", str(number))])
        client.set_terminated(run.info.run_id)
    found = client.search_runs([experiment], "params.number = '1' and metrics.loss < 0.01")
    equal([run.info.run_name for run in found], ["run 1"])
    equal(len(client.get_metric_history(found[0].info.run_id, "loss")), 500)
    client.create_registered_model("a model")
    equal(client.get_registered_model("a model").name, "a model")
    with tempfile.TemporaryDirectory() as folder:
        for name in ("plain.txt", "with space+.txt", "ä.txt"):
            with open(os.path.join(folder, name), "w") as file:
                file.write(name)
        client.log_artifacts(found[0].info.run_id, folder, "a b/c")
    listed = [entry.path for entry in client.list_artifacts(found[0].info.run_id, "a b/c")]
    equal(sorted(listed), ["a b/c/plain.txt", "a b/c/with space+.txt", "a b/c/ä.txt"])
    with tempfile.TemporaryDirectory() as folder:
        path = client.download_artifacts(found[0].info.run_id, "a b/c/with space+.txt", folder)
        with open(path) as file:
            equal(file.read(), "with space+.txt")


def artifact(size):
    run = client.create_run(client.create_experiment(f"artifact of {size} MiB"))
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "model.bin")
        block = random.Random(1).randbytes(MIB)
        with open(path, "wb") as file:
            for number in range(size):
                file.write(number.to_bytes(4, "big") + block[4:])
        client.log_artifact(run.info.run_id, path)
        sent = digest(path)
        os.remove(path)
        equal(digest(client.download_artifacts(run.info.run_id, "model.bin", folder)), sent)


if part == "artifact":
    artifact(int(sys.argv[3]))
else:
    globals()[part]()
