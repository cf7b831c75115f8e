"""What a newcomer is told where a trace cannot answer as it is."""

import contextlib
import os
import pty
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner

from replay.cli.main import cli
from support.blktrace import Event, cpu_files, write_set
from support.datasets import TRACES

TABLE = "ts,off,len,rw,who\n0,0,4096,w,a\n100,4096,4096,w,b\n200,8192,4096,w,a\n"
COLUMNS = "time=ts:us,offset=off:B,size=len:B,op=rw,cgroup=who"


def invoke(*arguments: str | Path, code: int = 0) -> tuple[str, str]:
    result = CliRunner().invoke(cli, [str(one) for one in arguments])
    assert result.exit_code == code, result.output
    return result.stdout, result.stderr


@pytest.fixture
def table(tmp_path: Path) -> list[str]:
    """A CSV without response times, and how it is read."""
    path = tmp_path / "t.csv"
    path.write_text(TABLE)
    return [str(path), "--columns", COLUMNS]


def without_completions(folder: Path, *, queued: bool) -> Path:
    events = [Event(letter, 10 * n, 8 * n) for n in range(3) for letter in "QD"]
    kept = [one for one in events if queued or one.letter == "D"]
    write_set(folder, "sda", cpu0=cpu_files(kept)[0])
    return folder / "sda"


def test_rows_without_response_times_are_counted_and_the_way_on_is_named(
    table: list[str],
) -> None:
    # WHEN a trace without response times is replayed
    shown, _ = invoke("run", *table)
    # THEN it says what is not known, does not answer that, and counts what was issued
    assert "\nThe trace has no response times: latency and who waits for whom" in shown
    assert "nobody waited" not in shown
    assert re.search(r"\n  /a +2 +0 B  8\.0 KiB  itself", shown)
    assert "Estimates and losses" not in shown
    # AND what it says to give is enough
    assert "--set service.model=linear" in shown
    shown, _ = invoke("run", *table, "--set", "service.model=linear")
    assert "response times" not in shown
    assert "nobody waited for another" in shown
    assert re.search(r"\n  /a +1\d\d us", shown)


@pytest.mark.parametrize(("queued", "ios"), [(True, "3"), (False, "-")])
def test_a_recording_without_completions_says_what_to_record(
    tmp_path: Path, queued: bool, ios: str
) -> None:
    shown, _ = invoke("run", without_completions(tmp_path, queued=queued))
    assert "\nNo completion (C) is in the recording: latency and " in shown
    assert "record C events as well" in shown
    assert re.search(rf"\n  / +{ios} ", shown)


def test_a_memory_question_of_a_disks_trace_is_answered_by_what_is_offered(
    table: list[str],
) -> None:
    # GIVEN a limit on the memory of who did not use a loop device
    asked = [*table, "--set", "/a/memory.max=4K"]
    shown, _ = invoke("run", *asked)
    # WHEN the options of the one note are pasted
    (offered,) = re.findall(r"not a loop device: .* add (--set.*)", shown)
    shown, _ = invoke("run", *asked, *shlex.split(offered))
    # THEN the limit is met, and nothing more is asked for
    assert "What failed\n  /a: 1 request" in shown
    assert "loop device" not in shown
    # AND of a limit's cost a page cache in front of the disk is offered, no tmpfs that
    # the recording knows nothing of, less what was given
    _, said = invoke("curve", *table, code=1)
    assert "tmpfs" not in said
    (offered,) = re.findall(r"add (--set.*) to ask", said)
    assert offered.endswith("backing.filesystem=raw")
    shown, _ = invoke("curve", *table, *shlex.split(offered))
    assert shown.startswith("/a: reads no page twice")
    _, said = invoke("curve", *table, "--set", "backing.filesystem=ext4", code=1)
    assert " add --set driver.direct_io=false to ask" in said


def test_requests_of_nobody_are_told_by_what_to_name(table: list[str]) -> None:
    whose = [table[0], "--columns", COLUMNS.removesuffix(",cgroup=who")]
    shown, _ = invoke("run", *whose)
    assert "all are the root's; name the column that says whose it is (cgroup=" in shown


def test_nothing_replayed_is_no_answer(table: list[str]) -> None:
    shown, _ = invoke("run", *table, "--op", "read")
    assert shown.startswith("0 requests of no device recorded in ")
    assert "Nothing was replayed" in shown
    assert "Every cgroup paid" not in shown
    assert "Filtered by --op read: 0 of 3 requests" in shown


def test_a_page_cache_that_is_assumed_is_named(table: list[str]) -> None:
    keys = ["--set", "/a/memory.max=4K", "--set", "driver.direct_io=false"]
    shown, _ = invoke("run", *table, *keys)
    assert "page cache of a raw device is assumed" in shown


