"""A run that is trained beside a twin is the run, and the twin begins where the run is."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from spectral_edge.validate.referee.beyond import lockstep
from spectral_edge.validate.runs.config import RunConfig
from spectral_edge.validate.runs.threads import one_thread
from spectral_edge.validate.runs.training import Training, train
from tests.torch.runs.tiny import MODULAR, TASKS

CPU = torch.device("cpu")


def short(config: RunConfig) -> RunConfig:
    return replace(config, max_steps=35, target_accuracy=None, hessian_examples=1, ablation_examples=1)


@pytest.mark.parametrize("task", ["modular", "dyck"])
def test_the_run_and_its_recorded_twin(task: str) -> None:
    config = short(TASKS[task])
    found = lockstep.watch(config, stretch=3)
    assert found.steps.tolist() == [5, 10, 15, 20, 25, 30, 35]
    run, twin = (train(replace(config, variant=variant))["attention"] for variant in ("", "twin"))
    assert found.P == run.P
    np.testing.assert_allclose(found.products[:7, :7], run.K, rtol=1e-4, atol=1e-6 * run.K.max())
    # until it begins anew for the first time the twin is the one that is recorded
    np.testing.assert_allclose(found.products[7:10, 7:10], twin.K[:3, :3], rtol=1e-4)
    assert found.products[10, 10] != pytest.approx(twin.K[3, 3], rel=1e-3)


def test_twins_of_which_one_begins_anew_at_every_record_differ_least() -> None:
    config = replace(short(MODULAR), max_steps=60)
    shared = [lockstep.watch(config, stretch).shared.mean() for stretch in (1, 12)]
    assert shared[0] > shared[1]


def test_put_leaves_the_run_as_it_is() -> None:
    """After it the two go the same way on the same batches, and neither moves with the other."""
    with one_thread():
        run, twin = (
            Training(replace(short(MODULAR), variant=variant), None, CPU) for variant in ("", "twin")
        )
        for _ in range(4):
            run.advance()
            twin.advance()
        lockstep.put(twin, run)
        before = {name: value.clone() for name, value in run.model.state_dict().items()}
        memory = run.optimizers[0].state_dict()["state"][0]["exp_avg"].clone()
        twin.batches.set_state(run.batches.get_state())
        twin.advance()
        assert all(torch.equal(value, before[name]) for name, value in run.model.state_dict().items())
        assert torch.equal(run.optimizers[0].state_dict()["state"][0]["exp_avg"], memory)
        run.advance()
        assert all(
            torch.equal(value, run.model.state_dict()[name])
            for name, value in twin.model.state_dict().items()
        )
