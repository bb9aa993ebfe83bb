"""Make a preset of what distill.py wrote.

    python examples/distillation/export.py runs/samplecnn_3x9.npz -o runs/presets --hours 20

What a run wrote before it ended will do, too. `--hours` (of music, as read_pieces.py counted) and `--machine`
are for the model card. What the music was stands there as well: DATA, to be changed with the music.
"""

import argparse
import json
from itertools import zip_longest
from pathlib import Path
from typing import Any

import numpy as np
from musicnn import TAGS
from students import STUDENTS, arguments, build

from samplecnn_zoo import Preset, save_pretrained
from samplecnn_zoo.zoo.preset import Score, Training

DATA = (
    "{hours:.0f} hours of unlabelled music from games, and of MIDI files rendered with FluidR3_GM, with "
    "speech mixed in. What it learned is what MusicNN (Pons and Serra 2019; trained on MagnaTagATune and "
    "on the Million Song Dataset) says of them."
)


GTZAN = {
    "dataset": "GTZAN, 100 crops",
    "split": "5 folds by track",
    "note": "logistic regression on the last three levels, mean over 5 seeds",
}


def main() -> None:
    """Write presets."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("runs", type=Path, nargs="+", help="from distill.py")
    parser.add_argument("-o", "--output", type=Path, required=True, help="a folder for their directories")
    parser.add_argument("--hours", type=float, required=True, help="of music, as read_pieces.py counted")
    parser.add_argument(
        "--accuracy",
        type=float,
        nargs="*",
        default=[],
        help="for the cards, of finetune_gtzan.py, last three levels",
    )
    parser.add_argument("--machine", help="what it was trained on; else the device's name")
    options = parser.parse_args()
    for run, accuracy in zip_longest(options.runs, options.accuracy):
        export(run, options.output, options.hours, accuracy, options.machine)


def export(run: Path, folder: Path, hours: float, accuracy: float | None, machine: str | None) -> None:
    """Write one preset."""
    with np.load(run) as arrays:
        facts = json.loads(str(arrays["facts"]))
        weights = [arrays[str(at)] for at in range(len(arrays.files) - 1)]
    name = facts["student"]
    model = build(name)
    model.set_weights(weights)
    preset = Preset(
        name=f"{name}.musicnn",
        builder="SampleCNN",
        arguments=arguments(name),
        sample_rate=STUDENTS[name].rate,
        segment_samples=model.input_shape[1],
        tags=TAGS,
        license="MIT",
        training_data=DATA.format(hours=hours),
        description=f"{len(TAGS)} tags of MagnaTagATune and the Million Song Dataset, learned from MusicNN",
        training=Training(
            command=command(facts),
            hours=round(facts["seconds"] / 3600, 3),
            machine=machine or facts["device"],
            note=note(facts),
        ),
        scores=() if accuracy is None else (Score("genre accuracy", accuracy, **GTZAN),),
    )
    save_pretrained(model, folder / preset.name, preset=preset, overwrite=True)
    print(f"{folder / preset.name}: {facts['steps']} steps, {facts['seconds']:.0f} s, {facts['exam']}")


def note(facts: dict[str, Any]) -> str:
    """How far the student came."""
    exam = facts["exam"]
    if not exam:
        return f"{facts['steps']} batches of {facts['batch']}, where the run was stopped."
    return (
        f"{facts['steps']} batches of {facts['batch']}. On pieces that were held out, its tags correlate "
        f"with the teachers' by {exam['tags_correlation']:.2f} (mean over tags), and its last level explains "
        f"{exam['hidden_explained']:.2f} of the variance of their penultimate layers."
    )


def command(facts: dict[str, Any]) -> str:
    """What trains the student again, for as long."""
    length = f"--minutes {facts['minutes']}" if facts["minutes"] else f"--steps {facts['steps']}"
    return (
        f"python examples/distillation/distill.py {facts['student']} --pieces pieces.npy --voices voices.npy "
        f"--teachers teachers/musicnn.npz --out runs/{facts['student']}.npz {length} "
        f"--batch {facts['batch']} --seed {facts['seed']}"
    )


if __name__ == "__main__":
    main()