def test_one_file_of_a_set_is_read_alone_and_the_others_are_named(
    tmp_path: Path,
) -> None:
    # GIVEN two CPUs' files, and another device's
    events = [Event(letter, n, 8, cpu=n) for n, letter in enumerate("DC")]
    first, second = cpu_files(events)
    write_set(tmp_path, "sda", cpu0=first, cpu1=second)
    write_set(tmp_path, "sdb", cpu0=first)
    base = tmp_path / "sda"
    for command in ("run", "info"):
        # WHEN one of them is given THEN the other is named
        _, said = invoke(command, f"{base}.blktrace.0")
        assert f"{base}: 1 file of other CPUs not read: give {base} to" in said
        # BUT nothing is said where all are read
        for given in ([base], [f"{base}.blktrace.{n}" for n in (0, 1)]):
            assert "not read" not in invoke(command, *given)[1]


def test_many_cgroups_curves_begin_with_a_line_for_each(top: Path) -> None:
    # GIVEN a recording of 24 cgroups
    trace = top / "traces" / "workers-many"
    # WHEN its curves are shown
    shown, _ = invoke("curve", trace)
    # THEN each of the first has a line, one has its table, and the way to all is named
    assert shown.startswith("24 cgroups: ")
    assert len(re.findall(r"^  /c\d+ +2\.5 MiB", shown, re.MULTILINE)) == 20
    assert shown.count("holds all of it") == 1
    assert "… and 4 more\n" in shown
    assert "1 of 24 tables shown: --all shows each cgroup's" in shown
    every, _ = invoke("curve", trace, "--all")
    assert every.count("holds all of it") == 24
    # AND limits that are asked for are its columns
    shown, _ = invoke("curve", trace, "--limits", "1M,3M")
    assert re.search(r"stopped at 1\.0 MiB  stopped at 3\.0 MiB\n", shown)


MSR = "".join(
    f"{128166372003061629 + 10_000 * n},{'ab'[n % 2]},0,Write,{4096 * n},4096,1000\n"
    for n in range(40)
)


@pytest.fixture
def volumes(tmp_path: Path) -> Path:
    """Forty writes to two volumes, of a trace that names no process."""
    path = tmp_path / "msr.csv"
    path.write_text(MSR)
    return path


def test_an_io_limit_is_found_by_what_the_messages_offer(volumes: Path) -> None:
    # GIVEN who names no device, and who counts requests as bytes
    _, said = invoke("run", volumes, "--set", "/a_0/io.max=wbps=4K", code=1)
    assert "is not MAJOR:MINOR, for example" in said
    _, said = invoke("run", volumes, "--set", "/a_0/io.max=0:1 wiops=4K", code=1)
    assert said.endswith("in digits: write 4096\n")
    # WHEN a rate is right, as a size, but the devices are one
    asked: list[str | Path] = ["run", volumes, "--set", "/a_0/io.max=0:1 wbps=4K"]
    shown, _ = invoke(*asked)
    assert "40 requests of all devices as one" in shown
    (offered,) = re.findall(r"such as (--set .*)", shown)
    # THEN what the note offers makes it act
    shown, _ = invoke(*asked, *shlex.split(offered))
    assert "throttle" in shown
    assert "has no effect" not in shown


def test_limits_that_kill_nobody_are_told_by_what_fails(volumes: Path) -> None:
    keys = ["--set", "driver.direct_io=false", "--set", "backing.filesystem=tmpfs"]
    # WHEN a limit fails requests of processes that are not known
    shown, _ = invoke("run", volumes, *keys, "--set", "/a_0/memory.max=16K")
    # THEN it is said why nobody is killed
    assert "What failed" in shown
    assert "the trace names no process and the scenario no tasks: nobody can" in shown
    # AND a sweep, which looks at kills, names what to look at instead
    sweep: list[str | Path] = [
        "sweep",
        volumes,
        *keys,
        "--vary",
        "/a_0/memory.max=16K..256K*2",
    ]
    shown, _ = invoke(*sweep, "-j", "1")
    assert "kills=0 holds at every value" in shown
    (offered,) = re.findall(r"requests fail: (--keep \S+) finds", shown)
    shown, _ = invoke(*sweep, "-j", "1", *offered.split())
    assert "smallest /a_0/memory.max with errors=0" in shown


