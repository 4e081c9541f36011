"""The models: pre-norm transformers of `torch.nn`, one that reads and one that translates (torch extra)."""

from collections.abc import Callable

import torch
from torch import nn
from torch.nn.functional import gelu, linear, scaled_dot_product_attention

from spectral_edge.validate.runs.config import RunConfig


class Transformer(nn.Module):
    """Embed tokens, encode them, read the answer at every position, or at the last alone.

    Parameters
    ----------
    config : RunConfig
        Sizes.
    vocabulary, length, classes : int
        Tokens, positions and answers there are.
    causal : bool
        Positions look back only.
    last : bool
        Answer at the last position.
    padded : bool
        Token 0 is padding, which is not looked at.
    plain : bool
        The plainest reading of the published description of the modular runs: no normalisation after the last
        layer, and PyTorch's own start, in which all layers begin as copies of the first.
    """

    def __init__(
        self,
        config: RunConfig,
        vocabulary: int,
        length: int,
        classes: int,
        *,
        causal: bool = True,
        last: bool = False,
        padded: bool = False,
        plain: bool = False,
    ) -> None:
        super().__init__()
        d = config.d_model
        self.token = nn.Embedding(vocabulary, d)
        self.position = nn.Embedding(length, d)
        layer = nn.TransformerEncoderLayer(
            d, config.heads, config.d_feedforward, 0.0, "gelu", batch_first=True, norm_first=True
        )
        norm = None if plain else nn.LayerNorm(d)
        self.encoder = nn.TransformerEncoder(layer, config.layers, norm, enable_nested_tensor=False)
        self.head = nn.Linear(d, classes)
        self.causal, self.last, self.padded = causal, last, padded
        if not plain:
            _spread(self.encoder)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        """Logits (n, classes) or (n, length, classes) of `tokens` (n, length)."""
        length = tokens.shape[1]
        hidden = torch.zeros(1, 1, 1, length, dtype=torch.bool)
        if self.causal:
            hidden = hidden | later(length)
        if self.padded:
            hidden = hidden | (tokens == 0)[:, None, None]
        x = self.token(tokens) + self.position.weight[:length]
        *inner, top = self.encoder.layers
        for layer in inner:
            x = encode(layer, x, x, hidden)
        # what is read at one position asks the last layer for that position alone
        asking = x[:, -1:] if self.last else x
        x = encode(top, asking, x, hidden[:, :, -asking.shape[1] :])
        x = x if self.encoder.norm is None else self.encoder.norm(x)
        return self.head(x[:, -1] if self.last else x)


class Translator(nn.Module):
    """Encode one sequence (0 is padding), predict the next token of another; answers at every position."""

    def __init__(
        self, config: RunConfig, source: int, source_length: int, target: int, target_length: int
    ) -> None:
        super().__init__()
        d = config.d_model
        self.token = nn.Embedding(source, d)
        self.position = nn.Embedding(source_length, d)
        self.target_token = nn.Embedding(target, d)
        self.target_position = nn.Embedding(target_length, d)
        sizes = (d, config.heads, config.d_feedforward, 0.0, "gelu")
        self.encoder = nn.TransformerEncoder(
            nn.TransformerEncoderLayer(*sizes, batch_first=True, norm_first=True),
            config.layers,
            nn.LayerNorm(d),
            enable_nested_tensor=False,
        )
        self.decoder = nn.TransformerDecoder(
            nn.TransformerDecoderLayer(*sizes, batch_first=True, norm_first=True),
            config.layers,
            nn.LayerNorm(d),
        )
        self.head = nn.Linear(d, target)
        _spread(self.encoder)
        _spread(self.decoder)

    def forward(self, source: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        """Logits (n, length, target) of the token after each of `target` (n, length)."""
        padding = source == 0
        read = self.token(source) + self.position.weight[: source.shape[1]]
        written = self.target_token(target) + self.target_position.weight[: target.shape[1]]
        memory = self.encoder(read, src_key_padding_mask=padding)
        decoded = self.decoder(
            written, memory, tgt_mask=later(target.shape[1]), memory_key_padding_mask=padding
        )
        logits: torch.Tensor = self.head(decoded)
        return logits


def encode(
    layer: nn.TransformerEncoderLayer, asking: torch.Tensor, asked: torch.Tensor, hidden: torch.Tensor
) -> torch.Tensor:
    """The pre-norm layer at the positions of `asking`, with what it reads of all in `asked`.

    What PyTorch's own layer computes, but for no more positions than are needed.
    """
    attention = layer.self_attn
    d, heads = attention.embed_dim, attention.num_heads
    weight, bias = attention.in_proj_weight, attention.in_proj_bias
    query = linear(layer.norm1(asking), weight[:d], bias[:d])
    key, value = linear(layer.norm1(asked), weight[d:], bias[d:]).chunk(2, -1)
    query, key, value = (x.unflatten(-1, (heads, -1)).transpose(1, 2) for x in (query, key, value))
    read = scaled_dot_product_attention(query, key, value, attn_mask=~hidden).transpose(1, 2).flatten(2)
    x = asking + attention.out_proj(read)
    written: torch.Tensor = x + layer.linear2(gelu(layer.linear1(layer.norm2(x))))
    return written


def later(length: int) -> torch.Tensor:
    """True where the second position is later than the first: what a causal model does not see."""
    return torch.ones(length, length, dtype=torch.bool).triu(1)


def _spread(layers: nn.Module) -> None:
    """Draw every matrix anew: PyTorch begins all layers of a stack as copies of the first."""
    for parameter in layers.parameters():
        if parameter.ndim == 2:
            nn.init.xavier_uniform_(parameter)


def seeded(seed: int, build: Callable[[], nn.Module]) -> nn.Module:
    """The model that `build` makes with this seed; the caller's random numbers are left alone."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return build()


def is_attention(name: str) -> bool:
    """Whether a parameter is an attention matrix (W_Q, W_K, W_V stacked, or W_O)."""
    return "attn" in name and name.endswith("weight")


def attention_weights(model: nn.Module) -> dict[str, torch.Tensor]:
    """The attention matrices by name, in model order."""
    return {name: tensor.detach() for name, tensor in model.named_parameters() if is_attention(name)}


def attention_matrices(model: nn.Module) -> dict[str, torch.Tensor]:
    """W_Q, W_K, W_V and W_O of every attention block, each by itself, as "encoder.0.Q"."""
    found: dict[str, torch.Tensor] = {}
    for name, tensor in attention_weights(model).items():
        block = (
            name.rpartition("attn.")[0]
            .replace("layers.", "")
            .replace("self_", "")
            .replace("multihead_", "cross.")
        )
        parts = zip("QKV", tensor.chunk(3), strict=True) if "in_proj" in name else [("O", tensor)]
        found |= {f"{block}{letter}": part for letter, part in parts}
    return found
