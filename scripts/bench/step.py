"""Training-step throughput: one model, one start, the same batches; each contender a process, their blocks interleaved.

python step.py [--setting small|nano|pico|gpt2|"gpt2 rehearsed"] [--only NAME ...] [--add FILE ...] [--quick] [--json]
"""

import argparse
import json
import platform
import random
import statistics
import subprocess
import sys
import time
from pathlib import Path

from setting import SETTINGS, Setting

HERE = Path(__file__).resolve().parent
CONTENDERS = {  # name: (file, changes of the setting)
    "torch eager": ("peer_torch.py", {}),
    "torch.compile": ("peer_torch_compiled.py", {}),
    "naive JAX": ("naive_jax.py", {}),
    "plain JAX": ("plain_jax.py", {}),
    "lrlab": ("peer_lrlab.py", {}),
    "its matmuls": ("matmuls_jax.py", {}),
}
INFORMATION = {
    "lrlab, 4 microbatches": ("peer_lrlab.py", {"accumulate": 4}),
    "their matmuls": ("matmuls_jax.py", {"accumulate": 4}),
    "torch eager, 1 thread": ("peer_torch.py", {"threads": 1}),
    "torch eager, 2 threads": ("peer_torch.py", {"threads": 2}),
    "torch eager bf16": ("peer_torch.py", {"dtype": "bfloat16"}),
    "torch.compile bf16": ("peer_torch_compiled.py", {"dtype": "bfloat16"}),
    "plain JAX bf16": ("plain_jax.py", {"dtype": "bfloat16"}),
}
GPT2 = {
    "torch.compile, cuDNN": ("peer_torch_compiled.py", {"options": {"kernel": "cudnn"}}),
    "torch.compile, flash": ("peer_torch_compiled.py", {"options": {"kernel": "flash"}}),
    "lrlab": ("peer_lrlab.py", {"options": {"head": "whole"}}),
    "lrlab, head in blocks": ("peer_lrlab.py", {"options": {"head": "blocks"}}),
    "lrlab, layers scanned": ("peer_lrlab.py", {"options": {"head": "whole", "scan": True}}),
}
BASE = "torch eager"
BLOCK = 16  # steps in a row, at least
CHECKED = 32  # steps before the clock starts: compilation, and a loss that must agree


class Contender:
    """A process that runs steps when told to."""

    def __init__(self, file: Path, setting: Setting) -> None:
        command = [sys.executable, str(HERE / "contender.py"), str(file), json.dumps(setting._asdict())]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        about = self._reply()
        self.versions, self.device = about["versions"], about["device"]

    def run(self, steps: int) -> dict:
        print(steps, file=self.process.stdin, flush=True)
        return self._reply()

    def _reply(self) -> dict:
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError(f"a contender ended with code {self.process.wait()}; its words are above")
        return json.loads(line)

    def close(self) -> None:
        self.process.stdin.close()
        self.process.wait()


def spread(values: list[float]) -> list[float]:
    return [statistics.median(values), min(values), max(values)]


def cpu() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.split(":")[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def measure(contenders: dict[str, Contender], rounds: int, seconds: float) -> dict:
    """Blocks of about `seconds` each, in another order every round."""
    checked, steps = {}, {}
    for name, contender in contenders.items():
        contender.run(CHECKED - BLOCK)
        reply = contender.run(BLOCK)
        checked[name], wall = reply["loss"], reply["wall"] / BLOCK
        steps[name] = BLOCK * max(1, round(seconds / wall / BLOCK))
        print(f"{name}: ready, {1e3 * wall:.1f} ms a step", file=sys.stderr, flush=True)
    times = {name: [] for name in contenders}
    order = random.Random(0)
    for _ in range(rounds):
        for name in order.sample(list(contenders), len(contenders)):
            reply = contenders[name].run(steps[name])
            times[name].append({kind: reply[kind] / steps[name] for kind in ("wall", "cpu")})
    base = times[BASE] if BASE in times else next(iter(times.values()))
    return {
        name: {
            "loss": checked[name],
            "steps": steps[name],
            "device": contenders[name].device,
            "ms": {kind: spread([1e3 * t[kind] for t in rows]) for kind in ("wall", "cpu")},
            "speed": {kind: spread([b[kind] / t[kind] for t, b in zip(rows, base)]) for kind in ("wall", "cpu")},
        }
        for name, rows in times.items()
    }


def utilisation(setting: Setting, device: str, ms: float) -> float | None:
    """Share of the device's published peak, where there is one."""
    from lrlab.device import PEAKS

    peak = PEAKS.get(setting.dtype, {}).get(device)
    return None if peak is None else setting.flops / (1e-3 * ms * peak)


def table(found: dict) -> str:
    setting = Setting(**found["setting"])
    lines = [f"{found['cpu']}, {found['versions']}", f"{setting}, loss after {CHECKED} steps"]
    lines += [f"{'':24}{'loss':>8}{'wall ms':>9}{'cpu ms':>9}{'tok/s':>9}   speed, wall        speed, cpu"]
    for name, row in found["contenders"].items():
        wall, cpu_ms = row["ms"]["wall"][0], row["ms"]["cpu"][0]
        ratios = "  ".join(f"{m:5.2f} [{a:.2f}, {b:.2f}]" for m, a, b in row["speed"].values())
        rate = 1e3 * setting.tokens / wall
        loss = "" if row["loss"] is None else f"{row['loss']:.4f}"
        used = utilisation(setting, row["device"], wall)
        lines.append(f"{name:24}{loss:>8}{wall:9.3f}{cpu_ms:9.3f}{rate:9.0f}   {ratios}")
        lines[-1] += "" if used is None else f"  {100 * used:.1f} % of the peak"
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--setting", choices=SETTINGS, default="small")
    parser.add_argument("--only", nargs="+", choices=[*CONTENDERS, *INFORMATION, *GPT2], help="these, in this order")
    parser.add_argument("--add", nargs="+", default=[], help="further contenders: files that define make(setting)")
    parser.add_argument("--all", action="store_true", help="also bf16, and torch with one and two threads")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--quick", action="store_true", help="three short rounds")
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    setting, large = SETTINGS[given.setting], given.setting.startswith("gpt2")
    known = GPT2 if large else CONTENDERS | INFORMATION
    names = given.only or [*(known if large or given.all else CONTENDERS)]
    wanted = {name: (HERE / known[name][0], setting._replace(**known[name][1])) for name in names}
    wanted |= {Path(file).stem: (Path(file), setting) for file in given.add}
    contenders, began = {}, time.time()
    try:
        for name, (file, its) in wanted.items():
            if file.exists():
                contenders[name] = Contender(file, its)
        rows = measure(contenders, 3 if given.quick else given.rounds, 0.5 if given.quick else 2.0)
    finally:
        for contender in contenders.values():
            contender.close()
    versions = {"python": platform.python_version()}
    for contender in contenders.values():
        versions |= contender.versions
    found = {"cpu": cpu(), "versions": versions, "setting": setting._asdict(), "contenders": rows}
    found["wall_s"] = time.time() - began
    print(json.dumps(found) if given.json else table(found))


if __name__ == "__main__":
    main()
