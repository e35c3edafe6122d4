"""Rules that keep square matrices, against NumPy's linear algebra in float64."""

from __future__ import annotations

import copy
import io

import numpy as np
import pytest
import torch
from torch import nn

import slalom
from reference import distance
from slalom.backends import using
from slalom.optim import PSGD, SOAP, Shampoo
from slalom.rules.matrices import (
    between,
    eigenvectors,
    gram,
    inverse_root,
    orthogonal,
    refined,
    transposed,
)

SHAPES = [(6, 6), (6, 6), (9, 4), (4, 9), (6, 6), (5, 3, 2, 2), (7,), (1, 8), (), (0, 3)]
"""Several of one shape, tall and wide, a convolution's, a vector, a row, a number, none."""

EITHER = pytest.mark.parametrize("backend", ["llvm", "foreach"])


def starts(dtype=torch.float64, shapes=SHAPES):
    generator = torch.Generator().manual_seed(0)
    values = [torch.randn(s, generator=generator, dtype=torch.float64) for s in shapes]
    return [nn.Parameter(v.to(dtype)) for v in values]


def gradients(steps, seed=1, shapes=SHAPES):
    generator = torch.Generator().manual_seed(seed)
    return [
        [torch.randn(s, generator=generator, dtype=torch.float64) for s in shapes]
        for _ in range(steps)
    ]


def trained(optimizer, params, steps=12, seed=1, first=0):
    for row in gradients(steps, seed, [p.shape for p in params])[first:]:
        for p, grad in zip(params, row, strict=True):
            p.grad = grad.to(p.dtype)
        optimizer.step()
    return params


def matrix(x):
    """As a matrix in NumPy; of a single row or column no side is worked at."""
    x = x.detach().double().numpy().copy()
    return x.reshape(x.shape[0] if x.ndim else 1, int(np.prod(x.shape[1:])))


def sides(shape, most):
    """Of rows and columns whether there is a square of them."""
    rows, columns = shape
    return [min(shape) > 1 and n <= most for n in (rows, columns)]


def soap(
    start, grads, bases, every, lr=0.01, betas=(0.95, 0.95), kept=None, eps=1e-8, decay=0.01,
    corrects=True, most=10000,
):  # fmt: skip
    """SOAP as its authors' code has it, which sorts eigenvectors and the squares with them."""
    param, (b1, b2) = start.copy(), betas
    keep = b2 if kept is None else kept
    there = sides(param.shape, most)
    grams, moment, square = [0.0, 0.0], np.zeros_like(param), np.zeros_like(param)
    turns = [q if on else np.eye(n) for q, on, n in zip(bases, there, param.shape, strict=True)]
    for t, g in enumerate(grads):
        for i, x in enumerate((g, g.T)):
            grams[i] = keep * grams[i] + (1 - keep) * x @ x.T
        if t == 0:
            continue
        left, right = turns
        turned = left.T @ g @ right
        moment = b1 * moment + (1 - b1) * turned
        square = b2 * square + (1 - b2) * turned**2
        rate = lr * (1 - b2**t) ** 0.5 / (1 - b1**t) if corrects else lr
        param = param - rate * left @ (moment / (np.sqrt(square) + eps)) @ right.T
        param = param - lr * decay * param
        if t % every == 0:
            plain = left @ moment @ right.T
            for i, on in enumerate(there):
                if on:
                    order = np.argsort(-np.diag(turns[i].T @ grams[i] @ turns[i]))
                    square = np.take(square, order, i)
                    turns[i] = np.linalg.qr(grams[i] @ turns[i][:, order])[0]
            moment = turns[0].T @ plain @ turns[1]
    return param