@pytest.mark.parametrize("arguments", ["info t.csv", "run -"])
def test_a_full_temporary_directory_is_named_with_the_way_out(
    tmp_path: Path, arguments: str
) -> None:
    # GIVEN a table, and no file may become longer than 4 KiB
    path = tmp_path / "t.csv"
    path.write_text(MSR * 500)
    code = "from replay.cli.main import main; main()"
    command = f"{shlex.quote(sys.executable)} -c {shlex.quote(code)} {arguments}"
    # WHEN it is read by way of the directory for temporary files
    done = subprocess.run(
        ["/bin/sh", "-c", f"ulimit -f 8; cat t.csv | {command}"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    # THEN one line says which, and how to name another
    assert done.returncode == 1
    assert re.fullmatch(
        r"Error: .*(cannot be kept in|cannot be written).*"
        r"\(TMPDIR names another directory\)\n",
        done.stderr,
    )


def in_a_terminal(command: list[str], **environment: str) -> str:
    ours, theirs = pty.openpty()
    with subprocess.Popen(
        [sys.executable, "-c", "from replay.cli.main import main; main()", *command],
        stdout=theirs,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "TERM": "xterm", **environment},
    ):
        os.close(theirs)
        shown = b""
        # a terminal whose last writer has gone gives an error, not an end
        with contextlib.suppress(OSError):
            while part := os.read(ours, 1 << 16):
                shown += part
    os.close(ours)
    return shown.decode()


def test_losses_stand_below_the_headline_in_colour_where_it_is_wanted(
    top: Path, tmp_path: Path
) -> None:
    # GIVEN a recording whose beginning is damaged on one CPU
    folder = tmp_path / "a"
    shutil.copytree(top / "traces" / "seed-unlimited", folder)
    file = folder / "loop0.blktrace.1"
    file.write_bytes(bytes(20_000) + file.read_bytes()[20_000:])
    # WHEN it is shown THEN its second line says what share is missing
    for command in ("run", "info"):
        shown, _ = invoke(command, folder)
        losses = shown.splitlines()[1 if command == "run" else 2]
        assert re.match(r"Incomplete recording: \d\d % of the requests lack ", losses)
        assert "of the events damaged (" in losses
        assert "\x1b" not in shown
    assert f"damaged: {file} at byte 0: " in shown
    assert "lost" not in shown
    # AND in a terminal it is coloured, unless that is not wanted
    given = ["run", str(folder), "-q"]
    assert "\x1b[1;33mIncomplete" in in_a_terminal(given)
    assert "\x1b[1mIncomplete" in in_a_terminal(given, NO_COLOR="1")
    assert "\x1b" not in in_a_terminal(given, TERM="dumb")


@pytest.mark.parametrize("policy", ["backcharge", "per-cgroup"])
def test_a_limit_that_nobody_pays_under_does_nothing_and_that_is_said(
    policy: str,
) -> None:
    # GIVEN writes of /b with direct I/O to a disk where it may do 40 a second
    asked: list[str | Path] = [
        TRACES / "direct-splits",
        "-s",
        TRACES / "direct-splits.toml",
        "--set",
    ]
    limit = ["/b/io.max=254:32 wiops=40", "--set", f"driver.policy={policy}"]
    shown, _ = invoke("run", *asked, *limit)
    # THEN where another pays for them it holds nobody back, and a note says why
    said = "/b: io.max of 254:32 has nothing to limit: / is charged for its I/O there"
    assert (said in " ".join(shown.split())) == (policy == "backcharge")
    assert ("backing" in shown.split("Latency")[1].split("Estimates")[0]) == (
        policy == "per-cgroup"
    )


def test_a_limit_under_one_worker_of_the_roots_is_told_with_who_pays(
    tmp_path: Path,
) -> None:
    # GIVEN a loop device whose file lies on a disk, where /b may write 1 MiB a second
    asked: list[str | Path] = [
        "run",
        TRACES / "workers-per-cgroup",
        "-o",
        tmp_path / "r",
    ]
    keys = ["driver.policy=root", "trace.policy=per-cgroup", "driver.direct_io=false"]
    keys += ["backing.filesystem=ext4", "backing.device=254:32"]
    for key in (*keys, "/b/io.max=254:32 wbps=1M"):
        asked += ["--set", key]
    shown, _ = invoke(*asked)
    # THEN the note says what the table of that disk says
    assert (
        "/b: io.max of 254:32 has nothing to limit: / is charged for its I/O there "
        "(driver.policy = root)"
    ) in " ".join(shown.split())
    rows = pq.read_table(tmp_path / "r" / "io_stat.parquet").to_pylist()
    below = {row["cgroup"]: row["wbytes"] for row in rows if row["device"] == "254:32"}
    assert below["/"] > 200 << 20
    assert below.get("/b", 0) == below.get("/a", 0) == 0
