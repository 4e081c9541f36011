"""The modular-addition training with a tracker every 100 steps against the same training without.

    python benchmarks/tracker_overhead.py [--stretches 30]      (needs PyTorch)

To reach: at most 1 % slower. The training is that of ``spectral-edge record modular-addition``; the two take
turns in stretches of 100 steps, so that a busy machine slows both alike.
"""

import argparse
import tempfile
import time
from pathlib import Path
from statistics import median

import numpy as np
import torch
from torch.nn.functional import cross_entropy

from spectral_edge.validate import GramTracker
from spectral_edge.validate.runs.tasks.modular import ModularConfig

EVERY = 100


class Training:
    """A training that goes on in stretches."""

    def __init__(self, path: Path | None) -> None:
        config = ModularConfig()
        examples = config.phases()[0][1].train
        (self.x,), self.y = examples.inputs, examples.labels
        self.model = config.model()
        self.optimizer = torch.optim.AdamW(self.model.parameters(), lr=1e-3, weight_decay=1.0)
        self.batches = torch.Generator().manual_seed(0)
        if path is not None:
            GramTracker(10, every=EVERY, path=path).attach(self.optimizer, self.model)

    def stretch(self) -> float:
        """Seconds of the next steps."""
        begun = time.perf_counter()
        for _ in range(EVERY):
            chosen = torch.randint(len(self.y), (512,), generator=self.batches)
            self.optimizer.zero_grad()
            cross_entropy(self.model(self.x[chosen]), self.y[chosen]).backward()
            self.optimizer.step()
        return time.perf_counter() - begun


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--stretches", type=int, default=30, help=f"pairs of {EVERY} steps")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        plain, tracked = Training(None), Training(Path(folder) / "run.npz")
        pairs = []
        for round_ in range(arguments.stretches + 1):
            both = (
                (tracked.stretch(), plain.stretch())
                if round_ % 2
                else (plain.stretch(), tracked.stretch())[::-1]
            )
            if round_:
                pairs.append(both)
        record = []
        tracker = GramTracker(10, path=Path(folder) / "direct.npz")
        for _ in range(50):
            plain.optimizer.step()
            begun = time.perf_counter()
            tracker.update(plain.model)
            record.append(time.perf_counter() - begun)
    slower = np.array([with_tracker / without - 1 for with_tracker, without in pairs])
    error = 1.2533 * slower.std(ddof=1) / np.sqrt(len(slower))  # of a median
    step = median(without for _, without in pairs) / EVERY
    print(
        f"one record: {1000 * median(record):.2f} ms, {100 * median(record) / (EVERY * step):.3f} % of {EVERY} steps"
    )
    print(
        f"every {EVERY} steps, all parameters, W = 10: {100 * median(slower):+.2f} % ± {100 * 1.96 * error:.2f} % "
        f"({len(pairs)} pairs of {EVERY} steps, {1000 * step:.1f} ms per step)"
    )


if __name__ == "__main__":
    main()
