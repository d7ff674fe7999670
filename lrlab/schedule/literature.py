"""The peaks that the literature uses, by optimizer and batch."""

from typing import NamedTuple


class Usual(NamedTuple):
    """The range of peaks in use at a batch of 256 examples, and how the batch moves it."""

    low: float
    high: float
    scaling: float  # the peak goes with the batch to this power
    reference: str

    def at(self, batch: int | None) -> tuple[float, float]:
        """The range at a batch, or for any batch up to 8192, where linear scaling ends (Goyal et al. 2017, figure 1).

        Where steps are normalised, the size of a model moves its peak more than the batch does: there the range only
        widens, upwards for large batches and downwards for small ones.
        """
        if batch is None:
            return self.low, self.high * (8192 / 256 if self.scaling == 1 else 1)
        moved = (batch / 256) ** self.scaling
        return (
            (self.low * moved, self.high * moved)
            if self.scaling == 1
            else (self.low * min(moved, 1), self.high * max(moved, 1))
        )


# Linear scaling for gradient descent (Goyal et al. 2017, section 2.1), square root for Adam and its kin (Malladi et al. 2022).
_DESCENT = "Goyal et al. 2017, section 2.1: 0.1 at a batch of 256 with momentum 0.9, in proportion to the batch"
_ADAM = Usual(2e-5, 3e-3, 0.5, "Brown et al. 2020 (GPT-3), table 2.1: 6e-4 at 125M parameters to 6e-5 at 175B")
USUAL = {
    "sgd": Usual(3e-3, 2.0, 1.0, _DESCENT),  # without momentum a step is a tenth, so rates are ten times as high
    "momentum": Usual(3e-3, 0.2, 1.0, _DESCENT),  # 3e-3 in fine-tuning (Kolesnikov et al. 2020, BiT)
    "nesterov": Usual(3e-3, 0.2, 1.0, _DESCENT),
    "adam": _ADAM,
    "adamw": _ADAM,  # 2e-5 in fine-tuning (Devlin et al. 2019), 3e-3 in small language models
    "lion": Usual(2e-6, 1e-3, 0.5, "Chen et al. 2023, section 5: 3 to 10 times below that of AdamW"),
    "muon": Usual(2e-4, 0.05, 0.5, "Jordan et al. 2024 (Muon): 0.02 for the matrices"),
}
DESCENT = ("sgd", "momentum", "nesterov")
MISSED = {"adam": 1e-3, "adamw": 1e-3, "lion": 3e-4}  # from this peak on a warm-up is missed (Xiong et al. 2020)
