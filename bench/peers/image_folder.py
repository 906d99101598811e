#!/usr/bin/env python3
"""Reads a folder of images by torchvision's ImageFolder with workers; prints images a second.

usage: image_folder.py FOLDER WORKERS
"""
import sys
import time

import torch
from PIL import Image
from torchvision import datasets, transforms


def grey(path):
    with Image.open(path) as image:
        return image.convert("L")


def main():
    start = time.perf_counter()
    dataset = datasets.ImageFolder(sys.argv[1], transforms.PILToTensor(), loader=grey)
    loader = torch.utils.data.DataLoader(dataset, batch_size=512, num_workers=int(sys.argv[2]))
    count = sum(len(labels) for _, labels in loader)
    print(count / (time.perf_counter() - start))


if __name__ == "__main__":
    main()
