"""A node is a frozen dataclass that is a pytree: its numbers are leaves, everything else is structure."""

import dataclasses
from typing import Any, Self, dataclass_transform

import jax


def structural(default: Any = dataclasses.MISSING) -> Any:
    """A field that is never a leaf, even where it holds a number (a count of cycles, a width)."""
    return dataclasses.field(default=default, metadata={"structural": True})


def _is_structure(field: dataclasses.Field, value: Any) -> bool:
    return (
        field.metadata.get("structural", False)
        or isinstance(value, str)
        or callable(value)
        and not isinstance(value, Node)
    )


@dataclass_transform(frozen_default=True, eq_default=False, field_specifiers=(structural, dataclasses.field))
class Node:
    """Base of the values that lrlab computes with. A subclass only declares its fields.

    Numbers, arrays, other nodes and containers of these are children, so `jax.vmap`, `jax.grad` and `jax.jit` see
    through a node; strings, flags, functions and fields declared with `structural()` belong to its structure.
    Validation belongs in the functions that build nodes: JAX rebuilds them without `__init__`.
    """

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        dataclasses.dataclass(frozen=True, eq=False, repr=False)(cls)
        jax.tree_util.register_pytree_with_keys(cls, cls._flatten_with_keys, cls._unflatten, cls._flatten)

    def replace(self, **changes: Any) -> Self:
        """The same node with some fields changed."""
        return dataclasses.replace(self, **changes)  # type: ignore[type-var]

    def _split(self):
        names, children, structure = [], [], []
        for field in dataclasses.fields(self):  # type: ignore[arg-type]
            value = getattr(self, field.name)
            if _is_structure(field, value):
                structure.append((field.name, value))
            else:
                names.append(field.name)
                children.append(value)
        return children, (tuple(names), tuple(structure))

    def _flatten(self):
        return self._split()

    def _flatten_with_keys(self):
        children, structure = self._split()
        return [(jax.tree_util.GetAttrKey(name), child) for name, child in zip(structure[0], children)], structure

    @classmethod
    def _unflatten(cls, structure, children):
        node = object.__new__(cls)
        for name, value in [*zip(structure[0], children), *structure[1]]:
            object.__setattr__(node, name, value)
        return node
