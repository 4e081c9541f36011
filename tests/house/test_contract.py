"""The public names: what others build on, each in its place and called as the contract says."""

import inspect
from importlib import import_module

import pytest

#: name -> parameters that callers may pass by these names, in this order where they may be passed by place
THEORY = {
    "gap_position": "sigma weighted",
    "gap_ratio": "sigma weighted",
    "bbp_threshold": "nu P W",
    "bbp_vacuity": "P W eta B sigma",
    "spike_forward": "d nu P W",
    "spike_inverse": "sigma nu P W",
    "overlaps": "d nu P W",
    "signal_flow": "d0 t h p eta omega W",
    "collapse_time": "d0 h p eta omega W form",
    "equilibrium_gap": "h p omega W",
    "perturbation_norms": "K W",
    "stability_coefficient": "lam delta_norm C",
    "adiabatic_parameter": "delta_norm g eta",
    "adiabatic_regime": "A",
    "feedback_threshold": "kappa b c",
    "propositions": "",
}
SIMULATE = {
    "gap_ode": "g0 d0 h p eta omega W t_max t_eval rtol atol",
    "gap_sweep": "g0 d0 h p eta omega W t_max method",
    "dyson": "d0 h p eta omega W P nu t_max dt n_paths seed",
    "spiked": "signals P W nu seed",
    "null_ratio": "P W n seed autocorrelation",
}
VALIDATE = {
    "GramSequence": "",
    "GramTracker": "",
    "check": "",
    "bundled": "",
    "early_warning": "",
    "Scoreboard": "",
    "Verdict": "",
    "WindowSpectra": "",
    "EarlyWarning": "",
}
MEMBERS = {
    "GramSequence": "from_parameters from_updates from_inner_products from_checkpoints load save window",
    "GramTracker": "update sequence attach",
}


@pytest.mark.parametrize(
    ("floor", "name", "parameters"),
    [
        (floor, name, parameters)
        for floor, names in (("theory", THEORY), ("simulate", SIMULATE), ("validate", VALIDATE))
        for name, parameters in names.items()
    ],
)
def test_a_public_name_keeps_its_place_and_its_parameters(floor: str, name: str, parameters: str) -> None:
    module = import_module(f"spectral_edge.{floor}")
    found = getattr(module, name)
    assert name in module.__all__
    assert name in dir(module)
    assert found.__doc__
    for parameter in parameters.split():
        assert parameter in inspect.signature(found).parameters


@pytest.mark.parametrize(("name", "members"), MEMBERS.items())
def test_a_class_keeps_its_members(name: str, members: str) -> None:
    found = getattr(import_module("spectral_edge.validate"), name)
    for member in members.split():
        assert callable(getattr(found, member))


def test_propositions_keep_their_members() -> None:
    from spectral_edge import theory

    everything = theory.propositions()
    assert everything
    members = "id section mark statement assumptions depends_on commutativity prove latex"
    for member in members.split():
        assert hasattr(everything[0], member)
    assert {p.mark for p in everything} == {"T", "D", "F"}
    assert {p.commutativity for p in everything} == {"none", "weak", "strong"}


@pytest.mark.parametrize("floor", ["theory", "simulate", "validate"])
def test_all_that_a_floor_announces_is_there(floor: str) -> None:
    module = import_module(f"spectral_edge.{floor}")
    assert len(module.__all__) == len(set(module.__all__))
    for name in module.__all__:
        assert getattr(module, name) is not None


def test_unknown_names_are_attribute_errors() -> None:
    import spectral_edge
    from spectral_edge import validate

    with pytest.raises(AttributeError, match="nothing"):
        spectral_edge.nothing  # noqa: B018
    with pytest.raises(AttributeError, match="nothing"):
        validate.nothing  # noqa: B018
