"""A virtual machine with a Debian kernel, in which `replay` itself runs as root.

Emulated in software, so that it runs wherever qemu does; a boot and a script take half
a minute. The kernel and a minimal initrd start from what the host has: busybox, the
programs and the Python that runs the tests, on an ext4 image that is the guest's root.
"""

import faulthandler
import gzip
import importlib.util
import lzma
import os
import platform
import re
import shutil
import subprocess
import sys
import sysconfig
import tarfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from lab.debian_kernels import SBIN, run, unpack_kernel

TOP: Final = Path(__file__).parents[2]
PACKAGES: Final = (
    "qemu-system-x86",
    "busybox-static",
    "blktrace",
    "fio",
    "cpio",
    "kmod",
    "e2fsprogs",
)
MODULES: Final = ("virtio_pci", "virtio_blk", "loop", "ext4", "bfq", "null_blk")
PROGRAMS: Final = ("blktrace", "fio", "mkfs.ext4", "losetup", "blkdiscard")
#: Other tracers, taken along where the host has them.
TRACERS: Final = ("bpftrace", "perf", "trace-cmd")
UNUSED: Final = ("test", "tests", "idlelib", "tkinter", "site-packages", "ensurepip")
#: What `replay` imports, and what of it the guest needs not.
LIBRARIES: Final = ("click", "msgspec", "numpy", "pyarrow")
UNUSED_OF_LIBRARIES: Final = (
    *("__pycache__", "tests", "include", "includes", "src", "f2py", "distutils"),
    *("*.pyx", "*.pxi", "*.pxd", "*.pyi", "*.h", "*flight*", "*_cpp_tests*"),
)

INIT: Final = """\
#!/bin/sh
export PATH=/bin
mount -t proc proc /proc; mount -t devtmpfs dev /dev
while read -r module; do insmod "/modules/$module"; done < /modules/order
mount -t ext4 -o ro /dev/vda /guest
umount /proc; mount --move /dev /guest/dev
exec switch_root /guest /bin/sh /start
"""
START: Final = """\
export PATH=/bin:/usr/bin
mount -t proc proc /proc; mount -t sysfs sys /sys
mkdir -p /dev/shm; mount -t tmpfs tmpfs /dev/shm; mount -t tmpfs tmpfs /tmp
mount -t tmpfs tmpfs /run
mount -t tmpfs tmpfs /mnt; mkdir /tmp/out
mount -t debugfs debugfs /sys/kernel/debug
mount -t tracefs tracefs /sys/kernel/tracing
mount -t cgroup2 none /sys/fs/cgroup
echo "+memory +io" > /sys/fs/cgroup/cgroup.subtree_control
# the script ends at the first null byte of its disk
tr -d '\\0' < /dev/vdd > /tmp/script
cd /tmp/out
uname -r > kernel
sh -c '. /functions; . /tmp/script' > log 2>&1
dmesg > dmesg
tar cf /dev/vdb -C /tmp/out .
sync
poweroff -f
"""
#: A shell lets what it begins in the background ignore SIGINT, as no terminal does.
REPLAY: Final = """\
#!/bin/sh
export PYTHONPATH=/replay
exec {python} -c 'import signal
signal.signal(signal.SIGINT, signal.default_int_handler)
from replay.cli.main import main; main()' "$@"
"""
FUNCTIONS: Final = """\
CG=/sys/fs/cgroup
in_cgroup() { group=$1; shift; sh -c "echo \\$\\$ > $CG/$group/cgroup.procs; exec $*"; }
tmpfs_loop() { # SIZE: /dev/loop0 over a sparse file on tmpfs
  mkdir -p /mnt/t; mount -t tmpfs -o size=$1 tmpfs /mnt/t; truncate -s $1 /mnt/t/backing
  /usr/bin/losetup /dev/loop0 /mnt/t/backing
}
disk_loop() { # MIB: /dev/loop1 over a written file on /dev/vdc, in direct I/O mode
  mkfs.ext4 -q -F /dev/vdc; mkdir -p /mnt/e; mount /dev/vdc /mnt/e
  dd if=/dev/zero of=/mnt/e/backing bs=1M count=$1; sync
  /usr/bin/losetup --direct-io=on /dev/loop1 /mnt/e/backing
}
"""


