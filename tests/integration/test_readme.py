"""The README's examples give what the README says."""

import re
from pathlib import Path

import pytest

from documents.pages import (
    TOP,
    blocks,
    commands,
    environment,
    run_command,
    run_commands,
    run_python,
)

README = TOP / "README.md"
#: Commands of the index, by question, that replay a recording of the checkout.
QUESTIONS = [
    re.findall(r"`(replay [a-z][^`]+)`", line)
    for line in (TOP / "docs" / "index.md").read_text().splitlines()
    if "`replay" in line and "traces/" in line
]
#: Pages whose checked blocks are run.
PAGES = (
    README,
    *(
        TOP / "docs" / f"{name}.md"
        for name in ("compare", "sweep", "curve", "calibrate", "disk", "thread")
    ),
)


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A directory with what the README's commands find in a checkout."""
    (tmp_path / "traces").symlink_to(TOP / "traces")
    return tmp_path


def test_readme_shows_the_pair_and_the_wait() -> None:
    # GIVEN a mark that nobody reads, WHEN it is mistyped, the tests below test nothing
    found = blocks(README)
    shown = [
        command for b in found if b.language == "console" for command in commands(b)
    ]
    told = " ".join(command for command, _ in shown)
    assert "traces/seed-unlimited" in told
    assert "driver.policy=root" in told
    assert "traces/workers-per-cgroup" in told
    assert all(output for _, output in shown)
    assert [b.language for b in found].count("pycon") >= 1


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_checked_blocks_are_what_the_commands_print(
    page: Path, checkout: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    # GIVEN a page's checked blocks, WHEN they are run one after the other
    assert blocks(page)
    commands_found = environment(tmp_path_factory.mktemp("bin"))
    for block in blocks(page):
        # THEN they print what stands there
        if block.language == "pycon":
            run_python(block, page, checkout)
        else:
            run_commands(block, checkout, commands_found)


@pytest.mark.parametrize("asked", QUESTIONS, ids=range(len(QUESTIONS)))
def test_each_question_of_the_index_is_answered(
    asked: list[str], checkout: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    found = environment(tmp_path_factory.mktemp("bin"))
    for command in asked:
        # WHEN the commands beside a question are run one after the other
        done = run_command(command, checkout, found)
        # THEN they answer, and the page is there; what got worse is an answer, too
        assert done.returncode == (3 if "--fail-if" in command else 0), done.stdout
        assert done.stdout
        page = re.search(r"--report (\S+)", command)
        assert page is None or (checkout / page[1]).stat().st_size > 100_000


def test_links_lead_somewhere() -> None:
    pages = [README, *(TOP / "docs").glob("*.md"), TOP / "traces" / "README.md"]
    missing = [
        f"{page.name}: {target}"
        for page in pages
        for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text())
        if not (page.parent / target).exists()
    ]
    assert missing == []
