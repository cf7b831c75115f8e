"""Debian's kernels, of the host's own suite or of another that its mirror has.

Lists of another suite are kept apart from the host's. A package index may name what its
pool has no more: the newest that is still to be had is taken.
"""

import os
import re
import subprocess
from pathlib import Path
from typing import Final

#: The suite that has a release, and its packages by name; what is one package up to
#: 6.12 is two from 7.3 on.
SUITES: Final = {
    "5.10": ("bullseye", (r"linux-image-5\.10\.0-\d+-cloud-amd64-unsigned",)),
    "6.1": ("bookworm", (r"linux-image-6\.1\.0-\d+-cloud-amd64",)),
    "6.12": ("trixie", (r"linux-image-6\.12\.\d+\+deb13-cloud-amd64",)),
    "7.3": (
        "trixie-backports",
        (
            r"linux-binary-7\.3\.[\d.]+\+deb13-cloud-amd64",
            r"linux-modules-7\.3\.[\d.]+\+deb13-cloud-amd64",
        ),
    ),
}
KEYRING: Final = "/usr/share/keyrings/debian-archive-keyring.gpg"
#: Debian's mirror in a line of apt's sources, of either form.
MIRROR: Final = re.compile(r"^[^#\n]*?(https?://\S+/debian)/?(?=\s|$)", re.MULTILINE)
#: What Debian's shell may lack in its PATH.
SBIN: Final = f"{os.environ.get('PATH', os.defpath)}:/usr/local/sbin:/usr/sbin:/sbin"


def run(*command: str | Path, cwd: Path | None = None) -> str:
    """Run a program; return what it prints.

    Raises
    ------
    RuntimeError
        It failed; with what it said.
    """
    done = subprocess.run(
        [str(word) for word in command],
        cwd=cwd,
        check=False,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        env={**os.environ, "PATH": SBIN, "DEBIAN_FRONTEND": "noninteractive"},
    )
    if done.returncode:
        raise RuntimeError(f"{command}: {done.stderr or done.stdout}")
    return done.stdout


def mirror_of(sources: str) -> str:
    """Return Debian's mirror that apt's sources name.

    Raises
    ------
    RuntimeError
        They name none.
    """
    found = MIRROR.search(sources)
    if found is None:
        raise RuntimeError("apt's sources name no mirror of Debian")
    return found[1]


def newest_first(names: list[str]) -> list[str]:
    """Sort packages by the numbers in their names."""
    return sorted(
        names, key=lambda name: [int(n) for n in re.findall(r"\d+", name)], reverse=True
    )


def unpack_kernel(directory: Path, release: str) -> Path:
    """Download and unpack the newest cloud kernel of a release, once.

    Parameters
    ----------
    directory : Path
        Gets ``kernel``; what lies there already is taken.
    release : str
        ``6.12``.

    Returns
    -------
    Path
        Where it was unpacked.

    Raises
    ------
    RuntimeError
        No package index has one.
    """
    unpacked = directory / "kernel"
    if unpacked.is_dir():
        return unpacked
    directory.mkdir(parents=True, exist_ok=True)
    pattern = re.compile(rf"linux-image-{re.escape(release)}\.[0-9].*-cloud-amd64")
    names = run("apt-cache", "pkgnames", f"linux-image-{release}.").split()
    found = newest_first([name for name in names if pattern.fullmatch(name)])
    if found:
        run("apt-get", "download", found[0], cwd=directory)
    elif release in SUITES:
        _download_of_suite(directory, *SUITES[release])
    else:
        raise RuntimeError(f"the package index has no cloud kernel of {release}")
    part = directory / "kernel.part"
    for package in directory.glob("linux-*.deb"):
        run("dpkg-deb", "-x", package, part)
        package.unlink()
    part.rename(unpacked)
    return unpacked


def _download_of_suite(directory: Path, suite: str, patterns: tuple[str, ...]) -> None:
    """Download packages of a suite that the host does not use."""
    files = [Path("/etc/apt/sources.list"), *Path("/etc/apt/sources.list.d").glob("*")]
    said = "\n".join(file.read_text("utf-8") for file in files if file.is_file())
    options = _lists_of(directory / "apt", suite, mirror_of(said))
    listed = run("apt-cache", *options, "pkgnames", "linux-").split()
    for pattern in patterns:
        names = [name for name in listed if re.fullmatch(pattern, name)]
        for name in newest_first(names):
            try:
                run("apt-get", *options, "-qq", "download", name, cwd=directory)
            except RuntimeError:
                continue
            break
        else:
            raise RuntimeError(f"{suite} has no {pattern}")


def _lists_of(place: Path, suite: str, mirror: str) -> list[str]:
    """Fetch a suite's lists into a place of their own; return apt's options."""
    for name in ("lists/partial", "archives/partial"):
        (place / name).mkdir(parents=True, exist_ok=True)
    lines = [f"deb [signed-by={KEYRING}] {mirror} {suite} main"]
    if not suite.endswith("-backports"):
        lines.append(
            f"deb [signed-by={KEYRING}] {mirror}-security {suite}-security main"
        )
    (place / "sources.list").write_text("\n".join([*lines, ""]))
    settings = {
        "Dir::Etc::sourcelist": place / "sources.list",
        "Dir::Etc::sourceparts": "-",
        "Dir::State::lists": place / "lists",
        "Dir::Cache::archives": place / "archives",
        "Dir::Cache::pkgcache": "",
        "Dir::Cache::srcpkgcache": "",
        "APT::Get::List-Cleanup": "0",
    }
    options = [
        word for name, value in settings.items() for word in ("-o", f"{name}={value}")
    ]
    try:
        run("apt-get", *options, "-qq", "update")
    except RuntimeError as error:
        # of a suite without security updates any more the rest is there
        if not any((place / "lists").glob("*_Packages*")):
            raise RuntimeError(f"{suite}: no list of packages: {error}") from None
    return options
