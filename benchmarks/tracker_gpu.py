"""One tracker update on CUDA tensors against reading W + 1 vectors on the device once.

    python benchmarks/tracker_gpu.py [--P 1e8] [--W 10] [--rounds 10]     (needs PyTorch and a GPU)

Says so, and ends with status 0, where there is no GPU.
"""

import argparse
import gc
from statistics import median

import torch

from spectral_edge.validate import GramTracker


def milliseconds(work) -> float:
    begin, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
    begin.record()
    work()
    end.record()
    torch.cuda.synchronize()
    return begin.elapsed_time(end)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    for name, default in (("P", 1e8), ("W", 10), ("rounds", 10)):
        parser.add_argument(f"--{name}", type=lambda text: int(float(text)), default=int(default))
    arguments = parser.parse_args()
    P, W = arguments.P, arguments.W
    if not torch.cuda.is_available():
        print("no GPU here: nothing measured")
        return
    print(f"{torch.cuda.get_device_name()}, P = {P:.0e}, W = {W}, float32, {arguments.rounds} rounds")
    theta = torch.randn(P, device="cuda")
    vectors = torch.ones(W + 1, P, device="cuda")
    for store in (None, "bfloat16"):
        gc.collect()  # what the tracker before held
        before = torch.cuda.memory_allocated()
        torch.cuda.reset_peak_memory_stats()
        reads, updates = times(theta, vectors, GramTracker(W, store=store), arguments.rounds)
        peak = (torch.cuda.max_memory_allocated() - before) / 4 / P
        ratio = median(update / read for update, read in zip(updates, reads, strict=True))
        print(
            f"ring in {store or 'float32'}: update {median(updates):.1f} ms, {ratio:.2f} × reading W + 1 vectors, "
            f"peak {peak:.1f} vectors of float32"
        )


def times(theta, vectors, tracker: GramTracker, rounds: int) -> tuple[list[float], list[float]]:
    def update() -> None:
        tracker.update(theta)

    reads, updates = [], []
    for round_ in range(rounds + len(vectors) + 2):
        theta += 1e-3
        if round_ < len(vectors) + 2:  # fills the ring
            update()
            continue
        reads.append(milliseconds(vectors.sum))
        updates.append(milliseconds(update))
    return reads, updates


if __name__ == "__main__":
    main()
