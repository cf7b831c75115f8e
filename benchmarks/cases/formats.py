"""Text and CSV to trace files: rows a second, each format as it is found."""

from collections.abc import Callable, Iterator
from functools import partial
from typing import Final

import numpy as np

import replay
from benchmarks.cases.registry import Bench, Case
from benchmarks.measure import Result, repeat
from replay.trace.formats.options import FormatOptions

SEED: Final = 7
#: Sectors, in 4 KiB steps, at random: numbers as long as real ones.
_SECTORS: Final = 8 * np.random.default_rng(SEED).integers(0, 1 << 28, 1 << 12)
SECTORS: Final = _SECTORS.tolist()

Line = Callable[[int, int], str]


def _msr(row: int, sector: int) -> str:
    kind = "Write" if row % 3 else "Read"
    time = 128_166_372_003_061_629 + 900 * row
    return f"{time},usr,{row % 4},{kind},{512 * sector},4096,{2833 + row % 99}\n"


def _systor(row: int, sector: int) -> str:
    second, us = divmod(90 * row, 1_000_000)
    start = f"{1_455_591_804 + second}.{us:06d}000"
    return f"{start},0.006475000,{'RW'[row % 2]},{row % 6},{512 * sector},4096\n"


def _alibaba(row: int, sector: int) -> str:
    time = 1_577_808_000_000_000 + 90 * row
    return f"{row % 700},{'RW'[row % 2]},{512 * sector},4096,{time}\n"


def _tencent(row: int, sector: int) -> str:
    time = 1_538_323_200 + row // 20_000
    return f"{time},{sector},8,{row % 2},{1000 + row % 700}\n"


def _fiu(row: int, sector: int) -> str:
    pid = 2000 + row % 40
    time = 777_599_999_908_936 + 900 * row
    return f"{time} {pid} job{pid} {sector} 8 W 6 0 3f4fc2833a17fd2a3dacad7c0e8ca8ad\n"


def _csv(row: int, sector: int) -> str:
    return f"{90 * row},tenant{row % 90},{'rw'[row % 2]},{512 * sector},4096\n"


def _blkparse(row: int, sector: int) -> str:
    request, step = divmod(row, 3)
    time = 90_000 * request + 700 * step
    who = "[0]" if step == 2 else "[fio job/1]"
    return (
        f"  7,0    0 {row + 1:8d} {time // 10**9:5d}.{time % 10**9:09d} "
        f"{0 if step == 2 else 4162:5d}  {'QDC'[step]}  WS {sector} + 8 {who}\n"
    )


def _event(row: int, sector: int) -> tuple[str, str, int]:
    """Return a kernel event's name, text and time, us; a request has three."""
    request, step = divmod(row, 3)
    name = ("block_bio_queue", "block_rq_issue", "block_rq_complete")[step]
    text = (
        f"7,0 WS {sector} + 8 [fio job/1]",
        f"7,0 WS 4096 () {sector} + 8 [fio job/1]",
        f"7,0 WS () {sector} + 8 [0]",
    )[step]
    return name, text, 90 * request + step


def _seconds(us: int) -> str:
    return f"{us // 10**6}.{us % 10**6:06d}"


def _kernel(row: int, sector: int) -> str:
    name, text, time = _event(row, sector)
    who = "<idle>-0" if row % 3 == 2 else "fio-4162"
    when = _seconds(time)
    return f"{who:>16}       [{row % 2:03}] d.h1. {when:>12}: {name}: {text}\n"


def _perf(row: int, sector: int) -> str:
    name, text, time = _event(row, sector)
    who = "swapper     0" if row % 3 == 2 else "fio  4162"
    when = _seconds(6_426_101 * 10**6 + time)
    return f"{who:>22} [{row % 2:03}] {when}: {f'block:{name}: {text}':>30}\n"


def _trace_cmd(row: int, sector: int) -> str:
    name, text, time = _event(row, sector)
    who = "<idle>-0" if row % 3 == 2 else "fio-4162"
    when = _seconds(time)
    return f"{who:>16}    [{row % 2:03}] {when:>12}: {name + ':':<21} {text}\n"


def _csv_events(row: int, sector: int) -> str:
    request, step = divmod(row, 2)
    time = 90_000 * request + 60_000 * step
    return f"{time},{'SE'[step]},vda{request % 3},{'RW'[request % 2]},{sector},4096\n"


def _iosnoop(row: int, sector: int) -> str:
    start = 5_982_800 + 90e-6 * row
    return (
        f"{start:<14.6f} {start + 0.0004:<14.6f} {'tmux: server':<12.12} "
        f"{4000 + row % 40:<6} {'RW'[row % 2]:<4} 202,1    {sector:<12} 4096   "
        f"{0.4 + row % 9:8.2f}\n"
    )


def _biosnoop(row: int, sector: int) -> str:
    second, us = divmod(90 * row + 70, 1_000_000)
    return (
        f"{f'{second}.{us:06}':<11} {'tmux: server':<14.14} {4000 + row % 40:<7} "
        f"nvme0n1   {'RW'[row % 2]} {sector:<10} 4096    0.{100 + row % 99}\n"
    )


