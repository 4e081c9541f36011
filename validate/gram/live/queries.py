"""Singular values of the query matrices of a model, as metrics beside its records (torch extra)."""

import re
from collections.abc import Iterator
from typing import Any

from spectral_edge.validate.gram.parameters import by_normalised_name

#: What a query matrix is called that stands by itself, in the models of the usual libraries.
_ALONE = re.compile(
    r"(?:^|\.)(?:q_proj|q_lin|query|query_proj|to_q|wq|(?<=Attention\.)q)(?:\.base_layer)?\.weight$|(?:^|\.)q_proj_weight$"
)
#: … and where it is the first third of one with keys and values.
_FUSED = re.compile(r"(?:^|\.)(?:in_proj_weight|(?:c_attn|qkv|qkv_proj|Wqkv)(?:\.base_layer)?\.weight)$")
#: Attention that reads another sequence than the one it writes.
_CROSS = re.compile(r"cross|encoder_attn|EncDecAttention", re.IGNORECASE)


def query_spectra(model: Any) -> dict[str, float]:
    """The two largest singular values of every W_Q of self-attention: "LAYER.Q.sigma_1", "LAYER.Q.sigma_2" (8.4).

    Prediction 12 asks for them. W_Q is known by the names that PyTorch's own attention and the usual libraries give it
    (``q_proj``, ``query``, ``wq``, ``to_q``; the first third of ``in_proj_weight``, ``qkv`` and GPT-2's ``c_attn``);
    matrices that hold the heads one after the other (``query_key_value``), or fewer keys than queries, are not taken
    apart.

    Parameters
    ----------
    model : torch.nn.Module
        With whole parameters, not shards. A wrapper's prefix is left off the names.

    Returns
    -------
    dict of str to float
        In parameter units; empty where no query matrix is known. A matrix of d × d takes some d³ operations.

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
        sigma = torch.linalg.svdvals(matrix.detach().double())[:2].tolist()
        if len(sigma) == 2:
            found[f"{name}.Q.sigma_1"], found[f"{name}.Q.sigma_2"] = sigma
    return found


def _query_matrices(model: Any) -> Iterator[tuple[str, Any]]:
    parameters = by_normalised_name(model.named_parameters())
    for name, parameter in parameters.items():
        # PyTorch's decoder calls the attention to another sequence so, beside that to its own
        other = name.replace("multihead_attn", "self_attn")
        if parameter.ndim != 2 or _CROSS.search(name) or (other != name and other in parameters):
            continue
        rows, columns = parameter.shape
        if alone := _ALONE.search(name):
            yield name[: alone.start()] or "model", parameter
        elif fused := _FUSED.search(name):
            label = name[: fused.start()] or "model"
            if rows == 3 * columns:
                yield label, parameter[:columns]
            elif columns == 3 * rows:  # GPT-2 multiplies from the other side
                yield label, parameter[:, :rows]
