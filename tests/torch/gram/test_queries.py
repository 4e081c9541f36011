"""Query matrices are found in the models of the usual libraries, and their singular values are right."""

import numpy as np
import pytest
import torch
from torch import nn

from spectral_edge.validate.gram.files.query_spectra import query_spectra as in_checkpoints
from spectral_edge.validate.gram.live import queries
from spectral_edge.validate.gram.live.probes import query_spectra
from spectral_edge.validate.gram.queries import located

transformers = pytest.importorskip("transformers")
TINY = {
    "vocab_size": 31,
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 32,
}


def spectrum(matrix):
    return np.linalg.svd(matrix.detach().double().numpy(), compute_uv=False)[:2]


def require(found, expected):
    assert found.keys() == {f"{name}.Q.sigma_{j}" for name in expected for j in (1, 2)}
    for name, matrix in expected.items():
        np.testing.assert_allclose(
            [found[f"{name}.Q.sigma_1"], found[f"{name}.Q.sigma_2"]], spectrum(matrix), rtol=1e-10
        )


@pytest.mark.filterwarnings("ignore:enable_nested_tensor")
def test_pytorchs_own_attention():
    model = nn.Transformer(16, 4, 2, 1, 32)
    require(query_spectra(model), {
        **{f"encoder.layers.{i}.self_attn": model.encoder.layers[i].self_attn.in_proj_weight[:16] for i in (0, 1)},
        "decoder.layers.0.self_attn": model.decoder.layers[0].self_attn.in_proj_weight[:16],
    })  # fmt: skip
    apart = nn.ModuleDict({"multihead_attn": nn.MultiheadAttention(16, 4, kdim=8, vdim=8)})
    require(query_spectra(apart), {"multihead_attn": apart["multihead_attn"].q_proj_weight})


@pytest.mark.filterwarnings("ignore:`torch.jit")
def test_a_wrapped_model_has_the_names_of_the_model():
    model = nn.TransformerEncoderLayer(16, 4, 32)
    assert query_spectra(torch.compile(model)) == query_spectra(model)
    assert query_spectra(nn.DataParallel(model)) == query_spectra(model)


MODELS = {
    "llama": ("LlamaForCausalLM", TINY, "model.layers.{}.self_attn", "q_proj"),
    "grouped": ("LlamaForCausalLM", TINY | {"num_key_value_heads": 2}, "model.layers.{}.self_attn", "q_proj"),
    "bert": ("BertModel", TINY, "encoder.layer.{}.attention.self", "query"),
    "distilbert": (
        "DistilBertModel",
        {"vocab_size": 31, "dim": 16, "n_layers": 2, "n_heads": 4, "hidden_dim": 32},
        "transformer.layer.{}.attention",
        "q_lin",
    ),
    "t5": (
        "T5EncoderModel",
        {"vocab_size": 31, "d_model": 16, "d_kv": 4, "num_heads": 4, "num_layers": 2, "d_ff": 32},
        "encoder.block.{}.layer.0.SelfAttention",
        "q",
    ),
}


@pytest.mark.parametrize("name", MODELS)
def test_models_of_transformers(name):
    kind, config, layer, matrix = MODELS[name]
    made = getattr(transformers, kind)
    model = made(made.config_class(**config))
    named = dict(model.named_parameters())
    layers = [layer.format(i) for i in (0, 1)]
    require(query_spectra(model), {one: named[f"{one}.{matrix}.weight"] for one in layers})


def test_gpt2_multiplies_from_the_other_side():
    config = transformers.GPT2Config(vocab_size=31, n_positions=8, n_embd=16, n_layer=2, n_head=2)
    model = transformers.GPT2LMHeadModel(config)
    require(query_spectra(model), {
        f"transformer.h.{i}.attn": model.transformer.h[i].attn.c_attn.weight[:, :16] for i in (0, 1)
    })  # fmt: skip