@EITHER
@pytest.mark.parametrize(
    ("options", "given"),
    [
        ({}, {}),
        ({"betas": (0.9, 0.8), "shampoo_beta": 0.7}, {"betas": (0.9, 0.8), "kept": 0.7}),
        ({"correct_bias": False, "weight_decay": 0}, {"corrects": False, "decay": 0}),
        ({"maximize": True, "eps": 0.1}, {"eps": 0.1}),
        ({"max_precond_dim": 6}, {"most": 6}),
    ],
    ids=["default", "betas", "plain", "maximize", "one side"],
)
def test_soap_is_adam_between_eigenvectors(options, given, backend):
    params, sign = starts(), -1 if options.get("maximize") else 1
    before = list(map(matrix, params))
    with using(backend):
        optimizer = SOAP(params, lr=0.01, precondition_frequency=3, **options)
        trained(optimizer, params, steps=1)
        assert all(map(np.array_equal, before, map(matrix, params)))
        bases = [[optimizer.state[p][f"{n}_basis"].clone() for n in ("row", "col")] for p in params]
        trained(optimizer, params, first=1)
    for i, (param, start) in enumerate(zip(params, before, strict=True)):
        grads = [sign * matrix(row[i]) for row in gradients(12)]
        x = grads[0]
        for basis, square, on in zip(
            bases[i], (x @ x.T, x.T @ x), sides(start.shape, given.get("most", 10000)), strict=True
        ):
            assert basis.numel() == (square.size if on and x.size else 0)
            if basis.numel():  # where eigenvalues are 0 any of them will do
                q = basis.numpy()
                values = np.diag(q.T @ square @ q)
                assert np.allclose(q.T @ q, np.eye(len(q)), atol=1e-12)
                assert np.allclose(q * values @ q.T, square, atol=1e-12)
                assert (np.diff(values) <= 1e-12).all()
        expected = soap(start, grads, [b.numpy() for b in bases[i]], 3, **given)
        if (kept := optimizer.state[params[i]]["row_gram"]).numel():
            beta = given.get("kept", given.get("betas", (0, 0.95))[1])
            average = sum((1 - beta) * beta ** (11 - t) * g @ g.T for t, g in enumerate(grads))
            assert np.allclose(kept.numpy(), average, rtol=1e-9)
        assert distance(param, torch.from_numpy(expected).view(param.shape)) <= 1e-9, i


def shampoo(
    start, grads, every, lr=0.01, betas=(0.9, 0.999), eps=1e-12, onto="adam", small=1e-8, decay=0.0,
    most=1024,
):  # fmt: skip
    """Shampoo as its authors' code has it, of matrices that it does not cut into blocks."""
    param, (b1, b2) = start.copy(), betas
    share = 1 - b2 if b2 < 1 else 1
    there = sides(param.shape, most)
    grams, moment, square = [0.0, 0.0], np.zeros_like(param), np.zeros_like(param)
    for t, g in enumerate(grads, 1):
        right = 1 - b2**t if b2 < 1 else 1
        grams = [b2 * kept + share * x @ x.T for kept, x in zip(grams, (g, g.T), strict=True)]
        if t % every == 0:
            roots = []
            for kept, on in zip(grams, there, strict=True):
                values, vectors = np.linalg.eigh(kept / right)
                values = values - min(values.min(initial=0), 0) + eps
                root = vectors * values ** (-0.25 if all(there) else -0.5) @ vectors.T
                roots.append(root if on else np.eye(len(kept)))
        moment = b1 * moment + (1 - b1) * g
        square = b2 * square + share * g * g
        step = way = moment / (1 - b1**t)
        if onto == "adam":
            step = way / (np.sqrt(square / right) + small)
        if t >= every and any(there):
            way = roots[0] @ way @ roots[1]
            length = np.linalg.norm(step) / np.linalg.norm(way) if onto != "none" else 1
            step = length * way
        param = param - lr * decay * param - lr * step
    return param


