"""Which of the tensors in a checkpoint are the model: state dicts inside wrappers, beside optimisers and copies."""

import re
from collections.abc import Collection, Mapping

from spectral_edge.validate.gram.files.tensors import Leaf

Place = tuple[str, ...]

#: Keys under which a model is kept: they do not become part of names.
MODEL = (
    "state_dict",
    "model_state_dict",
    "model_state",
    "model",
    "module",
    "net",
    "network",
    "net_state_dict",
    "weights",
    "params",
    "parameters",
    "student",
    "policy",
)
#: Keys around all that is saved, the model and what lies beside it.
AROUND = ("state", "app", "checkpoint")
#: Keys of averages and older copies of a model: read where there is nothing else.
COPY = re.compile(r"(^|_)(ema|swa|avg|averaged?|shadow|teacher|target|best|old|prev(ious)?|slow)(_|$)")
_STATES = r"optim\w*|\w*schedulers?|(grad_?)?scaler|rng\w*|random_states?\w*|training_args|zero_pp_\w+"
#: Names of files that hold no weights.
BESIDE_FILE = re.compile(rf"(^|[_.-])({_STATES})([_.-]|$)")
#: Keys of what is not a model.
BESIDE = re.compile(
    rf"(^|[_.-])({_STATES}|opt|opt_states?|amp|callbacks|loops|hyper_?parameters|hparams|args|config|loss(es)?|metrics|"
    r"history|batch_stats|dataloader|sampler|train_state|exp_avg\w*|lr|learning_rate|epochs?|steps?|acc|accuracy)([_.-]|$)"
)


def weights(leaves: Mapping[Place, Leaf]) -> tuple[dict[str, Leaf], dict[str, str]]:
    """The tensors of the model by name, and what lies beside them with the reason why it is left out.

    Mappings are looked into: a state dict that is wrapped is found at any depth, optimisers and the like are
    passed over, and of a model and its average the model is taken.
    """
    left: dict[str, str] = {}
    found = _model(dict(leaves), (), False, left)
    return {".".join(place): leaf for place, leaf in found.items()}, left


def _model(leaves: dict[Place, Leaf], above: Place, inside: bool, left: dict[str, str]) -> dict[Place, Leaf]:
    """Leaves of the model with the names they have in it; `inside`: a key of `MODEL` has led here."""
    parts: dict[str, dict[Place, Leaf]] = {}
    direct: dict[Place, Leaf] = {}
    for place, leaf in leaves.items():
        if len(place) == 1:
            direct[place] = leaf
        else:
            parts.setdefault(place[0], {})[place[1:]] = leaf

    def leave(key: str, reason: str) -> None:
        left[".".join((*above, key))] = reason

    if not inside:
        beside = [key for key, part in parts.items() if BESIDE.search(key.lower()) or _is_optimizer(part)]
        if len(beside) < len(parts) or any(leaf.shape for leaf in direct.values()):
            for key in beside:
                leave(key, "no weights")
                del parts[key]
        for (key,), leaf in list(direct.items()):  # a state dict's own names have dots, or more than one axis
            if len(leaf.shape) < 2 and "." not in key and (parts or BESIDE.search(key.lower())):
                leave(key, "beside the weights")
                del direct[(key,)]
    for key, reason in _copies(parts).items():
        leave(key, reason)
        del parts[key]
    found: dict[Place, Leaf] = direct
    for key, part in parts.items():
        alone = len(parts) == 1 and not direct
        known = key in MODEL or key.endswith("_state_dict") or bool(COPY.search(key))
        deeper = _model(part, (*above, key), inside or known, left)
        found |= (
            deeper
            if alone and (known or key in AROUND)
            else {(key, *place): leaf for place, leaf in deeper.items()}
        )
    return found


def _is_optimizer(part: Mapping[Place, Leaf]) -> bool:
    """Whether a part is the ``state_dict()`` of an optimiser, whatever it is called: states by number."""
    states = [place for place in part if len(place) == 3 and place[0] == "state" and place[1].isdigit()]
    return bool(states) and all(place[0] in ("state", "param_groups") for place in part)


def _copies(parts: Mapping[str, Mapping[Place, Leaf]]) -> dict[str, str]:
    """Of parts with the same tensors, those that are averages or older copies of another."""
    found: dict[str, str] = {}
    for group in _alike(parts):
        original = [key for key in group if not COPY.search(key.lower())]
        if 0 < len(original) < len(group):
            found |= {key: f"a copy or average of {original[0]!r}" for key in group if key not in original}
    return found


def _alike(parts: Mapping[str, Mapping[Place, Leaf]]) -> list[list[str]]:
    """Keys whose parts have the same names and shapes, group by group."""
    groups: dict[frozenset[tuple[Place, tuple[int, ...]]], list[str]] = {}
    for key, part in parts.items():
        signature = frozenset((place, leaf.shape) for place, leaf in part.items())
        groups.setdefault(signature, []).append(key)
    return [group for group in groups.values() if len(group) > 1]


def rivals(names: Collection[str], leaves: Mapping[Place, Leaf]) -> list[str]:
    """State dicts of the same tensors among `names`, of which one must be meant; [] where it is clear.

    Modules of one shape are not rivals: what makes a state dict is that its own names have dots.
    """
    parts: dict[str, dict[Place, Leaf]] = {}
    for place, leaf in leaves.items():
        if len(place) > 1 and ".".join(place) in names:
            parts.setdefault(place[0], {})[place[1:]] = leaf
    for group in _alike(parts):
        if any("." in place[0] for place in parts[group[0]]):
            return group
    return []
