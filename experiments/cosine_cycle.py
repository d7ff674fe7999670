"""A cosine schedule should be as long as the run: one that is cut off before its end loses, the more the longer it would have been.

Hoffmann et al. 2022 (Chinchilla), arXiv:2203.15556, appendix B, figure A1: decay to a tenth over 1 to 5 times the run; beyond
1.25 times the harm is plain to see. Here: byte-level transformers on Python's own documentation, 32 wide with 2 layers,
2000 updates of 256 bytes, warm-up over 5 %, clipping at 1, all at the whole cosine's best peak of 8e-3, seeds paired.
Beside them the bound of Schaipp et al. 2025 (arXiv:2501.18965) on the last iterate, 400 updates at the whole cosine's best
rate. The noisy quadratic says the same (`noisy_quadratic`).

The scale decides the sign: where 500 updates were tried, a cosine cut at two thirds was ahead.

Cost: cpu: 41 seconds on two CPU cores of an AMD EPYC (Zen 5), 40 runs. gpu, by arithmetic: 10 minutes
on one H100 at 25 % of its peak, 15 runs of 30 million parameters.
Run: lrlab run cosine_cycle
Found: eight seeds, AMD EPYC, jax 0.10.2; held-out nats, paired 95 % intervals.
    as long as the run, against twice the run  -0.059 [-0.074, -0.043]
    twice the run, against four times          -0.057 [-0.066, -0.048]
    the bound for 1.25, 1.5, 2, 4 times the run: 1.06, 1.19, 1.40, 1.73 times that for a cosine as long as the run
A cycle of 1.25 times the run costs nothing here (1.693 both), one of 1.5 times 0.023.
"""

import numpy as np

from lrlab import Horizon, cosine, decay, optim, span, warmup
from lrlab.experiment import Experiment
from lrlab.scale import TOKENS_30M
from lrlab.task.language import Language
from lrlab.theory import best_peak, final_bound
from lrlab.verdict import between, exact, lower

CYCLES = (1, 1.25, 1.5, 2, 4)  # how many times the run it would have lasted


def cut(cycle):
    """A decay to a tenth over the run, of which only the beginning is seen."""
    return decay(to=0.1, curve=cosine @ span(0, 1 / cycle))


ARMS = {f"{cycle:g} times the run": {"schedule": 8e-3 * warmup("5%") >> cut(cycle)} for cycle in CYCLES}
BASE = Experiment(
    task=Language(),
    schedule=8e-3 * warmup("5%") >> cut(1),
    optimizer=optim.adamw(b1=0.9, b2=0.95, weight_decay=0.1),
    steps=2000,
    batch=8,
    clip=1.0,
)
PRESETS = {
    "cpu": {"seeds": 8},
    "gpu": {  # token shards as in `gpt2`; twelve times as wide, at an eighth of the peaks
        **TOKENS_30M,
        "groups": (optim.rest(rate=1 / 8),),
    },
}


def verdict(runs):
    loss = {cycle: runs[f"{cycle:g} times the run"].final["loss"] for cycle in CYCLES}
    rates = [cut(cycle).resolve(Horizon(400))(np.arange(400)) for cycle in CYCLES]
    peak, _ = best_peak(rates[0])
    bounds = [float(final_bound(peak * shape)) for shape in rates]
    harm = np.subtract(loss[2], loss[1])
    paper = "beyond 1.25 times the run the loss is visibly higher"
    return [
        lower("a cosine as long as the run beats one of twice the run", loss[1], loss[2], paper=paper),
        between("a cosine of twice the run costs 0.04 to 0.12", harm, 0.04, 0.12, unit="nats"),
        lower("a cosine of twice the run beats one of four times", loss[2], loss[4], paper=paper),
        exact("the bound grows with the cycle (1, 1.25, 1.5, 2, 4 times the run)", min(np.divide(bounds[1:], bounds[:-1])), 1, unit="times that of the next shorter"),
    ]  # fmt: skip
