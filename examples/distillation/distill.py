"""Teach a SampleCNN what MusicNN hears, on any music, on one GPU.

    KERAS_BACKEND=jax python examples/distillation/distill.py samplecnn_3x9 --pieces pieces.npy \
        --voices voices.npy --teachers teachers/musicnn.npz --out runs/samplecnn_3x9.npz --minutes 8

The student learns two things of each excerpt (`views.py`): the 92 tags' scores of two teachers
(`musicnn.py`), and, through linear layers on its last three levels (pooled in time as for transfer, section
4 of the paper), what the teachers' penultimate layers say. Those linear layers are thrown away.

`--out` is written every minute; `export.py` makes a preset of it. Learning falls to nothing over the time
or the steps given.
"""

import argparse
import json
import os
import time
from pathlib import Path
from typing import Any

os.environ.setdefault("KERAS_BACKEND", "jax")

import jax
import jax.numpy as jnp
import keras
import musicnn
import numpy as np
import views
from students import LEVELS, STUDENTS, build

from samplecnn_zoo.models.features import level_stages, stage_outputs

HELD_OUT = 40  # each so-manieth piece is kept for the last line
HIDDEN = 400  # of both teachers' penultimate layers
TAG_WEIGHT = 5.0  # of the tags' cross entropy, beside a squared error of about 0.5
WARM_UP = 0.02  # of the run


