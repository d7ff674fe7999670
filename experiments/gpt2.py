"""GPT-2 of 124 million parameters: warm-up + cosine, warm-up-stable-decay and linear to zero, at published settings.

The claim to hold: at the higher rates that they were published with, WSD and linear decay end below llm.c's cosine.
Settings: 524,288 tokens an update (512 windows of 1024), AdamW (0.9, 0.95), weight decay 0.1 on matrices and embeddings,
clipping at norm 1, bfloat16, on FineWeb. Cosine: 6e-4, warm-up over 700 of 18,865 updates, to zero (llm.c,
run_gpt2_124M.sh). WSD: 1.8e-3, warm-up over 256 of 9536 updates, the last fifth linear to zero (modded-nanogpt, its second
record: the last 2048). Linear: 1.5e-3 (the first of modded-nanogpt, which ends at a tenth), to zero after Bergsma et al.
2025, arXiv:2502.15938. The model is llm.c's without biases.

    paper  18,865 updates, 10 billion tokens
    gpu     4,768 updates, 2.5 billion tokens, 20 a parameter
    cpu    a rehearsal in bytes, 2 layers of width 64, which shows that everything runs and no more

Data: token shards in `fineweb10B/`, as llm.c's dev/data/fineweb.py or modded-nanogpt's data/cached_fineweb10B.py put
them there; other places with --set task.text=... --set task.validation=... All tokens go to the device: 20 GB for 10
billion, so take shards for as many as the run reads. On n devices of one host divide `accumulate` by n: --set
accumulate=2 on eight.
Expected: held-out loss of cosine after 10 billion tokens 3.28 (llm.c reached 3.2847), of WSD 3.28 after 5 billion (with
rotary positions). Memory, by arithmetic, at microbatches of 32: 2 GB of parameters, gradient and moments, 10 GB of
activations and twice 3.3 GB of logits, which --set task.head=blocks saves for 6 % more work.

Cost: cpu: 100 seconds on two CPU cores. gpu and paper, by arithmetic: 1.5 and 6 hours an arm on one H100, at 40 % of its peak
(2.1e18 and 8.5e18 FLOPs).
Run: lrlab run gpt2 --preset paper --arm cosine
Found: nothing at full size yet: no GPU was at hand. In the rehearsal (cpu, 3 seeds) both claims hold by far,
    WSD against cosine    -0.477 [-0.503, -0.451]
    linear against cosine -0.226 [-0.257, -0.195]
which says little: so small a model bears rates five times as high, and the higher of these wins for that reason.
"""

from lrlab import cosine, decay, optim, stable, warmup
from lrlab.experiment import Experiment
from lrlab.task.language import Language
from lrlab.verdict import lower

BASE = Experiment(
    task=Language(
        text="fineweb10B/fineweb_train_*.bin",
        validation="fineweb10B/fineweb_val_*.bin",
        held_out=10_240,
        sequence=1024,
        width=768,
        layers=12,
        heads=12,
        norm="layer",
        tied=True,
        initializer="gpt2",
        compute="bfloat16",
        attention="cudnn",
        vocabulary=50_304,
        head="whole",
    ),
    schedule=6e-4 * warmup("3.7%") >> decay(curve=cosine),
    optimizer=optim.adamw(b1=0.9, b2=0.95, weight_decay=0.1),
    steps=18_865,
    batch=512,
    accumulate=16,
    clip=1.0,
    evaluate_every=250,
)
ARMS = {
    "cosine": {},
    "wsd": {"schedule": 1.8e-3 * warmup("2.7%") >> stable() >> decay("20%")},
    "linear": {"schedule": 1.5e-3 * warmup("2.7%") >> decay()},
}
BYTES = {"task.text": None, "task.validation": 0.1, "task.held_out": None, "task.vocabulary": None}
SMALL = {"task.sequence": 64, "task.layers": 2, "task.heads": 2, "task.width": 64}
PRESETS = {
    "cpu": {
        **BYTES,
        **SMALL,
        "task.attention": "auto",
        "task.compute": "float32",
        "steps": 1000,
        "batch": 16,
        "accumulate": 1,
    },
    "gpu": {"steps": 4768, "seeds": 1},
    "paper": {"seeds": 1},
}


def verdict(runs):
    loss = {arm: run.final["loss"] for arm, run in runs.items()}
    return [
        lower("warm-up-stable-decay at 1.8e-3 ends below cosine at 6e-4", loss["wsd"], loss["cosine"]),
        lower("linear to zero from 1.5e-3 ends below cosine at 6e-4", loss["linear"], loss["cosine"]),
    ]
