"""The preset that a run becomes: its record, made from recipe, set and history."""

import os
import platform
import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from samplecnn_zoo.models.plans import SAMPLING_RATE_PLANS
from samplecnn_zoo.training.checkpoint import Standing
from samplecnn_zoo.training.feed import Feed
from samplecnn_zoo.training.network import arguments
from samplecnn_zoo.training.recipe import Recipe
from samplecnn_zoo.zoo import Preset, Score, Training, preset_info, save_pretrained

if TYPE_CHECKING:
    import keras


@dataclass(frozen=True)
class About:
    """What a model card says that no run knows.

    Attributes:
        name: The preset's; empty makes one of the network and the set.
        license: Of the weights, which depends on that of the audio.
        command: That can make them again.
        machine: They were made on; empty describes this one.
    """

    name: str = ""
    license: str = "unknown"
    command: str = ""
    machine: str = ""


def save_preset(
    model: "keras.Model",
    target: Path,
    feed: Feed,
    standing: Standing,
    *,
    about: About,
    start_from: str | Path | None,
) -> Preset:
    """Write the trained network as a preset directory and return its record.

    Raises:
        PresetError: A weight is not finite.
        OSError: It can't be written.
    """
    before = None if start_from is None else preset_info(start_from)
    return save_pretrained(model, target, preset=_preset(model, feed, standing, about, before))


def _preset(
    model: "keras.Model", feed: Feed, standing: Standing, about: About, before: Preset | None
) -> Preset:
    recipe, data = feed.recipe, feed.prepared
    kind: dict[str, Any] = {
        "rate": data.sample_rate,
        "tags": len(data.tags),
        "single_label": data.single_label,
    }
    clips = min(data.counts["train"], feed.limit or data.counts["train"])
    common: dict[str, Any] = {
        "name": about.name or preset_name(model.name, recipe, data.sample_rate, data.name),
        "sample_rate": data.sample_rate,
        "segment_samples": feed.segment_samples,
        "tags": data.tags,
        "license": about.license,
        "training_data": f"{clips} clips of {data.name}",
        "description": f"{len(data.tags)} tags of {data.name} from a waveform at {data.sample_rate} Hz",
        "normalization": feed.normalization,
        "training": _training(recipe, standing, about, before),
        "scores": _scores(recipe, standing, data.name),
    }
    if before is None:
        return Preset(builder=recipe.builder, arguments=arguments(recipe, **kind), **common)
    common["training_data"] += f"; the weights to begin with were trained on {before.training_data}"
    stated = getattr(model, "preset", before).arguments
    return replace(before, arguments=stated, weights_sha256=None, config_sha256=None, **common)


def preset_name(model_name: str, recipe: Recipe, rate: int, set_name: str) -> str:
    """Name a preset after network and set: `samplecnn_8k.midi`, `samplecnn_res2_multi_8k.midi`."""
    plan = recipe.arguments.get("m")
    if rate != 22050 and isinstance(plan, (tuple, list)) and tuple(plan) == SAMPLING_RATE_PLANS.get(rate):
        model_name = model_name.replace("-".join(map(str, plan)), f"{rate // 1000}k")
    return re.sub(r"[^A-Za-z0-9._-]+", "_", f"{model_name}.{set_name}").strip("_.-")


def _training(recipe: Recipe, standing: Standing, about: About, before: Preset | None) -> Training:
    import keras

    hours = sum(row["seconds"] for row in standing.history) / 3600
    machine = about.machine or _machine()
    command = about.command or f"samplecnn_zoo.training.train(get_recipe({recipe.name!r}), …)"
    if before and before.training:
        hours += before.training.hours
        command = f"{before.training.command}\n{command}"
        if before.training.machine and not before.training.machine.endswith(machine):
            machine = f"{before.training.machine}; then {machine}"
    kept = standing.best if recipe.keep == "best" and standing.best else standing.history[-1]
    note = (
        f"Recipe {recipe.name}; epoch {kept['epoch']} of {len(standing.history)} was kept ({recipe.keep}). "
        f"Keras {keras.__version__} with {keras.backend.backend()}, {recipe.precision}. "
        "Decoding is not counted."
    )
    return Training(command, round(hours, 2), machine, note)


def _machine() -> str:
    return f"{os.cpu_count()} CPU cores ({platform.machine()})"


def _scores(recipe: Recipe, standing: Standing, name: str) -> tuple[Score, ...]:
    kept = standing.best if recipe.keep == "best" and standing.best else standing.history[-1]
    chosen = "the epoch was chosen by the loss on it" if recipe.keep == "best" else ""
    figures = {"ROC-AUC": kept.get("valid_roc_auc"), "accuracy": kept.get("valid_accuracy")}
    return tuple(
        Score(metric, round(value, 6), dataset=name, split="valid", note=chosen)
        for metric, value in figures.items()
        if value is not None
    )
