"""A sweep in plain JAX: the schedule is part of the step, so every run compiles a step of its own."""

import jax
import jax.numpy as jnp
import naive_jax
import numpy as np
import optax
import setting as peers
import sweep_setting as sweeps
from sweep_setting import Model, Trial


def _schedule(trial: Trial, steps: int):
    warmup, peak = round(sweeps.WARMUP * steps), trial.peak
    if trial.kind == "decay":
        return optax.linear_schedule(peak, 0.0, steps)
    if trial.kind == "cosine":
        return optax.warmup_cosine_decay_schedule(0.0, peak, warmup, steps)
    up = optax.linear_schedule(0.0, peak, warmup)
    if trial.kind == "rsqrt":
        return optax.join_schedules([up, lambda t: peak * (1 + t / (sweeps.TIMESCALE * steps)) ** -0.5], [warmup])
    cooldown = round(sweeps.COOLDOWN * steps)
    down = optax.linear_schedule(peak, 0.0, cooldown)
    return optax.join_schedules([up, optax.constant_schedule(peak), down], [warmup, steps - cooldown])


def _perceptron(model: Model):
    image, label = sweeps.digits()
    rows = sweeps.order(model.steps, model.batch, len(label))

    def loss(params, image, label):
        for kernel, bias in params[:-1]:
            image = jax.nn.relu(image @ kernel + bias)
        logits = image @ params[-1][0] + params[-1][1]
        return optax.softmax_cross_entropy_with_integer_labels(logits, label).mean()

    return sweeps.initial(model.hidden), loss, lambda t: (image[rows[t]], label[rows[t]])


def _transformer(model: Model):
    setting = model.transformer
    text = peers.text(setting)

    def batch(t):
        begin = peers.starts(t, setting.batch, text.size, setting.sequence)
        window = text[begin[:, None] + range(setting.sequence + 1)].astype("int32")
        return window[:, :-1], window[:, 1:]

    return peers.initial(setting), naive_jax.loss_of(setting), batch


def trainer(model: Model):
    initial, loss_of, batch = _perceptron(model) if model.hidden else _transformer(model)

    def train(trial: Trial) -> float:
        tx = optax.adamw(_schedule(trial, model.steps), weight_decay=sweeps.WEIGHT_DECAY)

        @jax.jit
        def step(params, state, *batch):
            value, gradient = jax.value_and_grad(loss_of)(params, *batch)
            updates, state = tx.update(gradient, state, params)
            return optax.apply_updates(params, updates), state, value

        params = jax.tree.map(jnp.asarray, initial)
        state, losses = tx.init(params), []
        for t in range(model.steps):
            params, state, value = step(params, state, *batch(t))
            losses.append(value)
        return sweeps.ending([float(value) for value in np.asarray(jax.device_get(losses))])

    return train
