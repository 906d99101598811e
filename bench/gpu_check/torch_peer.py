#!/usr/bin/env python3
"""Trains the same perceptron with PyTorch on a GPU; prints the median seconds of an epoch but the first.

usage: torch_peer.py {eager,compile,graph} DEVICE {f32,tf32,bf16} SHARDS HIDDEN BATCH EPOCHS
       torch_peer.py peak DEVICE {f32,tf32,bf16}                 (prints FLOP/s of a large product)

The images are on the device as bytes; a batch is gathered and standardised there; Adam is the fused one; the loss is read
once an epoch. Of the last, partial batch, `graph` runs eagerly.
"""
import json
import pathlib
import statistics
import sys
import time

import torch
from torch import nn

mode, device, precision = sys.argv[1], torch.device("cuda", int(sys.argv[2])), sys.argv[3]
torch.cuda.set_device(device)
torch.backends.cuda.matmul.allow_tf32 = precision == "tf32"


def synchronised_seconds(work):
    torch.cuda.synchronize()
    start = time.perf_counter()
    work()
    torch.cuda.synchronize()
    return time.perf_counter() - start


def peak():
    size, kind = 8192, torch.bfloat16 if precision == "bf16" else torch.float32
    a, b = (torch.randn(size, size, device=device, dtype=kind) for _ in range(2))
    seconds = [synchronised_seconds(lambda: torch.mm(a, b)) for _ in range(10)]
    return 2 * size**3 / min(seconds[2:])


def train(folder, hidden, batch, epochs):
    import numpy

    dataset = json.loads((folder / "dataset.json").read_text())
    (shard,) = dataset["splits"]["train"]["shards"]
    images = torch.from_numpy(numpy.load(folder / shard["images"]["path"])).flatten(1).to(device)
    labels = torch.from_numpy(numpy.load(folder / shard["labels"]["path"])).long().to(device)
    torch.manual_seed(0)
    sizes = [images.shape[1], *map(int, hidden.split(",")), len(dataset["classes"])]
    layers = [layer for a, b in zip(sizes, sizes[1:]) for layer in (nn.Linear(a, b), nn.ReLU())]
    model = nn.Sequential(*layers[:-1]).to(device)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3, fused=True, capturable=True)
    scale, offset = 1 / 255 / dataset["standard_deviation"], -dataset["mean"] / dataset["standard_deviation"]

    def step(rows, total):
        with torch.autocast("cuda", torch.bfloat16, enabled=precision == "bf16"):
            loss = nn.functional.cross_entropy(model(images[rows].float() * scale + offset), labels[rows])
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        total += loss.detach() * len(rows)

    total = torch.zeros((), device=device)
    compiled = torch.compile(step) if mode == "compile" else step
    graph, place = None, torch.zeros(batch, dtype=torch.long, device=device)
    if mode == "graph":
        side = torch.cuda.Stream()
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):
            for _ in range(3):
                step(place, total)
        torch.cuda.synchronize()
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            step(place, total)

    def epoch():
        total.zero_()
        for rows in torch.randperm(len(images), device=device).split(batch):
            if graph is not None and len(rows) == batch:
                place.copy_(rows)
                graph.replay()
            else:
                (step if graph is not None else compiled)(rows, total)
        return total.item() / len(images)

    return statistics.median([synchronised_seconds(epoch) for _ in range(epochs)][1:])


if mode == "peak":
    print(json.dumps(peak()))
else:
    print(json.dumps(train(pathlib.Path(sys.argv[4]), sys.argv[5], int(sys.argv[6]), int(sys.argv[7]))))
