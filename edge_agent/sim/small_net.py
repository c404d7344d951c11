"""Least squares by a small network: two hidden layers, Adam, a cosine's learning rate; numpy, deterministic."""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from edge_agent.policy.conversation import F64
from edge_agent.policy.tmo import F32, Network

BATCH = 256
LEARNING_RATE = 2e-3
DECAYS = (0.9, 0.999)
LAST_LAYER = 0.1  # the output starts near the mean


def fit(features: F32, targets: F64, hidden: int, epochs: int, random: np.random.Generator) -> Network:
    """A network for [M] targets from [M, in] features. Targets are standardised inside."""
    mean, scale = float(targets.mean()), float(targets.std()) + 1e-9
    wanted = ((targets - mean) / scale).astype(np.float32)
    sizes = (features.shape[1], hidden, hidden, 1)
    weights = [random.normal(0, np.sqrt(2 / a), (a, b)).astype(np.float32) for a, b in pairwise(sizes)]
    weights[-1] *= LAST_LAYER
    biases = [np.zeros(size, dtype=np.float32) for size in sizes[1:]]
    adam = _Adam([*weights, *biases], steps=epochs * max(1, len(features) // BATCH))
    for _ in range(epochs):
        order = random.permutation(len(features))
        for start in range(0, max(1, len(features) // BATCH) * BATCH, BATCH):
            rows = order[start : start + BATCH]
            adam.step(_gradients(weights, biases, features[rows], wanted[rows]))
    return Network(tuple(zip(weights, biases, strict=True)), mean, scale)


def _gradients(weights: list[F32], biases: list[F32], features: F32, wanted: F32) -> list[F32]:
    """Of the mean squared error, for the weights and then the biases."""
    layers = [features]
    for matrix, bias in zip(weights[:-1], biases[:-1], strict=True):
        layers.append(np.maximum(layers[-1] @ matrix + bias, 0.0))
    output = (layers[-1] @ weights[-1] + biases[-1])[:, 0]
    error = (output - wanted)[:, None] * np.float32(2.0 / len(wanted))
    of_weights, of_biases = list[F32](), list[F32]()
    for at in range(len(weights) - 1, -1, -1):
        of_weights.append(layers[at].T @ error)
        of_biases.append(error.sum(axis=0))
        if at:
            error = (error @ weights[at].T) * (layers[at] > 0)
    return of_weights[::-1] + of_biases[::-1]


class _Adam:
    """Adam in place, its rate falling from LEARNING_RATE to 0 along a cosine."""

    def __init__(self, parameters: list[F32], steps: int) -> None:
        self._parameters = parameters
        self._first = [np.zeros_like(p) for p in parameters]
        self._second = [np.zeros_like(p) for p in parameters]
        self._steps = steps
        self._done = 0

    def step(self, gradients: list[F32]) -> None:
        self._done += 1
        rate = LEARNING_RATE * 0.5 * (1.0 + np.cos(np.pi * self._done / self._steps))
        one, two = DECAYS
        undo_one, undo_two = 1.0 - one**self._done, 1.0 - two**self._done
        for parameter, gradient, first, second in zip(
            self._parameters, gradients, self._first, self._second, strict=True
        ):
            first += np.float32(1.0 - one) * (gradient - first)
            second += np.float32(1.0 - two) * (gradient * gradient - second)
            step = np.sqrt(second / np.float32(undo_two)) + np.float32(1e-8)
            parameter -= np.float32(rate / undo_one) * first / step
