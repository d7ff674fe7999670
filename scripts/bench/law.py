"""A law fitted to three published curves of 24 000 steps, beside the way its authors fit it; and the bound of a million steps.

    LRLAB_DATA=DIR python law.py [--quick] [--json]

DIR holds loss_curves/multi_power_law (github thu-yao-01-luo/MultiPowerLaw, MIT). The authors' way is written again
here in PyTorch, float64: L-BFGS-B from 135 starts for a law in which falls act at once, then 200 steps of AdamW on the
multi-power law, a Python loop over the points of each curve and a sum over all steps before each.
"""

import argparse
import json
import os
import platform
import subprocess
import sys
import time
from itertools import product
from pathlib import Path

import numpy as np

TRAINED = ("cosine_24000", "constant_24000", "wsdcon_9")
DATA = Path(os.environ.get("LRLAB_DATA", "data")) / "loss_curves" / "multi_power_law"


def curves(size):
    from lrlab.curves import read_curves

    return {path.stem: read_curves(path)[0].observed() for path in sorted((DATA / size).glob("*.csv"))}


def ours(size):
    from lrlab.theory import fit

    observed = curves(size)
    begin = time.perf_counter()
    fitted = fit("mpl", [observed[name] for name in TRAINED])
    return time.perf_counter() - begin, lambda curve: fitted.loss(curve.rates, curve.at)


def theirs(size):
    import torch
    from scipy import optimize, stats

    observed = curves(size)
    parts = [(c.rates, np.append(c.rates, c.rates[-1]), c.at, c.loss) for c in (observed[name] for name in TRAINED)]
    begin = time.perf_counter()
    x, y = (
        np.concatenate(all_) for all_ in zip(*((np.log(np.cumsum(r)[at]), np.log(loss)) for _, r, at, loss in parts))
    )
    least = np.exp(y).min()
    slope, intercept, *_ = stats.linregress(x, np.log(np.exp(y) - least + 0.01))

    def at_once(z):
        L0, A, alpha, B = z
        total = 0.0
        for _, r, at, loss in parts:
            miss = np.abs(np.log(loss) - np.log(L0 + A * np.cumsum(r)[at] ** -alpha - B * (r.max() - r[at])))
            total += np.where(miss < 1e-3, miss**2 / 2, 1e-3 * (miss - 5e-4)).sum()
        return total

    grid = product(
        np.linspace(least - 0.2, least + 0.2, 5),
        np.exp(intercept) + np.linspace(-0.1, 0.1, 3),
        -slope + np.linspace(-0.1, 0.1, 3),
        np.linspace(100, 1000, 3),
    )
    options = {"maxiter": 100_000, "ftol": 1e-9, "gtol": 1e-6, "eps": 1e-8}
    with np.errstate(all="ignore"):
        best = min(
            (optimize.minimize(at_once, z, method="L-BFGS-B", bounds=[(0, np.inf)] * 4, options=options) for z in grid),
            key=lambda found: found.fun,
        )
    letters = [torch.tensor(value, dtype=torch.float64, requires_grad=True) for value in (*best.x, 1.0, 0.5, 0.5)]
    L0, A, alpha, B, C, beta, gamma = letters

    def predicted(r, at):
        rates = torch.tensor(r, dtype=torch.float64)
        sums, gaps = torch.cumsum(rates, 0), torch.diff(rates, prepend=rates[:1])
        drops = []
        for s in at.tolist():
            area = sums[s] - sums[:s]
            drops.append(
                (gaps[1 : s + 1] * (1 - (1 + C * rates[1 : s + 1].clamp(min=1e-12) ** -gamma * area) ** -beta)).sum()
            )
        return L0 + A * sums[torch.tensor(at)] ** -alpha + B * torch.stack(drops)

    optimizer = torch.optim.AdamW([{"params": [L0, A, B, C], "lr": 5e-2}, {"params": [alpha, beta, gamma], "lr": 5e-3}])
    lowest, kept = np.inf, None
    for _ in range(200):
        optimizer.zero_grad()
        loss = 0.0
        for _, r, at, measured in parts:
            miss = (torch.log(torch.tensor(measured)) - torch.log(predicted(r, at))).abs()
            loss = loss + torch.where(miss < 1e-3, miss**2 / 2, 1e-3 * (miss - 5e-4)).sum()
        if loss.item() < lowest:
            lowest, kept = loss.item(), [letter.item() for letter in letters]
        loss.backward()
        optimizer.step()
    wall = time.perf_counter() - begin
    with torch.no_grad():
        for letter, value in zip(letters, kept):
            letter.copy_(torch.tensor(value))

    def of(curve):
        with torch.no_grad():
            return predicted(np.append(curve.rates, curve.rates[-1]), curve.at).numpy()

    return wall, of


def errors(size, predict):
    """R^2, MAE and relative error, means over the six curves that were not fitted."""
    rows = []
    for name, curve in curves(size).items():
        if name not in TRAINED:
            miss = predict(curve) - curve.loss
            rows.append(
                (
                    1 - np.sum(miss**2) / np.sum((curve.loss - curve.loss.mean()) ** 2),
                    np.abs(miss).mean(),
                    np.mean(np.abs(miss) / curve.loss),
                )
            )
    return np.mean(rows, 0).tolist()


def bound(steps):
    """Seconds for the whole bound curve, compiled, and for the last alone; the median of five."""
    import jax

    from lrlab.theory import bound, final_bound

    rates = jax.numpy.asarray(5e-4 * (1 + np.cos(np.pi * np.arange(steps) / steps)), jax.numpy.float32)
    found = {}
    for name, of in (("whole curve", bound), ("last", final_bound)):
        times = []
        for _ in range(6):
            begin = time.perf_counter()
            of(rates).block_until_ready()
            times.append(time.perf_counter() - begin)
        found[name] = sorted(times[1:])[2]
    return found


def alone(which, size):
    """One fit in a process of its own, compilation included."""
    wall, predict = {"lrlab": ours, "authors": theirs}[which](size)
    print(json.dumps({"wall": wall, "errors": errors(size, predict)}))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--alone", nargs=2)
    options = parser.parse_args()
    if options.alone:
        return alone(*options.alone)
    document = {"machine": platform.processor() or platform.machine(), "cores": os.cpu_count(), "fits": []}
    for size in ("25M",) if options.quick else ("25M", "100M"):
        for which in ("lrlab", "authors"):
            said = subprocess.run(
                [sys.executable, __file__, "--alone", which, size], capture_output=True, text=True, check=True
            ).stdout
            document["fits"].append({"size": size, "who": which, **json.loads(said)})
    document["bound of 10^6 steps"] = bound(10**6)
    if options.json:
        print(json.dumps(document))
        return None
    for row in document["fits"]:
        r2, mae, relative = row["errors"]
        print(
            f"{row['size']:5} {row['who']:8} {row['wall']:7.1f} s   R2 {r2:.5f}  MAE {mae:.6f}  relative error {relative:.6f}"
        )
    for name, seconds in document["bound of 10^6 steps"].items():
        print(f"bound of 10^6 steps, {name}: {seconds:.3f} s")
    return None


if __name__ == "__main__":
    main()
