"""The same model and loop in PyTorch, eager; peer_torch_compiled.py compiles the same.

On a GPU `setting.options["kernel"]` of attention is "flash" or "cudnn"; where torch cannot run it, it raises.
"""

import contextlib

import numpy as np
import setting as peers
import torch
import torch.nn.functional as F
from setting import Setting
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel

KERNELS = {"flash": SDPBackend.FLASH_ATTENTION, "cudnn": SDPBackend.CUDNN_ATTENTION}


class Block(nn.Module):
    """Pre-norm attention and perceptron, without biases."""

    def __init__(self, setting: Setting) -> None:
        super().__init__()
        d = setting.width
        self.heads = setting.heads
        self.norm1, self.norm2 = nn.LayerNorm(d, bias=False), nn.LayerNorm(d, bias=False)
        self.qkv, self.out = nn.Linear(d, 3 * d, bias=False), nn.Linear(d, d, bias=False)
        self.up, self.down = nn.Linear(d, 4 * d, bias=False), nn.Linear(4 * d, d, bias=False)

    def forward(self, h: torch.Tensor) -> torch.Tensor:
        B, T, d = h.shape
        q, k, v = (a.view(B, T, self.heads, -1).transpose(1, 2) for a in self.qkv(self.norm1(h)).split(d, dim=2))
        mixed = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        h = h + self.out(mixed.transpose(1, 2).reshape(B, T, d))
        return h + self.down(F.gelu(self.up(self.norm2(h)), approximate="tanh"))


class Decoder(nn.Module):
    """Bytes to the mean cross-entropy of the bytes that follow."""

    def __init__(self, setting: Setting) -> None:
        super().__init__()
        self.tokens = nn.Embedding(setting.vocabulary, setting.width)
        self.positions = nn.Embedding(setting.sequence, setting.width)
        self.layers = nn.ModuleList(Block(setting) for _ in range(setting.layers))
        self.norm = nn.LayerNorm(setting.width, bias=False)
        self.head = nn.Linear(setting.width, setting.vocabulary, bias=False)
        if setting.tied:
            self.head.weight = self.tokens.weight
        self._begin(peers.initial(setting))

    def _begin(self, values: dict) -> None:
        flat = {k: v for k, v in values.items() if k != "layers"}
        flat |= {f"layers.{i}.{k}": v for i, layer in enumerate(values["layers"]) for k, v in layer.items()}
        state = {f"{k}.weight": torch.from_numpy(v) for k, v in flat.items()}
        embeddings = ("tokens.weight", "positions.weight")
        state = {k: v.T if v.ndim == 2 and k not in embeddings else v for k, v in state.items()}
        self.load_state_dict(state | ({} if "head.weight" in state else {"head.weight": state["tokens.weight"]}))

    def forward(self, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        h = self.tokens(x) + self.positions.weight
        for layer in self.layers:
            h = layer(h)
        return F.cross_entropy(self.head(self.norm(h)).flatten(0, 1), y.view(-1))


def make(setting: Setting, compiled: bool = False):
    torch.set_num_threads(setting.threads)
    torch.set_float32_matmul_precision("high" if setting.device == "cuda" else "highest")
    decoder = Decoder(setting).to(setting.device)
    model = torch.compile(decoder) if compiled else decoder
    parameters = list(decoder.parameters())
    groups = [
        {"params": [p for p in parameters if p.ndim > 1], "weight_decay": peers.WEIGHT_DECAY},
        {"params": [p for p in parameters if p.ndim < 2], "weight_decay": 0.0},
    ]
    adam = torch.optim.AdamW(groups, lr=peers.PEAK, betas=(peers.B1, peers.B2), eps=peers.EPS, fused=True)
    text, within, done = peers.text(setting), np.arange(setting.sequence + 1), 0

    def attention():
        return sdpa_kernel(KERNELS[setting.options["kernel"]]) if setting.device == "cuda" else contextlib.nullcontext()

    def batch(t: int) -> tuple[torch.Tensor, torch.Tensor]:
        begin = peers.starts(t, setting.batch, text.size, setting.sequence)
        window = torch.from_numpy(text[begin[:, None] + within].astype(np.int64)).to(setting.device)
        return window[:, :-1].contiguous(), window[:, 1:].contiguous()

    def run(steps: int) -> float:
        nonlocal done
        for _ in range(steps):
            for group in adam.param_groups:
                group["lr"] = peers.rate(done)
            with attention(), torch.autocast(setting.device, torch.bfloat16, enabled=setting.dtype == "bfloat16"):
                loss = model(*batch(done))
            loss.backward()
            nn.utils.clip_grad_norm_(parameters, peers.CLIP)
            adam.step()
            adam.zero_grad(set_to_none=True)
            done += 1
        return loss.item()

    return run
