"""Where the window is shown: nothing is lost there, and nothing that the training logs itself."""

import numpy as np
import pytest

from spectral_edge.validate import GramTracker, loggers


def walk(T, P=30):
    return np.cumsum(np.random.default_rng(0).normal(size=(T + 1, P)), axis=0)


class Run:
    """A W&B run as its documentation describes it: rows by step, which must not go back; one row at a time."""

    def __init__(self):
        self.rows, self.step, self.pending, self.lost, self.metrics = {}, 0, {}, [], {}

    def define_metric(self, name, step_metric=None):
        self.metrics[name] = step_metric

    def log(self, values, step=None, commit=None):
        if step is not None:
            if step < self.step:
                self.lost.append(values)
                return
            if step > self.step:
                self._flush()
                self.step = step
        self.pending |= values
        if commit or (commit is None and step is None):
            self._flush()
            self.step += 1

    def _flush(self):
        if self.pending:
            self.rows[self.step] = self.pending
        self.pending = {}

    def finish(self):
        self._flush()


def loop(run, log, twice=True, records=1):
    """A training that logs twice a step by its own count, recorded `records` times a step."""
    tracker, theta = GramTracker(4, log=log, say=None), np.zeros(30)
    rng, count = np.random.default_rng(0), 0
    for step in range(12):
        run.log({"loss": float(step)}, step=step)
        for _ in range(records):
            theta = theta + rng.normal(size=30)
            tracker.update(theta, step=count)
            count += 1
        if twice:
            run.log({"accuracy": step / 12}, step=step)
    run.finish()
    return tracker.sequence().window(4)


@pytest.mark.parametrize("twice", [True, False])
def test_wandb_loses_nothing_beside_a_loop_that_logs_twice_a_step(twice):
    run = Run()
    window = loop(run, loggers.wandb(run), twice)
    assert not run.lost
    assert [row["loss"] for row in run.rows.values()] == list(range(12))
    shown = {row["gap/step"]: row["gap/ratio"] for row in run.rows.values() if "gap/ratio" in row}
    np.testing.assert_array_equal(list(shown), window.steps)
    np.testing.assert_allclose(list(shown.values()), window.ratio)
    assert run.metrics == {"gap/step": None, "gap/*": "gap/step"}


def test_recording_more_often_than_logging_disturbs_nothing():
    run = Run()
    loop(run, loggers.wandb(run), records=3)
    assert not run.lost
    assert [row["accuracy"] for row in run.rows.values()] == [step / 12 for step in range(12)]


def test_the_bare_function_is_the_control():
    run = Run()
    loop(run, lambda values, step: run.log(values, step=step + 5), twice=True)  # another count of steps
    assert run.lost


def test_wandb_itself(tmp_path, monkeypatch):
    wandb = pytest.importorskip("wandb")
    monkeypatch.setenv("WANDB_SILENT", "true")
    run = wandb.init(mode="offline", dir=str(tmp_path), project="gap")
    tracker = GramTracker(4, log=loggers.wandb(), say=None)
    for step, theta in enumerate(walk(12)):
        run.log({"loss": float(step)}, step=step)
        tracker.update(theta, step=step)
        run.log({"accuracy": step / 12}, step=step)
    last = tracker.sequence().window(4).ratio[-1]
    run.log({}, commit=True)
    summary = dict(run.summary)
    run.finish()
    assert summary["gap/ratio"] == pytest.approx(last)
    assert summary["gap/step"] == 12
    assert summary["loss"] == 12
    with pytest.raises(ValueError, match=r"wandb must have a run, got none: call wandb.init\(\) first"):
        loggers.wandb()({"k_star": 1.0}, step=1)


