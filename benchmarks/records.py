"""Generated requests as blktrace v7 records, in one file for each device and CPU.

A record is six words of 64 bits and at most one more, little-endian::

    0  magic 32 | sequence 32        4  pid 32 | device 32
    1  time, ns                      5  CPU 32 | error 16 | payload bytes 16
    2  sector, 512 B                 6  cgroup id, or the count of a U
    3  bytes 32 | action 32

Source: include/uapi/linux/blktrace_api.h, v6.12.
"""

from contextlib import ExitStack
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from benchmarks.lanes import Q2, G, I, Int64s, M, P, Q, Requests, U
from benchmarks.shape import Shape, device_of, process_name, process_pid
from replay.common.closing import Closing
from replay.trace.file.schema import OP_CODES

Words = NDArray[np.uint64]

MAGIC: Final = 0x65617407
N_WORDS: Final = 7
HEADER_WORDS: Final = 6
ID_BIT: Final = 1 << 8
TIME_BITS: Final = 48

#: Letter of an action's low byte, and its category bit.
LETTERS: Final = {"Q": 1, "M": 2, "G": 4, "D": 7, "C": 8, "P": 9, "U": 10, "I": 12}
READ, WRITE, SYNC, QUEUE, ISSUE, COMPLETE, FS = 1, 2, 8, 16, 64, 128, 256
NOTIFY, DISCARD = 1 << 10, 1 << 13
CATEGORIES: Final = {"D": ISSUE | FS, "C": COMPLETE | FS, "I": QUEUE | FS}
NOTE_PROCESS, NOTE_TIMESTAMP = 0, 1

#: Wall clock of the timestamp note, s since the epoch.
WALL_CLOCK_S: Final = 1_700_000_000


