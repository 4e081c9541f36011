"""Singular values of the query matrices of a model, as metrics beside its records (torch extra)."""

from collections.abc import Iterator
from typing import Any

from spectral_edge.validate.gram.parameters import by_normalised_name, normalised
from spectral_edge.validate.gram.queries import located, taken_out


def query_spectra(model: Any) -> dict[str, float]:
    """The two largest singular values of every W_Q of self-attention: "LAYER.Q.sigma_1", "LAYER.Q.sigma_2" (8.4).

    Prediction 12 asks for them. W_Q is known by the names that PyTorch's own attention and the usual libraries give it
    (``q_proj``, ``query``, ``wq``, ``to_q``), and taken out of one matrix with keys and values (``in_proj_weight``,
    ``qkv``, GPT-2's ``c_attn``, ``query_key_value``): the first rows, or, where the module has the heads one after the
    other (GPT-NeoX, BLOOM, Falcon), the queries of each. A matrix of another shape than its module says is left.

    Parameters
    ----------
    model : torch.nn.Module
        With whole parameters, not shards. A wrapper's prefix is left off the names.

    Returns
    -------
    dict of str to float
        In parameter units, NaN where a matrix is not finite; empty where no query matrix is known. A matrix of d × d
        takes some d³ operations.

    Examples
    --------
    >>> import torch
    >>> from spectral_edge import validate
    >>> model = torch.nn.TransformerEncoderLayer(8, 2, 16)
    >>> sorted(validate.probes.query_spectra(model))
    ['self_attn.Q.sigma_1', 'self_attn.Q.sigma_2']
    >>> tracker = validate.GramTracker(W_max=4, say=None)
    >>> tracker.update(model, step=0, **validate.probes.query_spectra(model))
    """
    import torch

    found: dict[str, float] = {}
    for name, matrix in _query_matrices(model):
        whole = bool(torch.isfinite(matrix).all())
        sigma = torch.linalg.svdvals(matrix.detach().double())[:2].tolist() if whole else [float("nan")] * 2
        if len(sigma) == 2:
            found[f"{name}.Q.sigma_1"], found[f"{name}.Q.sigma_2"] = sigma
    return found


def _query_matrices(model: Any) -> Iterator[tuple[str, Any]]:
    parameters = by_normalised_name(model.named_parameters())
    modules = {normalised(name): module for name, module in model.named_modules()}
    for name, parameter in parameters.items():
        where = located(name, parameters)
        if where is None or parameter.ndim != 2:
            continue
        layer, kind = where
        queries = taken_out(parameter, kind, modules.get(layer))
        if queries is not None:
            yield layer or "model", queries