@EITHER
@pytest.mark.parametrize(
    ("options", "given"),
    [
        ({"eps": 1e-6}, {"eps": 1e-6}),
        ({"betas": (0.8, 1.0), "weight_decay": 0.1}, {"betas": (0.8, 1.0), "decay": 0.1}),
        ({"grafting": "sgd"}, {"onto": "sgd"}),
        ({"grafting": "none", "betas": (0, 1), "precondition_frequency": 1, "eps": 1e-3},
         {"onto": "none", "betas": (0, 1), "every": 1, "eps": 1e-3}),
        ({"max_precond_dim": 6, "graft_eps": 0.1}, {"most": 6, "small": 0.1}),
    ],
    ids=["default", "sums", "sgd", "the first paper's", "one side"],
)  # fmt: skip
def test_shampoo_multiplies_by_roots(options, given, backend):
    params = starts()
    before = list(map(matrix, params))
    with using(backend):
        trained(Shampoo(params, **{"lr": 0.01, "precondition_frequency": 4, **options}), params)
    for i, (param, start) in enumerate(zip(params, before, strict=True)):
        grads = [matrix(row[i]) for row in gradients(12)]
        expected = shampoo(start, grads, **{"every": 4, **given})
        assert distance(param, torch.from_numpy(expected).view(param.shape)) <= 1e-9, i


@EITHER
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("made", [SOAP, Shampoo, PSGD])
def test_a_run_goes_on_to_the_bit(made, dtype, backend):
    """From anywhere between two decompositions, and a copy of it too."""
    for cut in (1, 4, 5):
        params = starts(dtype)
        with using(backend):
            optimizer = made(params, lr=0.01, precondition_frequency=4)
            trained(optimizer, params, cut)
            assert params[0].dtype == dtype
            squares = [s for s in optimizer.state[params[2]].values() if s.shape == (9, 9)]
            assert {s.dtype for s in squares} == {torch.float32}
            stream = io.BytesIO()
            torch.save(optimizer.state_dict(), stream)
            stream.seek(0)
            others = copy.deepcopy(params)
            other = made(others)
            other.load_state_dict(torch.load(stream, weights_only=True))
            twin, twins = copy.deepcopy((optimizer, params))
            for one, own in ((optimizer, params), (other, others), (twin, twins)):
                trained(one, own, 10, first=cut)
        assert all(map(torch.equal, params, others))
        assert all(map(torch.equal, params, twins))


@pytest.mark.parametrize("made", [SOAP, Shampoo, PSGD])
def test_of_any_layout_and_beside_anything(made):
    """Channels last, transposed, with gaps; a parameter without a gradient for a while."""
    # eigenvectors of eigenvalues that are 0 are made of rounding, which hangs on the layout
    dtype = torch.float64 if made is SOAP else torch.float32
    values = [p.detach().to(dtype) for p in starts()]
    lie = [
        v.to(memory_format=torch.channels_last) if v.dim() == 4
        else v.mT.contiguous().mT if v.dim() == 2
        else torch.zeros(14, dtype=dtype)[::2].copy_(v) if v.shape == (7,) else v.clone()
        for v in values
    ]  # fmt: skip
    ends = []
    for own in (values, lie):
        params = [nn.Parameter(v.clone()) for v in own]
        less = {} if made is PSGD else {"eps": 1e-3}
        optimizer = made(params, lr=0.01, precondition_frequency=2, **less)
        for k, row in enumerate(gradients(7)):
            for i, (p, grad) in enumerate(zip(params, row, strict=True)):
                p.grad = None if i == 1 and k in (0, 3) else grad.to(dtype)
            optimizer.step()
        ends.append(params)
    for a, b, start in zip(*ends, values, strict=True):
        assert distance(a, b) <= 1e-4
        assert not a.numel() or distance(a, start) > 1e-3


