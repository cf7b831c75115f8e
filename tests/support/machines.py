"""Machines that are not there, for tests.

One made of files: cgroups, processes, tracefs, and a blktrace that pretends. All of it
lies in one directory, so that `replay record` and `replay cgroups` can be tested
without root and without a kernel that traces. And an S3 server and a Dask cluster, on
loopback.
"""

import errno
import json
import os
import secrets
import stat
import subprocess
import sys
import time
import warnings
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

import replay
from replay.capture.machine import Machine
from replay.capture.recorders.interface import SetUp, TraceInterface
from replay.dataset import places
from support.blktrace import writes

#: Does what blktrace does with the options that it is given; the first line says how.
BLKTRACE = """\
#!/usr/bin/env -S --block-signal=INT {python} -IS
import os, signal, sys, time
how, trace, journal = {how!r}, {trace!r}, {journal!r}

def note(text):
    with open(journal, "a") as file:
        file.write(text + "\\n")

def end(number, frame):
    note("signal " + str(number))
    if how == "deaf":
        return
    if how == "slow to stop":
        time.sleep(0.5)
    print("  Total:   40 events (dropped 2),   1 KiB data", flush=True)
    sys.exit(0)

signal.signal(signal.SIGINT, end)
signal.signal(signal.SIGTERM, end)
# one that came while Python started: it would have been a crash of Python's own
signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGINT])
words = sys.argv[1:]
note(" ".join(words))
if "-k" in words:
    sys.exit(0)
with open({option!r}) as file:
    note("option " + file.read().strip())
if how == "busy":
    print("BLKTRACESETUP(2) /dev/loop0 failed: 16/Device or resource busy")
    sys.exit(1)
directory = words[words.index("-D") + 1]
for position, word in enumerate(words):
    if word == "-d" and how != "slow":
        name = os.path.basename(words[position + 1])
        with open(os.path.join(directory, name + ".blktrace.0"), "wb") as file:
            file.write(bytes.fromhex(trace))
if how == "dies":
    time.sleep(0.3)
    print("no space left")
    sys.exit(2)
while True:
    time.sleep(0.02)
"""


class FakeInterface(TraceInterface):
    """A kernel that traces devices that are files, into files of a debugfs.

    Attributes
    ----------
    version : int
        Of its records.
    on : set of str
        Names of the devices that are traced.
    refuses : int
        An errno that each set-up fails with; 0 is none.
    """

    def __init__(self, debugfs: Path) -> None:
        self.version = 8
        self.on: set[str] = set()
        self.asked: list[str] = []
        self.refuses = 0
        self.cpus = 2
        self._debugfs = debugfs

    def _name(self, descriptor: int) -> str:
        return Path(f"/proc/self/fd/{descriptor}").readlink().name

    def set_up(self, descriptor: int, buffer_bytes: int, n_buffers: int) -> SetUp:
        name = self._name(descriptor)
        self.asked.append(f"set up {name} {buffer_bytes} {n_buffers}")
        if self.refuses:
            raise OSError(self.refuses, os.strerror(self.refuses))
        if name in self.on:
            raise OSError(errno.EBUSY, os.strerror(errno.EBUSY))
        self.on.add(name)
        place = self._debugfs / "block" / name
        place.mkdir(exist_ok=True)
        for cpu in range(self.cpus):
            (place / f"trace{cpu}").write_bytes(b"")
        (place / "dropped").write_text("1\n")
        return SetUp(name, self.version)

    def start(self, descriptor: int) -> None:
        name = self._name(descriptor)
        self.asked.append(f"start {name}")
        place = self._debugfs / "block" / name / "trace0"
        place.write_bytes(writes(10, cgroup=23))

    def stop(self, descriptor: int) -> None:
        self.asked.append(f"stop {self._name(descriptor)}")

    def tear_down(self, descriptor: int) -> None:
        name = self._name(descriptor)
        self.asked.append(f"tear down {name}")
        if name not in self.on:
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
        self.on.remove(name)


@dataclass(frozen=True)
class FakeMachine:
    """The files, and the `Machine` that finds them."""

    top: Path
    machine: Machine

    @property
    def kernel(self) -> FakeInterface:
        assert isinstance(self.machine.interface, FakeInterface)
        return self.machine.interface

    @property
    def cgroups(self) -> Path:
        return self.machine.cgroups

    @property
    def option(self) -> Path:
        return self.machine.option()

    def journal(self) -> list[str]:
        """What the pretended blktrace was asked."""
        path = self.top / "journal"
        return path.read_text().splitlines() if path.exists() else []

    def cgroup(self, path: str, files: Mapping[str, str] | None = None) -> int:
        """Make a cgroup with both controllers; return its id."""
        place = self.cgroups / path.lstrip("/")
        place.mkdir(parents=True, exist_ok=True)
        given = {"cgroup.controllers": "cpu io memory\n", "cgroup.procs": ""}
        for name, text in {**given, **(files or {})}.items():
            (place / name).write_text(text)
        return place.stat().st_ino

    def process(
        self, pid: int, comm: str, *, rss_kib: int | None = 100, adj: int = 0
    ) -> None:
        """Make a process; without rss it is a kernel thread."""
        place = self.machine.proc / str(pid)
        place.mkdir()
        (place / "comm").write_text(f"{comm}\n")
        (place / "oom_score_adj").write_text(f"{adj}\n")
        status = f"Name:\t{comm}\nThreads:\t2\n"
        if rss_kib is not None:
            status += f"VmRSS:\t   {rss_kib + 50} kB\nRssAnon:\t   {rss_kib} kB\n"
        (place / "status").write_text(status)

    def blktrace(self, how: str) -> None:
        """Say how blktrace behaves: good, busy, dies, deaf, slow, slow to stop."""
        program = Path(self.machine.blktrace)
        program.write_text(
            BLKTRACE.format(
                python=sys.executable,
                how=how,
                trace=writes(10, cgroup=23).hex(),
                journal=str(self.top / "journal"),
                option=str(self.option),
            )
        )
        program.chmod(0o755)


