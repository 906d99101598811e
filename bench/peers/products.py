#!/usr/bin/env python3
"""The products of a training step in PyTorch; prints GFLOP/s over all of them.

usage: products.py BATCH SIZES THREADS SECONDS          (SIZES as 784,1024,1024,10)
"""
import sys
import time

import torch

batch, sizes = int(sys.argv[1]), [int(size) for size in sys.argv[2].split(",")]
torch.set_num_threads(int(sys.argv[3]))
enough = float(sys.argv[4])


def median_seconds(a, b, out):
    torch.mm(a, b, out=out)
    start, found = time.perf_counter(), []
    while len(found) < 5 or time.perf_counter() - start < enough:
        begin = time.perf_counter()
        torch.mm(a, b, out=out)
        found.append(time.perf_counter() - begin)
    return sorted(found)[len(found) // 2]


operations = seconds = 0
for layer, (inputs, outputs) in enumerate(zip(sizes, sizes[1:])):
    x, y, w = torch.randn(batch, inputs), torch.randn(batch, outputs), torch.randn(outputs, inputs)
    products = [(x, w.T, torch.empty(batch, outputs)), (y.T, x, torch.empty(outputs, inputs))]
    if layer > 0:
        products.append((y, w, torch.empty(batch, inputs)))
    for a, b, out in products:
        operations += 2 * batch * inputs * outputs
        seconds += median_seconds(a, b, out)
print(operations / seconds / 1e9)