def why_not() -> str | None:
    """Say why there can be no virtual machine here; None if there can."""
    if os.environ.get("REPLAY_LAB") != "1":
        return "takes minutes and installs packages: REPLAY_LAB=1 as root runs it"
    if os.geteuid() != 0:
        return "REPLAY_LAB=1: needs root, to install packages"
    if platform.machine() != "x86_64" or shutil.which("apt-get") is None:
        return "REPLAY_LAB=1: needs Debian's packages on x86-64"
    return None


def which(program: str) -> Path | None:
    found = shutil.which(program, path=SBIN)
    return None if found is None else Path(found).resolve()


@dataclass(frozen=True)
class VirtualMachine:
    """Boots once for each script."""

    kernel: Path
    initrd: Path
    root: Path

    @classmethod
    def build(cls, directory: Path, *, kernel: str = "6.1") -> "VirtualMachine":
        """Install what is missing, unpack the kernel, make initrd and root image.

        The kernel is the newest of a release that the package index has, else of a
        suite that has it (`lab.debian_kernels`); of any other release, what somebody
        unpacked in ``build/lab/RELEASE/kernel``.
        """
        wanted = ("qemu-system-x86_64", "busybox", "cpio", "modprobe", *PROGRAMS)
        if any(which(program) is None for program in wanted):
            run("apt-get", "install", "-y", "--no-install-recommends", *PACKAGES)
        unpacked = unpack_kernel(TOP / "build" / "lab" / kernel, kernel)
        (image,) = {path.resolve() for path in unpacked.rglob("vmlinuz*")}
        initrd = _initrd(unpacked, directory)
        return cls(image, initrd, _root(directory))

    def run(
        self, script: str, output: Path, *, seconds: int = 300, icount: bool = False
    ) -> str:
        """Run a shell script in the guest.

        It runs in a directory that becomes `output`; what it prints is returned. With
        `icount` it has one processor, whose clock counts instructions: times are what
        the guest's timers say, whatever else the host does.
        """
        # `seconds` is the bound: pytest's would leave the machine running
        faulthandler.cancel_dump_traceback_later()
        work = output.with_name(f"{output.name}.work")
        work.mkdir()
        out, disk, text = work / "out", work / "disk", work / "script"
        text.write_text(script)
        for image, size in ((out, 256 << 20), (disk, 1 << 30)):
            with image.open("wb") as file:
                file.truncate(size)
        with text.open("rb+") as file:
            file.truncate(64 << 10)
        command = [
            "qemu-system-x86_64",
            "-machine",
            "q35",
            "-accel",
            "tcg,thread=single" if icount else "tcg,thread=multi",
        ]
        if icount:
            command += ["-icount", "shift=0,sleep=off"]
        command += ["-cpu", "max", "-smp", "1" if icount else "2"]
        command += ["-m", "1500", "-nographic"]
        command += ["-no-reboot", "-net", "none", "-kernel", str(self.kernel)]
        command += ["-initrd", str(self.initrd)]
        command += ["-append", "console=ttyS0 quiet panic=-1"]
        for image, more in (
            (self.root, ",readonly=on"),
            (out, ""),
            (disk, ",cache=unsafe"),
            (text, ",readonly=on"),
        ):
            command += ["-drive", f"file={image},format=raw,if=virtio{more}"]
        with (work / "console").open("wb") as console:
            subprocess.run(
                command,
                check=False,
                stdin=subprocess.DEVNULL,
                stdout=console,
                stderr=subprocess.STDOUT,
                timeout=seconds,
            )
        output.mkdir()
        try:
            with tarfile.open(out) as archive:
                archive.extractall(output, filter="tar")
        except tarfile.ReadError:
            said = (work / "console").read_text("utf-8", "replace")
            raise RuntimeError(f"the guest gave nothing back:\n{said}") from None
        shutil.rmtree(work)
        return (output / "log").read_text("utf-8", "replace")


