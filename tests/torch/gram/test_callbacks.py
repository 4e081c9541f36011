"""The callbacks in real trainings: what they record, what they know of the run, and how a run is taken up again."""

import json
import os
import shutil
import subprocess
import sys
import textwrap

import numpy as np
import pytest
import torch
from torch import nn

from spectral_edge.validate import GramSequence, GramTracker
from spectral_edge.validate.gram.live import recording
from spectral_edge.validate.gram.live.probes import query_spectra

os.environ.setdefault("HF_HUB_OFFLINE", "1")
transformers = pytest.importorskip("transformers")
lightning = pytest.importorskip("lightning")
peft = pytest.importorskip("peft")

# the frameworks' own warnings are not ours
pytestmark = pytest.mark.filterwarnings(
    "ignore", "error:(recording failed|this was not logged), the training goes on:UserWarning"
)


def flat(model):
    return torch.cat([p.detach().reshape(-1) for p in model.parameters() if p.requires_grad]).double().numpy()


# -- Hugging Face ----------------------------------------------------------------------------------------


def gpt2():
    torch.manual_seed(0)
    config = transformers.GPT2Config(
        vocab_size=31, n_positions=16, n_embd=16, n_layer=2, n_head=2, bos_token_id=0, eos_token_id=0
    )
    return transformers.GPT2LMHeadModel(config)


def with_lora():
    config = peft.LoraConfig(r=2, lora_alpha=4, target_modules=["c_attn"], fan_in_fan_out=True)
    torch.manual_seed(1)
    return peft.get_peft_model(gpt2(), config)


def texts(n, seed=0):
    tokens = torch.randint(31, (n, 12), generator=torch.Generator().manual_seed(seed))
    return [{"input_ids": row, "labels": row} for row in tokens]


class Snapshots(transformers.TrainerCallback):
    def __init__(self):
        self.thetas = []

    def on_train_begin(self, args, state, control, model=None, **kwargs):
        self.thetas.append(flat(model))

    def on_step_end(self, args, state, control, model=None, **kwargs):
        self.thetas.append(flat(model))


def train(folder, callbacks, model=None, resume=None, steps=12, **options):
    arguments = transformers.TrainingArguments(
        output_dir=str(folder),
        max_steps=steps,
        per_device_train_batch_size=4,
        gradient_accumulation_steps=2,
        learning_rate=1e-2,
        weight_decay=0.3,
        lr_scheduler_type="constant",
        seed=7,
        use_cpu=True,
        disable_tqdm=True,
        **({"report_to": [], "logging_steps": 2, "eval_strategy": "steps", "eval_steps": 4} | options),
    )
    trainer = transformers.Trainer(
        model=model or with_lora(),
        args=arguments,
        train_dataset=texts(200),
        eval_dataset=texts(8, seed=1),
        callbacks=callbacks,
    )
    trainer.train(resume_from_checkpoint=None if resume is None else str(resume))
    return trainer


def callback(*arguments, **options):
    from spectral_edge.validate.gram.integrations.huggingface import GramCallback

    return GramCallback(*arguments, **options)


