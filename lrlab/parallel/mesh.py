"""The axes of a mesh of devices, and which of them share each array of a run's state.

Examples are shared by `data` and `fsdp`. Parameters and the optimizer's moments are shared by `fsdp`, along their largest
axis (Rajbhandari et al. 2020, ZeRO, arXiv:1910.02054), and by `tensor`, along the axes that the task names (Shoeybi et al.
2019, Megatron-LM, arXiv:1909.08053). XLA puts in what the devices must tell each other.
"""

import math
import re
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, Self

import jax
from jax import lax
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from lrlab.refusal import Refused, unknown
from lrlab.task import Cut, Params


class Axes(NamedTuple):
    """How many devices there are along each axis of a mesh; prints as it is typed.

    >>> print(Axes.parse("data=2,fsdp=4"))
    data=2,fsdp=4
    """

    data: int = 1  # each its own examples
    fsdp: int = 1  # each its own examples, and its share of the parameters and of the optimizer's state
    tensor: int = 1  # each its share of the heads, hidden units and symbols

    @classmethod
    def parse(cls, text: str) -> Self:
        """Axes from a command line. Raises `Refused` for a name that is none, and a size that is no positive number."""
        sizes: dict[str, int] = {}
        for part in text.split(","):
            name, _, size = (word.strip() for word in part.partition("="))
            if name not in cls._fields:
                raise unknown("axis of a mesh", name, cls._fields)
            if not size.isdecimal() or int(size) < 1 or name in sizes:
                raise Refused(
                    f"--mesh {text}: write each axis once, with its number of devices: data=2,fsdp=2,tensor=2"
                )
            sizes[name] = int(size)
        return cls(**sizes)

    @property
    def size(self) -> int:
        """How many devices there are."""
        return math.prod(self)

    def __str__(self) -> str:
        return ",".join(f"{name}={size}" for name, size in zip(self._fields, self) if size > 1) or "data=1"


def shared(state: Any, cuts: Sequence[Cut], mesh: Mesh) -> Any:
    """Where each array of a population's state, [members, ...], lies on a mesh of `Axes`: a tree of `NamedSharding`.

    Args:
        state: a `TrainState`, in shape.
        cuts: what `tensor` may share; what no cut names, or what it does not divide, is whole there.
        mesh: the devices.

    What the optimizer keeps for each number of a parameter lies as the parameter does. Vectors are whole everywhere: they
    are small, and each would cost a message. So is what is watched, which the host reads.
    """
    params = {path: (x.shape, _spec(path, x.shape[1:], cuts, mesh)) for path, x in _named(state.params)}

    def spec(path: str, shape: tuple[int, ...]) -> PartitionSpec:
        like = (spec for name, (own, spec) in params.items() if f".{path}".endswith(f".{name}") and own == shape)
        return next(like, None) or _spec(path, shape[1:], (), mesh)

    each = lambda tree: _lies(mesh, tree, lambda path, x: PartitionSpec(None, *spec(path, x.shape)))
    whole = _lies(mesh, state, lambda path, x: PartitionSpec())
    return whole._replace(params=each(state.params), opt_state=each(state.opt_state))


def gathering(cuts: Sequence[Cut], mesh: Mesh) -> Callable[[Params], Params]:
    """`gather(params)`: one run's parameters as its devices use them, whole but for `tensor`; gradients are shared as they are.

    Left to itself XLA would rather share the activations' width than the examples.
    """

    def held(params: Params, fsdp: bool) -> Params:
        lies = _lies(mesh, params, lambda path, x: _spec(path, x.shape, cuts, mesh, fsdp))
        return lax.with_sharding_constraint(params, lies)

    gather = jax.custom_vjp(lambda params: held(params, fsdp=False))
    gather.defvjp(lambda params: (held(params, fsdp=False), None), lambda _, g: (held(held(g, fsdp=False), fsdp=True),))
    return gather


def _spec(path: str, shape: tuple[int, ...], cuts: Sequence[Cut], mesh: Mesh, fsdp: bool = True) -> PartitionSpec:
    """Tensor shares an array along its cut, and fsdp along the largest other axis that it divides."""
    sharing: list[str | None] = [None] * len(shape)
    fits = (cut.axis for cut in cuts if re.search(cut.path, path) and cut.parts % mesh.shape["tensor"] == 0)
    if (cut := next(fits, None)) is not None:
        sharing[cut] = "tensor"
    free = [i for i, size in enumerate(shape) if sharing[i] is None and size % mesh.shape["fsdp"] == 0]
    if fsdp and free and len(shape) > 1:
        sharing[max(free, key=lambda i: shape[i])] = "fsdp"
    return PartitionSpec(*sharing)


def _lies(mesh: Mesh, tree: Any, spec: Callable[[str, Any], PartitionSpec]) -> Any:
    lies = [NamedSharding(mesh, spec(path, x)) for path, x in _named(tree)]
    return jax.tree.unflatten(jax.tree.structure(tree), lies)


def _named(tree: Any) -> list[tuple[str, Any]]:
    leaves, _ = jax.tree.flatten_with_path(tree)
    return [(jax.tree_util.keystr(path, simple=True, separator="."), x) for path, x in leaves]
