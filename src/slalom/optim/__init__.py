"""Optimizers with torch.optim's interface, each made of one rule."""

from slalom.optim.optimizer import RuleOptimizer, optimizer
from slalom.rules import adagrad, adam, adamw, momentum, rmsprop, sgd

SGD = optimizer(sgd, "SGD", choices=("foreach", "differentiable", "fused"))
Momentum = optimizer(momentum, "Momentum")
Adagrad = optimizer(adagrad, "Adagrad", choices=("foreach", "differentiable", "fused"))
RMSprop = optimizer(rmsprop, "RMSprop", choices=("foreach", "capturable", "differentiable"))
Adam = optimizer(adam, "Adam", choices=("foreach", "capturable", "differentiable", "fused"))
AdamW = optimizer(adamw, "AdamW", choices=("foreach", "capturable", "differentiable", "fused"))

__all__ = [
    "SGD", "Adagrad", "Adam", "AdamW", "Momentum", "RMSprop", "RuleOptimizer", "optimizer",
]  # fmt: skip
