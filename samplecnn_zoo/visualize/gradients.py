"""Gradients and compiled functions of tensors on whatever backend Keras runs: it has neither of its own.

The other modules hand in functions of `keras.ops` and layers, and so name no framework.
"""

from collections.abc import Callable
from typing import Any

import keras

Tensor = Any  # of the backend
Function = Callable[[Tensor], tuple[Tensor, Tensor]]


def gradient(function: Function, x: Tensor) -> tuple[Tensor, Tensor]:
    """Differentiate an objective by its input.

    Args:
        function: from `x` to the objective and something else to know, both of any shape.
        x: where.

    Returns:
        The gradient of the sum of the objective, of the shape of `x`, and what else the function gave. Where
        a row of the objective depends on its own row of `x` alone, a row of the gradient is that row's own.
    """
    return _GRADIENTS[keras.backend.backend()](function, x)


def compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    """Compile a function of tensors: `tf.function` or `jax.jit`.

    PyTorch runs it as it is: its compiler wants a C++ compiler at the user's, and a batch of all filters
    leaves little for it to gain.
    """
    backend = keras.backend.backend()
    if backend == "tensorflow":
        return _traced(function)
    if backend == "jax":
        import jax

        jitted: Callable[..., Any] = jax.jit(function)
        return jitted
    return function


def _traced(function: Callable[..., Any]) -> Callable[..., Any]:
    """Trace once for tensors of each shape; a `tf.function` itself warns where many are made and called."""
    import tensorflow as tf

    graph = tf.function(function, autograph=False)
    traces: dict[tuple[Any, ...], Callable[..., Any]] = {}

    def run(*tensors: Tensor) -> Any:
        shapes = tuple(tuple(tensor.shape) for tensor in tensors)
        if shapes not in traces:
            traces[shapes] = graph.get_concrete_function(*tensors)
        return traces[shapes](*tensors)

    return run


def _tensorflow(function: Function, x: Tensor) -> tuple[Tensor, Tensor]:
    import tensorflow as tf

    with tf.GradientTape(watch_accessed_variables=False) as tape:
        tape.watch(x)
        objective, seen = function(x)
    return tape.gradient(objective, x), seen


def _jax(function: Function, x: Tensor) -> tuple[Tensor, Tensor]:
    import jax

    def total(x: Tensor) -> tuple[Tensor, Tensor]:
        objective, seen = function(x)
        return objective.sum(), seen

    slope, seen = jax.grad(total, has_aux=True)(x)
    return slope, seen


def _torch(function: Function, x: Tensor) -> tuple[Tensor, Tensor]:
    import torch

    with torch.enable_grad():
        x = x.detach().requires_grad_(True)
        objective, seen = function(x)
        (slope,) = torch.autograd.grad(objective.sum(), x)
    return slope, seen.detach()


_GRADIENTS = {"tensorflow": _tensorflow, "jax": _jax, "torch": _torch}
