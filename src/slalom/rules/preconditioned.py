"""Rules that turn or stretch a matrix by what its gradients were, among rows and among columns."""

from __future__ import annotations

from slalom.rules.definition import rule
from slalom.rules.example import Example
from slalom.rules.functions import columns, minimum, norm, rows, sqrt, where
from slalom.rules.matrices import (
    between,
    eigenvectors,
    gram,
    inverse_root,
    refined,
    transposed,
)
from slalom.rules.parts import decay

WHOLE_INTERVALS = {
    "precondition_frequency must be a whole number": lambda hypers: float(
        hypers["precondition_frequency"]
    ).is_integer()
}

SHAPES = {
    "row_gram": "rows x rows up to max_precond_dim",
    "col_gram": "columns x columns up to max_precond_dim",
}


@rule(
    class_name="SOAP",
    shapes={
        **SHAPES, "row_basis": SHAPES["row_gram"], "col_basis": SHAPES["col_gram"],
    },
    search={"lr": (3e-4, 1e-1), "betas[0]": (0.8, 0.98), "betas[1]": (0.9, 0.999)},
    bounds={"shampoo_beta": "[0, 1)", "precondition_frequency": ">= 1", "max_precond_dim": ">= 0"},
    requires=WHOLE_INTERVALS,
    examples=[
        Example((0.5, 1.0), (-1.0, 1.0988999955), (0.25, 1.1475689235), lr=0.1),
        Example(
            (0.5, 1.0), (-1.0, 1.0270896024), (0.25, 1.0328249935), (2.0, 0.9738327734), lr=0.1,
            betas=(0.8, 0.9), eps=0.1, weight_decay=0.2, correct_bias=False,
        ),
    ],
)  # fmt: skip
def soap(
    param, grad, exp_avg, exp_avg_sq, row_gram, col_gram, row_basis, col_basis, *, step, lr=3e-3,
    betas=(0.95, 0.95), shampoo_beta=None, eps=1e-8, weight_decay=0.01, precondition_frequency=10,
    max_precond_dim=10000, correct_bias=True, maximize=False,
):  # fmt: skip
    """SOAP (Vyas et al. 2024, algorithm 3): Adam in the eigenvectors of Shampoo's averages.

    Those of gradients' rows and columns with each other, kept with ``shampoo_beta`` (None: as
    ``betas[1]``) and decomposed anew every ``precondition_frequency`` steps, by one step of
    orthogonal iteration. As in the authors' code the first step moves no parameter, and the decay
    comes after the update. A side longer than ``max_precond_dim`` is not turned, nor is a vector:
    there it is AdamW, one step late. A convolution is a matrix of one row for each output channel,
    where the authors turn each of its axes.
    """
    beta1, beta2 = betas
    beta = beta2 if shampoo_beta is None else shampoo_beta
    grad = -grad if maximize else grad
    row_gram = gram(grad, 1, onto=row_gram, keep=beta, share=1 - beta)
    col_gram = gram(grad, 0, onto=col_gram, keep=beta, share=1 - beta)
    if step == 1:
        bases = eigenvectors(row_gram), eigenvectors(col_gram)
        return param, exp_avg, exp_avg_sq, row_gram, col_gram, *bases
    turned = between(transposed(row_basis), grad, col_basis)
    exp_avg = beta1 * exp_avg + (1 - beta1) * turned
    exp_avg_sq = beta2 * exp_avg_sq + (1 - beta2) * turned * turned
    change = exp_avg / (sqrt(exp_avg_sq) + eps)
    rate = lr
    if correct_bias:
        rate = lr * sqrt(1 - beta2 ** (step - 1)) / (1 - beta1 ** (step - 1))
    param = param - rate * between(row_basis, change, transposed(col_basis))
    if weight_decay != 0:
        param = param - lr * weight_decay * param
    if (step - 1) % precondition_frequency == 0:
        before = between(row_basis, exp_avg, transposed(col_basis))
        row_basis, col_basis = refined(row_basis, row_gram), refined(col_basis, col_gram)
        exp_avg = between(transposed(row_basis), before, col_basis)
    return param, exp_avg, exp_avg_sq, row_gram, col_gram, row_basis, col_basis