def make_machine(top: Path) -> FakeMachine:
    """Make a machine with ``/``, ``/a`` and ``/p/b``, and devices loop0 and loop1."""
    for name in ("cgroup", "proc/self", "dev", "bin", "debug/block", "sys/block"):
        (top / name).mkdir(parents=True, exist_ok=True)
    (top / "tracing" / "options").mkdir(parents=True)
    (top / "tracing" / "options" / "blk_cgroup").write_text("0\n")
    (top / "tracing" / "current_tracer").write_text("nop\n")
    (top / "proc" / "self" / "mountinfo").write_text(
        "1 0 8:1 / / rw - ext4 /dev/sda1 rw\n"
        f"2 1 0:30 / {top}/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw\n"
    )
    for name in ("loop0", "loop1"):
        (top / "dev" / name).touch()

    def is_block_device(path: Path) -> bool:
        # a node would take root to make
        return stat.S_ISREG(path.stat().st_mode) and path.name.startswith("loop")

    machine = Machine(
        cgroups=top / "cgroup",
        tracefs=(top / "absent", top / "tracing"),
        debugfs=top / "debug",
        proc=top / "proc",
        sys=top / "sys",
        dev=top / "dev",
        claims=top / "run",
        interface=FakeInterface(top / "debug"),
        blktrace=str(top / "bin" / "blktrace"),
        user=lambda: 0,
        is_block_device=is_block_device,
    )
    fake = FakeMachine(top, machine)
    fake.blktrace("good")
    fake.process(7, "sh")
    fake.process(9, "kthreadd", rss_kib=None)
    fake.process(41, "java", rss_kib=2048, adj=300)
    fake.process(42, "java", rss_kib=1024)
    fake.cgroup("/", {"cgroup.procs": "7\n9\n", "cgroup.subtree_control": "io memory"})
    fake.cgroup("/a", {"memory.max": "67108864\n", "memory.current": "4096\n"})
    fake.cgroup("/p", {"memory.swap.max": "0\n"})
    fake.cgroup("/p/b", {"cgroup.procs": "41\n42\n99\n", "io.weight": "default 300\n"})
    return fake


def children(text: str) -> list[str]:
    """Processes that run with a text in their command line."""
    found = []
    for place in Path("/proc").iterdir():
        if not place.name.isdecimal():
            continue
        try:
            words = (place / "cmdline").read_bytes().decode("utf-8", "replace")
            state = (place / "stat").read_text().rpartition(")")[2].split()[0]
        except OSError:
            continue
        if text in words and state != "Z" and place.name != str(os.getpid()):
            found.append(words)
    return found


SECONDS = 60.0


class Store:
    """An object store of this process, with one bucket; what lies in it outlives it.

    Attributes
    ----------
    address : str
        Of the bucket.
    endpoint : str
        Of the server.
    """

    def __init__(self) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            self._module = pytest.importorskip("moto.server", reason="no moto")
            import logging

            logging.getLogger("werkzeug").setLevel(logging.ERROR)
        self._port = 0
        self.start()
        self.endpoint = f"http://127.0.0.1:{self._port}"
        # all servers of a process hold the same buckets
        self.bucket = f"fleet-{secrets.token_hex(4)}"
        self.address = f"s3://{self.bucket}"

    def start(self) -> None:
        """Answer, at the same port as before."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            self._server = self._module.ThreadedMotoServer(
                ip_address="127.0.0.1", port=self._port, verbose=False
            )
            self._server.start()
        _, self._port = self._server.get_host_and_port()

    def stop(self) -> None:
        """Answer nobody: connections are refused."""
        self._server.stop()
        self._server._server.server_close()


@contextmanager
def s3_store(environment: pytest.MonkeyPatch) -> Iterator[Store]:
    """Serve S3 with a new bucket, and have the environment name the server."""
    boto3 = pytest.importorskip("boto3")
    store = Store()
    told = {
        "AWS_ENDPOINT_URL": store.endpoint,
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
            boto3.client("s3").create_bucket(Bucket=store.bucket)
        yield store
    finally:
        places._root.cache_clear()
        store.stop()


@contextmanager
def s3_server(environment: pytest.MonkeyPatch) -> Iterator[str]:
    """Serve S3; only the bucket's address is told."""
    with s3_store(environment) as store:
        yield store.address


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
