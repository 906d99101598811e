#!/usr/bin/env python3
"""The course's recipe in PyTorch, on the same shards: the test accuracies of some seeds, as a check of `--recipe course`.

usage: pytorch_course.py data/real-{seed} [SEEDS]         (needs torch and numpy; `{seed}` stands for each seed from 0)
"""
import json
import pathlib
import statistics
import sys

import numpy
import torch
from torch import nn

seeds = int(sys.argv[2]) if len(sys.argv) > 2 else 5


def load(folder, dataset, split):
    shards = dataset["splits"][split]["shards"]
    images = numpy.concatenate([numpy.load(folder / shard["images"]["path"]) for shard in shards])
    labels = numpy.concatenate([numpy.load(folder / shard["labels"]["path"]) for shard in shards])
    inputs = (images.reshape(len(images), -1) / 255 - dataset["mean"]) / dataset["standard_deviation"]
    return torch.tensor(inputs, dtype=torch.float32), torch.tensor(labels, dtype=torch.long)


def train(seed):
    folder = pathlib.Path(sys.argv[1].replace("{seed}", str(seed)))
    dataset = json.loads((folder / "dataset.json").read_text())
    inputs, labels = load(folder, dataset, "train")
    test_inputs, test_labels = load(folder, dataset, "test")
    torch.manual_seed(seed)
    model = nn.Sequential(nn.Linear(784, 256), nn.ReLU(), nn.Linear(256, len(dataset["classes"])))
    for layer in (model[0], model[2]):
        nn.init.kaiming_normal_(layer.weight)
        nn.init.zeros_(layer.bias)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    for _ in range(10):
        for rows in torch.randperm(len(inputs)).split(256):
            optimizer.zero_grad()
            nn.functional.cross_entropy(model(inputs[rows]), labels[rows]).backward()
            optimizer.step()
    with torch.no_grad():
        return (model(test_inputs).argmax(1) == test_labels).double().mean().item()


found = [train(seed) for seed in range(seeds)]
print(", ".join(f"{accuracy:.4f}" for accuracy in found))
print(f"mean {statistics.mean(found):.4f}, deviation {statistics.stdev(found):.4f}")
