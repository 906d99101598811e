#!/usr/bin/env python3
"""Parts that `best` might have and has not, tried in PyTorch on the same shards, in a 784-1024-1024-10 as it was once.

usage: pytorch_parts.py FOLDER SEEDS EPOCHS PART...         (needs torch and numpy)
       FOLDER with a dataset.json, SEEDS as 0,1,2; PART: best gelu layer-norm batch-norm residual residual-gelu mixup-0.2
       mixup-1 bootstrapping clean-end wide deep

Prints validation and test accuracy of each; the choice is by validation.
"""
import json
import math
import pathlib
import sys

import numpy
import torch
import torch.nn.functional as F
from torch import nn

folder, seeds, epochs, parts = pathlib.Path(sys.argv[1]), sys.argv[2].split(","), int(sys.argv[3]), sys.argv[4:]
torch.set_flush_denormal(True)
dataset = json.loads((folder / "dataset.json").read_text())
BATCH, LEARNING_RATE, DROPOUT, SMOOTHING, DECAY = 128, 0.002, 0.1, 0.1, 0.999
# The share of the epochs after which `clean-end` leaves images as they are (He et al. 2019).
VARIED = 0.85


def load(split):
    shards = dataset["splits"][split]["shards"]
    images = numpy.concatenate([numpy.load(folder / shard["images"]["path"]) for shard in shards])
    labels = numpy.concatenate([numpy.load(folder / shard["labels"]["path"]) for shard in shards])
    return torch.tensor(images, dtype=torch.float32)[:, None], torch.tensor(labels, dtype=torch.long)


def standardised(images):
    return (images.flatten(1) / 255 - dataset["mean"]) / dataset["standard_deviation"]


def augmented(images, generator):
    """`--augment strong`."""
    uniform = lambda: torch.rand(len(images), generator=generator) * 2 - 1
    angle, shear = uniform() * math.radians(10), 0.25 * uniform()
    scale_x, scale_y = 1 + 0.15 * uniform(), 1 + 0.15 * uniform()
    shift_x, shift_y, stroke = 2 * uniform() / 14, 2 * uniform() / 14, 0.6 * uniform().view(-1, 1, 1, 1)
    cos, sin = angle.cos(), angle.sin()
    a, b = (cos + shear * sin) / scale_x, (sin - shear * cos) / scale_x
    d, e = -sin / scale_y, cos / scale_y
    back = torch.stack([a, b, -(a * shift_x + b * shift_y), d, e, -(d * shift_x + e * shift_y)], 1).view(-1, 2, 3)
    padded = F.pad(images, (1, 1, 1, 1))
    near = torch.stack([images, padded[..., :-2, 1:-1], padded[..., 2:, 1:-1], padded[..., 1:-1, :-2],
                        padded[..., 1:-1, 2:]])
    images = torch.where(stroke >= 0, images + stroke * (near.amax(0) - images), images - stroke * (near.amin(0) - images))
    return F.grid_sample(images, F.affine_grid(back, images.shape, align_corners=False), align_corners=False)


def linear(inputs, outputs):
    layer = nn.Linear(inputs, outputs)
    nn.init.kaiming_normal_(layer.weight)
    nn.init.zeros_(layer.bias)
    return layer


def perceptron(hidden, activation=nn.ReLU, normalise=None):
    layers = []
    for before, after in zip([784, *hidden], hidden):
        layers += [linear(before, after), *([normalise(after)] if normalise else []), activation(), nn.Dropout(DROPOUT)]
    return nn.Sequential(*layers, linear(hidden[-1], 10))


