"""Recipes as records, learning rates over a run, and the losses and scores of a validation."""

from dataclasses import asdict
from math import cos, isnan, nan, pi
from typing import Any

import keras
import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from samplecnn_zoo.models.plans import SAMPLING_RATE_PLANS
from samplecnn_zoo.training import RECIPES, Cosine, Optimizer, Plateau, Recipe, TrainingError, get_recipe
from samplecnn_zoo.training.network import build
from samplecnn_zoo.training.outcome import preset_name
from samplecnn_zoo.training.schedule import PlateauState, make_optimizer
from samplecnn_zoo.training.validate import macro_roc_auc

NET = {"m": 3, "n": 2, "widths": [2, 2]}


@pytest.mark.parametrize("name", RECIPES)
def test_every_recipe_states_how_it_is_run_and_claims_nothing_unmeasured(name: str) -> None:
    recipe = RECIPES[name]
    assert recipe.name == name
    assert recipe.command.startswith(f"samplecnn train {name} --set ")
    assert recipe.hardware
    assert (recipe.hours is None) == (recipe.expected is None or "not yet trained here" in recipe.expected)


def test_the_papers_recipe_is_the_papers() -> None:
    # Table 2, and of Table 6 the line of SampleCNN 3^9 itself.
    for name, batch, auc in (("paper_mtat", 23, "0.9055"), ("paper_msd", 50, "0.8812")):
        recipe = get_recipe(name)
        assert recipe.expected is not None and f"ROC-AUC {auc} on" in recipe.expected
        assert (recipe.batch_size, recipe.order, recipe.per_clip) == (batch, "consecutive", None)
        sgd = Optimizer(kind="sgd", learning_rate=0.01, momentum=0.9, nesterov=True)
        assert recipe.optimizer == sgd
        assert recipe.schedule == Plateau(factor=5.0, rates=5, patience=3)
        assert recipe.epochs is None and recipe.precision == "float32" and recipe.augmentation is None
        model = build(recipe, rate=22050, tags=50, single_label=False)
        assert model.input_shape[1] == 59049
        assert sum(int(np.prod(weight.shape)) for weight in model.trainable_weights) == 2_460_466  # Table 1
        convs = [layer for layer in model.layers if isinstance(layer, keras.layers.Conv1D)]
        assert {type(layer.kernel_initializer).__name__ for layer in convs} == {"HeUniform"}


def test_the_recipe_for_the_midi_set() -> None:
    recipe = get_recipe("midi_8k")
    assert dict(recipe.arguments) == {"m": SAMPLING_RATE_PLANS[8000], "sr": 8000}
    assert (recipe.epochs, recipe.batch_size, recipe.per_clip, recipe.order) == (20, 16, 1, "random")
    assert recipe.optimizer.learning_rate == 1e-3 and recipe.schedule == Cosine(warmup=0.05, floor=1e-3)


@pytest.mark.parametrize(
    ("name", "rate"), [("small_set", 22050), ("midi_8k", 22050), ("paper_mtat", 8000), ("paper_msd", 16000)]
)
def test_a_plan_for_one_rate_is_not_trained_at_another(name: str, rate: int) -> None:
    wanted = 8000 if rate == 22050 else 22050
    message = f"is for {wanted} Hz, the prepared set has {rate} Hz; prepare it with --rate {wanted}"
    with pytest.raises(TrainingError, match=f"recipe {name} {message}"):
        build(get_recipe(name), rate=rate, tags=3, single_label=False)


def test_an_unknown_recipe_names_those_there_are() -> None:
    with pytest.raises(TrainingError, match="no recipe 'papr'; there are paper_mtat, paper_msd, modern"):
        get_recipe("papr")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"epochs": 0}, "epochs must be at least 1, got 0"),
        ({"epochs": None}, "epochs=None wants the schedule Plateau"),
        ({"batch_size": 0}, "batch_size must be at least 1, got 0"),
        ({"per_clip": 0}, "per_clip must be at least 1 or None, got 0"),
        ({"builder": "eval"}, "builder is one of SampleCNN, FrameLevelRaw, FrameLevelMel, got 'eval'"),
        ({"order": "sorted"}, "order is one of random, consecutive"),
        ({"precision": "float8"}, "precision is one of float32, mixed_bfloat16, mixed_float16"),
        ({"keep": "first"}, "keep is one of best, last"),
        ({"label_smoothing": 1.0}, "label_smoothing must be at least 0 and less than 1, got 1.0"),
        ({"learning_rate": 0.0}, "learning_rate must be finite and more than 0, got 0.0"),
        ({"learning_rate": nan}, "learning_rate must be finite and more than 0, got nan"),
        ({"kind": "adamax"}, "optimizer is one of adamw, sgd, got 'adamax'"),
        ({"momentum": 1.0}, "momentum must be at least 0 and less than 1"),
        ({"weight_decay": -1.0}, "weight_decay must be at least 0"),
        ({"clip_norm": 0.0}, "clip_norm must be more than 0 or None"),
    ],
)
def test_a_value_out_of_range_is_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(TrainingError, match=message):
        Recipe(name="x", arguments=NET).but(**changes)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Cosine(warmup=1.0), "warmup must be at least 0 and less than 1"),
        (lambda: Cosine(floor=2.0), "floor must be from 0 to 1"),
        (lambda: Plateau(factor=1.0), "factor must be more than 1"),
        (lambda: Plateau(patience=0), "rates and patience must be at least 1"),
    ],
)
def test_a_schedule_out_of_range_is_refused(make: Any, message: str) -> None:
    with pytest.raises(TrainingError, match=message):
        make()


