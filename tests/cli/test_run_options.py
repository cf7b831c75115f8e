import json
import sys
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner, Result

import replay
from replay.cli import lazy_imports
from replay.cli.lazy_imports import importing_meanwhile
from replay.cli.main import cli
from replay.common.errors import ScenarioError
from replay.results.sink import ResultSink
from replay.trace.file.filters import Filters
from replay.trace.formats.options import FormatOptions
from support import results as made
from support.blktrace import write_set, writes


class Library:
    """Stands in for `replay.run`: notes how it was called, gives the hand-made result.

    What the engine finds is tested elsewhere; here it is what the command asks for.
    """

    def __init__(self) -> None:
        self.trace: Any = None
        self.scenario: Any = None
        self.options: dict[str, Any] = {}

    def __call__(self, trace: Any, scenario: Any = None, **options: Any) -> Any:
        self.trace, self.scenario, self.options = trace, scenario, options
        with ResultSink(
            made.names(),
            output=options["output"],
            overwrite=options["overwrite"],
            requests=made.Recording() if options["requests"] else None,
        ) as sink:
            if sink.requests is not None:
                sink.requests.append(made.raw_requests(4))
            return sink.finish(made.raw_result(), made.info())


@pytest.fixture
def library(monkeypatch: pytest.MonkeyPatch) -> Library:
    library = Library()
    monkeypatch.setattr(replay, "run", library, raising=False)
    return library


def call(*arguments: str | Path) -> Result:
    return CliRunner().invoke(cli, [str(argument) for argument in arguments])


def test_without_options_the_summary_is_on_stdout_and_the_rate_on_stderr(
    library: Library,
) -> None:
    done = call("run", "seed")
    assert done.exit_code == 0
    assert "/ paid for /test.slice: 256.0 KiB" in done.stdout
    assert "\x1b" not in done.output
    assert done.stderr == "replayed 4 requests in 0.00 s, 2,000 requests/s\n"
    assert (library.trace, library.scenario) == ("seed", None)
    assert library.options["output"] is None
    # as many as it takes
    assert library.options["threads"] is None


@pytest.mark.parametrize(("n_processors", "n_given"), [(1, "1"), (1, ""), (2, "1")])
def test_one_thread_imports_nothing_meanwhile(
    library: Library, monkeypatch: pytest.MonkeyPatch, n_processors: int, n_given: str
) -> None:
    monkeypatch.setattr(lazy_imports, "processors", lambda: n_processors)
    call("run", "seed", *(("--threads", n_given) if n_given else ()))
    assert library.options["progress"] is None


def test_several_processors_import_meanwhile(
    library: Library, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lazy_imports, "processors", lambda: 2)
    call("run", "seed")
    assert callable(library.options["progress"])


def test_every_option_reaches_the_library(library: Library, tmp_path: Path) -> None:
    done = call(
        *("run", "a", "b", "-s", "s.toml", "--set", "driver.policy=root"),
        *("--set", "/test.slice/memory.max=64M", "--cgroups", "ids"),
        *("--assign", "rules.toml", "--from", "1", "--until", "2.5"),
        *("--device", "7:0", "--device", "7:1", "--cgroup", "/a", "--process", "dd*"),
        *("--op", "write", "--sectors", "8-15"),
        *("-o", tmp_path / "out", "--requests", "--batch-rows", "7", "--threads", "2"),
        *("--interval", "1s"),
    )
    assert done.exit_code == 0, done.output
    assert (library.trace, library.scenario) == (["a", "b"], Path("s.toml"))
    # told of nobody, but that the work has begun
    progress = library.options.pop("progress")
    assert callable(progress)
    progress(1, 2)
    assert library.options == {
        "overrides": ("driver.policy=root", "/test.slice/memory.max=64M"),
        "assign": Path("rules.toml"),
        "format": FormatOptions(),
        "cgroups": Path("ids"),
        "output": tmp_path / "out",
        "overwrite": False,
        "requests": True,
        "batch_rows": 7,
        "filters": Filters(
            begin="1",
            end="2.5",
            devices=("7:0", "7:1"),
            cgroups=("/a",),
            processes=("dd*",),
            ops=("write",),
            sectors="8-15",
        ),
        "interval": "1s",
        "threads": 2,
    }
    assert pq.read_metadata(tmp_path / "out" / "requests.parquet").num_rows == 4


@pytest.mark.usefixtures("library")
def test_json_holds_the_run_and_every_table_but_requests(tmp_path: Path) -> None:
    done = call("run", "seed", "--json", "-q", "-o", tmp_path / "out", "--requests")
    value = json.loads(done.stdout)
    assert done.stderr == ""
    assert value["run"]["scenario"]["driver"]["policy"] == "root"
    assert value["tables"]["kills"][0]["task"] == "dd"
    assert "requests" not in value["tables"]
    assert value["run"] == json.loads((tmp_path / "out" / "run.json").read_text())


@pytest.mark.usefixtures("library")
def test_an_output_that_exists_is_one_line_and_exit_code_1(tmp_path: Path) -> None:
    assert call("run", "seed", "-o", tmp_path / "out").exit_code == 0
    done = call("run", "seed", "-o", tmp_path / "out")
    assert done.exit_code == 1
    assert done.stdout == ""
    assert done.stderr.endswith(
        "exists already: use --overwrite or name another output\n"
    )
    assert done.stderr.count("\n") == 1
    assert call("run", "seed", "-o", tmp_path / "out", "--overwrite").exit_code == 0


