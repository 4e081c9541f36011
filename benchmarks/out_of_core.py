"""8 GB of memmapped snapshots: peak resident memory, and speed against reading the file.

    python benchmarks/out_of_core.py [--folder DIR] [--GB 8] [--rounds 3]

Writes a file of that size into the folder (removed afterwards). To reach: at most 600 MB resident, and at
least 70 % of the speed at which plain reads get the bytes, from the page cache and from the disk.
"""

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from statistics import median

import numpy as np

ROWS, W = 41, 10


def write(path: Path, P: int) -> None:
    rng = np.random.default_rng(0)
    with open(path, "wb") as file:
        for _ in range(ROWS):
            for start in range(0, P, 1 << 22):
                file.write(rng.standard_normal(min(1 << 22, P - start), dtype=np.float32).tobytes())
        file.flush()
        os.fsync(file.fileno())


def forget(path: Path) -> None:
    """Drop the file from the page cache."""
    with open(path, "rb") as file:
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def read(path: Path) -> float:
    """Seconds that plain reads of the whole file take, on all cores."""
    size, step = path.stat().st_size, 1 << 24

    def part(start: int) -> None:
        with open(path, "rb", buffering=0) as file:
            file.seek(start)
            buffer, left = bytearray(step), min(step, size - start)
            while left > 0:
                left -= file.readinto(memoryview(buffer)[:left])

    begun = time.perf_counter()
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        list(pool.map(part, range(0, size, step)))
    return time.perf_counter() - begun


def band(path: Path) -> tuple[float, float]:
    """Seconds and peak resident megabytes of a process that forms the band of K."""
    ran = subprocess.run(
        [sys.executable, __file__, "--child", str(path)], capture_output=True, text=True, check=True
    )
    seconds, megabytes = map(float, ran.stdout.split())
    return seconds, megabytes


def child(path: Path) -> None:
    from spectral_edge.validate import GramSequence

    GramSequence.from_updates(
        np.ones((ROWS, 1000), np.float32), W_max=W, precision="float32"
    )  # load the kernel
    thetas = np.memmap(path, np.float32, "r").reshape(ROWS, -1)
    begun = time.perf_counter()
    GramSequence.from_parameters(thetas, W_max=W)
    seconds = time.perf_counter() - begun
    print(seconds, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--folder", type=Path, default=Path(tempfile.gettempdir()))
    parser.add_argument("--GB", type=float, default=8.0)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--child", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child:
        child(arguments.child)
        return
    P = int(arguments.GB * 1e9 / 4 / ROWS)
    with tempfile.TemporaryDirectory(dir=arguments.folder) as folder:
        path = Path(folder) / "thetas.bin"
        write(path, P)
        size = path.stat().st_size
        for cold in (False, True):
            shares, speeds, resident = [], [], []
            read(path)
            for _ in range(arguments.rounds):
                if cold:
                    forget(path)
                plain = read(path)
                if cold:
                    forget(path)
                seconds, megabytes = band(path)
                shares.append(plain / seconds)
                speeds.append(size / seconds / 1e9)
                resident.append(megabytes)
            where = "disk" if cold else "page cache"
            print(
                f"{size / 1e9:.1f} GB from the {where}: {median(speeds):.2f} GB/s, {100 * median(shares):.0f} % of "
                f"plain reads ({100 * min(shares):.0f} … {100 * max(shares):.0f} %), "
                f"peak resident {max(resident):.0f} MB"
            )


if __name__ == "__main__":
    main()
