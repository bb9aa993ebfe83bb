"""Songs on a plane, those that a level of a network hears alike beside each other (paper, 7.2, Figure 5).

The paper looks and finds that clips of a genre lie closer together at the highest level, and those of an
instrument two levels below. How close a tag's clips are is said here in a number, too, and of the features,
not of the plane: t-SNE keeps neighbours and stretches all else.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.floating]
Doubles = npt.NDArray[np.float64]
Truth = npt.NDArray[np.bool_]
Indices = npt.NDArray[np.intp]

FEWEST_CLIPS = 5
PERPLEXITY = 30.0
NEIGHBOURS = 10
SHUFFLES = 200
_ROWS_AT_ONCE = 1024  # of the clips by clips cosines


class MapError(ValueError):
    """Features or tags that make no map: one line with what is wrong and the way out."""


@dataclass(frozen=True)
class Closeness:
    """How closely the clips of a tag lie together at a level.

    Attributes:
        tag: Its name.
        clips: How many have it.
        share: Of the nearest neighbours of a clip with the tag, the share that has it, too; the mean over
            the tag's clips.
        chance: The same if neighbours were drawn by lot: (clips - 1) / (all clips - 1).
        chance_high: What one map in forty reaches by chance: 97.5 % of the shares when the tag is given to
            other clips at random.
    """

    tag: str
    clips: int
    share: float
    chance: float
    chance_high: float


@dataclass(frozen=True, eq=False)
class LevelMap:
    """A level: where its clips are, (clips, 2), and how closely those of each tag lie together."""

    level: int | str
    places: Doubles
    closeness: tuple[Closeness, ...]


@dataclass(frozen=True, eq=False)
class SongMap:
    """Clips as several levels of a network hear them.

    Attributes:
        title: What the map is of.
        names: (clips,) their files.
        held: (clips,) all tags of each.
        tags: Those that are told apart.
        levels: A map each.
        neighbours: How many nearest ones `Closeness.share` looks at.
        perplexity: About how many neighbours t-SNE keeps together.
        seed: Of t-SNE and of chance.
    """

    title: str
    names: tuple[str, ...]
    held: tuple[tuple[str, ...], ...]
    tags: tuple[str, ...]
    levels: tuple[LevelMap, ...]
    neighbours: int
    perplexity: float
    seed: int

    def has(self) -> Truth:
        """Return (clips, tags) whether a clip has a tag."""
        return has_tags(self.held, self.tags)


Steps = Iterable[LevelMap]
Progress = Callable[[Steps, int], Steps]


def song_map(
    names: Sequence[str],
    features: Mapping[int | str, Floats],
    held: Sequence[Sequence[str]],
    tags: Sequence[str],
    *,
    title: str = "",
    neighbours: int = NEIGHBOURS,
    perplexity: float = PERPLEXITY,
    seed: int = 0,
    progress: Progress = lambda steps, _: steps,
) -> SongMap:
    """Lay clips out on a plane for each level; the same numbers and seed give the same map.

    Features are standardized over the clips and compared by the angle between them, for the plane and for the
    neighbours.

    Args:
        names: (clips,) their files.
        features: Level → (clips, channels).
        held: The tags of each clip.
        tags: Those to tell apart.
        title: What the map is of.
        neighbours: How many nearest ones are looked at; all, where there are fewer.
        perplexity: About how many neighbours stay together; of few clips, a third of them.
        seed: Of t-SNE and of chance.
        progress: Wraps the levels (iterable, total) for a progress bar.

    Raises:
        MapError: There are fewer than FEWEST_CLIPS clips, no clip has one of the tags, all clips are alike
            at a level, or `neighbours` or `perplexity` is below 1.
    """
    if len(names) < FEWEST_CLIPS:
        raise MapError(f"a map wants {FEWEST_CLIPS} clips or more, got {len(names)}: give more files")
    if neighbours < 1 or perplexity < 1:
        raise MapError(f"neighbours and perplexity must be 1 or more, got {neighbours} and {perplexity:g}")
    has = has_tags(held, tags)
    if missing := [tag for tag, count in zip(tags, has.sum(axis=0).tolist(), strict=True) if not count]:
        raise MapError(f"none of the {len(names)} clips has the tag {missing[0]!r}; it has no place on a map")
    nearest = min(neighbours, len(names) - 1)
    perplexity = min(perplexity, (len(names) - 1) / 3)

    def one(level: int | str, rows: Floats) -> LevelMap:
        unit = directions(rows, level)
        found = closeness(neighbours_of(unit, nearest), has, tags, seed=seed)
        return LevelMap(level, _places(unit, perplexity, seed), found)

    levels = progress((one(level, rows) for level, rows in features.items()), len(features))
    return SongMap(
        title, tuple(names), tuple(map(tuple, held)), tuple(tags), tuple(levels), nearest, perplexity, seed
    )


def has_tags(held: Sequence[Sequence[str]], tags: Sequence[str]) -> Truth:
    """Return (clips, tags) whether a clip has a tag."""
    return np.array([[tag in own for tag in tags] for own in held], np.bool_).reshape(len(held), len(tags))


def directions(features: Floats, level: int | str = "") -> Doubles:
    """Return (clips, channels) features standardized over the clips, each clip's scaled to length 1.

    Raises:
        MapError: All clips have the same features.
    """
    rows = features.astype(np.float64)
    spread = rows.std(axis=0)
    alive = spread > 1e-6 * np.abs(rows).max(axis=0)  # a channel that stands still has noise alone
    if not alive.any():
        raise MapError(f"level {level} hears all clips alike, which makes no map: are they the same file?")
    rows = (rows[:, alive] - rows[:, alive].mean(axis=0)) / spread[alive]
    unit: Doubles = rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12)
    return unit


def neighbours_of(unit: Doubles, count: int) -> Indices:
    """Return (clips, count) which others are nearest to each clip by angle; of equals the first."""
    found = np.empty((len(unit), count), np.intp)
    for at in range(0, len(unit), _ROWS_AT_ONCE):
        cosines = np.round(unit[at : at + _ROWS_AT_ONCE] @ unit.T, 9)  # copies of a clip are equally near
        own = np.arange(len(cosines))
        cosines[own, at + own] = -np.inf
        found[at : at + len(cosines)] = np.argsort(-cosines, axis=1, kind="stable")[:, :count]
    return found


def closeness(
    neighbours: Indices, has: Truth, tags: Sequence[str], *, shuffles: int = SHUFFLES, seed: int = 0
) -> tuple[Closeness, ...]:
    """Return how closely the clips of each tag lie together: `Closeness.share` of their neighbours.

    A share does not depend on how the features are scaled, and its value by chance is known. A tag of fewer
    clips than there are neighbours can't reach 1.

    Args:
        neighbours: (clips, count) which others are nearest to each.
        has: (clips, tags) whether a clip has a tag.
        tags: Their names.
        shuffles: Times that tags are given to other clips, for `chance_high`.
        seed: Of these.
    """
    rng = np.random.default_rng(seed)
    orders = [rng.permutation(len(has)) for _ in range(shuffles)]
    found = []
    for tag, own in zip(tags, has.T, strict=True):
        by_chance = [_share(neighbours, own[order]) for order in orders]
        chance = (int(own.sum()) - 1) / (len(own) - 1)
        high = float(np.quantile(by_chance, 0.975))
        found.append(Closeness(tag, int(own.sum()), _share(neighbours, own), chance, high))
    return tuple(found)


def _share(neighbours: Indices, own: Truth) -> float:
    return float(own[neighbours[own]].mean())


def _places(unit: Doubles, perplexity: float, seed: int) -> Doubles:
    """Return (clips, 2) places within -1 to 1, the way up and the sides as principal components have them."""
    from sklearn.manifold import TSNE

    model = TSNE(perplexity=perplexity, init="pca", random_state=seed)
    places = np.asarray(model.fit_transform(unit), np.float64)
    places -= (places.max(axis=0) + places.min(axis=0)) / 2
    scaled: Doubles = places / max(float(np.abs(places).max()), 1e-12)
    return scaled


def records(song: SongMap) -> list[dict[str, Any]]:
    """Return a record a clip, ready for a table: path, tags, and x and y for each level."""
    return [
        {
            "path": name,
            "tags": "|".join(held),
            **{
                f"level_{one.level}_{axis}": round(float(one.places[row, column]), 5)
                for one in song.levels
                for column, axis in enumerate("xy")
            },
        }
        for row, (name, held) in enumerate(zip(song.names, song.held, strict=True))
    ]


def closeness_records(song: SongMap) -> list[dict[str, Any]]:
    """Return a record a tag and level: the fields of `Closeness`, and of how many neighbours."""
    return [
        {
            "tag": one.tag,
            "level": level.level,
            "clips": one.clips,
            "neighbours": song.neighbours,
            **{name: round(getattr(one, name), 5) for name in ("share", "chance", "chance_high")},
        }
        for level in song.levels
        for one in level.closeness
    ]