def test_what_the_library_refuses_is_one_line_and_exit_code_1(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise ScenarioError("driver.polcy: no such key; nearest: driver.policy")

    monkeypatch.setattr(replay, "run", refuse, raising=False)
    done = call("run", "seed", "--set", "driver.polcy=root")
    assert done.exit_code == 1
    assert done.stderr == "Error: driver.polcy: no such key; nearest: driver.policy\n"


@pytest.mark.usefixtures("library")
@pytest.mark.parametrize(
    "arguments",
    [
        ["run"],
        ["run", "seed", "--threads", "0"],
        ["run", "seed", "--requests"],
        ["run", "seed", "--overwrite"],
        ["compare"],
        ["compare", "one"],
    ],
)
def test_wrong_usage_is_exit_code_2(arguments: list[str]) -> None:
    done = call(*arguments)
    assert done.exit_code == 2
    assert "Usage:" in done.stderr


@pytest.mark.usefixtures("library")
def test_a_name_that_the_locale_has_not_does_not_lose_the_summary(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # GIVEN a cgroup with a name beyond ASCII, and a stdout that is ASCII
    monkeypatch.setattr(made, "CGROUPS", ("/", "/größe", "/b", "id:77"))
    runner = CliRunner(charset="ascii")
    # WHEN summed up
    done = runner.invoke(cli, ["run", "seed"])
    # THEN the name is spelt in ASCII
    assert done.exit_code == 0
    assert r"/ paid for /gr\xf6\xdfe: 256.0 KiB" in done.stdout


@pytest.mark.usefixtures("library")
def test_compare_shows_each_result_against_the_first(tmp_path: Path) -> None:
    places = [tmp_path / name for name in "ab"]
    for place in places:
        call("run", "seed", "-o", place)
    done = call("compare", *places)
    assert done.exit_code == 0
    assert done.stdout == (
        f"base: {places[0]}\nother: {places[1]}\nThe tables do not differ.\n"
        "\nEstimates and losses\n"
        "  the page cache of /dev/loop0 is not in the trace\n"
    )
    (value,) = json.loads(call("compare", *places, "--json").stdout)
    assert value["other"] == str(places[1])
    assert value["tables"]["charges"] == []


def test_comparing_what_is_no_result_is_exit_code_1(tmp_path: Path) -> None:
    done = call("compare", tmp_path, tmp_path)
    assert done.exit_code == 1
    assert "no run.json in it" in done.stderr


@pytest.mark.parametrize(
    "argument",
    ["/tset.slice/memory.max=64M", 'cgroups."/tset.slice".memory.max="64M"'],
)
def test_a_limit_for_a_cgroup_that_is_not_there_is_refused(
    top: Path, argument: str
) -> None:
    # GIVEN --set for a cgroup that the trace has nothing of
    trace = top / "traces" / "seed-unlimited"
    result = CliRunner().invoke(cli, ["run", str(trace), "--set", argument])
    # THEN it is no note at the end, but a refusal with the nearest name
    assert result.exit_code == 1
    assert "did you mean /test.slice? (there are /, /test.slice)" in result.stderr
    assert result.stderr.count("\n") == 1


def test_comparing_a_file_is_one_clear_line(tmp_path: Path) -> None:
    (tmp_path / "t.arrow").touch()
    for name, text in (("t.arrow", "is a file, not a result"), ("nix", "no such dir")):
        path = str(tmp_path / name)
        result = CliRunner().invoke(cli, ["compare", path, path])
        assert result.exit_code == 1
        assert result.stderr.startswith(f"Error: {path}: {text}")
        assert "name a directory written by 'replay run -o'" in result.stderr


def test_the_headline_of_a_trace_with_the_root_only(tmp_path: Path) -> None:
    write_set(tmp_path, "sda", cpu0=writes(3, cgroup=0))
    result = CliRunner().invoke(cli, ["run", str(tmp_path / "sda")])
    assert "waited for another" not in result.stdout
    assert "Every request is the root's (/)" in result.stdout


@pytest.mark.parametrize(("columns", "longest"), [("", 200), ("90", 90), ("7", 80)])
def test_a_pipe_takes_its_width_from_columns_and_cuts_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, columns: str, longest: int
) -> None:
    # GIVEN a cgroup with a long path
    path = "/" + "/".join(f"part-{n}-of-it" for n in range(9))
    write_set(tmp_path, "loop0", cpu0=writes(3))
    (tmp_path / "ids").write_text(f"23 {path}\n")
    monkeypatch.setenv("COLUMNS", columns)
    result = CliRunner().invoke(cli, ["run", str(tmp_path)])
    lines = result.stdout.splitlines()
    assert max(map(len, lines)) <= longest
    # THEN all of it is there, on one line or several
    first_column = "".join(line[2 : 2 + len(path)].split("  ")[0] for line in lines)
    assert path in first_column
    if not columns:
        assert path in result.stdout


def test_interval_is_asked_of_the_library(library: Library) -> None:
    assert call("run", "seed", "--interval", "100ms").exit_code == 0
    assert library.options["interval"] == "100ms"
    call("run", "seed")
    assert library.options["interval"] is None


def test_imports_meanwhile_begin_with_the_work_and_end_with_it() -> None:
    # GIVEN two modules to be imported, one of which there is not
    sys.modules.pop("colorsys", None)
    told: list[tuple[int, int]] = []
    # WHEN the work is told of, in two threads
    with importing_meanwhile(
        lambda done, total: told.append((done, total)), "no_such", "colorsys", threads=2
    ) as progress:
        assert progress is not None
        progress(1, 2)
        progress(2, 2)
    # THEN the other one is imported at the end, and the bar was told all the same
    assert "colorsys" in sys.modules
    assert told == [(1, 2), (2, 2)]
    # AND one thread does nothing of it
    with importing_meanwhile(None, "no_such", threads=1) as nothing:
        assert nothing is None
