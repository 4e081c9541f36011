"""Checkpoints of formats that are not read: what they are called, and how to convert them."""

from pathlib import Path

_DEEPSPEED = "DeepSpeed (run its zero_to_fp32.py with --safe_serialization)"
_ORBAX = "Orbax (restore it with orbax.checkpoint and save the arrays with numpy.savez)"
_MEGATRON = "Megatron-LM (convert it to Hugging Face format, or save with --ckpt-format torch_dist)"
_TENSORFLOW = "TensorFlow (read it with tf.train.load_checkpoint and save the arrays with numpy.savez)"

#: Endings of files of other frameworks.
ENDINGS = {
    ".h5": "Keras or HDF5 (load it with keras.saving or h5py and save the arrays with numpy.savez)",
    ".hdf5": "HDF5 (read it with h5py and save the arrays with numpy.savez)",
    ".keras": "Keras (load it with keras.saving.load_model and save get_weights() with numpy.savez)",
    ".msgpack": "Flax (restore it with flax.serialization and save the arrays with numpy.savez)",
    ".pdparams": "Paddle (load it with paddle.load and save the arrays with numpy.savez)",
    ".gguf": "GGUF (quantised for inference; use the checkpoints it was made from)",
    ".onnx": "ONNX (made for inference; use the checkpoints it was made from)",
    ".pkl": "a pickle (never loaded, since it can run code; save the arrays with numpy.savez)",
    ".pickle": "a pickle (never loaded, since it can run code; save the arrays with numpy.savez)",
    ".joblib": "a pickle (never loaded, since it can run code; save the arrays with numpy.savez)",
}


def foreign(path: Path) -> str:
    """The format of `path` and how to convert it, "" if it is not one of those known here."""
    if path.is_file():
        if path.name.startswith("mp_rank_") or path.name.startswith("zero_pp_rank_"):
            return _DEEPSPEED
        if path.name.endswith((".index", ".data-00000-of-00001")):
            return _TENSORFLOW
        return ENDINGS.get(path.suffix.lower(), "")
    if not path.is_dir():
        return ""
    names = {entry.name for entry in path.iterdir()}
    nested = {entry.name for folder in path.iterdir() if folder.is_dir() for entry in folder.iterdir()}
    if names & {"_METADATA", "_CHECKPOINT_METADATA", "manifest.ocdbt"} or "manifest.ocdbt" in nested:
        return _ORBAX
    if {"model_optim_rng.pt", "distrib_optim.pt"} & (names | nested):
        return _MEGATRON
    if any(name.startswith(("zero_pp_rank_", "bf16_zero_pp_rank_", "mp_rank_")) for name in names | nested):
        return _DEEPSPEED
    if "saved_model.pb" in names or any(name.endswith(".index") for name in names):
        return _TENSORFLOW
    return next((ENDINGS[end] for end in ENDINGS if any(name.lower().endswith(end) for name in names)), "")
