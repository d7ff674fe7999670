"""An anchor outside lrlab: nanoGPT's recipe for a CPU reaches a held-out loss of about 1.88 nats on tinyshakespeare.

Karpathy's nanoGPT (README, "I only have a macbook"): 4 layers, 4 heads, width 128, windows of 64, batch 12, 2000 updates of
AdamW (0.9, 0.99) with weight decay 0.1 and clipping, warm-up over 100 of them and a cosine from 1e-3 to 1e-4; layer norm,
tied embeddings, no biases, no dropout, GPT-2's initialisation. Here the symbols are bytes, of which the text has 65, and the
held-out loss is over the whole last tenth of the text, where nanoGPT samples 20 batches of it.

Data: tinyshakespeare.txt (github.com/karpathy/char-rnn, data/tinyshakespeare/input.txt) in the working folder, or in the
folder of --data; any other text with --set task.text=FILE, for which there is no claim but the entropy of single bytes.

Cost: 2 minutes on two CPU cores of an AMD EPYC (Zen 5), preset cpu, 3 seeds.
Run: lrlab run nanogpt --data DIR
Found: 3 seeds, jax 0.10.2: 1.8910 nats, 95 % interval [1.8857, 1.8963], where the README has 1.88; held.
"""

from pathlib import Path
from typing import Any

from lrlab import cosine, decay, optim, warmup
from lrlab.experiment import Experiment
from lrlab.override import from_values
from lrlab.published import available, published
from lrlab.record import read_json
from lrlab.task.language import Language
from lrlab.verdict import between, lower

TEXT = "tinyshakespeare.txt"
TINYSHAKESPEARE = "86c4e6aa9db7c042ec79f339dcb96d42b0075e16b8fc2e86bf0ca57e2dc565ed"
BASE = Experiment(
    task=Language(
        text=str(published(TEXT, "github.com/karpathy/char-rnn")) if available(TEXT) else TEXT,
        sequence=64,
        width=128,
        layers=4,
        heads=4,
        norm="layer",
        tied=True,
        initializer="gpt2",
    ),
    schedule=1e-3 * warmup("5%") >> decay(to=0.1, curve=cosine),
    optimizer=optim.adamw(b1=0.9, b2=0.99, weight_decay=0.1),
    steps=2000,
    batch=12,
    clip=1.0,
    evaluate_every=250,
)
ARMS = {"nanoGPT": {}}
PRESETS = {"cpu": {}}


def verdict(runs):
    losses, folders = runs["nanoGPT"].final["loss"], runs["nanoGPT"].folders
    task: Any = from_values(read_json(Path(folders[0]) / "experiment.json")).task
    if task.load().digest != TINYSHAKESPEARE:
        return [lower("the model knows more than how often each byte is", losses, [task.unigram_loss] * len(losses))]
    return [
        between(
            "nanoGPT's recipe on tinyshakespeare reaches its loss", losses, 1.80, 1.96, unit="nats", paper="about 1.88"
        )
    ]
