"""Signals at random moments: the exit code says which, and nothing is left behind.

``REPLAY_SIGNALS=200`` takes as many moments; ``REPLAY_SEED`` others.
``REPLAY_FIGURES=FILE`` appends what was done as a line for ``tests/fuzz/table.py``.
"""

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Final

import pytest

import replay

MOMENTS: Final = int(os.environ.get("REPLAY_SIGNALS", "24"))
SEED: Final = int(os.environ.get("REPLAY_SEED", "18"))
FIGURES: Final = os.environ.get("REPLAY_FIGURES")
MAIN: Final = (
    "import sys; print('up', file=sys.stderr, flush=True); "
    "from replay.cli.start import main; main()"
)
#: From the interpreter's start on: before that it does not mind signals well itself.
LONGEST_S: Final = 2.5


def commands(trace: Path, capture: Path) -> dict[str, list[str]]:
    cached = ["--set", "driver.direct_io=false", "--set", "backing.filesystem=ext4"]
    varied = ["--vary", "machine.memory=16M,32M,64M", "-j", "2"]
    return {
        "convert": ["convert", str(capture), "-o", "t.arrow", "--overwrite"],
        "info": ["info", str(capture)],
        "init": ["init", str(trace), "-o", "s.toml", "--overwrite"],
        "run": ["run", str(trace), *cached, "-o", "result", "--overwrite"],
        "run-capture": ["run", str(capture), "--requests", "-o", "r", "--overwrite"],
        "sweep": ["sweep", str(trace), *varied, "-o", "sweep.parquet", "--overwrite"],
        "curve": ["curve", str(trace), *cached],
        "batch": ["batch", str(capture), str(trace), "-o", "fleet", "-j", "2"],
        "parquet": ["convert", str(trace), "--to", "parquet", "-o", "t.parquet"],
        "calibrate": ["calibrate", str(trace)],
    }


@pytest.fixture(scope="module")
def trace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A trace whose replay takes some seconds."""
    folder = tmp_path_factory.mktemp("signals")
    lines = ["a,b,c,d,e"]
    chance = random.Random(3)
    lines += [
        f"{n},{chance.randrange(1 << 30) // 4096 * 4096},{1 << 20},w,90000"
        for n in range(2000)
    ]
    (folder / "rows.csv").write_text("\n".join(lines) + "\n")
    path = folder / "rows.arrow"
    columns = "time=a:us,offset=b:B,size=c:B,op=d,response=e:ns"
    format_ = replay.FormatOptions(name="csv", columns=columns)
    replay.convert(folder / "rows.csv", path, format=format_).close()
    return path


def start(
    arguments: list[str], folder: Path
) -> tuple[subprocess.Popen[bytes], dict[str, str]]:
    (folder / "tmp").mkdir(exist_ok=True)
    environment = {
        **os.environ,
        "TMPDIR": str(folder / "tmp"),
        "PYTHONPATH": str(Path(replay.__file__).parents[1]),
    }
    process = subprocess.Popen(
        [sys.executable, "-c", MAIN, *arguments],
        cwd=folder,
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )
    assert process.stderr is not None
    assert process.stderr.readline() == b"up\n"
    return process, environment


def left(folder: Path) -> list[str]:
    """Temporary files, wherever they lie."""
    names = [path.name for path in (folder / "tmp").iterdir()]
    names += [
        path.name
        for path in folder.rglob("*")
        if path.name.startswith(".") or path.name.endswith((".part", ".old"))
    ]
    return names


def of_session(leader: int) -> list[int]:
    """Processes of a session that still run."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            words = stat.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if words[3] == str(leader) and words[0] != "Z":
            found.append(int(stat.parent.name))
    return found


def gone(leader: int) -> bool:
    """Return True if all processes of a session end soon."""
    until = time.monotonic() + 10
    while of_session(leader) and time.monotonic() < until:
        time.sleep(0.05)
    return not of_session(leader)


def test_at_random_moments(tmp_path: Path, trace: Path, top: Path) -> None:
    chance = random.Random(SEED)
    known = commands(trace, top / "traces" / "nested-unlimited")
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGKILL)
    by_signal: Counter[str] = Counter()
    n_ended = 0
    for moment in range(MOMENTS):
        name = chance.choice(list(known))
        number = chance.choice(numbers)
        after_s = chance.uniform(0, LONGEST_S)
        folder = tmp_path / f"{moment}-{name}"
        folder.mkdir()
        told = f"{moment}: {name}, {number.name} after {after_s:.3f} s"
        # WHEN a signal comes
        process, environment = start(known[name], folder)
        time.sleep(after_s)
        os.kill(process.pid, number)
        _, said = process.communicate(timeout=60)
        # THEN a shell sees which; the work may have been done before
        code = process.returncode
        assert code in (0, -number, 128 + number), (told, code, said)
        assert b"Traceback" not in said, (told, said)
        # AND no process of it lives
        assert gone(process.pid), told
        if number == signal.SIGKILL:
            # what is left is removed by the next run
            subprocess.run(
                [sys.executable, "-c", MAIN, *known[name]],
                cwd=folder,
                env=environment,
                check=name != "parquet",
                capture_output=True,
            )
        # AND nothing is left behind
        assert left(folder) == [], told
        by_signal[number.name] += 1
        n_ended += code != 0
    if FIGURES:
        figures = {
            **{"surface": "signals", "seed": SEED, "executions": MOMENTS, "left": 0},
            **{"by_signal": by_signal, "ended": n_ended},
            "version": replay.__version__,
        }
        with Path(FIGURES).open("a") as file:
            file.write(json.dumps(figures) + "\n")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_while_it_starts(tmp_path: Path, number: signal.Signals) -> None:
    # WHEN the signal comes before anything was imported
    process, _ = start(["formats"], tmp_path)
    os.kill(process.pid, number)
    process.communicate(timeout=60)
    # THEN a shell sees it
    assert process.returncode in (0, -number, 128 + number)


def test_what_is_ignored_stays_ignored(tmp_path: Path, trace: Path) -> None:
    # GIVEN a program that nohup began
    known = commands(trace, trace)
    (tmp_path / "tmp").mkdir()
    source = str(Path(replay.__file__).parents[1])
    process = subprocess.Popen(
        ["nohup", sys.executable, "-c", MAIN, *known["info"]],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": source},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )
    assert process.stderr is not None
    while b"up" not in process.stderr.readline():
        pass
    # WHEN the terminal is closed
    process.send_signal(signal.SIGHUP)
    process.communicate(timeout=60)
    # THEN it goes on
    assert process.returncode == 0


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_compiled_code_comes_back_soon(tmp_path: Path, number: signal.Signals) -> None:
    # GIVEN 2,000 writes of 4 GiB through a page cache, which take many minutes
    rows = [f"{n},{n << 32},4294963200,w" for n in range(2000)]
    (tmp_path / "bomb.csv").write_text("\n".join(["a,b,c,d", *rows]) + "\n")
    columns = ["--columns", "time=a:s,offset=b:B,size=c:B,op=d"]
    cached = ["--set", "driver.direct_io=false", "--set", "backing.filesystem=raw"]
    process, _ = start(["run", "bomb.csv", *columns, *cached], tmp_path)
    assert process.stderr is not None
    # WHEN it says so, and the signal comes in the middle of the first of them
    note = process.stderr.readline()
    assert b"pages" in note, note
    time.sleep(0.5)
    os.kill(process.pid, number)
    # THEN it ends, within 100 ms where the machine has nothing else to do
    process.communicate(timeout=60)
    assert process.returncode == 128 + number
    assert left(tmp_path) == []
