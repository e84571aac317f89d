"""How much faster than its definition is StyleGAN3 here: a forward pass, a training step, memory?

    python -m benchmarks.definition forward [--config stylegan3-t] [--resolution 64] [--batch 4]
                                            [--channel-base 4096] [--channel-max 128]
    python -m benchmarks.definition step    [the same] [--p 0.2]
    python -m benchmarks.definition memory  [the same]
    options: --threads 2 --repeats 5 --default-allocator

The yardstick is `tests/reference`: zero insertion, filtering at the full rate, a convolution kernel
for each sample. It, the product in float32 and the product in mixed precision take turns in one
process (memory: a process each), on the same weights, latents and images, and their results are
compared before anything is timed: float32 must agree to 1e-5 or the benchmark fails. Prints one
JSON document with medians of wall and CPU time. Both sides run with the allocator of a training
process unless --default-allocator is given.
"""

from __future__ import annotations

import argparse
import copy
import importlib
import json
import os
import platform
import re
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from services.trainer.augment import PIPES, AugmentPipe
from services.trainer.draws import KeyedDraws
from services.trainer.losses import Losses, LossSettings
from services.trainer.step import StepSettings, TrainingStep
from tagloom.compute import COMPUTE_ENVIRONMENT
from tagloom.networks.build import build_discriminator, build_generator
from tagloom.networks.ops.precision import mixed_precision

# The yardstick is no part of the program: it lies with the tests.
sys.path.insert(0, str(Path(__file__).parents[1] / "tests/reference"))
reference_networks: Any = importlib.import_module("reference_networks")
reference_training: Any = importlib.import_module("reference_training")

TOLERANCE = 1e-5
SUBJECTS = ("definition", "float32", "mixed")
PHASES = ("Gmain", "Dmain", "Dreg", "EMA")
Times = dict[str, list[float]]


def relative_error(ours: Tensor, expected: Tensor) -> float:
    """Largest difference over the largest expected value."""
    return float((ours - expected).abs().max() / expected.abs().max())


def timed(function: Callable[[], Any], wall: list[float], cpu: list[float]) -> Any:
    """Runs it and notes its seconds."""
    start, start_cpu = time.perf_counter(), time.process_time()
    result = function()
    wall.append(time.perf_counter() - start)
    cpu.append(time.process_time() - start_cpu)
    return result


def summary(wall: Times, cpu: Times) -> dict[str, Any]:
    """Medians, and how many times faster than the definition."""
    median = {
        kind: {name: statistics.median(values) for name, values in times.items()}
        for kind, times in (("wall", wall), ("cpu", cpu))
    }
    return {
        f"{kind}_{what}": {
            name: round(values["definition"] / value if what == "ratio" else value, 3)
            for name, value in values.items()
        }
        for kind, values in median.items()
        for what in ("seconds", "ratio")
    }


def networks(given: argparse.Namespace) -> tuple[nn.Module, nn.Module]:
    """G and D with fresh weights, and running magnitudes that are not all 1."""
    torch.manual_seed(0)
    sizes = {"channel_base": given.channel_base, "channel_max": given.channel_max}
    G = build_generator(given.config, resolution=given.resolution, **sizes)
    D = build_discriminator(resolution=given.resolution, **sizes)
    return G, D


def forward(given: argparse.Namespace) -> dict[str, Any]:
    """Images from latents, without gradients."""
    G, _ = networks(given)
    G.eval().requires_grad_(False)
    z = torch.randn(given.batch, 512)

    def mixed() -> Tensor:
        with mixed_precision(torch.bfloat16):
            return G(z)  # type: ignore[no-any-return]  # a module's call

    runs: dict[str, Callable[[], Tensor]] = {
        "definition": lambda: reference_networks.generator(G, z),
        "float32": lambda: G(z),
        "mixed": mixed,
    }
    images = {name: run() for name, run in runs.items()}
    errors = {name: relative_error(images[name], images["definition"]) for name in SUBJECTS[1:]}
    if errors["float32"] > TOLERANCE:
        raise SystemExit(f"float32 differs by {errors['float32']:.1e}: the ratios would be void")
    wall: Times = {name: [] for name in SUBJECTS}
    cpu: Times = {name: [] for name in SUBJECTS}
    for _ in range(given.repeats):
        for name, run in runs.items():
            timed(run, wall[name], cpu[name])
    return {"relative_error": errors, **summary(wall, cpu)}


