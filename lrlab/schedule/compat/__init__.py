"""Every peer's schedules under the peer's own names and conventions, written in our words.

`lr.compat.<peer>.<the peer's class or function>(the peer's arguments)` is the schedule that update number t of that
peer's optimizer would use in its usual driver; the `optimizer` argument is replaced by a keyword `base_lr`. What the
peer does after its end (hold, rise again, restart, go below zero) is part of it; `after="hold"` holds instead.

>>> import lrlab as lr
>>> lr.compat.torch.StepLR(base_lr=0.1, step_size=30)
0.1 * repeat(stable(30), shrink=0.1)
"""

import lazy_loader

PEERS = (  # each a module of this package
    "big_vision",
    "composer",
    "deepspeed",
    "fairseq",
    "fairseq2",
    "fastai",
    "fvcore",
    "ignite",
    "init2winit",
    "keras",
    "levanter",
    "maxtext",
    "megatron",
    "nanodo",
    "nemo",
    "olmo",
    "optax",
    "praxis",
    "scenic",
    "t5x",
    "timm",
    "torch",
    "transformers",
)

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submodules=PEERS,
    submod_attrs={"optax": ["from_optax"], "torch.live": ["from_torch"]},
)
