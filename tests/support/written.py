"""The same requests written in each format that `replay` reads by name."""

import random
import struct
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from support.blktrace import Event, cpu_files

SECTOR: Final = 512


@dataclass(frozen=True, slots=True)
class Request:
    """What someone asked a volume for."""

    time_us: int
    read: bool
    sector: int
    n_sectors: int
    volume: int
    response_us: int

    @property
    def span(self) -> tuple[int, int]:
        """Its offset and size in bytes."""
        return self.sector * SECTOR, self.n_sectors * SECTOR


def requests(n: int = 300, seed: int = 1) -> list[Request]:
    """Make requests of three volumes over some seconds, of any times and sizes."""
    rng = random.Random(seed)
    found, time_us = [], 0
    for row in range(n):
        found.append(
            Request(
                time_us=time_us,
                read=rng.random() < 0.5,
                # none is asked for twice, so that events are no matter of order
                sector=8 * (row + n * rng.randrange(1 << 20)),
                n_sectors=8 * rng.choice((1, 2, 32, 128)),
                volume=rng.randrange(3),
                response_us=rng.randrange(50, 900),
            )
        )
        time_us += rng.randrange(1000, 20_000)
    return found


def _letter(one: Request) -> str:
    return "R" if one.read else "W"


def _word(one: Request) -> str:
    return "read" if one.read else "write"


def _msr(one: Request) -> str:
    offset, size = one.span
    ticks = 128166372003061629 + one.time_us * 10
    what = _word(one).capitalize()
    return f"{ticks},vol{one.volume},0,{what},{offset},{size},{one.response_us * 10}"


def _alibaba(one: Request) -> str:
    offset, size = one.span
    time_us = 1577808000000000 + one.time_us
    return f"{one.volume},{_letter(one)},{offset},{size},{time_us}"


def _tencent(one: Request) -> str:
    second = 1538323200 + one.time_us // 1_000_000
    return f"{second},{one.sector},{one.n_sectors},{int(not one.read)},{one.volume}"


def _systor(one: Request) -> str:
    offset, size = one.span
    second, us = divmod(one.time_us, 1_000_000)
    start = f"{1455591804 + second}.{us:06}000"
    response = f"0.{one.response_us:06}000"
    return f"{start},{response},{_letter(one)},{one.volume},{offset},{size}"


def _fiu(one: Request) -> str:
    time_ns = 777599999000000 + one.time_us * 1000
    place = f"{one.sector} {one.n_sectors} {_letter(one)}"
    digest = f"{one.sector:032x}"
    return f"{time_ns} {2000 + one.volume} vol{one.volume} {place} 8 0 {digest}"


def _disksim(one: Request) -> str:
    ms, us = divmod(one.time_us, 1000)
    place = f"{one.sector} {one.n_sectors} {int(one.read)}"
    return f"{ms}.{us:03}000 {one.volume} {place}"


def _mqsim(one: Request) -> str:
    place = f"{one.sector} {one.n_sectors} {int(one.read)}"
    return f"{one.time_us * 1000} {one.volume} {place}"


def _blkreplay(one: Request) -> str:
    second, us = divmod(one.time_us, 1_000_000)
    place = f"{one.sector:12} ; {one.n_sectors:4} ; {_letter(one)}"
    return f"{second:6}.{us:06}000 ; {place} ; 0.0 ; 0.0"


def _fio(one: Request) -> str:
    offset, size = one.span
    return f"{one.time_us} /vol{one.volume} {_word(one)} {offset} {size}"


def _lines(
    line: Callable[[Request], str], head: str = ""
) -> Callable[[Sequence[Request]], bytes]:
    def write(rows: Sequence[Request]) -> bytes:
        return (head + "".join(f"{line(one)}\n" for one in rows)).encode()

    return write


def _vscsi(rows: Sequence[Request]) -> bytes:
    return b"".join(
        struct.pack(
            "<HHIIIQQQ",
            0x28 if one.read else 0x2A,
            2 << 8,
            number,
            one.span[1],
            1,
            one.sector,
            5_633_898_368_802 + one.time_us,
            one.response_us,
        )
        for number, one in enumerate(rows)
    )


def _events(rows: Sequence[Request]) -> Iterator[tuple[int, str, Request]]:
    """Each request's queueing, issue and completion, by time."""
    found = [
        (1000 * time_us, letter, one)
        for one in rows
        for letter, time_us in (
            ("Q", one.time_us),
            ("D", one.time_us),
            ("C", one.time_us + one.response_us),
        )
    ]
    order = {"C": 0, "Q": 1, "D": 2}
    yield from sorted(found, key=lambda event: (event[0], order[event[1]]))


def _blktrace(rows: Sequence[Request]) -> bytes:
    events = [
        Event(
            letter,
            1000 + time_ns,
            sector=one.sector,
            nbytes=one.span[1],
            op=_word(one),
            device=8 << 20 | one.volume,
        )
        for time_ns, letter, one in _events(rows)
    ]
    return b"".join(cpu_files(events))