class Subject:
    """One way to train, phase by phase."""

    def __init__(self, name: str, given: argparse.Namespace) -> None:
        G, D = networks(given)
        augment = AugmentPipe(PIPES["bgc"])
        augment.p.fill_(given.p)
        losses = Losses(G, D, LossSettings(r1_gamma=1.0, mixed_precision=name == "mixed"), augment)
        settings = StepSettings(
            batch=given.batch,
            g_learning_rate=0.0025,
            d_learning_rate=0.002,
            g_regularisation_interval=None,
            ema_kimg=given.batch * 10 / 32,
            ema_rampup=0.05,
        )
        self.step = TrainingStep(losses, copy.deepcopy(G), settings)
        self.literal = reference_training.LiteralTraining(self.step)
        self.by_definition = name == "definition"
        owner = self.literal if self.by_definition else self.step
        self.networks: dict[str, nn.Module] = {"G": owner.G, "D": owner.D}
        self._start = {k: copy.deepcopy(n.state_dict()) for k, n in self.networks.items()}

    def reset(self) -> None:
        """The weights of the start."""
        for name, network in self.networks.items():
            network.load_state_dict(self._start[name])

    def run(self, phase: str, real: Tensor, draws: KeyedDraws) -> None:
        """One phase: its loss, gradients and update."""
        if self.by_definition:
            functions: dict[str, Callable[[], None]] = {
                "Gmain": lambda: self.literal.g_main(draws),
                "Dmain": lambda: self.literal.d_main(real, draws),
                "Dreg": lambda: self.literal.d_r1(real, draws),
                "EMA": self.literal.average,
            }
            functions[phase]()
        elif phase == "EMA":
            self.step._average()
        else:
            found = next(entry for entry in self.step.phases if entry.name == phase)
            self.step._run_phase(found, real, None, draws)

    def gradients(self, phase: str) -> Tensor:
        """Of the network that the phase trains, all in one."""
        parameters = self.networks[phase[0]].parameters()
        return torch.cat([p.grad.flatten() for p in parameters if p.grad is not None])

    def loss(self, phase: str) -> float:
        """Of the last run of the phase; R1 with its gamma."""
        if self.by_definition:
            return float(self.literal.losses[phase])
        names = {"Gmain": "g_loss", "Dmain": "d_loss", "Dreg": "r1_penalty"}
        value = self.step.statistics.take()[names[phase]]
        return value / 2 if phase == "Dreg" else value


def _draws(given: argparse.Namespace, index: int) -> KeyedDraws:
    return KeyedDraws(seed=1, step=index, batch=given.batch, z_dim=512)


def step(given: argparse.Namespace) -> dict[str, Any]:
    """G main, D main, R1 (every 16th step) and EMA; ADA's pipe at a fixed p."""
    subjects = {name: Subject(name, given) for name in SUBJECTS}
    real = torch.rand(given.batch, 3, given.resolution, given.resolution) * 2 - 1
    errors: dict[str, Any] = {name: {} for name in SUBJECTS[1:]}
    for phase in PHASES[:3]:
        for subject in subjects.values():
            subject.reset()
            subject.run(phase, real, _draws(given, 0))
        loss = subjects["definition"].loss(phase)
        gradients = subjects["definition"].gradients(phase)
        for name in SUBJECTS[1:]:
            ours = subjects[name].gradients(phase)
            errors[name][phase] = {
                "loss": abs(subjects[name].loss(phase) - loss) / abs(loss),
                "gradient": float((ours - gradients).norm() / gradients.norm()),
            }
        if errors["float32"][phase]["loss"] > TOLERANCE:
            raise SystemExit(f"{phase}: {errors['float32'][phase]}: the ratios would be void")

    wall = {name: {phase: [] for phase in PHASES} for name in SUBJECTS}  # type: dict[str, Times]
    cpu = {name: {phase: [] for phase in PHASES} for name in SUBJECTS}  # type: dict[str, Times]
    augmentation: Times = {name: [] for name in SUBJECTS}
    for turn in range(given.repeats):
        for name, subject in subjects.items():
            for phase in PHASES:
                run = _call(subject, phase, real, _draws(given, turn + 1))
                timed(run, wall[name][phase], cpu[name][phase])
            pipe = subject.literal.augment if subject.by_definition else subject.step.losses.augment
            assert pipe is not None
            images, chances = real.clone().requires_grad_(), _draws(given, turn + 1)
            start = time.process_time()
            pipe(images, chances.augment("Gmain", "fake")).sum().backward()
            augmentation[name].append(time.process_time() - start)
    weights = {"Gmain": 1.0, "Dmain": 1.0, "Dreg": 1 / 16, "EMA": 1.0}
    totals = {}
    for kind, times in (("wall", wall), ("cpu", cpu)):
        parts = {
            name: {p: statistics.median(values[p]) * weights[p] for p in PHASES}
            for name, values in times.items()
        }
        total = {name: sum(values.values()) for name, values in parts.items()}
        totals[kind] = {
            "seconds": {name: round(value, 4) for name, value in total.items()},
            "ratio": {name: round(total["definition"] / v, 2) for name, v in total.items()},
            "phase_ratio": {
                name: {
                    p: round(parts["definition"][p] / max(value[p], 1e-9), 2) for p in PHASES[:3]
                }
                for name, value in parts.items()
            },
        }
        if kind == "cpu":
            totals["shares"] = {
                name: {p: round(v / total[name], 4) for p, v in values.items()}
                # Three passes of the pipe in a step: two with gradients, one of real images.
                | {
                    "ADA (within)": round(
                        3 * statistics.median(augmentation[name]) / total[name], 4
                    )
                }
                for name, values in parts.items()
            }
    return {"relative_error": errors, **totals}


