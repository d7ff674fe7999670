"""The same with PyTorch's fused AdamW."""

import sweep_torch

sweep_torch.FUSED = True
trainer = sweep_torch.trainer