def _spc(row: int, sector: int) -> str:
    second, us = divmod(90 * row, 1_000_000)
    return f"{row % 24},{sector},4096,{'rW'[row % 2]},{second}.{us:06},0x1,tail\n"


def _thesios(row: int, sector: int) -> str:
    second, ns = divmod(90_000 * row, 10**9)
    kind = "WRITE" if row % 2 else "READ"
    return (
        f"267472823188035677,{512 * sector},bigtable,1705300000,WARM,REPLICATED,{kind},"
        f"OTHER,0,0,4096,4096,4096,{1705305600 + second}.{ns:09},0.0253,"
        f"{1705305600 + second}.{ns:09},0.0256{row % 99999:05}123\n"
    )


def _fio_lat(row: int, sector: int) -> str:
    return f"{row // 11 + 9}, {70_000 + row % 99}, {row % 2}, 4096, {512 * sector}, 0\n"


def _fio_iolog(row: int, sector: int) -> str:
    kind = "write" if row % 2 else "read"
    return f"{90 * row} /dev/nvme0n1 {kind} {512 * sector} 4096\n"


def _blkreplay(row: int, sector: int) -> str:
    second, us = divmod(90 * row, 1_000_000)
    return f"{second:6}.{us:06}000 ; {sector:12} ;    8 ; {'RW'[row % 2]} ; 0.0 ; 0.0\n"


def _disksim(row: int, sector: int) -> str:
    ms, us = divmod(90 * row, 1000)
    return f"{ms}.{us:03}000 {row % 4} {sector} 8 {row % 2}\n"


def _mqsim(row: int, sector: int) -> str:
    return f"{90_000 * row} {row % 4} {sector} 8 {row % 2}\n"


#: What stands above the rows.
HEADS: Final = {
    "biosnoop": "TIME(s)     COMM           PID     DISK      T SECTOR     BYTES   "
    "LAT(ms)\n",
    "trace-cmd": "cpus=2\n",
    "iosnoop": "STARTs         ENDs           COMM         PID    TYPE DEV      "
    "BLOCK        BYTES     LATms\n",
    "thesios": "filename,file_offset,application,c_time,io_zone,redundancy_type,"
    "op_type,service_class,from_flash_cache,cache_hit,request_io_size_bytes,"
    "disk_io_size_bytes,response_io_size_bytes,start_time,disk_time,"
    "simulated_disk_start_time,simulated_latency\n",
    "fio-iolog": "fio version 3 iolog\n0 /dev/nvme0n1 add\n",
}

LINES: Final[dict[str, Line]] = {
    "blkparse": _blkparse,
    "kernel": _kernel,
    "perf": _perf,
    "trace-cmd": _trace_cmd,
    "msr": _msr,
    "systor": _systor,
    "alibaba": _alibaba,
    "tencent": _tencent,
    "fiu": _fiu,
    "csv": _csv,
    "csv-events": _csv_events,
    "biosnoop": _biosnoop,
    "iosnoop": _iosnoop,
    "spc": _spc,
    "thesios": _thesios,
    "fio-lat": _fio_lat,
    "fio-iolog": _fio_iolog,
    "blkreplay": _blkreplay,
    "disksim": _disksim,
    "mqsim": _mqsim,
}
#: Formats of which several tools' texts are.
FORMAT_OF: Final = {
    "perf": "kernel",
    "trace-cmd": "kernel",
    "csv-events": "csv",
    "iosnoop": "biosnoop",
}
COLUMNS: Final = {
    "csv": "time=1:us,cgroup=2,op=3,offset=4:B,size=5:B",
    "csv-events": "time=1:ns,event=2:S=issue/E=complete,device=3,op=4,"
    "offset=5:sectors,size=6:B",
}
#: Rows of a request, where it is not one.
PER_REQUEST: Final = {
    **dict.fromkeys(("blkparse", "kernel", "perf", "trace-cmd"), 3),
    "csv-events": 2,
}


def _lines(line: Line, n_rows: int, per_request: int) -> Iterator[str]:
    for row in range(n_rows):
        yield line(row, SECTORS[row // per_request % len(SECTORS)])


def _convert(name: str, bench: Bench, *, text: str, threads: int) -> Result:
    source = bench.scratch / f"{text}.txt"
    with source.open("w") as file:
        file.write(HEADS.get(text, ""))
        file.writelines(_lines(LINES[text], bench.events, PER_REQUEST.get(text, 1)))
    output = bench.scratch / "converted.arrow"
    options = FormatOptions(name=FORMAT_OF.get(text, text), columns=COLUMNS.get(text))

    def work() -> None:
        replay.convert(
            source, output, overwrite=True, format=options, threads=threads
        ).close()

    spent = repeat(work, bench.repeats)
    output.unlink()
    source.unlink()
    return Result(
        case=name,
        what=f"{text} to trace file, {threads} thread{'s'[: threads - 1]}",
        unit="row",
        count=bench.events,
        spent=spent,
    )


FORMATS: list[Case] = [
    *(
        Case(name=f"format.{text}", run=partial(_convert, text=text, threads=1))
        for text in LINES
    ),
    *(
        Case(
            name=f"format.{text}-2-threads",
            run=partial(_convert, text=text, threads=2),
        )
        for text in ("blkparse", "kernel", "msr", "csv")
    ),
]
