"""Sizes beyond a CPU that several experiments share, as the values of a preset."""

from typing import Any

# A transformer of 30 million parameters on token shards as `gpt2` has them, 49 million tokens: minutes on one GPU
TOKENS_30M: dict[str, Any] = {
    "task.text": "fineweb10B/fineweb_train_*.bin",
    "task.validation": "fineweb10B/fineweb_val_*.bin",
    "task.held_out": 2048,
    "task.sequence": 256,
    "task.width": 384,
    "task.layers": 6,
    "task.heads": 6,
    "task.tied": True,
    "task.compute": "bfloat16",
    "batch": 64,
    "steps": 3000,
}
