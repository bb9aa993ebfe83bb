"""Splits that are drawn: stratified by class, the same on every machine, groups kept together."""

import hashlib
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from samplecnn_zoo.datasets.local import DataSetError

SHARES = {"valid": 0.1, "test": 0.1}  # of each class; the rest is trained on
RULE = re.compile(r"stratified(?::(?P<seed>\d+))?|fold:(?P<fold>\d+)/(?P<folds>\d+)(?::(?P<fold_seed>\d+))?")
RULES = "stratified, stratified:SEED, fold:K/N or fold:K/N:SEED"
SPLIT_NAMES = {
    "train": "train", "training": "train",
    "valid": "valid", "validation": "valid", "val": "valid", "dev": "valid",
    "test": "test", "testing": "test", "eval": "test",
}  # fmt: skip


@dataclass(frozen=True)
class Rule:
    """How a split is drawn: `folds` equal parts of which number `fold` (from 1) is tested on, or shares."""

    seed: int = 0
    fold: int = 0
    folds: int = 0


def parse_rule(text: object) -> Rule:
    """The rule that an option names: "stratified:1", or "fold:2/5:1" for the second of five folds, seed 1.

    Raises:
        DataSetError: It names none, or there are fewer than three folds (one each to train, validate and
            test on) or no fold of that number.
    """
    match = RULE.fullmatch(str(text))
    if match is None:
        raise DataSetError(f"the option split may be {RULES}, not {text!r}")
    if match["folds"] is None:
        return Rule(int(match["seed"] or 0))
    fold, folds = int(match["fold"]), int(match["folds"])
    if folds < 3 or not 1 <= fold <= folds:
        raise DataSetError(f"fold:K/N needs at least three folds and K from 1 to N, not {text!r}")
    return Rule(int(match["fold_seed"] or 0), fold, folds)


def draw(classes: Mapping[str, str], rule: Rule, groups: Mapping[str, str] | None = None) -> dict[str, str]:
    """The split of each key, drawn class by class; keys of a group (default: each its own) stay together.

    Of K folds, number `fold` is the test part, the next one (after the last the first) the valid part. By
    shares a class gives a tenth to valid and test each, at least one if it has three, none if it has two or
    fewer. The draw depends on the seed and the names alone.
    """
    groups = groups or {key: key for key in classes}
    members: dict[str, Counter[str]] = defaultdict(Counter)
    for key, name in classes.items():
        members[groups[key]][name] += 1
    units = {group: min(count, key=lambda name: (-count[name], name)) for group, count in members.items()}
    by_unit = _folds(units, rule) if rule.folds else _shares(units, rule)
    return {key: by_unit[groups[key]] for key in classes}


def _folds(units: Mapping[str, str], rule: Rule) -> dict[str, str]:
    splits = {rule.fold - 1: "test", rule.fold % rule.folds: "valid"}
    # Dealt out like cards, on from class to class, so that folds differ by one unit at most.
    dealt = [unit for shuffled in _shuffled(units, rule.seed) for unit in shuffled]
    return {unit: splits.get(index % rule.folds, "train") for index, unit in enumerate(dealt)}


def _shares(units: Mapping[str, str], rule: Rule) -> dict[str, str]:
    found = {}
    for shuffled in _shuffled(units, rule.seed):
        splits: list[str] = []
        for split, share in SHARES.items():
            splits += [split] * (max(1, round(share * len(shuffled))) if len(shuffled) > 2 else 0)
        for index, unit in enumerate(shuffled):
            found[unit] = splits[index] if index < len(splits) else "train"
    return found


def _shuffled(units: Mapping[str, str], seed: int) -> list[list[str]]:
    by_class: dict[str, list[str]] = defaultdict(list)
    for unit, name in units.items():
        by_class[name].append(unit)
    return [shuffle(by_class[name], seed) for name in sorted(by_class)]


def shuffle(names: Iterable[str], seed: int) -> list[str]:
    """The names in an order that depends on the seed and on each name, not on how they were listed."""

    def drawn(name: str) -> bytes:  # a file's name may be no UTF-8
        return hashlib.sha256(f"{seed}/{name}".encode(errors="surrogateescape")).digest()

    return sorted(names, key=drawn)


def hold_out(classes: Mapping[str, str], groups: Mapping[str, str] | None = None) -> set[str]:
    """A tenth of the keys of each class, at least one where it has three: a valid part for a set without.

    Keys of a group (default: each its own) stay together; the tenth is then one of groups.
    """
    drawn = draw(classes, Rule(), groups)
    return {key for key, split in drawn.items() if split == "valid"}
