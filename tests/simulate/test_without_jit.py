"""Every kernel run by the Python interpreter gives the numbers of the compiled one."""

import os
import subprocess
import sys

import numpy as np

from spectral_edge import simulate

CODE = """
import numpy as np
from spectral_edge import simulate

pairs = dict(h=(np.array([0.9, 0.1, 0.1]), 0.9), p=(0.7, np.array([2.2, 0.5, 4.0])))
more = dict(pairs, eta=1e-3, omega=0.05, W=10, t_max=3000)
found = []
for method in ("exact", "integrate"):
    sweep = simulate.gap_sweep(1, 5, **more, method=method, rtol=1e-6)
    found += [sweep.collapse_time, sweep.reopen_time, sweep.gap, sweep.minimal_gap, sweep.crossings]
loop = simulate.feedback_sweep([0.5, 3.0], kappa=1.0, b=4.0, c=-1.0, eps=[0.6, 0.9], t_max=5.0)
found += [loop.gap, loop.collapse_time]
run = simulate.spiked(np.ones((12, 1)), P=[6, 20], W=3, nu=[1.0, 0.5], autocorrelation=0.5, seed=3)
found += [np.nan_to_num(run.K)]
more = dict(h=[1, 0.5, 0.2], p=0.1, eta=1, omega=0, W=3, P=5, nu=0.5, t_max=1, dt=0.2)
paths = simulate.dyson([2, 1, 0.5], **more, n_paths=2, seed=4)
found += [paths.sigma, paths.closest]
updates = np.random.default_rng(5).normal(size=(24, 30)) + np.linspace(0, 9, 24)[:, None]
modes = simulate.follow_modes(updates @ updates.T, 4, memory=3)
found += [modes.rank, modes.overlap, modes.pair_overlap]
found += [simulate.window_sigma(updates @ updates.T, 4)]
numbers = np.concatenate([np.ravel(x).astype(float) for x in found])
"""


def test_interpreted_and_compiled_agree():
    script = (
        "import warnings; warnings.simplefilter('ignore')\n"
        + CODE
        + "print(*(float(x).hex() for x in numbers))"
    )
    environment = dict(os.environ, NUMBA_DISABLE_JIT="1")
    done = subprocess.run(
        [sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    interpreted = np.array([float.fromhex(word) for word in done.stdout.split()])
    scope = {"simulate": simulate}
    exec(CODE, scope)
    np.testing.assert_allclose(interpreted, scope["numbers"], rtol=1e-9, atol=1e-12)
    assert np.isfinite(interpreted).sum() > 80
