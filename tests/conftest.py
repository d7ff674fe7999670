"""How the tests run: eight virtual CPU devices, no silent broadcasting, no compilation cache, repeatable random cases."""

import os
import sys

sys.path.insert(0, os.path.dirname(__file__))  # `import strategies`: pytest's importlib mode adds no folder
os.environ["NPROC"] = "64"  # XLA's thread pool: with fewer, collectives over eight virtual devices can deadlock
os.environ.setdefault("JAX_PLATFORMS", "cpu")

import hypothesis
import jax

jax.config.update("jax_num_cpu_devices", 8)  # before any backend starts
# Arrays of different rank never meet by accident. Populations are not harmed: a scalar step meets an array of
# peaks freely, and members are stacked under vmap, where every member sees its own rank.
jax.config.update("jax_numpy_rank_promotion", "raise")
jax.config.update("jax_enable_compilation_cache", False)

# The same cases on every run and every xdist worker, and no database on disk. No deadline: the first call of a
# jax primitive compiles it, which says nothing about the case.
hypothesis.settings.register_profile(
    "ci",
    max_examples=60,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[hypothesis.HealthCheck.too_slow],
)
hypothesis.settings.load_profile("ci")