def _blkparse(rows: Sequence[Request]) -> bytes:
    lines = []
    for number, (time_ns, letter, one) in enumerate(_events(rows), 1):
        when = f"{time_ns // 10**9:5}.{time_ns % 10**9:09}"
        # a completion has its error there, and no process
        end = "[0]" if letter == "C" else "[a]"
        what = f"{letter:>2} {_letter(one):>3} {one.sector} + {one.n_sectors} {end}"
        lines.append(f"  8,{one.volume:<4} 1 {number:8} {when}   697 {what}\n")
    return "".join(lines).encode()


def _kernel(rows: Sequence[Request]) -> bytes:
    lines = []
    for time_ns, letter, one in _events(rows):
        when = f"{7 + time_ns // 10**9}.{time_ns % 10**9 // 1000:06}"
        disk, place = (
            f"8,{one.volume} {_letter(one)}",
            f"{one.sector} + {one.n_sectors}",
        )
        text = {
            "Q": f"block_bio_queue: {disk} {place} [a b]",
            "D": f"block_rq_issue: {disk} {one.span[1]} () {place} be,0,4 [a b]",
            "C": f"block_rq_complete: {disk} () {place} be,0,4 [0]",
        }[letter]
        lines.append(f"{'a b-697':>22} [001] d..2. {when}: {text}\n")
    return "".join(lines).encode()


def _done_s(one: Request) -> str:
    second, us = divmod(one.time_us + one.response_us, 1_000_000)
    return f"{second}.{us:06}"


def _spc(one: Request) -> str:
    second, us = divmod(one.time_us, 1_000_000)
    more = ",0x12,x" if one.volume else ""
    return (
        f"{one.volume},{one.sector},{one.span[1]},{_letter(one)},{second}.{us:06}{more}"
    )


def _biosnoop(one: Request) -> str:
    ms, us = divmod(one.response_us, 1000)
    return (
        f"{_done_s(one):<11} {'tmux: server':<14} 697 sd{one.volume + 1}x "
        f"{_letter(one)}S {one.sector} {one.span[1]} {ms}.{us:03}"
    )


def _thesios(one: Request) -> str:
    second, us = divmod(one.time_us, 1_000_000)
    offset, size = one.span
    start = f"{1705305600 + second}.{us:06}"
    what = _word(one).upper()
    return (
        f"77,{offset},app{one.volume},{what},{size},{size},{start},"
        f"{one.response_us / 1e6!r}"
    )


def _fio_lat(one: Request) -> str:
    offset, size = one.span
    ms, us = divmod(one.time_us + one.response_us, 1000)
    latency = 1000 * one.response_us
    return f"{ms}.{us:03}, {latency}, {int(not one.read)}, {size}, {offset}, 0"


_BIOSNOOP_HEAD = "TIME(s) COMM PID DISK T SECTOR BYTES LAT(ms)\n"
_THESIOS_HEAD = (
    "filename,file_offset,application,op_type,request_io_size_bytes,"
    "disk_io_size_bytes,start_time,simulated_latency\n"
)
_SYSTOR_HEAD = "Timestamp,Response,IOType,LUN,Offset,Size\n"
_FIO_HEAD = "fio version 3 iolog\n" + "".join(f"0 /vol{n} add\n" for n in range(3))
_BLKREPLAY_HEAD = "start ; sector; length ; op ;  replay_delay=0 ; replay_duration=0\n"
#: By format, all but csv, whose columns the user names.
WRITERS: Final[dict[str, Callable[[Sequence[Request]], bytes]]] = {
    "blktrace": _blktrace,
    "blkparse": _blkparse,
    "kernel": _kernel,
    "spc": _lines(_spc),
    "thesios": _lines(_thesios, _THESIOS_HEAD),
    "biosnoop": _lines(_biosnoop, _BIOSNOOP_HEAD),
    "fio-lat": _lines(_fio_lat),
    "msr": _lines(_msr),
    "alibaba": _lines(_alibaba),
    "tencent": _lines(_tencent),
    "systor": _lines(_systor, _SYSTOR_HEAD),
    "fiu": _lines(_fiu),
    "vscsi": _vscsi,
    "disksim": _lines(_disksim),
    "mqsim": _lines(_mqsim),
    "blkreplay": _lines(_blkreplay, _BLKREPLAY_HEAD),
    "fio-iolog": _lines(_fio, _FIO_HEAD),
}
#: Formats that their content does not tell: they must be named.
UNTOLD: Final = ("tencent", "disksim", "mqsim")
#: Formats that say when a request was done.
ANSWERED: Final = (
    *("blktrace", "blkparse", "kernel", "msr", "systor", "vscsi"),
    *("thesios", "biosnoop", "fio-lat"),
)
