"""Average the weights of a preset and of the one fine-tuned from it, which often beats both.

    python examples/average_presets.py runs/8000/samplecnn_8k.midi50 runs/8000_levels/samplecnn_8k.midi50 \
        --share 0.5 -o runs/averaged/samplecnn_8k.midi50

Works for a network and one trained on from its weights (Wortsman et al. 2022, Robust fine-tuning of zero-shot
models); two that began apart have nothing to share. Choose --share on the validation part.
"""

import argparse
from dataclasses import replace
from pathlib import Path

from samplecnn_zoo import load_pretrained, save_pretrained


def main() -> None:
    """Write the averaged preset."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("first", type=Path, help="a preset's directory")
    parser.add_argument("second", type=Path, help="the preset that was trained on from it")
    parser.add_argument("--share", type=float, default=0.5, help="of the second one, 0 to 1")
    parser.add_argument("-o", "--output", type=Path, required=True)
    options = parser.parse_args()
    first, second = load_pretrained(options.first), load_pretrained(options.second)
    if first.preset.config_sha256 != second.preset.config_sha256 or first.preset.tags != second.preset.tags:
        raise SystemExit("the two presets differ in architecture or tags")
    pairs = zip(first.get_weights(), second.get_weights(), strict=True)
    second.set_weights([(1 - options.share) * a + options.share * b for a, b in pairs])
    training = second.preset.training
    if training is not None:
        command = (
            f"python examples/average_presets.py {options.first} {options.second} "
            f"--share {options.share} -o {options.output}"
        )
        training = replace(training, command=f"{training.command}\n{command}")
    save_pretrained(second, options.output, preset=replace(second.preset, training=training, scores=()))


if __name__ == "__main__":
    main()
