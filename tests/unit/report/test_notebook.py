"""What a notebook shows of each thing, and what the library says of itself."""

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import replay
from replay.common.errors import OutputError
from replay.report.html import bundle, plots

TRACES = Path(__file__).parents[3] / "traces"
HOSTILE = "/<img src=x onerror=alert(1)>"


@pytest.fixture(scope="module")
def things(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    place = tmp_path_factory.mktemp("things")
    seed, toml = TRACES / "seed-unlimited", TRACES / "seed-unlimited.toml"
    result = replay.run(seed, toml, interval="auto")
    replay.batch(seed, toml, output=place / "d", jobs=1)
    trace = replay.convert(seed, place / "t.arrow")
    return {
        "result": result,
        "comparison": replay.compare(
            result, replay.run(seed, toml, overrides=["driver.policy=root"])
        ),
        "sweep": replay.sweep(
            trace, toml, vary=["/test.slice/memory.high=64M,512M"], jobs=1
        ),
        "curve": replay.curve(trace),
        "dataset": replay.open_dataset(place / "d"),
        "trace": trace,
        "calibration": replay.calibrate(TRACES / "workers-root"),
    }


NAMES = ("result", "comparison", "sweep", "curve", "dataset", "trace", "calibration")


@pytest.mark.parametrize("name", NAMES)
def test_each_has_pictures_words_and_a_short_repr(
    things: dict[str, Any], name: str, tmp_path: Path
) -> None:
    pytest.importorskip("vl_convert")
    one = things[name]
    assert repr(one).startswith("<")
    assert len(repr(one)) < 300
    drawn = one.plot()
    assert len(drawn) >= 1
    assert repr(drawn).startswith("<Plots: ")
    first = drawn[drawn.names[0]]
    assert "<svg" in first._repr_html_()
    shown = one._repr_html_()
    assert "<svg" in shown
    assert "<pre>" in shown
    assert "<script" not in shown
    first.save(tmp_path / "one.svg")
    assert "<svg" in (tmp_path / "one.svg").read_text("utf-8")
    with pytest.raises(KeyError, match="'nothing' is none of"):
        drawn["nothing"]


def test_names_are_no_markup_in_a_notebook(tmp_path: Path) -> None:
    pytest.importorskip("vl_convert")
    (tmp_path / "t.csv").write_text(f"t,at,n,rw,who\n0,0,4096,W,{HOSTILE}\n")
    options = replay.FormatOptions(
        name="csv", columns="time=t:us,offset=at:B,size=n:B,op=rw,cgroup=who"
    )
    shown = replay.run(tmp_path / "t.csv", format=options)._repr_html_()
    assert "<img" not in shown
    assert "&lt;img" in shown


def test_without_what_draws_the_words_are_shown(
    things: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    def absent(name: str) -> None:
        raise ImportError(name=name)

    monkeypatch.setattr(bundle, "import_module", absent)
    shown = things["result"]._repr_html_()
    assert "dd in /test.slice killed" in shown
    assert "<svg" not in shown
    with pytest.raises(OutputError, match=r"cgroup-replay\[plots\]"):
        plots.plots_of(things["result"])


def test_a_sweep_of_an_opened_trace_is_that_of_its_file(
    things: dict[str, Any],
) -> None:
    # GIVEN a recording that was opened: its file has no name
    vary = ["/test.slice/memory.high=64M,512M"]
    toml = TRACES / "seed-unlimited.toml"
    with replay.open_trace(TRACES / "seed-unlimited") as opened:
        found = replay.sweep(opened, toml, vary=vary, jobs=1)
    assert found.to_json() == things["sweep"].to_json()


def test_a_scenario_without_arguments_is_the_default() -> None:
    assert replay.Scenario() == replay.Scenario.load()
    result = replay.run(TRACES / "seed-unlimited", replay.Scenario())
    assert result.kills.num_rows == 0


def test_nothing_private_is_listed() -> None:
    code = "import replay; print(*dir(replay))"
    listed = subprocess.check_output([sys.executable, "-c", code], text=True).split()
    assert [n for n in listed if n.startswith("_") and not n.startswith("__")] == []
    assert {"Any", "TYPE_CHECKING"}.isdisjoint(listed)
    assert set(replay.__all__) <= set(listed)


def test_the_documents_example_runs(
    top: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("vl_convert")
    # GIVEN the recordings that it names, beside it
    for name in ("workers-per-cgroup", "workers-per-cgroup.toml"):
        (tmp_path / name).symlink_to(TRACES / name)
    monkeypatch.chdir(tmp_path)
    page = (top / "docs" / "report.md").read_text("utf-8")
    (code,) = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    # WHEN it is run
    exec(compile(code, "report.md", "exec"), {})
    # THEN it has made what it says
    assert (tmp_path / "waits.png").read_bytes().startswith(b"\x89PNG")
    assert (tmp_path / "page.html").stat().st_size > 100_000