SMALL = TINY | {"max_position_embeddings": 16, "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2}
FUSED = {
    "neox": ("GPTNeoXForCausalLM", SMALL),
    "bloom": ("BloomForCausalLM", {"vocab_size": 31, "hidden_size": 16, "n_layer": 2, "n_head": 4}),
    "persimmon": ("PersimmonForCausalLM", SMALL | {"qk_layernorm": False}),
    "falcon by head": (
        "FalconForCausalLM",
        SMALL | {"multi_query": False, "new_decoder_architecture": False},
    ),
    "falcon one key": ("FalconForCausalLM", SMALL | {"multi_query": True, "new_decoder_architecture": False}),
    "falcon grouped": ("FalconForCausalLM", SMALL | {"new_decoder_architecture": True, "num_kv_heads": 2}),
    "phi3": ("Phi3ForCausalLM", SMALL),
    "phi3 grouped": ("Phi3ForCausalLM", SMALL | {"num_key_value_heads": 2}),
    "codegen": (
        "CodeGenForCausalLM",
        {"vocab_size": 31, "n_embd": 16, "n_layer": 2, "n_head": 4, "n_positions": 16, "rotary_dim": 4},
    ),
    "bigcode one key": (
        "GPTBigCodeForCausalLM",
        {"vocab_size": 31, "n_embd": 16, "n_layer": 2, "n_head": 4, "n_positions": 16, "multi_query": True},
    ),
    "bigcode by head": (
        "GPTBigCodeForCausalLM",
        {"vocab_size": 31, "n_embd": 16, "n_layer": 2, "n_head": 4, "n_positions": 16, "multi_query": False},
    ),
}


@pytest.mark.parametrize("name", FUSED)
def test_queries_are_told_from_keys_and_values(name):
    """Without the rows that are taken for queries, where a token looks no longer depends on it; its key does."""
    kind, config = FUSED[name]
    made = getattr(transformers, kind)
    torch.manual_seed(0)
    model = made(made.config_class(**config, attn_implementation="eager")).eval()
    fused = next(p for n, p in model.named_parameters() if (located(n, []) or ("", "alone"))[1] != "alone")

    def looks(shift):
        with torch.no_grad():
            out = model((torch.arange(8)[None] + shift) % 31, output_attentions=True, use_cache=True)
        cache = out.past_key_values.layers[0]
        return out.attentions[0], cache.keys, cache.values

    seen, keys, values = looks(3)
    assert not torch.allclose(seen, looks(11)[0])
    with torch.no_grad():
        before = fused.clone()
        fused.copy_(torch.arange(len(fused))[:, None].expand_as(fused))  # every row says which it is
        taken = dict(queries._query_matrices(model))
        rows = next(iter(taken.values()))[:, 0].long()
        fused.copy_(before).index_fill_(0, rows, 0)
    assert len(taken) == 2
    assert len(rows) == 16
    alike, same_keys, same_values = looks(3)
    torch.testing.assert_close(alike, looks(11)[0])
    assert torch.equal(keys, same_keys)
    assert torch.equal(values, same_values)


def test_what_is_no_query_matrix_is_left():
    class Network(nn.Module):
        def __init__(self):
            super().__init__()
            self.q = nn.Linear(4, 3)  # of reinforcement learning
            self.qkv = nn.Linear(8, 12)  # fewer keys than queries: not to be taken apart
            self.query_norm = nn.LayerNorm(8)
            self.query_key_value = nn.Linear(8, 24)  # and nothing says how many heads

    assert query_spectra(Network()) == {}
    assert query_spectra(nn.Linear(4, 4)) == {}


def test_half_precision_and_gradients_are_left_as_they_are():
    model = nn.TransformerEncoderLayer(16, 4, 32).bfloat16()
    before = model.self_attn.in_proj_weight.clone()
    found = query_spectra(model)
    assert model.self_attn.in_proj_weight.grad is None
    assert torch.equal(model.self_attn.in_proj_weight, before)
    require(found, {"self_attn": before[:16]})


@pytest.mark.parametrize("name", ["llama", "grouped", "t5", "gpt2"])
def test_checkpoints_have_the_spectra_of_the_model(name, tmp_path):
    config = {"vocab_size": 31, "n_positions": 8, "n_embd": 16, "n_layer": 2, "n_head": 2}
    kind, config, *_ = MODELS.get(name, ("GPT2LMHeadModel", config))
    made = getattr(transformers, kind)
    live = []
    for step in range(3):
        torch.manual_seed(step)
        model = made(made.config_class(**config))
        model.save_pretrained(tmp_path / f"checkpoint-{10 * step}")
        live.append(query_spectra(model))
    found = in_checkpoints(tmp_path)
    assert {key.removeprefix("transformer.") for key in live[0]} == {
        key.removeprefix("transformer.") for key in found
    }
    for key, values in found.items():
        named = key if key in live[0] else f"transformer.{key}"
        np.testing.assert_allclose(values, [spectra[named] for spectra in live[1:]], rtol=1e-6)


def test_large_query_matrices_are_iterated_over(tmp_path):
    rng = np.random.default_rng(0)
    matrices = [rng.normal(size=(400, 300)).astype(np.float32) for _ in range(3)] + [
        np.zeros((400, 300), np.float32)
    ]
    for step, matrix in enumerate(matrices):
        np.savez(
            tmp_path / f"step_{step}.npz",
            **{"h.0.attn.to_q.weight": matrix, "h.0.attn.qkv_proj.weight": matrix},
        )
    found = in_checkpoints(tmp_path)
    assert sorted(found) == ["h.0.attn.Q.sigma_1", "h.0.attn.Q.sigma_2"]  # qkv_proj may be by head
    exact = [np.linalg.svd(matrix.astype(np.float64), compute_uv=False)[:2] for matrix in matrices[1:]]
    np.testing.assert_allclose(np.array(list(found.values())).T, exact, rtol=1e-9)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_matrix_that_is_not_finite_has_no_spectrum_and_ends_nothing(bad, tmp_path):
    model = nn.TransformerEncoderLayer(8, 2, 16)
    with torch.no_grad():
        model.self_attn.in_proj_weight[0, 0] = float(bad)
    found = query_spectra(model)
    assert len(found) == 2
    assert np.isnan(list(found.values())).all()
    for step in range(3):  # the same in all: a frozen one, which K does not look at
        np.savez(tmp_path / f"step_{step}.npz", **{"h.q_proj.weight": np.full((4, 4), bad)})
    assert np.isnan(list(in_checkpoints(tmp_path).values())).all()


def test_what_a_training_wrote_since_does_not_count(tmp_path):
    for step in range(5):
        np.savez(tmp_path / f"step_{step}.npz", **{"h.q_proj.weight": np.diag([2.0, 1 + step])})
    found = in_checkpoints(tmp_path, [0, 1, 2, 3])
    np.testing.assert_allclose(found["h.Q.sigma_1"], [2, 3, 4], rtol=1e-12)
