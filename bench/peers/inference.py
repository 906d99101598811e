#!/usr/bin/env python3
"""Runs a model by onnxruntime's Python API on whole batches of the test split; prints images a second of the middle one.

usage: inference.py MODEL.onnx SHARDS BATCH THREADS SECONDS
"""
import json
import pathlib
import sys
import time

import numpy
import onnxruntime

model, folder, batch, threads, enough = sys.argv[1], pathlib.Path(sys.argv[2]), *map(float, sys.argv[3:6])
batch = int(batch)
options = onnxruntime.SessionOptions()
options.intra_op_num_threads = int(threads)
session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
name = session.get_inputs()[0].name
shards = json.loads((folder / "dataset.json").read_text())["splits"]["test"]["shards"]
images = numpy.concatenate([numpy.load(folder / shard["images"]["path"]) for shard in shards])
batches = [images[first:first + batch] for first in range(0, len(images) - batch + 1, batch)]
for rows in batches:
    session.run(None, {name: rows})
start, found = time.perf_counter(), []
while len(found) < 20 or time.perf_counter() - start < enough:
    begin = time.perf_counter()
    session.run(None, {name: batches[len(found) % len(batches)]})
    found.append(time.perf_counter() - begin)
print(batch / sorted(found)[len(found) // 2])
