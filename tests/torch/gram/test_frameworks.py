"""Short real trainings in the real frameworks, recorded by the thin callbacks."""

import os

import numpy as np
import pytest
import torch
from torch import nn

from spectral_edge.validate import GramSequence, GramTracker

os.environ.setdefault("HF_HUB_OFFLINE", "1")
transformers = pytest.importorskip("transformers")
lightning = pytest.importorskip("lightning")

# the frameworks' own warnings are not ours
pytestmark = pytest.mark.filterwarnings("ignore")


class Small(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.layers = nn.Sequential(nn.Linear(4, 6), nn.Tanh(), nn.Linear(6, 3))

    def forward(self, x, labels=None):
        logits = self.layers(x)
        return {"loss": nn.functional.cross_entropy(logits, labels), "logits": logits}


def samples(n=64):
    x = torch.randn(n, 4, generator=torch.Generator().manual_seed(1))
    return [{"x": row, "labels": int(row[0] > 0)} for row in x]


def hf_trainer(folder, model, callback, steps=12, **options):
    arguments = transformers.TrainingArguments(
        output_dir=str(folder),
        max_steps=steps,
        per_device_train_batch_size=8,
        learning_rate=1e-2,
        report_to=[],
        use_cpu=True,
        disable_tqdm=True,
        logging_strategy="no",
        **({"save_strategy": "no"} | options),
    )
    return transformers.Trainer(model=model, args=arguments, train_dataset=samples(), callbacks=[callback])


def flat(model):
    return torch.cat([p.detach().reshape(-1) for p in model.parameters()]).double().numpy()


def test_hugging_face_trainer(tmp_path):
    from spectral_edge.validate.gram.integrations.huggingface import GramCallback

    thetas = []

    class Snapshots(transformers.TrainerCallback):
        def on_train_begin(self, args, state, control, model=None, **kwargs):
            thetas.append(flat(model))

        def on_step_end(self, args, state, control, model=None, **kwargs):
            thetas.append(flat(model))

    tracker = GramTracker(4, path=tmp_path / "run.npz")
    trainer = hf_trainer(tmp_path / "out", Small(), GramCallback(tracker))
    trainer.add_callback(Snapshots())
    trainer.train()
    found = tracker.sequence()
    np.testing.assert_array_equal(found.steps, np.arange(1, 13))
    wanted = GramSequence.from_parameters(np.array(thetas), W_max=4)
    np.testing.assert_allclose(found.K, wanted.K, rtol=1e-6, atol=1e-9)
    assert (found.metrics["learning_rate"] >= 0).all()


def test_hugging_face_resumes(tmp_path):
    from spectral_edge.validate.gram.integrations.huggingface import GramCallback

    whole = GramTracker(4)
    hf_trainer(tmp_path / "a", Small(), GramCallback(whole)).train()
    saving = {"save_strategy": "steps", "save_steps": 5}
    hf_trainer(tmp_path / "b", Small(), GramCallback(GramTracker(4)), **saving).train()
    assert (tmp_path / "b" / "checkpoint-5" / "gram_tracker.pt").exists()
    resumed = GramTracker(4)
    trainer = hf_trainer(tmp_path / "b", Small(), GramCallback(resumed), **saving)
    trainer.train(resume_from_checkpoint=str(tmp_path / "b" / "checkpoint-5"))
    np.testing.assert_array_equal(resumed.sequence().steps, whole.sequence().steps)
    np.testing.assert_allclose(resumed.sequence().K, whole.sequence().K, rtol=1e-5, atol=1e-9)


def test_hugging_face_state_makes_the_callback_again(tmp_path):
    from spectral_edge.validate.gram.integrations.huggingface import GramCallback

    callback = GramCallback(GramTracker(4, path=tmp_path / "run.npz", every=3, sketch=40))
    again = GramCallback.from_state(callback.state())
    assert again.tracker.options() == callback.tracker.options()
    assert again.tracker.path == callback.tracker.path


class Module(lightning.LightningModule):
    def __init__(self):
        super().__init__()
        self.small = Small()

    def training_step(self, batch, index):
        return self.small(batch["x"], batch["labels"])["loss"]

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.1)


def pl_trainer(folder, callbacks, **options):
    return lightning.Trainer(
        default_root_dir=folder,
        accelerator="cpu",
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        callbacks=callbacks,
        **({"enable_checkpointing": False, "max_steps": 6} | options),
    )


def loader():
    return torch.utils.data.DataLoader(samples(), batch_size=8, shuffle=False)


def test_lightning_records_optimiser_steps_and_not_batches(tmp_path):
    from spectral_edge.validate.gram.integrations.lightning import GramCallback

    tracker = GramTracker(3)
    trainer = pl_trainer(tmp_path, [GramCallback(tracker)], accumulate_grad_batches=2, max_epochs=10)
    trainer.fit(Module(), loader())
    np.testing.assert_array_equal(tracker.sequence().steps, np.arange(1, 7))
    assert tracker.sequence().K[:, 0].min() > 0  # no record without a step


def test_lightning_state_travels_in_its_checkpoints(tmp_path):
    from spectral_edge.validate.gram.integrations.lightning import GramCallback

    thetas = []

    class Snapshots(lightning.Callback):
        def on_train_start(self, trainer, module):
            if not thetas:
                thetas.append(flat(module))

        def on_train_batch_end(self, trainer, module, outputs, batch, index):
            thetas.append(flat(module))

    first = pl_trainer(tmp_path, [GramCallback(GramTracker(3)), Snapshots()], max_steps=5)
    first.fit(Module(), loader())
    first.save_checkpoint(tmp_path / "at5.ckpt")
    resumed = GramTracker(3)
    second = pl_trainer(tmp_path, [GramCallback(resumed), Snapshots()], max_steps=9)
    second.fit(Module(), loader(), ckpt_path=str(tmp_path / "at5.ckpt"))
    np.testing.assert_array_equal(resumed.sequence().steps, np.arange(1, 10))
    wanted = GramSequence.from_parameters(np.array(thetas), W_max=3)
    np.testing.assert_allclose(resumed.sequence().K, wanted.K, rtol=1e-6, atol=1e-9)