def test_lora_by_the_trainer_is_recorded_with_all_that_it_knows(tmp_path):
    said, seen = [], Snapshots()
    own = callback(4, path=tmp_path / "run.npz", say=said.append, config={"task": "parity"})
    trainer = train(tmp_path / "out", [own, seen], save_steps=6)
    assert said[0].startswith("recording 256 parameters in 4 tensors")
    assert "6 vectors, 6.14 kB on cpu; left out: 28 not trained" in said[0]
    found = GramSequence.load(tmp_path / "run.npz")
    wanted = GramSequence.from_parameters(np.array(seen.thetas), W_max=4)
    np.testing.assert_allclose(found.K, wanted.K, rtol=1e-5)
    np.testing.assert_array_equal(found.steps, wanted.steps)
    card = {key: found.config[key] for key in ("task", "model", "run", "optimizer", "schedule", "max_steps")}
    assert card == {
        "task": "parity", "model": "gpt2", "run": "out", "optimizer": "AdamW", "schedule": "constant", "max_steps": 12,
    }  # fmt: skip
    numbers = {
        key: found.config[key] for key in ("learning_rate", "weight_decay", "betas", "batch_size", "seed")
    }
    assert numbers == {
        "learning_rate": 0.01, "weight_decay": 0.3, "betas": [0.9, 0.999], "batch_size": 8, "seed": 7,
    }  # fmt: skip
    history = trainer.state.log_history
    for name, ours in (("loss", "train_loss"), ("eval_loss", "eval_loss")):
        logged = {entry["step"]: entry[name] for entry in history if name in entry}
        np.testing.assert_array_equal(found.metrics[ours], [logged.get(step, np.nan) for step in found.steps])
    assert not {"epoch", "eval_runtime"} & found.metrics.keys()
    shown = {entry["step"]: entry["gap/ratio"] for entry in history if "gap/ratio" in entry}
    ratio = dict(zip(found.window(4).steps.tolist(), found.window(4).ratio, strict=True))
    assert shown == {step: pytest.approx(ratio[step]) for step in (4, 6, 8, 10, 12)}
    stored = json.loads((tmp_path / "out" / "checkpoint-12" / "trainer_state.json").read_text())
    assert "gap/k_star" in stored["log_history"][-2] | stored["log_history"][-1]
    size = (tmp_path / "out" / "checkpoint-12" / "gram_tracker.pt").stat().st_size
    assert size < 40_000  # 6 vectors of 1 kB, and the records; the whole model's would be 500 kB


def test_what_is_measured_of_the_model_is_recorded_by_the_trainer(tmp_path):
    asked, model = [], gpt2()

    def measured(model):
        asked.append(float(flat(model).sum()))
        return query_spectra(model)

    train(
        tmp_path / "out", [callback(4, every=3, say=None, path=tmp_path / "run.npz", metrics=measured)], model
    )
    found = GramSequence.load(tmp_path / "run.npz")
    assert found.steps.tolist() == [3, 6, 9, 12]
    assert len(asked) == 4  # at the records alone
    names = [f"transformer.h.{i}.attn.Q.sigma_{j}" for i in (0, 1) for j in (1, 2)]
    assert set(names) <= found.metrics.keys()
    now = query_spectra(model)
    assert [found.metrics[name][-1] for name in names] == [now[name] for name in names]
    assert np.isfinite(found.metrics["learning_rate"]).all()


def test_a_measurement_that_fails_does_not_end_a_training(tmp_path):
    recording = callback(4, say=None, metrics=lambda model: {"norm": 1 / 0})
    with pytest.warns(UserWarning, match="recording failed, the training goes on: division by zero"):
        trainer = train(tmp_path / "out", [recording])
    assert trainer.state.global_step == 12


def test_the_training_is_that_without_the_callback(tmp_path):
    one, other, seen = Snapshots(), Snapshots(), callback(4, say=None)
    train(tmp_path / "a", [seen, one])
    train(tmp_path / "b", [other])
    np.testing.assert_array_equal(one.thetas[-1], other.thetas[-1])


@pytest.mark.parametrize("ring", [True, False])
def test_a_run_goes_on_from_any_folder(tmp_path, ring):
    whole = callback(4, say=None)
    train(tmp_path / "a", [whole])
    path, first = tmp_path / "run.npz", tmp_path / "first"
    shared = {"path": path, "resume": True, "say": None, "ring": ring}
    train(first, [callback(4, **shared)], save_steps=5, steps=10)
    # another output folder, as a job that is queued again has it
    resumed = callback(4, **shared)
    train(tmp_path / "second", [resumed], resume=first / "checkpoint-5", save_steps=5)
    found, wanted = GramSequence.load(path), whole.tracker.sequence()
    np.testing.assert_array_equal(found.steps, np.arange(1, 13))
    if ring:
        np.testing.assert_allclose(found.K, wanted.K, rtol=1e-4)
        same = found.steps != 6  # the Trainer's own mean begins anew when it is resumed
        train_loss = (run.metrics["train_loss"][same] for run in (found, wanted))
        np.testing.assert_allclose(*train_loss, rtol=1e-4)
    else:
        assert [piece.T for piece in found.pieces()] == [5, 7]
        inside = ~np.isnan(found.K)
        np.testing.assert_allclose(found.K[inside], wanted.K[inside], rtol=1e-4)