def _call(subject: Subject, phase: str, real: Tensor, draws: KeyedDraws) -> Callable[[], None]:
    return lambda: subject.run(phase, real, draws)


def memory(given: argparse.Namespace) -> dict[str, Any]:
    """Peak of a step with R1 above the process that has loaded everything, a process each."""
    if given.only:
        return {"bytes": _peak(given)}
    peaks = {}
    for name in SUBJECTS:
        command = [sys.executable, "-m", "benchmarks.definition", *sys.argv[1:], "--only", name]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        peaks[name] = int(json.loads(done.stdout)["bytes"])
    return {
        "MiB": {name: round(peak / 2**20, 1) for name, peak in peaks.items()},
        "share_of_definition": {
            name: round(peak / peaks["definition"], 3) for name, peak in peaks.items()
        },
    }


def _peak(given: argparse.Namespace) -> int:
    def steps(options: argparse.Namespace, count: int) -> Callable[[], None]:
        subject = Subject(given.only, options)
        real = torch.rand(options.batch, 3, options.resolution, options.resolution) * 2 - 1

        def run() -> None:
            for index in range(count):
                for phase in PHASES:
                    subject.run(phase, real, _draws(options, index))

        return run

    # Libraries, compiled kernels and thread pools are loaded by a tiny network first.
    tiny = copy.copy(given)
    tiny.resolution, tiny.channel_base, tiny.channel_max = 16, 64, 16
    steps(tiny, 1)()
    run = steps(given, 2)
    Path("/proc/self/clear_refs").write_text("5")  # the peak starts again from here
    before = _status("VmRSS")
    run()
    return _status("VmHWM") - before


def _status(name: str) -> int:
    found = re.search(rf"^{name}:\s+(\d+) kB", Path("/proc/self/status").read_text(), re.MULTILINE)
    assert found is not None
    return int(found[1]) * 1024


def main() -> None:
    """Prints the result."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("question", choices=["forward", "step", "memory"])
    parser.add_argument("--config", default="stylegan3-t", choices=["stylegan3-t", "stylegan3-r"])
    parser.add_argument("--resolution", type=int, default=64)
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--channel-base", type=int, default=4096)
    parser.add_argument("--channel-max", type=int, default=128)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--p", type=float, default=0.2, help="augmentation probability")
    parser.add_argument("--default-allocator", action="store_true")
    parser.add_argument("--only", choices=SUBJECTS, help=argparse.SUPPRESS)
    given = parser.parse_args()
    wanted = {
        name: value
        for name, value in COMPUTE_ENVIRONMENT.items()
        if not (given.default_allocator and name.startswith("MALLOC_"))
    }
    if not wanted.keys() <= os.environ.keys():
        command = [sys.executable, "-m", "benchmarks.definition", *sys.argv[1:]]
        os.execve(sys.executable, command, {**wanted, **os.environ})
    torch.set_num_threads(given.threads)
    load = os.getloadavg()[0]
    result = {"forward": forward, "step": step, "memory": memory}[given.question](given)
    if not given.only:
        result = {
            "date": datetime.now(UTC).date().isoformat(),
            "machine": f"{platform.machine()}, {torch.backends.cpu.get_cpu_capability()}",
            "cpus": os.cpu_count(),
            "torch": torch.__version__,
            "allocator": "glibc's default" if given.default_allocator else dict(wanted),
            "load_before": round(load, 1),
            **{k: v for k, v in vars(given).items() if k != "only"},
            **result,
        }
    json.dump(result, sys.stdout, indent=2)
    print()


if __name__ == "__main__":
    main()
