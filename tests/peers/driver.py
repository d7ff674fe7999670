"""How PyTorch's users drive a scheduler: the rate that each update of a real optimizer uses."""

import numpy as np


def optimizer(base_lr):
    """SGD on one parameter, whose gradient is there."""
    import torch  # here, since pytest imports this module where torch is missing too

    parameter = torch.nn.Parameter(torch.ones(1))
    parameter.grad = torch.zeros(1)
    return torch.optim.SGD([parameter], lr=base_lr)


def rates_used(optimizer, step, updates):
    """The rate of updates 0, 1, ...; `step(t)` is what the peer's loop calls after update t - 1."""
    rates = []
    for t in range(updates):
        if t:
            step(t)
        rates.append(float(optimizer.param_groups[0]["lr"]))
        optimizer.step()
    return np.array(rates)


def assert_same(schedule, rates, base_lr):
    """Within a millionth of the peak at every update."""
    peak = max(np.abs(rates).max(), base_lr)
    np.testing.assert_allclose(schedule(np.arange(len(rates))), rates, rtol=0, atol=1e-6 * peak)
