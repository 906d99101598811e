#!/usr/bin/env python3
"""Trains the same perceptron in PyTorch as fast as PyTorch goes on this machine; prints images a second of each epoch, then the last
one's mean loss.

usage: train.py SHARDS HIDDEN BATCH EPOCHS THREADS SEED     (HIDDEN as 1024,1024)

The whole split is in memory, standardised once; batches are index_select'ed from it; Adam is the fused one; the loss is
read once an epoch.
"""
import json
import pathlib
import sys
import time

import numpy
import torch
from torch import nn

folder, hidden, batch, epochs, threads, seed = pathlib.Path(sys.argv[1]), sys.argv[2], *map(int, sys.argv[3:7])
torch.set_num_threads(threads)
torch.set_flush_denormal(True)
torch.manual_seed(seed)
dataset = json.loads((folder / "dataset.json").read_text())
shards = dataset["splits"]["train"]["shards"]
images = numpy.concatenate([numpy.load(folder / shard["images"]["path"]) for shard in shards])
labels = numpy.concatenate([numpy.load(folder / shard["labels"]["path"]) for shard in shards])
inputs = torch.from_numpy(images.reshape(len(images), -1)).float().div_(255).sub_(dataset["mean"])
inputs.div_(dataset["standard_deviation"])
labels = torch.from_numpy(labels).long()

sizes = [inputs.shape[1], *map(int, hidden.split(",")), len(dataset["classes"])]
layers = []
for before, after in zip(sizes, sizes[1:]):
    linear = nn.Linear(before, after)
    nn.init.kaiming_normal_(linear.weight)
    nn.init.zeros_(linear.bias)
    layers += [linear, nn.ReLU()]
model = nn.Sequential(*layers[:-1])
optimizer = torch.optim.Adam(model.parameters(), lr=1e-3, fused=True)
for _ in range(epochs):
    start = time.perf_counter()
    total = torch.zeros(())
    for rows in torch.randperm(len(inputs)).split(batch):
        x, y = inputs.index_select(0, rows), labels.index_select(0, rows)
        loss = nn.functional.cross_entropy(model(x), y)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        total += loss.detach() * len(rows)
    mean_loss = total.item() / len(inputs)
    print(f"{len(inputs) / (time.perf_counter() - start):.0f}", flush=True)
print(mean_loss)