@rule(
    shapes={**SHAPES, "row_root": SHAPES["row_gram"], "col_root": SHAPES["col_gram"]},
    search={"lr": (3e-4, 1e-1), "betas[0]": (0.8, 0.98), "betas[1]": (0.9, 0.9999)},
    bounds={
        "betas[1]": "[0, 1]", "grafting": ("adam", "sgd", "none"), "graft_eps": ">= 0",
        "precondition_frequency": ">= 1", "max_precond_dim": ">= 0",
    },
    requires=WHOLE_INTERVALS,
    examples=[
        Example((0.5, 0.900000002), (-1.0, 0.9366103542), (0.25, 0.9502794203), lr=0.1),
        Example(
            (0.5, 0.8666666667), (-1.0, 0.8643830909), (0.25, 0.8268982052), lr=0.1,
            betas=(0.5, 1), graft_eps=0.1, weight_decay=0.5,
        ),
        Example(
            (0.5, 0.95), (-1.0, 0.9833333333), (0.25, 0.9927595628), lr=0.1, betas=(0.8, 0.999),
            grafting="sgd",
        ),
    ],
)  # fmt: skip
def shampoo(
    param, grad, exp_avg, exp_avg_sq, row_gram, col_gram, row_root, col_root, *, step, lr=1e-3,
    betas=(0.9, 0.999), eps=1e-12, grafting="adam", graft_eps=1e-8, weight_decay=0,
    precondition_frequency=10, max_precond_dim=1024, maximize=False,
):  # fmt: skip
    """Shampoo (Gupta et al. 2018; Shi et al. 2023): gradients between roots of their averages.

    Those of rows and of columns with each other, averages with ``betas[1]`` (of 1: sums, as in the
    first paper), are raised to -1/4, to -1/2 where there is one alone, every
    ``precondition_frequency`` steps and in the first. What is multiplied by them is the average of
    gradients with ``betas[0]``. The result is as long as the step of what it is grafted onto:
    ``"adam"`` (with ``betas[1]`` of 1 AdaGrad), ``"sgd"`` or ``"none"``, which leaves it as it is.
    As in the authors' code roots serve from step ``precondition_frequency`` on; before it, and for
    vectors and matrices with both sides longer than ``max_precond_dim``, steps are those of what it
    is grafted onto. A side that is longer is left out, where theirs is cut into blocks.
    """
    beta1, beta2 = betas
    param, grad = decay(param, grad, lr, weight_decay, maximize, True)
    share = 1 - beta2 if beta2 < 1 else 1
    right = 1 - beta2**step if beta2 < 1 else 1
    exp_avg = beta1 * exp_avg + (1 - beta1) * grad
    row_gram = gram(grad, 1, onto=row_gram, keep=beta2, share=share)
    col_gram = gram(grad, 0, onto=col_gram, keep=beta2, share=share)
    if step == 1 or step % precondition_frequency == 0:
        row_root = inverse_root(row_gram, col_gram, 1 / right, eps)
        col_root = inverse_root(col_gram, row_gram, 1 / right, eps)
    mean_grad = grafted = exp_avg / (1 - beta1**step)
    if grafting == "adam":
        exp_avg_sq = beta2 * exp_avg_sq + share * grad * grad
        grafted = mean_grad / (sqrt(exp_avg_sq / right) + graft_eps)
    change = grafted
    if step >= precondition_frequency:
        change = between(row_root, mean_grad, col_root)
        if grafting != "none":
            change = norm(grafted) / (norm(change) + 1e-16) * change
        shorter = minimum(rows(param), columns(param))
        change = where((shorter > 1) & (shorter <= max_precond_dim), change, grafted)
    return param - lr * change, exp_avg, exp_avg_sq, row_gram, col_gram, row_root, col_root
