"""Top floor: claims against data.

Three wings: ``gram`` (data comes in), ``runs`` (data is made), ``referee`` (data is judged).

Numbers such as 2.7 or section 10 in a docstring are statements of the theory: ``spectral-edge propositions 2.7`` prints
one, ``spectral-edge propositions 10`` a section.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from spectral_edge.validate import runs
    from spectral_edge.validate.gram import GramSequence, GramTracker, WindowSpectra
    from spectral_edge.validate.gram.live import loggers, probes
    from spectral_edge.validate.referee import Scoreboard, Verdict, check
    from spectral_edge.validate.referee.collapse.forecast import Forecast, forecast
    from spectral_edge.validate.referee.early_warning.judge import EarlyWarning, early_warning
    from spectral_edge.validate.runs import bundled

_HOMES = {
    "EarlyWarning": "referee",
    "GramSequence": "gram",
    "GramTracker": "gram",
    "WindowSpectra": "gram",
    "bundled": "runs",
    "Scoreboard": "referee",
    "Verdict": "referee",
    "check": "referee",
    "early_warning": "referee.early_warning.judge",
    "Forecast": "referee.collapse.forecast",
    "forecast": "referee.collapse.forecast",
}
_MODULES = {"loggers": "gram.live.loggers", "probes": "gram.live.probes", "runs": "runs"}
__all__ = [
    "EarlyWarning",
    "Forecast",
    "GramSequence",
    "GramTracker",
    "Scoreboard",
    "Verdict",
    "WindowSpectra",
    "bundled",
    "check",
    "early_warning",
    "forecast",
    "loggers",
    "probes",
    "runs",
]


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    if name in _MODULES:
        return import_module(f"{__name__}.{_MODULES[name]}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