def test_a_checkpoint_that_was_moved_is_found_when_it_is_named(tmp_path):
    path = tmp_path / "run.npz"
    train(tmp_path / "first", [callback(4, path=path, say=None)], save_steps=5, steps=10)
    shutil.move(tmp_path / "first", tmp_path / "moved")
    checkpoint, said = tmp_path / "moved" / "checkpoint-5", []
    lost = callback(4, path=path, resume=True, say=said.append)
    train(tmp_path / "second", [lost], resume=checkpoint, steps=8)
    assert "no gram_tracker.pt with the checkpoint of step 5: pass resume_from= if it was moved" in said
    assert [piece.T for piece in lost.tracker.sequence().pieces()] == [5, 3]
    lost.tracker.close()
    named = callback(4, path=path, resume=True, say=None, resume_from=checkpoint)
    train(tmp_path / "third", [named], resume=checkpoint, steps=8)
    assert len(named.tracker.sequence().pieces()) == 1
    assert GramSequence.load(path).T == 8


def test_a_training_that_began_without_the_callback_can_be_resumed_and_saved(tmp_path):
    train(tmp_path / "out", [], save_steps=5, steps=5)
    own = callback(4, say=None)
    train(tmp_path / "out", [own], resume=tmp_path / "out" / "checkpoint-5", save_steps=3)
    np.testing.assert_array_equal(own.tracker.sequence().steps, np.arange(6, 13))
    assert (tmp_path / "out" / "checkpoint-12" / "gram_tracker.pt").exists()


def test_callbacks_that_the_trainer_makes_again_go_on(tmp_path):
    path, options = tmp_path / "run.npz", {"save_steps": 5, "restore_callback_states_from_checkpoint": True}
    first = callback(4, path=path, say=None)
    train(tmp_path / "out", [first], steps=5, **options)
    first.tracker.close()
    again = callback(4, path=path, resume=True, say=None)
    train(tmp_path / "out", [again], resume=tmp_path / "out" / "checkpoint-5", **options)
    found = GramSequence.load(path)
    np.testing.assert_array_equal(found.steps, np.arange(1, 13))
    assert len(found.pieces()) == 1


@pytest.mark.parametrize("kind", ["huggingface", "lightning"])
def test_a_full_disk_does_not_end_a_training(tmp_path, monkeypatch, kind):
    def full(*arguments, **options):
        raise OSError(28, "No space left on device")

    def at(step):
        if step == 3:
            monkeypatch.setattr(recording.Journal, "append", full)
            monkeypatch.setattr(recording.storage, "write_sequence", full)

    class FillsHere(transformers.TrainerCallback):
        def on_step_end(self, args, state, control, **kwargs):
            at(state.global_step)

    class FillsThere(lightning.Callback):
        def on_train_batch_end(self, trainer, *arguments):
            at(trainer.global_step)

    def huggingface():
        callbacks = [FillsHere(), callback(4, path=tmp_path / "run.npz", say=None)]
        return train(tmp_path / "out", callbacks).state.global_step

    def by_lightning():
        callbacks = [FillsThere(), pl_callback(4, path=tmp_path / "run.npz", say=None)]
        return fit(tmp_path, callbacks, max_steps=12).global_step

    run = huggingface if kind == "huggingface" else by_lightning
    with pytest.warns(UserWarning, match="recording failed, the training goes on: .*No space left"):
        steps = run()
    assert steps == 12
    monkeypatch.undo()


