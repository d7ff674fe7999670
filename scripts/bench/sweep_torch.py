"""A sweep in PyTorch, eager: AdamW and LambdaLR, one run after another."""

import peer_torch
import setting as peers
import sweep_setting as sweeps
import torch
import torch.nn.functional as F
from sweep_setting import Model, Trial
from torch import nn

FUSED = None  # AdamW as PyTorch chooses it


def _perceptron(model: Model):
    image, label = map(torch.from_numpy, sweeps.digits())
    label, rows = label.long(), torch.from_numpy(sweeps.order(model.steps, model.batch, len(label)))

    def fresh() -> nn.Module:
        layers: list[nn.Module] = []
        for kernel, bias in sweeps.initial(model.hidden):
            linear = nn.Linear(*kernel.shape)
            linear.load_state_dict({"weight": torch.from_numpy(kernel.T.copy()), "bias": torch.from_numpy(bias)})
            layers += [linear, nn.ReLU()]
        return nn.Sequential(*layers[:-1])

    return fresh, lambda net, t: F.cross_entropy(net(image[rows[t]]), label[rows[t]])


def _transformer(model: Model):
    setting = model.transformer
    text = peers.text(setting)

    def loss(net, t):
        begin = peers.starts(t, setting.batch, text.size, setting.sequence)
        window = torch.from_numpy(text[begin[:, None] + range(setting.sequence + 1)]).long()
        return net(window[:, :-1], window[:, 1:].contiguous())

    return lambda: peer_torch.Decoder(setting), loss


def trainer(model: Model):
    torch.set_num_threads(1)
    fresh, loss_of = _perceptron(model) if model.hidden else _transformer(model)

    def train(trial: Trial) -> float:
        net = fresh()
        adam = torch.optim.AdamW(net.parameters(), lr=trial.peak, weight_decay=sweeps.WEIGHT_DECAY, fused=FUSED)
        schedule = torch.optim.lr_scheduler.LambdaLR(adam, lambda t: sweeps.gain(trial.kind, t, model.steps))
        losses = []
        for t in range(model.steps):
            adam.zero_grad(set_to_none=True)
            loss = loss_of(net, t)
            loss.backward()
            adam.step()
            schedule.step()
            losses.append(loss.detach())
        return sweeps.ending([loss.item() for loss in losses])

    return train
