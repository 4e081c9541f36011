"""Checkpoints as the real frameworks leave them behind, analysed by the command with nothing but the folder."""

import json
import os

import numpy as np
import pytest
import torch
from torch import nn

os.environ.setdefault("HF_HUB_OFFLINE", "1")
transformers = pytest.importorskip("transformers")
peft = pytest.importorskip("peft")
lightning = pytest.importorskip("lightning")

# the frameworks' own warnings are not ours
pytestmark = pytest.mark.filterwarnings("ignore")


def analysed(capsys, path, *options):
    from spectral_edge import cli

    capsys.readouterr()  # what the framework has printed

    with pytest.raises(SystemExit) as stopped:
        cli.main(["analyze", str(path), "--json", "--out", str(path / "figures"), *map(str, options)])
    out, err = capsys.readouterr()
    assert stopped.value.code == 0, err
    return json.loads(out)


def gpt2():
    torch.manual_seed(0)
    config = transformers.GPT2Config(
        vocab_size=50, n_positions=16, n_embd=16, n_layer=2, n_head=2, bos_token_id=0, eos_token_id=0
    )
    return transformers.GPT2LMHeadModel(config)


def train(model, folder, steps=24):
    generator = torch.Generator().manual_seed(1)
    rows = torch.randint(0, 50, (64, 12), generator=generator)
    arguments = transformers.TrainingArguments(
        output_dir=str(folder), max_steps=steps, save_steps=2, logging_steps=2, eval_strategy="steps", eval_steps=4,
        per_device_train_batch_size=8, learning_rate=1e-2, report_to=[], use_cpu=True, disable_tqdm=True,
    )  # fmt: skip
    data = [{"input_ids": row, "labels": row} for row in rows]
    trainer = transformers.Trainer(model=model, args=arguments, train_dataset=data, eval_dataset=data[:16])
    trainer.train()
    return trainer


def test_hugging_face_with_lora(tmp_path, capsys):
    lora = peft.LoraConfig(r=2, target_modules=["c_attn"], fan_in_fan_out=True, task_type="CAUSAL_LM")
    model = peft.get_peft_model(gpt2(), lora)
    trainable = sum(p.numel() for p in model.parameters() if p.requires_grad)
    train(model, tmp_path).save_model()  # adapter_model.safetensors beside checkpoint-N
    found = analysed(capsys, tmp_path, "--W", 4)
    assert found["P"] == trainable
    assert [each["step"] for each in found["files"]] == list(range(2, 26, 2))
    assert "adapter_model.safetensors" in {each["name"] for each in found["left_out"]}
    assert {"loss", "eval_loss", "learning_rate"} <= set(found["metrics"])


def test_a_frozen_base_in_whole_checkpoints(tmp_path, capsys):
    model = gpt2()
    for name, p in model.named_parameters():
        p.requires_grad_("h.1" in name)
    trainable = sum(p.numel() for p in model.parameters() if p.requires_grad)
    train(model, tmp_path).save_model()
    found = analysed(
        capsys,
        tmp_path,
        "--W",
        4,
        "--by",
        "layer",
        "--save",
        tmp_path / "run.npz",
        "--csv",
        tmp_path / "run.csv",
    )
    assert found["P"] == trainable
    frozen = [each for each in found["left_out"] if each["reason"] == "the same in all checkpoints"]
    assert sum(each["entries"] for each in frozen) == sum(p.numel() for p in model.parameters()) - trainable
    assert list(found["groups"]) == ["transformer.h.1"]
    from spectral_edge.validate import GramSequence

    kept = GramSequence.load(tmp_path / "run.npz")
    assert np.isfinite(kept.metrics["eval_loss"]).sum() == 6  # every other checkpoint
    np.testing.assert_allclose(kept.window(4).ratio, found["per_window"]["ratio"])
    assert len((tmp_path / "run.csv").read_text().splitlines()) == 1 + 2 * len(found["per_window"]["ratio"])


class Residual(lightning.LightningModule):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.stem = nn.Conv2d(1, 4, 3, padding=1)
        self.block = nn.Sequential(nn.Conv2d(4, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU())
        self.head = nn.Linear(4, 2)

    def forward(self, x):
        x = self.stem(x)
        return self.head((x + self.block(x)).mean((2, 3)))

    def training_step(self, batch, index):
        loss = nn.functional.cross_entropy(self(batch[0]), batch[1])
        self.log("train_loss", loss)
        return loss

    def validation_step(self, batch, index):
        self.log("val_loss", nn.functional.cross_entropy(self(batch[0]), batch[1]))

    def configure_optimizers(self):
        return torch.optim.AdamW(self.parameters(), lr=1e-2)


def test_lightning_with_its_loss_in_the_names(tmp_path, capsys):
    x = torch.randn(32, 1, 6, 6, generator=torch.Generator().manual_seed(0))
    data = torch.utils.data.TensorDataset(x, (x.mean((1, 2, 3)) > 0).long())
    logger = lightning.pytorch.loggers.CSVLogger(tmp_path)
    saving = lightning.pytorch.callbacks.ModelCheckpoint(
        filename="{epoch:02d}-{val_loss:.2f}", save_top_k=-1, save_last=True
    )
    trainer = lightning.Trainer(
        default_root_dir=tmp_path, logger=logger, callbacks=[saving], max_epochs=14, accelerator="cpu",
        enable_progress_bar=False, enable_model_summary=False, log_every_n_steps=1,
    )  # fmt: skip
    loader = torch.utils.data.DataLoader(data, batch_size=8)
    trainer.fit(Residual(), loader, loader)
    folder = tmp_path / "lightning_logs" / "version_0" / "checkpoints"
    assert any("val_loss=" in file.name for file in folder.iterdir())
    found = analysed(capsys, folder, "--W", 4)
    assert [each["step"] for each in found["files"]] == [
        4 * epoch for epoch in range(1, 15)
    ]  # global_step inside
    left = {each["name"]: each["reason"] for each in found["left_out"]}
    assert left["last.ckpt"] == "no number in its name"
    assert left["block.1.running_mean"] == "a buffer, not a parameter"
    assert found["P"] == sum(p.numel() for p in Residual().parameters())
    assert {"train_loss", "val_loss"} <= set(found["metrics"])
    assert not found["notes"]
