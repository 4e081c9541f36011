"""What users draw from, and what importing the theory costs."""

import subprocess
import sys

import numpy as np
from hypothesis import find, given

from spectral_edge import theory
from spectral_edge.theory import testing as strategies


@given(strategies.spectra())
def test_spectra_are_spectra(sigma):
    assert sigma.ndim == 1
    assert np.all(np.diff(sigma) <= 0)
    assert sigma[-1] > 0


@given(strategies.windows())
def test_windows_have_at_least_as_many_parameters_as_updates(X):
    assert 2 <= X.shape[0] <= X.shape[1]
    assert np.all(np.isfinite(X))


@given(strategies.two_modes(damped=True))
def test_damped_modes_have_an_equilibrium(modes):
    assert np.isfinite(theory.equilibrium_gap(modes["h"], modes["p"], modes["omega"], modes["W"]))
    assert modes["d0"][0] >= modes["d0"][1] > 0


@given(strategies.feedback_loops())
def test_feedback_loops_have_a_saddle_node(loop):
    assert np.isfinite(theory.feedback_threshold(**loop).eps_c)


def test_awkward_cases_are_reached():
    modes = strategies.two_modes()
    assert find(modes, lambda m: theory.gap_regime(**m) == "collapsing")
    assert find(modes, lambda m: m["h"][0] == m["h"][1])
    assert find(modes, lambda m: (m["h"] + m["omega"]).min() < 0)
    assert find(strategies.spectra(), lambda s: s[0] == s[1]) is not None
    assert find(strategies.windows(), lambda X: np.linalg.matrix_rank(X) < min(X.shape)) is not None


def run(code):
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)


def test_without_hypothesis_the_error_says_what_to_install():
    done = run(
        "import sys; sys.modules['hypothesis'] = None\n"
        "import spectral_edge.theory\n"
        "import spectral_edge.theory.testing"
    )
    assert done.returncode == 1
    assert 'spectral_edge.theory.testing needs hypothesis: pip install "spectral-edge[test]"' in done.stderr


def test_the_numbers_need_no_symbolic_algebra():
    done = run(
        "import sys; from spectral_edge import theory; theory.bbp_vacuity(10**8, 10, 1e-3, 32)\n"
        "heavy = {'sympy', 'hypothesis', 'networkx', 'matplotlib', 'numba', 'scipy.stats'} & set(sys.modules)\n"
        "print(sorted(heavy)); theory.propositions(); print('sympy' in sys.modules)"
    )
    assert done.stdout.split("\n")[:2] == ["[]", "True"], done.stderr


def test_the_public_face_is_complete():
    for name in theory.__all__:
        assert getattr(theory, name) is not None
    assert theory.Proposition.__name__ == "Proposition"
    done = run("from spectral_edge import theory; theory.nothing_of_the_kind")
    assert "has no attribute 'nothing_of_the_kind'" in done.stderr
