"""Machines that are not there: an S3 server and a Dask cluster, on loopback."""

import json
import os
import secrets
import subprocess
import sys
import time
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

import replay
from replay.dataset import places

SECONDS = 60.0


@contextmanager
def s3_server(environment: pytest.MonkeyPatch) -> Iterator[str]:
    """Serve S3 with a new bucket, and have the environment name the server."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        server_module = pytest.importorskip("moto.server", reason="moto is not there")
        boto3 = pytest.importorskip("boto3")
        import logging

        logging.getLogger("werkzeug").setLevel(logging.ERROR)
        server = server_module.ThreadedMotoServer(
            ip_address="127.0.0.1", port=0, verbose=False
        )
        server.start()
        _, port = server.get_host_and_port()
    # all servers of a process hold the same buckets
    bucket = f"fleet-{secrets.token_hex(4)}"
    told = {
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}",
        "AWS_ACCESS_KEY_ID": "who",
        "AWS_SECRET_ACCESS_KEY": "ever",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_EC2_METADATA_DISABLED": "true",
    }
    for name, value in told.items():
        environment.setenv(name, value)
    # the file systems of another server
    places._root.cache_clear()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            boto3.client("s3").create_bucket(Bucket=bucket)
        yield f"s3://{bucket}"
    finally:
        places._root.cache_clear()
        server.stop()


class DaskCluster:
    """A scheduler and workers, each a process without a nanny that would renew it."""

    def __init__(self, folder: Path, n_workers: int, stack: ExitStack) -> None:
        self._folder = folder
        self._stack = stack
        self._file = folder / "scheduler.json"
        self._start("scheduler", "--port", "0")
        # it is there before it is written
        wait_for(lambda: self._file.exists() and self._file.read_text().endswith("}"))
        self.address: str = json.loads(self._file.read_text())["address"]
        self.workers = [
            self._start("worker", "--nthreads", "1", "--no-nanny")
            for _ in range(n_workers)
        ]

    def _start(self, kind: str, *options: str) -> subprocess.Popen[bytes]:
        source = str(Path(replay.__file__).parents[1])
        command = [sys.executable, "-m", "dask", kind, *options, "--no-dashboard"]
        with (self._folder / f"{kind}.log").open("ab") as log:
            process = subprocess.Popen(
                [*command, "--scheduler-file", str(self._file)],
                env={**os.environ, "PYTHONPATH": source},
                cwd=self._folder,
                stdout=log,
                stderr=log,
            )
        self._stack.callback(process.wait)
        self._stack.callback(process.kill)
        return process


@contextmanager
def dask_cluster(folder: Path, n_workers: int = 2) -> Iterator[DaskCluster]:
    """Start a Dask cluster."""
    pytest.importorskip("distributed", reason="dask.distributed is not there")
    folder.mkdir()
    with ExitStack() as stack:
        yield DaskCluster(folder, n_workers, stack)


def wait_for(condition: object) -> None:
    assert callable(condition)
    end = time.monotonic() + SECONDS
    while not condition():
        assert time.monotonic() < end, "it does not come"
        time.sleep(0.02)
