"""The README's examples give what the README says."""

import doctest
import os
import re
import subprocess
import sys
from contextlib import chdir
from dataclasses import dataclass
from pathlib import Path

import pytest

import replay

TOP = Path(__file__).parents[2]
README = TOP / "README.md"
#: Pages whose checked blocks are run.
PAGES = (README, TOP / "docs" / "compare.md")
#: A fenced block that stands behind the mark.
BLOCK = re.compile(r"^<!-- checked -->\n```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
#: What differs between equal runs: the last line's time and rate, versions.
VARIES = (
    (re.compile(r"\d+\.\d\d s, [\d,]+ requests/s"), "TIME s, RATE requests/s"),
    (re.compile(r"\bin \d+\.\d\d s$", re.MULTILINE), "in TIME s"),
    (re.compile(r"version \d[\w.]*"), "version VERSION"),
)


@dataclass(frozen=True)
class Block:
    """A checked block, and the line of the README that it begins at."""

    language: str
    text: str
    line: int


def blocks(page: Path = README) -> list[Block]:
    text = page.read_text()
    return [
        Block(found[1], found[2], text.count("\n", 0, found.start()) + 1)
        for found in BLOCK.finditer(text)
    ]


def commands(block: Block) -> list[tuple[str, str]]:
    """Commands of a console block with the output that follows each."""
    parts = re.split(r"^\$ (.*)\n", block.text, flags=re.MULTILINE)
    assert parts[0] == "", f"line {block.line}: output before a command"
    return list(zip(parts[1::2], parts[2::2], strict=True))


def masked(output: str) -> str:
    for pattern, instead in VARIES:
        output = pattern.sub(instead, output)
    return output


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A directory with what the README's commands find in a checkout."""
    (tmp_path / "traces").symlink_to(TOP / "traces")
    return tmp_path


@pytest.fixture
def environment(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """An environment in which ``replay`` is the package that is being tested."""
    folder = tmp_path_factory.mktemp("bin")
    code = "from replay.cli.main import main; main()"
    for name, option in (("replay", f"-c '{code}'"), ("python", "")):
        command = folder / name
        command.write_text(f"#!/bin/sh\nexec '{sys.executable}' {option} \"$@\"\n")
        command.chmod(0o755)
    return {
        **os.environ,
        "PATH": f"{folder}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": f"{Path(replay.__file__).parents[1]}{os.pathsep}{TOP}",
    }


def test_readme_shows_the_pair_and_the_wait() -> None:
    # GIVEN a mark that nobody reads, WHEN it is mistyped, the tests below test nothing
    shown = [
        command for b in blocks() if b.language == "console" for command in commands(b)
    ]
    told = " ".join(command for command, _ in shown)
    assert "traces/seed-unlimited" in told
    assert "driver.policy=root" in told
    assert "traces/workers-per-cgroup" in told
    assert all(output for _, output in shown)
    assert [b.language for b in blocks()].count("pycon") >= 1


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_checked_blocks_are_what_the_commands_print(
    page: Path, checkout: Path, environment: dict[str, str]
) -> None:
    # GIVEN a page's checked blocks, WHEN they are run one after the other
    assert blocks(page)
    for block in blocks(page):
        if block.language == "pycon":
            run_python(block, checkout)
            continue
        for command, shown in commands(block):
            done = subprocess.run(
                ["/bin/sh", "-c", command],
                cwd=checkout,
                env=environment,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                check=False,
            )
            # THEN they print what stands there
            assert masked(done.stdout) == masked(shown), f"{command}: {done.stdout}"
            assert done.returncode == 0


def run_python(block: Block, folder: Path) -> None:
    """Run an interpreter's session of the README."""
    test = doctest.DocTestParser().get_doctest(
        block.text, {}, "README.md", str(README), block.line
    )
    report: list[str] = []
    with chdir(folder):
        failed, attempted = doctest.DocTestRunner().run(test, out=report.append)
    assert attempted
    assert not failed, "".join(report)


def test_links_lead_somewhere() -> None:
    pages = [README, *(TOP / "docs").glob("*.md"), TOP / "traces" / "README.md"]
    missing = [
        f"{page.name}: {target}"
        for page in pages
        for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text())
        if not (page.parent / target).exists()
    ]
    assert missing == []
