"""The pieces in somebody's own `model.fit`, frozen stages, and the logs as others read them."""

import csv
import io
import struct
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from samplecnn_zoo.models import SampleCNN
from samplecnn_zoo.training import EveryMinutes, Plateau, RestartFromBest, StopOnNaN, TrainingError, freeze
from samplecnn_zoo.training.logs import COLUMNS, EVENTS, csv_text, write_logs


def net(**changes: Any) -> keras.Model:
    keras.utils.set_random_seed(2)
    return SampleCNN(3, 3, num_tags=2, widths=[3, 4, 5], **changes)


def data(count: int = 12, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    return rng.normal(size=(count, 81, 1)).astype("float32"), rng.integers(0, 2, (count, 2)).astype("float32")


class Losses(keras.callbacks.Callback):  # type: ignore[misc]
    """Say these validation losses, whatever the model does, and note learning rates and weights."""

    def __init__(self, losses: list[float]) -> None:
        super().__init__()
        self.losses, self.rates, self.weights = losses, [], []  # type: ignore[var-annotated]

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        assert logs is not None
        logs["val_loss"] = self.losses[epoch]
        self.rates.append(float(self.model.optimizer.learning_rate))
        self.weights.append(self.model.get_weights())


def test_restart_from_best_in_ones_own_fit() -> None:
    model = net()
    model.compile(
        keras.optimizers.SGD(0.01, momentum=0.9, nesterov=True), "binary_crossentropy", jit_compile=False
    )
    said = Losses([0.5, 0.4, 0.6, 0.6, 0.3, 0.6, 0.6, 0.2])
    restart = RestartFromBest(Plateau(factor=5, rates=2, patience=2))
    x, y = data()
    model.fit(x, y, epochs=8, verbose=0, callbacks=[said, restart])
    assert len(said.rates) == 7  # the second rate had its patience: the eighth epoch is not reached
    np.testing.assert_allclose(said.rates, [0.01] * 4 + [0.002] * 3, rtol=1e-6)
    for ours, best in zip(model.get_weights(), said.weights[4], strict=True):
        np.testing.assert_array_equal(ours, best)


def test_restart_from_best_wants_validation() -> None:
    model = net()
    model.compile("sgd", "binary_crossentropy", jit_compile=False)
    with pytest.raises(TrainingError, match=r"watches 'val_loss': give model\.fit validation_data"):
        model.fit(*data(), verbose=0, callbacks=[RestartFromBest()])


def test_stop_on_nan_names_epoch_and_batch() -> None:
    x, y = data(12)
    x[9] = np.nan
    model = net()
    model.compile("sgd", "binary_crossentropy", jit_compile=False)
    with pytest.raises(TrainingError, match="the loss became nan in epoch 1, batch 3"):
        model.fit(x, y, batch_size=4, shuffle=False, verbose=0, callbacks=[StopOnNaN()])


def test_every_minutes_calls_in_time() -> None:
    calls: list[int] = []
    model = net()
    model.compile("sgd", "binary_crossentropy", jit_compile=False)
    model.fit(
        *data(),
        batch_size=4,
        verbose=0,
        callbacks=[EveryMinutes(0, calls.append), EveryMinutes(9, calls.append)],
    )
    assert calls == [1, 2, 3]
    with pytest.raises(TrainingError, match="must be at least 0, got nan"):
        EveryMinutes(float("nan"), calls.append)


@pytest.mark.parametrize("block", ["basic", "res2"])
def test_frozen_stages_stand_still_statistics_among_them(block: str) -> None:
    model = net(block=block)
    frozen = freeze(model, below="stage3")
    assert {name.partition("_")[0] for name in frozen} == {"stage1", "stage2"}
    model.compile("adam", "binary_crossentropy", jit_compile=False)
    before = {layer.name: layer.get_weights() for layer in model.layers}
    model.fit(*data(), batch_size=4, epochs=2, verbose=0)
    for layer in model.layers:
        still = all(map(np.array_equal, before[layer.name], layer.get_weights()))
        assert still == (layer.name in frozen or not layer.get_weights()), layer.name
    x, _ = data()
    below = keras.Model(model.input, model.get_layer("stage2_pool").output)
    np.testing.assert_array_equal(
        np.asarray(keras.ops.convert_to_numpy(below(x, training=True))),
        np.asarray(keras.ops.convert_to_numpy(below(x, training=False))),
    )


def test_below_the_head_all_stages_are_frozen_and_unknown_ones_are_named() -> None:
    model = net()
    freeze(model, below="head")
    assert [weight.path for weight in model.trainable_weights] == ["tags/kernel", "tags/bias"]
    with pytest.raises(
        TrainingError, match=r"freeze below one of stage1, .*, stage4, top, head; .* no 'conv9'"
    ):
        freeze(model, below="conv9")


LINE: dict[str, Any] = {"learning_rate": 0.01, "seconds": 3.0}
HISTORY: list[dict[str, Any]] = [
    LINE | {"epoch": 1, "loss": 0.5, "valid_loss": 0.25, "valid_roc_auc": None, "time": 1.5},
    LINE | {"epoch": 200, "loss": 0.125, "valid_loss": 0.0625, "valid_roc_auc": 0.75},
]


def test_log_csv_has_a_line_an_epoch() -> None:
    read = list(csv.DictReader(io.StringIO(csv_text(HISTORY))))
    assert tuple(read[0]) == COLUMNS
    assert [row["loss"] for row in read] == ["0.5", "0.125"]
    assert [row["valid_roc_auc"] for row in read] == ["", "0.75"]


def test_the_event_file_is_what_tensorflow_reads(tmp_path: Path) -> None:
    tf = pytest.importorskip("tensorflow")
    write_logs(tmp_path, HISTORY)
    write_logs(tmp_path, HISTORY)  # made anew, not appended
    events = list(tf.compat.v1.train.summary_iterator(str(tmp_path / "tensorboard" / EVENTS)))
    assert events[0].file_version == "brain.Event:2"
    read = {
        (event.step, value.tag): value.simple_value for event in events[1:] for value in event.summary.value
    }
    assert read[1, "epoch/loss"] == 0.5 and read[200, "epoch/valid_roc_auc"] == 0.75
    assert (1, "epoch/valid_roc_auc") not in read
    assert read[200, "epoch/learning_rate"] == struct.unpack("<f", struct.pack("<f", 0.01))[0]
    assert len(events) == 3
