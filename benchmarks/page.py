"""What a page of a result with many requests takes: time and memory.

python -m benchmarks.page [--rows N] replays a kept recording, repeats its requests
until there are N (10**7), and makes the page of them in a process of its own.
"""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

import replay

TRACES = Path(__file__).parents[1] / "traces"
NAME = "workers-per-cgroup"
_TIMES = ("arrival_ns", "start_ns", "completion_ns")


def repeated(place: Path, n_rows: int) -> None:
    """Repeat the requests of a stored result, one time after the other."""
    path = place / "requests.parquet"
    with pq.ParquetFile(path) as file:
        table, metadata = file.read(), file.metadata.metadata
    span = int(np.max(table["completion_ns"].to_numpy())) + 1
    labels = {k: v for k, v in metadata.items() if k.startswith(b"replay.")}
    with pq.ParquetWriter(path, table.schema, compression="zstd") as file:
        each = max(1, (1 << 17) // table.num_rows)
        for first in range(0, n_rows // table.num_rows, each):
            parts = []
            for at in range(first, min(first + each, n_rows // table.num_rows)):
                part = table
                for name in _TIMES:
                    index = part.schema.get_field_index(name)
                    moved = pa.array(part[name].to_numpy() + at * span)
                    part = part.set_column(index, part.schema.field(index), moved)
                parts.append(part)
            file.write_table(pa.concat_tables(parts))
        file.add_key_value_metadata(labels)
    told = json.loads((place / "run.json").read_text())
    told["counts"]["requests"] = n_rows
    (place / "run.json").write_text(json.dumps(told))


def main() -> None:
    """Measure, and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=10**7)
    n_rows = parser.parse_args().rows
    with tempfile.TemporaryDirectory() as directory:
        place = Path(directory) / "result"
        replay.run(
            TRACES / NAME,
            TRACES / f"{NAME}.toml",
            requests=True,
            interval="auto",
            output=place,
        )
        repeated(place, n_rows)
        page = Path(directory) / "page.html"
        began = time.perf_counter()
        code = "from replay.cli.main import main; main()"
        subprocess.run(
            [sys.executable, "-c", code, "report", place, "-o", page, "-q"], check=True
        )
        took = time.perf_counter() - began
        used = resource.getrusage(resource.RUSAGE_CHILDREN)
        print(
            f"{n_rows:,} requests: {took:.2f} s, {used.ru_utime + used.ru_stime:.2f} s "
            f"of CPU, {used.ru_maxrss / 1024:.0f} MiB, page of "
            f"{page.stat().st_size / 1e6:.2f} MB"
        )


if __name__ == "__main__":
    main()
