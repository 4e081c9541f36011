"""The pages on recording and judging: every script and command runs, and the tables are what the code says."""

import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from spectral_edge.validate import GramSequence, GramTracker, probes
from spectral_edge.validate.referee.cards import KEYS, METRICS
from spectral_edge.validate.referee.needs import QUERIES, TRANSITION
from spectral_edge.validate.referee.predictions import PREDICTIONS

DOCS = Path(__file__).parents[3] / "docs"


def run_page(name: str, folder: Path) -> str:
    """Write the scripts of a page to `folder` and run its commands there; what they print."""
    text = (DOCS / name).read_text()
    printed = []
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", "COLUMNS": "200"}
    environment["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{environment['PATH']}"
    for language, block in re.findall(r"^```(\w+)\n(.*?)^```", text, re.MULTILINE | re.DOTALL):
        if language == "python":
            script = re.match(r"# file: (\S+)\n", block)
            assert script, f"a script of {name} has no name"
            (folder / script.group(1)).write_text(block)
        elif language == "console":
            for line in block.splitlines():
                assert line.startswith("$ ")
                # what the script torchrun does, wherever it is installed
                command = line[2:].replace("torchrun ", f"{sys.executable} -m torch.distributed.run ")
                done = subprocess.run(
                    command,
                    shell=True,
                    cwd=folder,
                    env=environment,
                    capture_output=True,
                    text=True,
                    timeout=900,
                )
                assert done.returncode == 0, f"{line}\n{done.stdout}\n{done.stderr}"
                printed.append(f"{line}\n{done.stdout}\n{done.stderr}")
    return "\n".join(printed)


def test_recording(tmp_path):
    for needed in ("transformers", "peft", "lightning", "accelerate"):
        pytest.importorskip(needed)
    printed = run_page("recording.md", tmp_path)
    found = {path.stem: GramSequence.load(path) for path in (tmp_path / "runs").glob("*.npz")}
    assert found.keys() == {"loop", "resumed", "lora", "net", "accelerated", "ddp", "fsdp", "layers"}
    line = (
        "recording 354 parameters in 4 tensors (0.weight, 0.bias, 2.weight, 2.bias); 12 vectors, 17 kB on cpu"
    )
    assert line in printed
    assert line in (DOCS / "recording.md").read_text()
    assert found["loop"].config["weight_decay"] == 0.1
    assert found["loop"].probes["response"].shape == (60, 10, 10)
    assert found["lora"].P == 2 * 4 * (32 + 96)
    assert np.isfinite(found["lora"].metrics["eval_loss"]).sum() == 4
    assert np.isfinite(found["net"].metrics["val_loss"]).sum() == 14
    assert "14 checkpoints of epochs" in printed
    assert "left out: blocks.0.1.running_mean" in printed
    assert found["accelerated"].T == 32
    assert (tmp_path / "report" / "index.html").exists()
    np.testing.assert_allclose(
        found["fsdp"].K, found["ddp"].K, rtol=1e-3, atol=1e-9
    )  # one training, two ways
    np.testing.assert_allclose(
        found["fsdp"].probes["gradient"], found["ddp"].probes["gradient"], rtol=1e-2, atol=1e-6
    )


def test_judging_your_own_runs(tmp_path):
    printed = run_page("judging-your-own-runs.md", tmp_path)
    assert len(list((tmp_path / "runs").glob("xor-of-two-*.npz"))) == 6
    table = printed[printed.index("validate runs") :]
    for prediction in PREDICTIONS:
        assert prediction.id in table


# -- tables ----------------------------------------------------------------------------------------------


def table_of(page: str, mark: str) -> str:
    text = (DOCS / page).read_text()
    return text[text.index(f"<!-- {mark} -->") : text.index(f"<!-- end of {mark} -->")].partition("\n")[2]


def names(heading: str, table: dict[str, tuple[str, ...]]) -> str:
    rows = (
        f"| `{first}` | {', '.join(f'`{n}`' for n in rest) or '–'} |\n" for first, *rest in table.values()
    )
    return f"| {heading} | also read as |\n|---|---|\n" + "".join(rows)


def needs() -> str:
    words = {TRANSITION: "a transition", QUERIES: "`LAYER.Q.sigma_1`, `LAYER.Q.sigma_2`"}
    rows = "| # | prediction | runs | card | metrics | probes | updates | lags |\n|---|---|---|---|---|---|---|---|\n"
    for one in PREDICTIONS:
        need = one.needs
        card = ", ".join(f"`{field}`" for field in need.config)
        metrics = ", ".join(words.get(name, f"`{name}`") for name in need.metrics)
        measured = ", ".join(f"`{name}`" for name in need.probes)
        rows += (
            f"| {one.number} | {one.id} | {need.runs} | {card or '–'} | {metrics or '–'} | {measured or '–'} "
            f"| {need.records or '–'} | {need.band or '–'} |\n"
        )
    return rows


@pytest.mark.parametrize(
    ("mark", "wanted"),
    [("keys", names("field of the card", KEYS)), ("metrics", names("metric", METRICS)), ("needs", needs())],
)
def test_the_tables_are_what_the_referee_reads(mark, wanted):
    assert table_of("judging-your-own-runs.md", mark) == wanted, f"the page should say:\n{wanted}"


def test_the_costs_are_counted():
    model, W = torch.nn.Linear(6, 4), 5
    x = torch.randn(32, 6, generator=torch.Generator().manual_seed(0))
    calls = {"train": 0, "test": 0}

    def loss(half):
        def value(model):
            calls[half] += 1
            return torch.nn.functional.cross_entropy(model(x), torch.arange(32) % 4)

        return value

    def counted(**options):
        tracker = GramTracker(8, say=None)
        measured = probes.from_loss(model, loss("train"), validation=loss("test"), window=W, **options)
        for step in range(W + 1):
            calls.update(train=0, test=0)
            tracker.update(model, step=step, probes=measured)
            with torch.no_grad():
                model.weight += torch.randn(4, 6, generator=torch.Generator().manual_seed(step))
        return calls["train"], calls["test"]

    assert counted(hessian_every=99) == (1, 1)  # a gradient each
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    assert counted(optimizer=optimizer) == (
        1 + W,
        1,
    )  # a product for every update: response and metric cost no more
    both = counted(hessian_every=99, ablation_every=W)
    assert (both[0] - 1, both[1] - 1) == (1 + 2 * W, 1 + 2 * W)
