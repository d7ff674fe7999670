"""Too low a learning rate learns slowly, too high a one never settles, and in between there are decades that work.

The first thing to know of the learning rate, and the base of the tutorial (docs/tutorial.md): a small perceptron on scikit-learn's
digits, at constant rates an order of magnitude and more apart, by plain SGD and by Adam, whose rates are another scale.

Cost: 1 second on two CPU cores of an AMD EPYC (Zen 5), after a few to compile (preset cpu).
Run: lrlab run first_rates
Found: 3 seeds, held-out nats, paired 95 % intervals, jax 0.10.2. All held, and so on seeds 3 to 5.
    SGD:  0.15 against 0.002  -1.195 [-1.421, -0.969],  against 1    -2.093 [-2.353, -1.833]
    Adam: 0.003 against 1e-4  -1.395 [-1.752, -1.038],  against 0.2  -2.097 [-2.487, -1.707]
At the rates too low everything goes well and too slowly, at those too high the loss stays at that of guessing, 2.3 nats.
"""

from lrlab import optim, stable
from lrlab.experiment import Experiment
from lrlab.task.vision import Digits
from lrlab.verdict import lower

BASE = Experiment(
    task=Digits(),
    schedule=0.15 * stable(),
    optimizer=optim.sgd(),
    steps=600,
    batch=16,
    evaluate_every=20,
)
RATES = {
    "SGD": {"too low": 2e-3, "right": 0.15, "too high": 1.0},
    "Adam": {"too low": 1e-4, "right": 3e-3, "too high": 0.2},
}
OPTIMIZERS = {"SGD": optim.sgd(), "Adam": optim.adam()}
ARMS = {
    f"{name} / {how}": {"optimizer": OPTIMIZERS[name], "schedule": rate * stable()}
    for name, rates in RATES.items()
    for how, rate in rates.items()
}
PRESETS = {"cpu": {}}


def verdict(runs):
    loss = lambda name, how: runs[f"{name} / {how}"].final["loss"]
    return [
        lower(
            f"{name}: {RATES[name]['right']:g} beats {RATES[name][how]:g}, which is {how}",
            loss(name, "right"),
            loss(name, how),
        )
        for name in RATES
        for how in ("too low", "too high")
    ]