def test_it_is_that_of_another_library():
    """One that is the authors' code but for names; it decomposes in float32."""
    theirs = pytest.importorskip("pytorch_optimizer").SOAP
    shapes = [(6, 6), (5, 5), (7,)]
    options = {"lr": 0.01, "precondition_frequency": 3, "weight_decay": 0.0}
    params, others = starts(torch.float32, shapes), starts(torch.float32, shapes)
    trained(SOAP(params, **options), params)
    trained(theirs(others, **options), others)
    for ours, other in zip(params, others, strict=True):
        assert distance(ours, other) <= 1e-5


@EITHER
def test_what_is_not_finite(backend):
    """A skipped step leaves all as it was; else it goes into the parameter, and no error comes."""
    params = starts(torch.float32, [(4, 4), (3, 5)])
    with using(backend):
        optimizer = SOAP(params, precondition_frequency=1, on_nonfinite="skip")
        trained(optimizer, params, 3)
        before = copy.deepcopy(optimizer.state_dict()["state"])
        params[1].grad[0, 0] = torch.nan
        optimizer.step()
        after = optimizer.state_dict()["state"]
        for i in before:
            assert all(torch.equal(before[i][n], after[i][n]) for n in before[i])
        for first in (False, True):
            if first:
                optimizer.state.clear()
            optimizer = SOAP(params, precondition_frequency=1)
            params[1].grad = torch.full((3, 5), torch.nan)
            optimizer.step()
            trained(optimizer, params, 2)
            assert params[0].isfinite().all()
            assert params[1].isnan().all()


def test_wrong_input_gets_one_sentence():
    params = starts()
    with pytest.raises(ValueError, match=r"^precondition_frequency must be a whole number$"):
        SOAP(params, precondition_frequency=2.5)
    with pytest.raises(ValueError, match="precondition_frequency must be >= 1"):
        SOAP(params, precondition_frequency=0)
    with pytest.raises(TypeError, match=r"gram is of a tensor, and 0\.5 is a number"):
        gram(0.5, 1, params[0])
    optimizer = SOAP(params)
    trained(optimizer, params, 3)
    said = r"row_gram has shape \(6, 6\) .* \(0, 0\) under max_precond_dim=5, which a run keeps"
    for other in (copy.deepcopy(optimizer), optimizer):  # with a plan to be made, and with one made
        other.param_groups[0]["max_precond_dim"] = 5
        with pytest.raises(RuntimeError, match=said):
            trained(other, other.param_groups[0]["params"], 1)
        other.param_groups[0]["max_precond_dim"] = 10000
        trained(other, other.param_groups[0]["params"], 1)
    for lost in ("exp_avg", "col_basis"):
        other = copy.deepcopy(optimizer)
        del other.state[other.param_groups[0]["params"][0]][lost]
        with pytest.raises(RuntimeError, match=f"and no {lost}; load a checkpoint of SOAP"):
            trained(other, other.param_groups[0]["params"], 1)
    param = torch.ones(3, 3)
    param.grad = torch.ones(3, 3)
    with pytest.raises(RuntimeError, match="which differentiable=True does not serve"):
        SOAP([param], differentiable=True).step()


def _rule_of(body):
    @slalom.rule(shapes={"left": "rows x rows", "right": "columns x columns"})
    def wrong(param, grad, left, right, *, step, lr=0.1):
        return body(param, grad, left, right, lr, step)

    return wrong


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (lambda p, g, a, b, lr, t: (p - lr * a, a, b), "computes with a square matrix"),
        (lambda p, g, a, b, lr, t: (between(b, p, a), a, b), "no square matrix of rows by rows"),
        (lambda p, g, a, b, lr, t: (p, gram(g, 0, a), b), "no square matrix of columns by columns"),
        (lambda p, g, a, b, lr, t: (p, refined(a, b), b), "no square matrix of rows by rows"),
        (lambda p, g, a, b, lr, t: (p, b, a), "left what is no matrix of rows by rows"),
        (lambda p, g, a, b, lr, t: (a, a, b), "gives param a square matrix"),
        (lambda p, g, a, b, lr, t: (p, 0.0, b), "left what is no matrix of rows by rows"),
        (lambda p, g, a, b, lr, t: (p, transposed(p), b), "no square matrix"),
        (lambda p, g, a, b, lr, t: (orthogonal(a, [(1, 0, 0)]), a, b), "asks orthogonal of a squ"),
        (lambda p, g, a, b, lr, t: (p * a.norm(), a, b), "sums up a square matrix"),
        (lambda p, g, a, b, lr, t: (p % lr, a, b), "takes a remainder of a tensor"),
    ],
)  # fmt: skip
def test_what_a_rule_may_not_do_with_square_matrices(body, said):
    params = starts()
    with pytest.raises(slalom.rules.RuleError, match=said):
        trained(slalom.optimizer(_rule_of(body))(params), params, 1)


