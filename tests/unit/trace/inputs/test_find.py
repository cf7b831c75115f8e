"""Inputs are found by file, base name and directory; what is missing is named."""

from pathlib import Path

import pytest

from replay.common.errors import TraceError
from replay.trace.file.per_cpu import missing_cpus
from replay.trace.inputs.find import (
    find_inputs,
    map_file,
    read_cgroup_paths,
)


@pytest.fixture
def capture(tmp_path: Path) -> Path:
    """A directory as blktrace and the lab leave it."""
    for name in (
        "loop0.blktrace.10",
        "loop0.blktrace.2",
        "loop0.blktrace.0",
        "loop1.blktrace.0",
        "loop0.blktrace.log",
        "blktrace.loop0.log",
        "dmesg",
    ):
        (tmp_path / name).write_bytes(b"x")
    (tmp_path / "sub").mkdir()
    return tmp_path


def names(directory: Path, *inputs: str) -> list[str]:
    found = find_inputs([directory / name for name in inputs])
    return [str(path.relative_to(directory)) for path in found.traces]


LOOP0 = ["loop0.blktrace.0", "loop0.blktrace.2", "loop0.blktrace.10"]


@pytest.mark.parametrize("name", ["loop0", "loop0.blktrace"])
def test_a_base_name_stands_for_its_cpus_in_numeric_order(
    capture: Path, name: str
) -> None:
    assert names(capture, name) == LOOP0


def test_a_directory_stands_for_all_its_devices(capture: Path) -> None:
    assert names(capture, "") == [*LOOP0, "loop1.blktrace.0"]


def test_a_file_stands_for_itself_whatever_its_name(capture: Path) -> None:
    assert names(capture, "loop0.blktrace.2") == ["loop0.blktrace.2"]
    assert names(capture, "dmesg") == ["dmesg"]


def test_a_file_named_twice_is_read_once(capture: Path) -> None:
    assert names(capture, "loop0.blktrace.2", "loop0", "sub/../loop0.blktrace.0") == [
        "loop0.blktrace.2",
        "loop0.blktrace.0",
        "loop0.blktrace.10",
    ]


def test_one_path_needs_no_list(capture: Path) -> None:
    assert len(find_inputs(str(capture / "loop0")).traces) == 3
    assert len(find_inputs(capture / "loop0").traces) == 3


def test_base_names_with_regular_expression_characters_are_plain(
    tmp_path: Path,
) -> None:
    (tmp_path / "a+b.blktrace.0").touch()
    (tmp_path / "aab.blktrace.0").touch()
    assert names(tmp_path, "a+b") == ["a+b.blktrace.0"]


def test_a_base_name_in_the_working_directory_needs_no_folder(
    capture: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(capture)
    assert find_inputs("loop1").traces == (Path("loop1.blktrace.0"),)


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("lop0", "did you mean .*loop0"),
        ("dmseg", "did you mean .*dmesg"),
        ("zzz", "holds loop0, loop1"),
        ("sbu/loop0", "did you mean .*sub"),
    ],
)
def test_a_missing_input_is_refused_with_names_near_it(
    capture: Path, name: str, hint: str
) -> None:
    with pytest.raises(TraceError, match=rf"{name}: no such file.*{hint}"):
        find_inputs([capture / name])


def test_a_scenario_is_not_what_a_missing_input_may_have_meant(
    tmp_path: Path,
) -> None:
    (tmp_path / "today").mkdir()
    (tmp_path / "today.toml").touch()
    with pytest.raises(TraceError, match=r"did you mean \S*/today\?$"):
        find_inputs(tmp_path / "todday")


def test_a_link_to_nothing_is_called_so(tmp_path: Path) -> None:
    (tmp_path / "gone").symlink_to("nowhere")
    (tmp_path / "round").symlink_to("round")
    for name in ("gone", "round"):
        with pytest.raises(TraceError, match=r"it is a symbolic link to nothing$"):
            find_inputs(tmp_path / name)


def test_a_missing_input_with_nothing_near_is_refused_all_the_same(
    tmp_path: Path,
) -> None:
    with pytest.raises(TraceError, match=r"no such file, base name or directory$"):
        find_inputs(tmp_path / "a" / "b")