DDP = """
import os, sys
import numpy as np
import torch, transformers
from torch import nn
from spectral_edge.validate.gram.integrations.huggingface import GramCallback

class Small(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.layers = nn.Sequential(nn.Linear(4, 6), nn.Tanh(), nn.Linear(6, 3))
    def forward(self, x, labels=None):
        logits = self.layers(x)
        return {"loss": nn.functional.cross_entropy(logits, labels), "logits": logits}

x = torch.randn(64, 4, generator=torch.Generator().manual_seed(1))
data = [{"x": row, "labels": int(row[0] > 0)} for row in x]
folder = sys.argv[1]
callback = GramCallback(4, path=f"{folder}/run.npz", every=2, say=None)
arguments = transformers.TrainingArguments(
    output_dir=f"{folder}/out", max_steps=8, per_device_train_batch_size=4, learning_rate=1e-2, report_to=[],
    use_cpu=True, disable_tqdm=True, save_steps=4, ddp_backend="gloo")
trainer = transformers.Trainer(model=Small(), args=arguments, train_dataset=data, callbacks=[callback])
trainer.train()
assert trainer.args.world_size == 2
assert (callback.tracker is None) == (trainer.args.process_index == 1)
"""


def two_processes(program, *arguments):
    """Run `program` in two gloo processes, as torchrun does."""
    environment = {**os.environ, "MASTER_ADDR": "127.0.0.1", "WORLD_SIZE": "2", "OMP_NUM_THREADS": "1"}
    environment["MASTER_PORT"] = str(20_000 + os.getpid() % 20_000)
    ranks = [
        subprocess.Popen(
            [sys.executable, "-W", "ignore", "-c", textwrap.dedent(program), *map(str, arguments)],
            env={**environment, "RANK": str(rank), "LOCAL_RANK": str(rank)},
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(2)
    ]
    try:
        for rank in ranks:
            _, errors = rank.communicate(timeout=300)
            assert rank.returncode == 0, errors
    finally:
        for rank in ranks:
            rank.kill()
            rank.wait()


def test_under_ddp_one_process_records(tmp_path):
    two_processes(DDP, tmp_path)
    found = GramSequence.load(tmp_path / "run.npz")
    np.testing.assert_array_equal(found.steps, [2, 4, 6, 8])
    assert found.P == 51
    assert found.config["batch_size"] == 8


# Accelerate 1.15 takes up its FSDP plugin for accelerators only (`AcceleratorState.__init__`: MULTI_GPU, MULTI_XPU …),
# and makes DDP of it, without a word, on processors. `begin` says that two gloo processes will do as well; all that
# shards, trains and saves is the Trainer's, Accelerate's and PyTorch's own.
FSDP = """
import os, sys
import torch, transformers
from accelerate.state import AcceleratorState
from accelerate.utils import DistributedType
from torch.distributed.tensor import DTensor
from spectral_edge.validate.gram.integrations.huggingface import GramCallback

began = AcceleratorState.__init__

def begin(self, *arguments, fsdp_plugin=None, **options):
    began(self, *arguments, fsdp_plugin=fsdp_plugin, **options)
    if fsdp_plugin is not None and self.distributed_type == DistributedType.MULTI_CPU:
        self.distributed_type, self.fsdp_plugin = DistributedType.FSDP, fsdp_plugin

AcceleratorState.__init__ = begin
folder, steps, resume = sys.argv[1], int(sys.argv[2]), sys.argv[3:]
torch.manual_seed(0)
config = transformers.GPT2Config(
    vocab_size=32, n_positions=16, n_embd=16, n_layer=2, n_head=2, bos_token_id=0, eos_token_id=0,
    attn_pdrop=0.0, embd_pdrop=0.0, resid_pdrop=0.0)
model = transformers.GPT2LMHeadModel(config)
tokens = torch.randint(32, (64, 12), generator=torch.Generator().manual_seed(1))
data = [{"input_ids": row, "labels": row} for row in tokens]
said = []
callback = GramCallback(4, path=f"{folder}/run.npz", by="layer", resume=True, say=said.append)
world = int(os.environ.get("WORLD_SIZE", 1))
wrap = {"transformer_layer_cls_to_wrap": ["GPT2Block"], "state_dict_type": "SHARDED_STATE_DICT"}
sharding = dict(fsdp=True, fsdp_config={"version": 2} | wrap, ddp_backend="gloo") if world > 1 else {}
arguments = transformers.TrainingArguments(
    output_dir=f"{folder}/out", max_steps=steps, per_device_train_batch_size=8 // world, learning_rate=1e-2,
    lr_scheduler_type="constant", report_to=[], use_cpu=True, disable_tqdm=True, save_steps=4, **sharding)
trainer = transformers.Trainer(model=model, args=arguments, train_dataset=data, callbacks=[callback])
trainer.train(resume_from_checkpoint=resume[0] if resume else None)
assert trainer.args.world_size == world
assert all(isinstance(p, DTensor) == (world > 1) for p in trainer.model_wrapped.parameters())
assert callback.tracker.sharded == (world > 1)
assert all("parameters (the shards of this process) in 28 tensors" in line for line in said[:1]) or world == 1
callback.tracker.close()
"""


@pytest.mark.slow
def test_under_fsdp2_all_processes_record_their_shards_and_the_run_goes_on(tmp_path):
    alone = tmp_path / "alone"
    subprocess.run(
        [sys.executable, "-W", "ignore", "-c", FSDP, str(alone), "8"], check=True, capture_output=True
    )
    wanted = GramSequence.load(alone / "run.npz")
    two_processes(FSDP, tmp_path / "two", 6)
    first = GramSequence.load(tmp_path / "two" / "run.npz")
    np.testing.assert_array_equal(first.steps, [1, 2, 3, 4, 5, 6])
    two_processes(FSDP, tmp_path / "two", 8, tmp_path / "two" / "out" / "checkpoint-4")
    found = GramSequence.load(tmp_path / "two" / "run.npz")
    np.testing.assert_array_equal(found.steps, wanted.steps)
    assert found.P == wanted.P == 7360
    assert len(found.pieces()) == 1  # one uninterrupted run: every process has found its own state
    np.testing.assert_allclose(found.K, wanted.K, rtol=1e-4)
    assert {name: part.P for name, part in found.parts().items()} == {
        name: part.P for name, part in wanted.parts().items()
    }
    assert found.config["batch_size"] == wanted.config["batch_size"] == 8


# -- Lightning -------------------------------------------------------------------------------------------


class Normed(lightning.LightningModule):
    """A small convolutional net with batch normalisation."""

    def __init__(self, width=4):
        super().__init__()
        self.save_hyperparameters()
        torch.manual_seed(0)
        self.backbone = nn.Sequential(
            nn.Conv2d(1, width, 3),
            nn.BatchNorm2d(width),
            nn.ReLU(),
            nn.Conv2d(width, width, 3),
            nn.BatchNorm2d(width),
        )
        self.head = nn.Linear(width, 3)

    def forward(self, x):
        return self.head(self.backbone(x).mean((2, 3)))

    def training_step(self, batch, index):
        loss = nn.functional.cross_entropy(self(batch[0]), batch[1])
        self.log("train_loss", loss)
        return loss

    def validation_step(self, batch, index):
        logits = self(batch[0])
        self.log("val_loss", nn.functional.cross_entropy(logits, batch[1]))
        self.log("val_acc", (logits.argmax(1) == batch[1]).float().mean())

    def configure_optimizers(self):
        trained = [p for p in self.parameters() if p.requires_grad]
        return torch.optim.AdamW(trained, lr=1e-2, weight_decay=0.05, betas=(0.8, 0.95))


def images(n=48, seed=0):
    x = torch.randn(n, 1, 8, 8, generator=torch.Generator().manual_seed(seed))
    return torch.utils.data.TensorDataset(x, x[:, 0, 0, 0].gt(0).long() + x[:, 0, 1, 1].gt(0).long())


def fit(folder, callbacks, module=None, ckpt_path=None, **options):
    trainer = lightning.Trainer(
        default_root_dir=folder,
        accelerator="cpu",
        enable_progress_bar=False,
        enable_model_summary=False,
        callbacks=callbacks,
        **(
            {"logger": False, "enable_checkpointing": False, "max_steps": 12, "log_every_n_steps": 1}
            | options
        ),
    )
    loaders = [torch.utils.data.DataLoader(images(seed=seed), batch_size=8) for seed in (0, 1)]
    trainer.fit(module or Normed(), *loaders, ckpt_path=ckpt_path)
    return trainer


def pl_callback(*arguments, **options):
    from spectral_edge.validate.gram.integrations.lightning import GramCallback

    return GramCallback(*arguments, **options)


class Thetas(lightning.Callback):
    def __init__(self):
        self.thetas, self.losses, self.validation = [], {}, {}

    def on_train_start(self, trainer, module):
        self.thetas.append(flat(module))

    def on_train_batch_end(self, trainer, module, outputs, batch, index):
        self.thetas.append(flat(module))
        self.losses[trainer.global_step] = float(outputs["loss"])

    def on_validation_end(self, trainer, module):
        if not trainer.sanity_checking:
            self.validation[trainer.global_step] = float(trainer.callback_metrics["val_loss"])


def test_batch_norm_by_lightning_is_recorded_with_all_that_it_knows(tmp_path):
    lightning.seed_everything(11, verbose=False)
    said, seen = [], Thetas()
    own = pl_callback(4, path=tmp_path / "run.npz", say=said.append)
    saving = lightning.pytorch.callbacks.ModelCheckpoint(
        tmp_path / "out", "{epoch}-{val_loss:.2f}", save_top_k=-1, monitor="val_loss"
    )
    logger = lightning.pytorch.loggers.CSVLogger(tmp_path, name="digits", version=3)
    fit(tmp_path, [own, seen, saving], max_steps=18, enable_checkpointing=True, logger=logger)
    assert said[0].startswith("recording 219 parameters in 10 tensors")
    found = GramSequence.load(tmp_path / "run.npz")
    wanted = GramSequence.from_parameters(np.array(seen.thetas), W_max=4)
    np.testing.assert_allclose(found.K, wanted.K, rtol=1e-5)  # parameters alone, no running statistics
    card = found.config
    assert (card["optimizer"], card["weight_decay"], card["learning_rate"], card["betas"]) == (
        "AdamW", 0.05, 0.01, [0.8, 0.95],
    )  # fmt: skip
    assert (card["batch_size"], card["seed"], card["task"], card["run"]) == (8, 11, "Normed", "digits-3")
    assert card["hyperparameters"] == {"width": 4}
    np.testing.assert_allclose(
        found.metrics["train_loss"], [seen.losses[step] for step in found.steps], rtol=1e-6
    )
    assert sorted(seen.validation) == [6, 12, 18]
    np.testing.assert_allclose(
        found.metrics["val_loss"], [seen.validation.get(step, np.nan) for step in found.steps], rtol=1e-6
    )
    assert np.isfinite(found.metrics["val_acc"]).sum() == 3
    assert len(list((tmp_path / "out").glob("epoch=*-val_loss=*.ckpt"))) == 3
    logger.finalize("success")
    table = np.genfromtxt(tmp_path / "digits" / "version_3" / "metrics.csv", delimiter=",", names=True)
    ratio = table["gapratio"][np.isfinite(table["gapratio"])]
    np.testing.assert_allclose(ratio, found.window(4).ratio, rtol=1e-6)


def test_what_is_measured_of_the_model_is_recorded_by_lightning(tmp_path):
    module, seen = Normed(), Thetas()
    measured = pl_callback(
        4, every=3, say=None, metrics=lambda module: {"norm": float(np.linalg.norm(flat(module)))}
    )
    fit(tmp_path, [measured, seen], module)
    found = measured.tracker.sequence()
    np.testing.assert_allclose(
        found.metrics["norm"], [np.linalg.norm(seen.thetas[step]) for step in found.steps], rtol=1e-12
    )


@pytest.mark.parametrize("ring", [True, False])
def test_a_lightning_run_goes_on_from_any_folder(tmp_path, ring):
    whole = pl_callback(4, say=None)
    fit(tmp_path, [whole])
    path = tmp_path / "run.npz"
    first = fit(tmp_path, [pl_callback(4, path=path, say=None, ring=ring)], max_steps=6)
    first.save_checkpoint(tmp_path / "at6.ckpt")
    (tmp_path / "elsewhere").mkdir()
    moved = shutil.move(tmp_path / "at6.ckpt", tmp_path / "elsewhere" / "x.ckpt")
    fit(tmp_path / "new", [pl_callback(4, path=path, resume=True, say=None, ring=ring)], ckpt_path=str(moved))
    found, wanted = GramSequence.load(path), whole.tracker.sequence()
    np.testing.assert_array_equal(found.steps, wanted.steps)
    inside = ~np.isnan(found.K)
    np.testing.assert_allclose(found.K[inside], wanted.K[inside], rtol=1e-4)
    assert len(found.pieces()) == (1 if ring else 2)


def test_a_backbone_that_thaws_is_taken_in(tmp_path):
    class Thaws(lightning.pytorch.callbacks.BaseFinetuning):
        def freeze_before_training(self, module):
            self.freeze(module.backbone, train_bn=False)

        def finetune_function(self, module, epoch, optimizer):
            if epoch == 1:
                self.unfreeze_and_add_param_group(module.backbone, optimizer, lr=1e-3)

    class Everything(lightning.Callback):
        def __init__(self):
            self.thetas = []

        def on_train_start(self, trainer, module):
            self.look(module)

        def on_train_batch_end(self, trainer, module, *arguments):
            self.look(module)

        def look(self, module):
            self.thetas.append(
                torch.cat([p.detach().reshape(-1) for p in module.parameters()]).double().numpy()
            )

    said, seen = [], Everything()
    own = pl_callback(4, say=said.append)
    fit(tmp_path, [Thaws(), own, seen])
    assert said[0].startswith("recording 15 parameters in 2 tensors (head.weight, head.bias)")
    assert "began to be trained and are recorded from now on" in said[1]
    wanted = GramSequence.from_parameters(np.array(seen.thetas), W_max=4)
    np.testing.assert_allclose(own.tracker.sequence().K, wanted.K, rtol=1e-5, atol=1e-9)


def test_two_trackers_in_one_training(tmp_path):
    def pair():
        shared = {"say": None, "resume": True}
        return [
            pl_callback(4, path=tmp_path / "head.npz", select="head*", **shared),
            pl_callback(4, path=tmp_path / "all.npz", by="layer", **shared),
        ]

    trainer = fit(tmp_path, pair(), max_steps=6)
    trainer.save_checkpoint(tmp_path / "x.ckpt")
    fit(tmp_path, pair(), ckpt_path=str(tmp_path / "x.ckpt"))
    head, whole = (GramSequence.load(tmp_path / f"{name}.npz") for name in ("head", "all"))
    assert (head.T, whole.T, head.P, whole.P) == (12, 12, 15, 219)
    np.testing.assert_allclose(whole.parts()["head"].K, head.K, rtol=1e-9)
    assert len(whole.pieces()) == 1


def test_a_tracker_and_options_exclude_each_other():
    with pytest.raises(ValueError, match="options belong to a tracker that is still to be made, got every"):
        pl_callback(GramTracker(4), every=3)
