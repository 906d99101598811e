#!/usr/bin/env python3
"""Trains the same perceptrons with PyTorch on a GPU, as it is asked to line by line.

usage: torch_peer.py DEVICE SHARDS

A question is a line of JSON: {"mode": "eager" | "compile" | "graph", "precision": "f32" | "tf32" | "bf16", "hidden": "256",
"batch": 256, "epochs": 4} for the median seconds of an epoch but the first; {"mode": "peak", "precision": ...} for the FLOP/s
of a large product; {"mode": "occupy", "left": BYTES} to take all memory but so much until the end. The answer is a line of
{"found": ...} or {"error": "..."}.

The images are on the device as bytes; a batch is gathered and standardised there; Adam is the fused one; the loss is read
once an epoch. Of the last, partial batch, `graph` runs eagerly.
"""
import functools
import json
import pathlib
import statistics
import sys
import time

import numpy
import torch
from torch import nn

device, folder = torch.device("cuda", int(sys.argv[1])), pathlib.Path(sys.argv[2])
occupied = []


def synchronised_seconds(work):
    torch.cuda.synchronize()
    start = time.perf_counter()
    work()
    torch.cuda.synchronize()
    return time.perf_counter() - start


def peak(precision):
    size, kind = 8192, torch.bfloat16 if precision == "bf16" else torch.float32
    a, b = (torch.randn(size, size, device=device, dtype=kind) for _ in range(2))
    seconds = [synchronised_seconds(lambda: torch.mm(a, b)) for _ in range(10)]
    return 2 * size**3 / min(seconds[2:])


def occupy(left):
    free, _ = torch.cuda.mem_get_info()
    occupied.append(torch.empty(max(free - left, 0), dtype=torch.uint8, device=device))
    return torch.cuda.mem_get_info()[0]


@functools.cache
def load():
    """The data set's description, and its images and labels on the device."""
    dataset = json.loads((folder / "dataset.json").read_text())
    (shard,) = dataset["splits"]["train"]["shards"]
    images = torch.from_numpy(numpy.load(folder / shard["images"]["path"])).flatten(1).to(device)
    return dataset, images, torch.from_numpy(numpy.load(folder / shard["labels"]["path"])).long().to(device)


def train(mode, precision, hidden, batch, epochs):
    dataset, images, labels = load()
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


def answer(question):
    mode, precision = question.pop("mode"), question.get("precision")
    torch.backends.cuda.matmul.allow_tf32 = precision == "tf32"
    if mode == "peak":
        return peak(precision)
    if mode == "occupy":
        return occupy(**question)
    return train(mode, **question)


torch.cuda.set_device(device)
for line in sys.stdin:
    try:
        found = {"found": answer(json.loads(line))}
    except Exception as error:  # Whatever PyTorch raises is the answer.
        found = {"error": f"{type(error).__name__}: {str(error).strip().splitlines()[0] if str(error).strip() else ''}"}
    torch._dynamo.reset()  # Past some recompilations of one function, it would quietly run eagerly.
    torch.cuda.empty_cache()
    print(json.dumps(found), flush=True)