class RecordFiles(Closing):
    """The per-CPU files of a trace, open for writing.

    Parameters
    ----------
    directory : Path
        Exists; gets ``loop0.blktrace.0`` and so on.
    shape : Shape
    start_ns : int
        Time of the first event; the notes lie before it.

    Attributes
    ----------
    events : dict of str to int
        Records written, by letter.
    notes : int
        Notes written, the timestamps included.
    """

    def __init__(self, directory: Path, shape: Shape, start_ns: int) -> None:
        self._shape = shape
        self._stack = ExitStack()
        self._files = [
            self._stack.enter_context((directory / name).open("wb"))
            for name in (
                f"loop{device}.blktrace.{cpu}"
                for device in range(shape.devices)
                for cpu in range(shape.cpus)
            )
        ]
        self._sequence = [0] * len(self._files)
        self._held: Words = np.empty((0, N_WORDS), np.uint64)
        self.events = dict.fromkeys(LETTERS, 0)
        self.notes = 0
        self._write_notes(start_ns)

    def close(self) -> None:
        """Close the files."""
        self._stack.close()

    def _write_notes(self, start_ns: int) -> None:
        """Write the wall clock of each device and the name of each process."""
        shape = self._shape
        for device in range(shape.devices):
            wall = WALL_CLOCK_S.to_bytes(4, "little") + bytes(4)
            note = _note(NOTE_TIMESTAMP, start_ns - 2, 0, device, wall)
            self._files[device * shape.cpus].write(note)
        for process in range(shape.n_processes):
            cgroup = process % shape.cgroups
            device = (process // shape.cgroups + cgroup) % shape.devices
            name = process_name(process).encode().ljust(16, b"\0")
            note = _note(NOTE_PROCESS, start_ns - 1, process_pid(process), device, name)
            self._files[device * shape.cpus].write(note)
        self.notes = shape.devices + shape.n_processes

    def append(self, requests: Requests, watermark: int) -> None:
        """Write what lies before a time of these requests and those held back.

        Parameters
        ----------
        requests : Requests
        watermark : int
            No later chunk has an event before it, ns.
        """
        words = np.concatenate([self._held, self._events(requests)])
        time = words[:, 1].view(np.int64)
        ready = time < watermark
        self._held = words[~ready]
        words = words[ready]
        if not len(words):
            return
        cpu = (words[:, 5] & np.uint64(0xFFFFFFFF)).view(np.int64)
        device = (words[:, 4] >> np.uint64(32)).view(np.int64) - device_of(0)
        file = device * self._shape.cpus + cpu
        time = words[:, 1].view(np.int64)
        key = file << TIME_BITS | time - time.min()
        order = np.argsort(key)
        words = words[order]
        ends = np.searchsorted(file[order], np.arange(len(self._files)), side="right")
        first = 0
        for number, end in enumerate(ends.tolist()):
            self._write(number, words[first:end])
            first = end

    def _write(self, file: int, words: Words) -> None:
        n = len(words)
        sequence = self._sequence[file] + 1 + np.arange(n, dtype=np.uint64)
        words[:, 0] = np.uint64(MAGIC) | sequence << np.uint64(32)
        self._sequence[file] += n
        payload_words = words[:, 5] >> np.uint64(51)
        kept = np.arange(N_WORDS) < HEADER_WORDS + payload_words[:, None]
        self._files[file].write(words[kept].astype("<u8", copy=False).data)

    def _events(self, requests: Requests) -> Words:
        """Lay out every record of these requests, in no order."""
        r = requests
        op = np.full(len(r), READ, np.int64)
        op[r.op != OP_CODES["read"]] = WRITE
        op[r.op == OP_CODES["discard"]] |= DISCARD
        op[r.sync] |= SYNC
        identity = r.pids | r.devices << 32
        cgroup = r.cgroup_ids if self._shape.tagged else None
        merged, plugged = np.flatnonzero(r.merged), np.flatnonzero(r.plugged)
        count = np.array([1], ">u8").view("<i8")  # big-endian in the file
        n_records = 5 * len(r) + 2 * len(merged) + 2 * len(plugged)
        words = np.empty((n_records, N_WORDS), np.uint64)
        signed = words.view(np.int64)
        filled = 0

        def add(
            letter: str,
            time: Int64s,
            which: Int64s | slice = slice(None),
            *,
            sector: Int64s | int = 0,
            nbytes: Int64s | int = 0,
            extra: Int64s | None = None,
            tag: bool = False,
        ) -> None:
            nonlocal filled
            n = len(time)
            rows = signed[filled : filled + n]
            filled += n
            self.events[letter] += n
            category: Int64s | int = CATEGORIES.get(letter, QUEUE)
            # a plug is no I/O: no operation
            category = category | (READ if letter in "PU" else op[which])
            action = LETTERS[letter] | category << 16 | (ID_BIT if tag else 0)
            cpu = r.done_cpu if letter == "C" else r.cpu
            rows[:, 1] = time
            rows[:, 2] = sector
            rows[:, 3] = nbytes | action << 32
            # nobody's process is running when a completion comes in
            rows[:, 4] = identity[which] if letter != "C" else r.devices << 32
            rows[:, 5] = cpu[which] | (0 if extra is None else 8 << 48)
            rows[:, 6] = 0 if extra is None else extra

        def add_io(
            letter: str,
            time: Int64s,
            which: Int64s | slice,
            sector: Int64s,
            nbytes: Int64s,
        ) -> None:
            extra = None if cgroup is None else cgroup[which]
            tag = cgroup is not None
            add(
                letter, time, which,
                sector=sector, nbytes=nbytes, extra=extra, tag=tag,
            )  # fmt: skip

        def at(step: int, which: Int64s | slice) -> Int64s:
            return r.queue_ns[which] + step * r.step_ns

        every = slice(None)
        add_io("Q", r.queue_ns, every, r.sector, r.bio_bytes)
        add_io("G", at(G, every), every, r.sector, r.bio_bytes)
        second = r.sector[merged] + r.bio_bytes[merged] // 512
        add_io("Q", at(Q2, merged), merged, second, r.bio_bytes[merged])
        add_io("M", at(M, merged), merged, second, r.bio_bytes[merged])
        add("P", at(P, plugged), plugged)
        add_io("I", at(I, every), every, r.sector, r.nbytes)
        add("U", at(U, plugged), plugged, extra=np.repeat(count, len(plugged)))
        add_io("D", r.issue_ns, every, r.sector, r.nbytes)
        add_io("C", r.complete_ns, every, r.sector, r.nbytes)
        assert filled == n_records
        assert Q == 0
        return words


def _note(kind: int, time_ns: int, pid: int, device: int, payload: bytes) -> bytes:
    """Make a note; its sequence, sector, bytes and error say nothing."""
    words = (
        MAGIC,
        time_ns,
        0,
        (kind | NOTIFY << 16) << 32,
        pid | device_of(device) << 32,
        len(payload) << 48,
    )
    return b"".join(word.to_bytes(8, "little") for word in words) + payload