def test_a_square_that_is_added_to_is_read_as_it_was():
    def late(p, g, a, b, lr, t):
        return p - lr * between(a, g, b), gram(g, 1, onto=a), gram(g, 0, onto=b)

    params = starts(shapes=[(4, 3)])
    (before,) = (p.detach().clone() for p in params)
    row = [grad for (grad,) in gradients(2, shapes=[(4, 3)])]
    trained(slalom.optimizer(_rule_of(late))(params), params, 2)
    expected = before - 0.1 * (row[0] @ row[0].mT) @ row[1] @ (row[0].mT @ row[0])
    assert distance(params[0], expected) <= 1e-12


@pytest.mark.parametrize(
    ("shapes", "said"),
    [
        ({"left": "rows x columns"}, "must be one, row, column, rows x rows or columns x columns"),
        ({"left": "row up to lr"}, "must be one, row, column, rows x rows or columns x columns"),
        ({"left": "rows x rows up to most"}, "names 'most', which is none of its hyper-parameters"),
    ],
)
def test_what_a_rule_may_not_declare(shapes, said):
    with pytest.raises(slalom.rules.RuleError, match=said):

        @slalom.rule(shapes=shapes)
        def wrong(param, grad, left, *, lr=0.1):
            return param, left


def test_operations_on_square_matrices():
    """Of one that lacks some rank, and of none."""
    x = torch.randn(5, 3, dtype=torch.float64)
    square, nothing = x @ x.mT, torch.zeros(0, 0, dtype=torch.float64)
    values, vectors = np.linalg.eigh(square.numpy())
    for beside, power in ((square, -1 / 4), (nothing, -1 / 2)):
        found = inverse_root(square, beside, 0.5, 1e-3)
        low = min(values.min(), 0) / 2
        expected = vectors * (values / 2 - low + 1e-3) ** power @ vectors.T
        assert distance(found, torch.from_numpy(expected)) <= 1e-9
    made = eigenvectors(square)
    assert distance(made.mT @ square @ made, torch.from_numpy(np.diag(values[::-1].copy()))) <= 1e-9
    basis = torch.linalg.qr(torch.randn(5, 5, dtype=torch.float64)).Q
    for _ in range(100):
        basis = refined(basis, square + torch.eye(5))
    turned = (basis.mT @ square @ basis).numpy()
    assert np.allclose(turned, np.diag(np.diag(turned)), atol=1e-6)
    for empty in (eigenvectors(nothing), refined(nothing, nothing), transposed(nothing),
                  inverse_root(nothing, square, 1.0, 0.1), gram(x, 1, nothing)):  # fmt: skip
        assert empty.shape == (0, 0)
    assert torch.equal(between(nothing, x, nothing), x)
    assert eigenvectors(square * torch.nan).isnan().all()


def test_bytes_are_told_by_state():
    params = starts(torch.float32, [(8, 4)])
    optimizer = SOAP(params)
    trained(optimizer, params, 2)
    told = slalom.explain(optimizer).bytes
    assert (told["row_gram"], told["col_basis"], told["exp_avg"]) == (8.0, 2.0, 4.0)