def _initrd(unpacked: Path, directory: Path) -> Path:
    tree = directory / "initrd"
    for name in ("bin", "dev", "proc", "guest", "modules"):
        (tree / name).mkdir(parents=True)
    _busybox(tree / "bin")
    (release,) = {path.parent.name for path in unpacked.rglob("modules/*/kernel")}
    if not (unpacked / "lib").exists():
        # packages of merged /usr
        (unpacked / "lib").symlink_to("usr/lib")
    run("depmod", "-b", unpacked, release)
    order: dict[str, None] = {}
    for module in MODULES:
        try:
            shown = run(
                *("modprobe", "-d", unpacked, "-S", release, "--show-depends", module)
            )
        except RuntimeError:
            # built in, or not in this kernel
            continue
        for line in shown.splitlines():
            if line.startswith("insmod"):
                path = Path(line.split()[1])
                name = path.name.removesuffix(".xz")
                content = path.read_bytes()
                order[name] = None
                if name != path.name:
                    content = lzma.decompress(content)
                (tree / "modules" / name).write_bytes(content)
    (tree / "modules" / "order").write_text("".join(f"{name}\n" for name in order))
    (tree / "init").write_text(INIT)
    (tree / "init").chmod(0o755)
    names = "\n".join(str(path.relative_to(tree)) for path in sorted(tree.rglob("*")))
    packed = subprocess.run(
        ["cpio", "-o", "-H", "newc"],
        cwd=tree,
        check=True,
        input=names.encode(),
        capture_output=True,
    ).stdout
    initrd = directory / "initrd.gz"
    initrd.write_bytes(gzip.compress(packed, 1))
    return initrd


def _root(directory: Path) -> Path:
    """Make the guest's root: programs, Python, and the package as it is."""
    tree = directory / "root"
    mounts = ("dev", "proc", "sys", "tmp", "mnt", "run", "bin", "usr/bin")
    for name in (*mounts, "replay", "etc"):
        (tree / name).mkdir(parents=True)
    _busybox(tree / "bin", but=PROGRAMS)
    python = Path(os.path.realpath(sys.executable))
    programs = [path for name in PROGRAMS if (path := which(name)) is not None]
    programs += [path for name in TRACERS if (path := which(name)) is not None]
    for program in programs:
        shutil.copy(program, tree / "usr" / "bin" / program.name)
    # one program, several names
    shutil.copy(which("mkfs.ext4") or "", tree / "usr" / "bin" / "mkfs.ext4")
    _copy(python, tree)
    library = Path(sysconfig.get_path("stdlib"))
    ignore = shutil.ignore_patterns(*UNUSED, "*.a", "config-*")
    shutil.copytree(library, _inside(library, tree), ignore=ignore)
    ignore = shutil.ignore_patterns("*.pyx", "*.c", "__pycache__")
    shutil.copytree(TOP / "src" / "replay", tree / "replay" / "replay", ignore=ignore)
    ignore = shutil.ignore_patterns(*UNUSED_OF_LIBRARIES)
    packages = _packages()
    for package in packages:
        shutil.copytree(package, tree / "replay" / package.name, ignore=ignore)
    modules = list((library / "lib-dynload").glob("*.so"))
    modules += (tree / "replay").rglob("*.so*")
    for needed in _libraries([*programs, python, *modules]):
        if not needed.is_relative_to(tree):
            _copy(needed, tree)
    (tree / "functions").write_text(FUNCTIONS)
    (tree / "start").write_text(START)
    replay = tree / "usr" / "bin" / "replay"
    replay.write_text(REPLAY.format(python=python))
    replay.chmod(0o755)
    image = directory / "root.img"
    run("mkfs.ext4", "-q", "-d", tree, image, "1G")
    shutil.rmtree(tree)
    return image


def _packages() -> list[Path]:
    """Find the directories of the libraries, those of their own libraries included."""
    found = []
    for name in LIBRARIES:
        spec = importlib.util.find_spec(name)
        assert spec is not None
        assert spec.origin is not None
        package = Path(spec.origin).parent
        libraries = package.with_name(f"{name}.libs")
        found += [package, *([libraries] if libraries.is_dir() else [])]
    return found


def _busybox(directory: Path, but: Sequence[str] = ()) -> None:
    busybox = which("busybox")
    assert busybox is not None
    shutil.copy(busybox, directory / "busybox")
    for name in run(busybox, "--list").split():
        if name not in ("busybox", *but):
            (directory / name).symlink_to("busybox")


def _libraries(programs: Iterable[Path]) -> list[Path]:
    found: dict[str, None] = {}
    for program in programs:
        done = subprocess.run(
            ["ldd", program], check=False, capture_output=True, text=True
        )
        found |= dict.fromkeys(re.findall(r"(/\S+) \(0x", done.stdout))
    return [Path(name) for name in found]


def _inside(path: Path, tree: Path) -> Path:
    return tree / path.relative_to("/")


def _copy(path: Path, tree: Path) -> None:
    place = _inside(path, tree)
    place.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(path, place)
