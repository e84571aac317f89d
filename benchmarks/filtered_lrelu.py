"""How fast is the filtered leaky ReLU, and a small generator made of it, on this CPU?

    python -m benchmarks.filtered_lrelu [--repeats 7] [--threads 2] [--quick]

Three implementations in turn, interleaved: the compiled kernel, torch's own operations (transposed
and strided convolutions), and the definition (zero insertion). Prints one JSON document: medians
in milliseconds, ratios to the definition, and images per second of whole networks. Set
MALLOC_MMAP_MAX_=0 and MALLOC_TRIM_THRESHOLD_=1000000000 for figures without page faults; both are
reported.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import runpy
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from tagloom.networks.build import build_generator
from tagloom.networks.ops.filtered_lrelu import filtered_lrelu_torch
from tagloom.networks.ops.filtered_lrelu_numba import filtered_lrelu_numba

# The yardstick is no part of the program: it lies with the tests.
_DEFINITIONS = Path(__file__).parents[1] / "tests/reference/reference_resampling.py"

# (batch, channels, side of the input), up, down, padding: layers of StyleGAN3-T.
LAYERS = {
    "32 px, rate 16": ((16, 32, 38), 2, 2, (9, 8, 9, 8)),
    "32 px, rate 16 to 32": ((16, 32, 38), 4, 2, (-6, -9, -6, -9)),
    "32 px, rate 32": ((16, 32, 54), 2, 2, (9, 8, 9, 8)),
    "64 px, rate 64": ((4, 128, 86), 2, 2, (9, 8, 9, 8)),
}
IMPLEMENTATIONS: dict[str, Callable[..., torch.Tensor]] = {
    "kernel": filtered_lrelu_numba,
    "torch": filtered_lrelu_torch,
    "definition": runpy.run_path(str(_DEFINITIONS))["filtered_lrelu"],
}


def _layer(name: str, repeats: int) -> dict[str, Any]:
    (n, c, side), up, down, padding = LAYERS[name]
    x = torch.randn(n, c, side, side, requires_grad=True)
    b = torch.zeros(c)
    fu, fd = torch.rand(6 * up), torch.rand(6 * down)
    kw = {"up": up, "down": down, "padding": padding, "gain": 2**0.5, "slope": 0.2, "clamp": 256.0}
    forward: dict[str, list[float]] = {key: [] for key in IMPLEMENTATIONS}
    both: dict[str, list[float]] = {key: [] for key in IMPLEMENTATIONS}
    for turn in range(repeats + 1):
        for key, function in IMPLEMENTATIONS.items():
            start = time.perf_counter()
            y = function(x, fu, fd, b, **kw)
            middle = time.perf_counter()
            torch.autograd.grad(y, x, torch.ones_like(y))
            end = time.perf_counter()
            if turn > 0:  # the first compiles and fills caches
                forward[key].append((middle - start) * 1e3)
                both[key].append((end - start) * 1e3)
    return {
        "shape": [n, c, side, side],
        "up": up,
        "down": down,
        "forward_ms": {key: round(statistics.median(v), 3) for key, v in forward.items()},
        "forward_backward_ms": {key: round(statistics.median(v), 3) for key, v in both.items()},
        "speedup_over_definition": {
            key: round(statistics.median(both["definition"]) / statistics.median(v), 2)
            for key, v in both.items()
        },
    }


def _network(resolution: int, channels: int, batch: int, repeats: int) -> dict[str, Any]:
    network = build_generator(
        "stylegan3-t",
        resolution=resolution,
        z_dim=128,
        w_dim=128,
        channel_base=32 * channels,
        channel_max=channels,
    )
    z = torch.randn(batch, 128)
    times: dict[str, list[float]] = {"forward": [], "forward_backward": []}
    for turn in range(repeats + 1):
        start = time.perf_counter()
        with torch.no_grad():
            network(z)
        middle = time.perf_counter()
        network(z).square().mean().backward()
        end = time.perf_counter()
        if turn > 0:
            times["forward"].append(middle - start)
            times["forward_backward"].append(end - middle)
    return {
        "resolution": resolution,
        "channels": channels,
        "batch": batch,
        "images_per_second": {
            key: round(batch / statistics.median(v), 1) for key, v in times.items()
        },
        "images_per_second_best": {key: round(batch / min(v), 1) for key, v in times.items()},
    }


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--quick", action="store_true", help="the first layer only, no networks")
    options = parser.parse_args(arguments)
    torch.set_num_threads(options.threads)
    torch.manual_seed(0)
    names = list(LAYERS)[:1] if options.quick else list(LAYERS)
    result = {
        "machine": {
            "processor": platform.processor() or platform.machine(),
            "capability": torch.backends.cpu.get_cpu_capability(),
            "cpus": os.cpu_count(),
            "load_average": os.getloadavg()[0],
            "threads": options.threads,
            "torch": torch.__version__,
            "python": platform.python_version(),
            "malloc": {k: v for k, v in os.environ.items() if k.startswith("MALLOC_")},
        },
        "layers": {name: _layer(name, options.repeats) for name in names},
        "networks": []
        if options.quick
        else [_network(32, 32, 16, options.repeats), _network(64, 128, 4, options.repeats)],
    }
    json.dump(result, sys.stdout, indent=2)
    print()


if __name__ == "__main__":
    main()