class Residual(nn.Module):
    """Blocks x + W2 f(W1 norm(x)), normalised before, after a linear stem (as in a pre-norm transformer)."""

    def __init__(self, blocks, activation, width=1024):
        super().__init__()
        self.stem, self.head = linear(784, width), linear(width, 10)
        last = [nn.Linear(width, width) for _ in range(blocks)]
        for layer in last:
            nn.init.zeros_(layer.weight)
            nn.init.zeros_(layer.bias)
        self.blocks = nn.ModuleList(
            nn.Sequential(nn.LayerNorm(width), linear(width, width), activation(), nn.Dropout(DROPOUT), layer,
                          nn.Dropout(DROPOUT)) for layer in last)
        self.end = nn.Sequential(nn.LayerNorm(width), activation(), nn.Dropout(DROPOUT))

    def forward(self, x):
        x = self.stem(x)
        for block in self.blocks:
            x = x + block(x)
        return self.head(self.end(x))


NETWORKS = {
    "gelu": lambda: perceptron([1024, 1024], nn.GELU),
    "layer-norm": lambda: perceptron([1024, 1024], normalise=nn.LayerNorm),
    "batch-norm": lambda: perceptron([1024, 1024], normalise=nn.BatchNorm1d),
    "residual": lambda: Residual(1, nn.ReLU),
    "residual-gelu": lambda: Residual(2, nn.GELU),
    "wide": lambda: perceptron([2048, 2048]),
    "deep": lambda: perceptron([1024, 1024, 1024]),
}


def loss_of(part, model, x, y, generator, chance):
    loss = lambda logits, target: F.cross_entropy(logits, target, label_smoothing=SMOOTHING)
    if part.startswith("mixup"):  # Zhang et al. 2018
        alpha = float(part.removeprefix("mixup-"))
        share, other = float(chance.beta(alpha, alpha)), torch.randperm(len(x), generator=generator)
        logits = model(share * x + (1 - share) * x[other])
        return share * loss(logits, y) + (1 - share) * loss(logits, y[other])
    logits = model(x)
    if part == "bootstrapping":  # Reed et al. 2015, soft
        return loss(logits, 0.8 * F.one_hot(y, 10) + 0.2 * logits.detach().softmax(1))
    return loss(logits, y)


def train(part, seed):
    torch.manual_seed(seed)
    generator, chance = torch.Generator().manual_seed(seed + 1000), numpy.random.default_rng(seed)
    model = NETWORKS.get(part, lambda: perceptron([1024, 1024]))()
    weights, others = ([p for p in model.parameters() if (p.ndim > 1) is of] for of in (True, False))
    optimizer = torch.optim.AdamW([{"params": weights, "weight_decay": 0.01}, {"params": others, "weight_decay": 0}],
                                  lr=LEARNING_RATE, fused=True)
    steps = math.ceil(len(images) / BATCH) * epochs
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, LEARNING_RATE, total_steps=steps, cycle_momentum=False)
    # Batch normalisation's running mean and variance are averaged as the weights are.
    values = [*model.parameters(), *(buffer for buffer in model.buffers() if buffer.is_floating_point())]
    average, step = [value.detach().clone() for value in values], 0
    for epoch in range(epochs):
        model.train()
        for rows in torch.randperm(len(images), generator=generator).split(BATCH):
            optimizer.zero_grad()
            is_varied = part != "clean-end" or epoch < VARIED * epochs
            x = standardised(augmented(images[rows], generator) if is_varied else images[rows])
            loss_of(part, model, x, labels[rows], generator, chance).backward()
            optimizer.step()
            schedule.step()
            step += 1
            with torch.no_grad():
                torch._foreach_lerp_(average, [value.detach() for value in values], 1 - min(DECAY, (1 + step) / (10 + step)))
    model.eval()
    with torch.no_grad():
        for value, averaged in zip(values, average):
            value.copy_(averaged)
        return [100 * (model(standardised(x)).argmax(1) == y).double().mean().item() for x, y in (valid, test)]


(images, labels), valid, test = load("train"), load("valid"), load("test")
for part in parts:
    found = [train(part, int(seed)) for seed in seeds]
    validation, testing = (", ".join(f"{accuracies[side]:.2f}" for accuracies in found) for side in (0, 1))
    print(f"{part}: validation {validation}; test {testing}", flush=True)
