"""`spectral-edge bbp` through its entry point."""

import json

import pytest

from spectral_edge import theory
from tests.command_line import run

BASE = ["bbp", "--P", "1.6e8", "--W", "10", "--eta", "1e-3", "--B", "20"]


def test_it_prints_the_scales_and_the_sentence():
    code, out, _ = run(*BASE)
    answer = theory.bbp_vacuity(1.6e8, 10, 1e-3, 20)
    assert code == 0
    assert str(answer) in " ".join(out.split())
    for value in (answer.d_crit, answer.noise_floor, answer.direction_scale):
        assert f"{value:.4g}" in out


def test_json_has_the_same_numbers():
    sigma = ",".join(str(10.0 - j) for j in range(10))
    code, out, _ = run(*BASE, "--sigma", sigma, "--json")
    document = json.loads(out)
    answer = theory.bbp_vacuity(1.6e8, 10, 1e-3, 20, [10.0 - j for j in range(10)])
    assert code == 0
    assert document["ratio"] == answer.ratio
    assert document["sentence"] == str(answer)
    assert document["observed"] is True


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (["--eta", "0"], "eta must be positive"),
        (["--P", "1.5"], "P must be a whole number"),
        (["--W", "1"], "W must be"),
        (["--sigma", "3,two"], "sigma must be numbers"),
        (["--sigma", "3,2"], "sigma must have W = 10"),
    ],
)
def test_bad_input_is_one_line_and_status_2(change, message):
    code, out, err = run(*BASE, *change)
    assert (code, out) == (2, "")
    assert err.count("\n") == 1
    assert message in err