def test_a_directory_without_traces_names_those_below_it(tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "sda.blktrace.0").touch()
    (tmp_path / "empty").mkdir()
    with pytest.raises(TraceError, match=r"holds no trace.*one, .*two\?$"):
        find_inputs(tmp_path)
    with pytest.raises(TraceError, match="holds no trace: there is no NAME"):
        find_inputs(tmp_path / "empty")


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("-", "no stream can be read here"),
        ("/dev/null", "neither a file nor a directory"),
        ("x" * 300, "File name too long|no such file"),
    ],
)
def test_what_cannot_be_a_trace_is_refused(name: str, reason: str) -> None:
    with pytest.raises(TraceError, match=reason):
        find_inputs(name)


def test_no_input_is_refused() -> None:
    with pytest.raises(TraceError, match="no input"):
        find_inputs([])


def test_the_ids_of_an_input_directory_are_taken(capture: Path) -> None:
    assert find_inputs(capture).cgroups is None
    (capture / "ids").write_text("1 /\n")
    assert find_inputs(capture).cgroups == capture / "ids"
    assert find_inputs(capture / "loop0").cgroups is None
    assert find_inputs(capture, capture / "mine").cgroups == capture / "mine"


def test_two_directories_with_ids_need_a_choice(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "sda.blktrace.0").touch()
        (tmp_path / name / "ids").touch()
    inputs = [tmp_path / "a", tmp_path / "b"]
    with pytest.raises(TraceError, match="two files of cgroup ids"):
        find_inputs(inputs)
    assert find_inputs(inputs, "ids").cgroups == Path("ids")


def test_cpus_without_a_file_are_listed_below_the_highest() -> None:
    assert missing_cpus(
        [
            *(f"d/sda.blktrace.{cpu}" for cpu in (0, 3, 5)),
            *(f"d/sdb.blktrace.{cpu}" for cpu in (0, 1)),
            "d/sdc.blktrace.1",
            "dump.bin",
        ]
    ) == {"d/sda": [1, 2, 4], "d/sdc": [0]}


def test_a_suffix_that_is_no_cpu_lists_nothing() -> None:
    assert missing_cpus(["sda.blktrace.4000000000"]) == {}


def test_a_file_is_mapped_and_an_empty_one_is_no_error(tmp_path: Path) -> None:
    (tmp_path / "full").write_bytes(b"bytes")
    (tmp_path / "empty").touch()
    assert bytes(memoryview(map_file(tmp_path / "full"))) == b"bytes"
    assert len(map_file(tmp_path / "empty")) == 0


def test_a_mapped_file_cannot_be_written_through(tmp_path: Path) -> None:
    (tmp_path / "full").write_bytes(b"bytes")
    assert memoryview(map_file(tmp_path / "full")).readonly


def test_a_file_that_cannot_be_opened_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TraceError, match="gone: cannot be read: No such file"):
        map_file(tmp_path / "gone")


def test_cgroup_paths_are_read(tmp_path: Path) -> None:
    path = tmp_path / "ids"
    path.write_text(
        "1 /\n\n# made by hand\n23 /a b\r\n18446744073709551615   /p/b\n23 /a b"
    )
    assert read_cgroup_paths(path) == {1: "/", 23: "/a b", (1 << 64) - 1: "/p/b"}


def test_a_cgroup_path_that_is_no_text_stays_distinct(tmp_path: Path) -> None:
    path = tmp_path / "ids"
    path.write_bytes(b"5 /a\xff\n6 /a\xfe\n")
    assert read_cgroup_paths(path) == {5: r"/a\xff", 6: r"/a\xfe"}


@pytest.mark.parametrize("content", ["", "\n", "# nothing\n"])
def test_a_file_of_no_ids_names_none(tmp_path: Path, content: str) -> None:
    (tmp_path / "ids").write_text(content)
    assert read_cgroup_paths(tmp_path / "ids") == {}


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("1 /\nx /a\n", "line 2: 'x /a' is not"),
        ("7\n", "line 1: '7' is not"),
        ("7 a\n", "line 1: '7 a' is not"),
        ("18446744073709551616 /a\n", "line 1: .* is not"),
        ("٣ /a\n", "line 1: .* is not"),
        ("9" * 5000 + " /a\n", "line 1: .* is not"),
        ("7 /a\n7 /b\n", "line 2: id 7 is '/b' here and '/a' before"),
    ],
)
def test_a_wrong_line_of_cgroup_ids_is_refused_with_its_number(
    tmp_path: Path, text: str, reason: str
) -> None:
    path = tmp_path / "ids"
    path.write_text(text)
    with pytest.raises(TraceError, match=reason):
        read_cgroup_paths(path)


def test_a_missing_file_of_cgroup_ids_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TraceError, match="ids: cannot be read: No such file"):
        read_cgroup_paths(tmp_path / "ids")
