"""One small file per prediction, all of one shape; they are found by being here."""

from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules

from spectral_edge.validate.referee.verdict import Prediction

#: All of them, in the order of their numbers.
PREDICTIONS: tuple[Prediction, ...] = tuple(
    sorted(
        (
            import_module(f"{__name__}.{module.name}").PREDICTION
            for module in iter_modules([str(Path(__file__).parent)])
        ),
        key=lambda prediction: prediction.number,
    )
)