def test_facts_hold_what_decides_the_weights_and_nothing_else() -> None:
    recipe = Recipe(name="x", arguments={"m": (3, 3)}, command="c", hours=1.0, schedule=Plateau())
    facts = recipe.facts()
    assert {"name", "command", "hardware", "hours", "expected"}.isdisjoint(facts)
    assert facts["arguments"] == {"m": [3, 3]}
    assert facts["schedule"] == {"kind": "Plateau", "factor": 5.0, "rates": 5, "patience": 3}
    assert facts == recipe.but().facts() != recipe.but(learning_rate=0.5).facts()


def test_the_cosine_climbs_and_falls_as_written() -> None:
    optimizer = make_optimizer(Optimizer(learning_rate=0.8), Cosine(warmup=0.2, floor=0.1), 100)
    schedule = optimizer._learning_rate
    rates = [float(schedule(step)) for step in range(101)]
    climb = [0.16 + (0.8 - 0.16) * step / 20 for step in range(20)]
    fall = [0.8 * (0.1 + 0.9 * (1 + cos(pi * step / 80)) / 2) for step in range(81)]
    np.testing.assert_allclose(rates, climb + fall, rtol=1e-5)


@pytest.mark.parametrize(
    ("optimizer", "kind"),
    [
        (Optimizer(kind="sgd"), "SGD"),
        (Optimizer(), "Adam"),
        (Optimizer(weight_decay=0.1), "AdamW"),
    ],
)
def test_optimizers_are_keras_own(optimizer: Optimizer, kind: str) -> None:
    made = make_optimizer(optimizer, None, None)
    assert type(made).__name__ == kind
    assert made.weight_decay == (optimizer.weight_decay or None)


def losses_to_rates(losses: list[float], plateau: Plateau) -> list[int]:
    state, rates = PlateauState(), []
    for loss in losses:
        state = state.after(loss, plateau)
        rates.append(-1 if state.stopped else state.rate)
    return rates


def test_plateaus_wait_and_end() -> None:
    three = Plateau(factor=5, rates=2, patience=3)
    assert losses_to_rates([5, 4, 4, 4, 4], three) == [0, 0, 0, 0, 1]
    assert losses_to_rates([5, 6, 6, 4, 5, 5, 5], three) == [
        0,
        0,
        0,
        0,
        0,
        0,
        1,
    ]  # a fall starts the count anew
    assert losses_to_rates([5, 6, 6, 6, 6, 6, 6], three) == [0, 0, 0, 1, 1, 1, -1]
    assert losses_to_rates([5, nan, nan, nan], three) == [0, 0, 0, 1]  # no number is no fall
    assert isnan(nan) and asdict(PlateauState()).keys() == {"rate", "best_loss", "waited", "stopped"}


def test_macro_roc_auc_is_the_mean_over_tags_of_both_kinds() -> None:
    rng = np.random.default_rng(0)
    labels = (rng.random((40, 5)) < 0.4).astype(np.float32)
    labels[:, 1], labels[:, 3] = 0, 1
    scores = rng.random((40, 5))
    by_tag = [roc_auc_score(labels[:, tag], scores[:, tag]) for tag in (0, 2, 4)]
    assert macro_roc_auc(labels, scores) == pytest.approx(np.mean(by_tag))
    assert macro_roc_auc(labels[:, [1, 3]], scores[:, [1, 3]]) is None
    assert macro_roc_auc(labels, np.full((40, 5), nan)) is None


@pytest.mark.parametrize(
    ("arguments", "rate", "name"),
    [
        ({"m": SAMPLING_RATE_PLANS[8000]}, 8000, "samplecnn_8k.set"),
        ({"m": SAMPLING_RATE_PLANS[8000], "block": "res2", "multi_level": True}, 8000,
         "samplecnn_res2_multi_8k.set"),
        ({"m": [3, 3, 2], "block": "se"}, 8000, "samplecnn_se_3-3-2.set"),
    ],
)  # fmt: skip
def test_networks_of_different_kinds_give_presets_of_different_names(
    arguments: dict[str, Any], rate: int, name: str
) -> None:
    recipe = get_recipe("small_set").but(arguments={**arguments, "widths": [4] * len(arguments["m"])})
    model = build(recipe, rate=rate, tags=2, single_label=False)
    assert preset_name(model.name, recipe, rate, "set") == name