def main() -> None:
    """Read, teach, keep."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("student", choices=STUDENTS)
    parser.add_argument("--pieces", type=Path, required=True, help="from read_pieces.py")
    parser.add_argument("--voices", type=Path, required=True, help="the same of collect_music.py --voices")
    parser.add_argument("--teachers", type=Path, required=True, help="from musicnn.py")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--minutes", type=float, help="how long to teach, from the first step")
    parser.add_argument("--steps", type=int, help="how many batches, instead")
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--learning-rate", type=float, default=1e-3)
    parser.add_argument("--precision", choices=("float32", "mixed_bfloat16"), default="mixed_bfloat16")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    if (options.minutes is None) == (options.steps is None):
        parser.error("give --minutes or --steps")
    keras.utils.set_random_seed(options.seed)
    music = np.load(options.pieces)
    kept = np.arange(len(music)) % HELD_OUT == HELD_OUT - 1
    sound = {"music": jnp.asarray(music[~kept]), "voices": jnp.asarray(np.load(options.voices))}
    lesson = Lesson(options, sound)
    print(f"{options.student}: {len(music)} pieces, {sum(kept)} held out", flush=True)
    lesson.run()
    lesson.save(lesson.examine(jnp.asarray(music[kept])))


class Lesson:
    """A student, its optimizer, and the step that jax compiles."""

    def __init__(self, options: argparse.Namespace, sound: dict[str, Any]) -> None:
        self.options, self.sound = options, sound
        keras.config.set_dtype_policy(options.precision)
        self.model = build(options.student)
        self.taught = with_listeners(self.model)
        self.teachers = jax.tree.map(jnp.asarray, musicnn.read_teachers(options.teachers))
        self.optimizer = keras.optimizers.Adam(options.learning_rate)
        self.optimizer.build(self.taught.trainable_variables)
        self.state = tuple(
            [jnp.array(variable.value) for variable in variables]
            for variables in (
                self.taught.trainable_variables,
                self.taught.non_trainable_variables,
                self.optimizer.variables,
            )
        )
        names = [variable.name for variable in self.optimizer.variables]
        self.rate_at = names.index("learning_rate")
        self.key = jax.random.key(options.seed)
        self.scale = self.spread()
        self.step = jax.jit(self.learn, donate_argnums=0)
        self.log: list[dict[str, float]] = []

    def spread(self) -> tuple[Any, Any]:
        """Mean and spread of what the teachers say: both count alike, unit by unit."""
        hear = jax.jit(lambda key, sound: self.ask(self.mix(key, sound))[1])
        said = [hear(key, self.sound) for key in jax.random.split(jax.random.key(1), 16)]
        values = jnp.concatenate(said)
        return values.mean(axis=0), values.std(axis=0) + 1e-3

    def mix(self, key: Any, sound: dict[str, Any]) -> Any:
        """A batch of what the teachers hear."""
        return views.mixtures(key, sound["music"], sound["voices"], self.options.batch)

    def ask(self, x: Any) -> tuple[Any, Any]:
        """The teachers' tags (batch, 92) and penultimate layers (batch, 400)."""
        mels = musicnn.log_mel(views.resample(x, musicnn.RATE))
        answers = [musicnn.teach(self.teachers[name], mels) for name in musicnn.NAMES]
        tags, hidden, _ = zip(*answers, strict=True)
        return musicnn.united(*tags), jnp.concatenate(hidden, axis=1)

    def heard(self, x: Any) -> Any:
        """The student's segment in the middle of what the teachers hear: (batch, samples, 1)."""
        rate, samples = STUDENTS[self.options.student].rate, self.model.input_shape[1]
        return views.center(x if rate == views.RATE else views.resample(x, rate), samples)[..., None]

    def learn(self, state: Any, key: Any, rate: Any, sound: dict[str, Any]) -> tuple[Any, Any]:
        """One step: state -> state, (loss of the tags, of the penultimate layers)."""
        one, two = jax.random.split(key)
        x = self.mix(one, sound)
        tags, hidden = self.ask(x)
        target = (hidden - self.scale[0]) / self.scale[1]
        student = self.heard(views.worse(two, x))

        def loss(trainable: Any, other: Any) -> Any:
            (scores, *heard), other = self.taught.stateless_call(trainable, other, student, training=True)
            entropy = cross_entropy(tags, scores)
            error = sum(jnp.mean((target - values) ** 2) for values in heard) / len(heard)
            return TAG_WEIGHT * entropy + error, (other, entropy, error)

        trainable, other, optimizer = state
        optimizer = [rate if at == self.rate_at else value for at, value in enumerate(optimizer)]
        (_, (other, entropy, error)), slopes = jax.value_and_grad(loss, has_aux=True)(trainable, other)
        trainable, optimizer = self.optimizer.stateless_apply(optimizer, slopes, trainable)
        return (trainable, other, optimizer), jnp.stack([entropy, error])

    def run(self) -> None:
        """Teach for the time or the steps; log and save on the way."""
        begun = saved = None
        step, done = 0, 0.0
        while done < 1:
            rate = self.options.learning_rate * min(1.0, done / WARM_UP) * (1 + np.cos(np.pi * done)) / 2
            self.key, key = jax.random.split(self.key)
            self.state, losses = self.step(self.state, key, jnp.float32(rate), self.sound)
            step += 1
            if step % 20 == 0 or begun is None:
                now = self.waited(losses)
                begun = begun or now  # compiling is over
                self.note(step, now - begun, losses)
                if saved is None or now - saved > 60:
                    print(f"{self.options.student} {json.dumps(self.log[-1])}", flush=True)
                    self.save({})
                    saved = now
            if self.options.minutes:
                done = (time.monotonic() - begun) / 60 / self.options.minutes
            else:
                done = step / self.options.steps
        self.note(step, self.waited(losses) - begun, losses)

    def waited(self, losses: Any) -> float:
        """The time when all steps so far are done: the queue stays short."""
        losses.block_until_ready()
        return time.monotonic()

    def note(self, step: int, seconds: float, losses: Any) -> None:
        """Put a line into the log; a loss that is no number ends the run."""
        entropy, error = (float(value) for value in losses)
        if not np.isfinite(entropy + error):
            raise SystemExit(f"the loss is {entropy} and {error} in step {step}")
        self.log.append({"step": step, "seconds": seconds, "tags": entropy, "hidden": error})

    def examine(self, pieces: Any, batches: int = 16) -> dict[str, float]:
        """How far the student agrees with its teachers on pieces that it never heard, unmixed."""
        trainable, other, _ = self.state

        @jax.jit
        def answer(key: Any) -> Any:
            x = views.to_peak(views.excerpts(key, pieces, self.options.batch), 0.9)
            tags, hidden = self.ask(x)
            (scores, *heard), _ = self.taught.stateless_call(trainable, other, self.heard(x), training=False)
            return tags, scores, (hidden - self.scale[0]) / self.scale[1], heard[0]

        keys = jax.random.split(jax.random.key(2), batches)
        tags, scores, hidden, heard = (
            np.concatenate(values) for values in zip(*map(answer, keys), strict=True)
        )
        likeness = [np.corrcoef(a, b)[0, 1] for a, b in zip(tags.T, scores.T, strict=True)]
        explained = 1 - ((hidden - heard) ** 2).mean() / hidden.var(axis=0).mean()
        return {"tags_correlation": float(np.mean(likeness)), "hidden_explained": float(explained)}

    def save(self, exam: dict[str, float]) -> None:
        """Write the student's weights, and what came of them."""
        for variable, value in zip(self.taught.trainable_variables, self.state[0], strict=True):
            variable.assign(value)
        for variable, value in zip(self.taught.non_trainable_variables, self.state[1], strict=True):
            variable.assign(value)
        facts = {
            "student": self.options.student,
            "minutes": self.options.minutes,
            "steps": self.log[-1]["step"],
            "batch": self.options.batch,
            "seconds": self.log[-1]["seconds"],
            "seed": self.options.seed,
            "device": str(jax.devices()[0].device_kind),
            "exam": exam,
            "log": self.log,
        }
        weights = {str(at): value for at, value in enumerate(self.model.get_weights())}
        partial_file = self.options.out.with_suffix(".partial.npz")
        self.options.out.parent.mkdir(parents=True, exist_ok=True)
        np.savez(partial_file, facts=json.dumps(facts), **weights)
        os.replace(partial_file, self.options.out)
        if exam:
            print(
                f"{self.options.student} {facts['steps']} steps {facts['seconds']:.0f} s {exam}", flush=True
            )


def cross_entropy(target: Any, scores: Any) -> Any:
    """Binary, the mean over batch and tags."""
    scores = jnp.clip(scores, 1e-6, 1 - 1e-6)
    return -jnp.mean(target * jnp.log(scores) + (1 - target) * jnp.log(1 - scores))


def with_listeners(model: keras.Model) -> keras.Model:
    """The same layers with a linear layer on each of the last levels: scores, then (batch, 400) a level."""
    outputs, stages = stage_outputs(model), level_stages(model)
    heard = []
    for level in LEVELS:
        pooled = keras.layers.GlobalMaxPooling1D()(outputs[stages[level]])
        heard.append(keras.layers.Dense(HIDDEN, dtype="float32")(pooled))
    return keras.Model(model.input, [model.output, *heard])


if __name__ == "__main__":
    main()
