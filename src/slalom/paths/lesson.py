"""The lesson: the methods in the order of the textbooks, each on the surface that shows it."""

from __future__ import annotations

from typing import Any

from slalom.paths.scene import Mover, Scene
from slalom.rules import RULES
from slalom.rules.definition import rule
from slalom.rules.functions import sqrt


@rule(class_name="Uncorrected")
def uncorrected(param, grad, exp_avg, exp_avg_sq, *, lr=1e-3, betas=(0.9, 0.999), eps=1e-8):
    """Adam without its correction for averages that begin at 0."""
    beta1, beta2 = betas
    exp_avg = beta1 * exp_avg + (1 - beta1) * grad
    exp_avg_sq = beta2 * exp_avg_sq + (1 - beta2) * grad * grad
    return param - lr * exp_avg / (sqrt(exp_avg_sq) + eps), exp_avg, exp_avg_sq


def _mover(label: str, name: str, batch: int | None = 1, **hypers: Any) -> Mover:
    return Mover(label, RULES[name], hypers, batch)


LESSON = (
    Scene(
        "noisy-bowl",
        [_mover("BGD", "sgd", None, lr=0.5), _mover("SGD", "sgd", lr=0.1)],
        steps=384, clock="samples", title="Why BGD is slow on many samples",
        says="The loss is a mean over 64 samples, and time is counted in samples seen. Batch "
        "gradient descent looks at all 64 before it moves, in the best direction there is. SGD "
        "moves after each one, roughly the right way, and is near the bottom before BGD has moved "
        "at all. With 64 million samples BGD would be standing there for long.",
    ),
    Scene(
        "noisy-bowl",
        [
            _mover("rate 0.2", "sgd", lr=0.2), _mover("rate 0.02", "sgd", lr=0.02),
            _mover("rate 0.2, batches of 16", "sgd", 16, lr=0.2),
        ],
        steps=192, title="SGD's noise",
        says="Each sample pulls to a minimum of its own. At a constant rate SGD so never comes to "
        "rest: it wanders, the further the larger the rate. A smaller rate wanders less and takes "
        "longer; larger batches wander less and cost more samples a step. Not every step goes "
        "down: step through the end of the paths.",
    ),
    Scene(
        "ravine",
        [
            _mover("SGD", "sgd", lr=2.2), _mover("Momentum", "momentum", lr=0.8),
            _mover("Nesterov", "momentum", lr=0.8, nesterov=True),
        ],
        steps=80, knobs={"condition": 100.0}, title="Momentum through a ravine",
        says="Steep across, nearly flat along. Gradient descent goes from side to side at a rate "
        "that is hardly enough along the floor. Momentum keeps a velocity: pushes along the floor "
        "agree and add up, pushes across it take turns and cancel. Nesterov looks ahead and swings "
        "less. Turn the condition number: the worse it is, the more Momentum gains.",
    ),
    Scene(
        "sparse-bowl",
        [_mover("SGD", "sgd", lr=0.1), _mover("AdaGrad", "adagrad", lr=1.0)],
        title="AdaGrad on sparse features",
        says="Every sample says something about x, one in twelve about y. At a rate at which x "
        "does not wander, SGD leaves y behind. AdaGrad divides each parameter's rate by the root "
        "of its own sum of squared gradients: y, seldom touched, keeps a large rate, and arrives "
        "too. See sum, of x and of y, in its card.",
    ),
    Scene(
        "beale",
        [
            _mover("AdaGrad, rate 0.3", "adagrad", lr=0.3),
            _mover("AdaGrad, rate 2", "adagrad", lr=2.0),
        ],
        steps=300, title="AdaGrad's stall",
        says="It begins on a cliff, where gradients are hundreds of times those of the plain. "
        "AdaGrad never forgets them: its sum only grows, so that on the plain little is left of "
        "its rate, and less with every step. A rate of 2 would have been right; at the start "
        "nobody knows.",
    ),
    Scene(
        "beale",
        [_mover("AdaGrad", "adagrad", lr=0.3), _mover("RMSProp", "rmsprop", lr=0.03, alpha=0.9)],
        steps=300, title="RMSProp goes on",
        says="An average that forgets, in the place of a sum: a while after the cliff, RMSProp's "
        "rate is that of the plain, and it goes on to the end. The price is a decay to choose, "
        "and that it does not slow by itself: near the minimum it stays as restless as its rate.",
    ),
    Scene(
        "ravine",
        [_mover("Adam", "adam", lr=0.2), Mover("without correction", uncorrected, {"lr": 0.2})],
        steps=10, title="Adam's first ten steps",
        says="Adam has Momentum's average of gradients over the root of RMSProp's average of "
        "squares. Both begin at 0. The squares' average, the slower one, is too small at first: "
        "without its correction the first step is 3.2 times as long as meant, and those after it "
        "are longer still. With it, the first step is the rate, 0.2.",
    ),
    Scene(
        "rosenbrock",
        [
            _mover("SGD", "sgd"), _mover("Momentum", "momentum"), _mover("AdaGrad", "adagrad"),
            _mover("RMSProp", "rmsprop"), _mover("Adam", "adam"),
        ],
        title="Which is best?",
        says="All five, each at the best of some learning rates. One of them is first here; drag "
        "the start, or open a card and turn its rate, and another may be. A network is no surface "
        "of two parameters: which is best for yours is measured, by slalom race, and often it is "
        "a tie.",
    ),
)  # fmt: skip
"""One scene a chapter, in the order of the textbooks."""
