"""peer_torch.py under torch.compile."""

import functools

import peer_torch

make = functools.partial(peer_torch.make, compiled=True)