def test_tensorboard_itself(tmp_path):
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    tracker = GramTracker(4, log=loggers.tensorboard(tmp_path), eta=0.1, say=None)
    for step, theta in enumerate(walk(12)):
        tracker.update(theta, step=10 * step)
    for cell in tracker.log.__closure__:
        if hasattr(cell.cell_contents, "close"):  # the writer writes when it is closed
            cell.cell_contents.close()
    events = EventAccumulator(str(tmp_path))
    events.Reload()
    assert sorted(events.Tags()["scalars"]) == ["gap/adiabatic", "gap/gap", "gap/k_star", "gap/ratio"]
    window = tracker.sequence().window(4)
    assert [event.step for event in events.Scalars("gap/ratio")] == window.steps.tolist()
    np.testing.assert_allclose(
        [event.value for event in events.Scalars("gap/ratio")], window.ratio, rtol=1e-6
    )
    assert len(events.Scalars("gap/adiabatic")) == len(window.steps) - 1  # what is undefined is not there


def test_what_mlflow_and_trackio_take():
    """Functions with their documented parameters, which mind the step and refuse what is no finite number."""
    rows = []

    def taken(values, step):
        assert isinstance(step, int)
        assert all(type(value) is float and np.isfinite(value) for value in values.values())
        assert not rows or step > rows[-1][0]
        rows.append((step, values))

    def log_metrics(
        metrics, step=None, synchronous=None, run_id=None, timestamp=None, model_id=None, dataset=None
    ):
        taken(metrics, step)

    def log(metrics, step=None):  # trackio's; "step", "time", "project", "run" are names of its own
        assert not {"step", "time", "timestamp", "project", "run", "metrics"} & metrics.keys()
        taken(metrics, step)

    for function in (log_metrics, log):
        rows.clear()
        tracker = GramTracker(4, log=loggers.prefixed(function), eta=0.1, on_error="raise", say=None)
        for step, theta in enumerate(walk(12)):
            tracker.update(theta, step=10 * step)
        window = tracker.sequence().window(4)
        assert [step for step, _ in rows] == window.steps.tolist()
        np.testing.assert_allclose([values["gap/ratio"] for _, values in rows], window.ratio)
        names = {"gap/k_star", "gap/ratio", "gap/gap", "gap/adiabatic"}
        assert rows[0][1].keys() == names - {"gap/adiabatic"}  # what is undefined is not there
        assert rows[-1][1].keys() == names


def test_mlflow_itself(tmp_path, monkeypatch):
    mlflow = pytest.importorskip("mlflow")
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    mlflow.set_tracking_uri(tmp_path.as_uri())
    mlflow.set_experiment("gap")
    with mlflow.start_run() as run:
        tracker = GramTracker(4, log=loggers.prefixed(mlflow.log_metrics, "window."), say=None)
        for step, theta in enumerate(walk(8)):
            tracker.update(theta, step=step)
    found = mlflow.MlflowClient().get_metric_history(run.info.run_id, "window.ratio")
    window = tracker.sequence().window(4)
    assert [(entry.step, entry.value) for entry in found] == [
        (step, pytest.approx(ratio)) for step, ratio in zip(window.steps, window.ratio, strict=True)
    ]


def test_accelerate_passes_on_to_its_trackers(tmp_path):
    accelerate = pytest.importorskip("accelerate")
    pytest.importorskip("tensorboard")

    class Kept(accelerate.tracking.GeneralTracker):
        name, requires_logging_directory = "kept", False

        def __init__(self):
            super().__init__()
            self.rows = []

        @property
        def tracker(self):
            return self.rows

        def store_init_configuration(self, values):
            pass

        def log(self, values, step=None, **options):
            self.rows.append((step, values))

    kept = Kept()
    accelerator = accelerate.Accelerator(cpu=True, log_with=[kept, "tensorboard"], project_dir=tmp_path)
    accelerator.init_trackers("runs")
    tracker = GramTracker(4, log=loggers.accelerate(accelerator), say=None)
    for step, theta in enumerate(walk(8)):
        tracker.update(theta, step=step)
    accelerator.end_training()
    assert [step for step, _ in kept.rows] == tracker.sequence().window(4).steps.tolist()
    assert all(name.startswith("gap/") for _, values in kept.rows for name in values)
    assert list(tmp_path.rglob("events.out.tfevents*"))
