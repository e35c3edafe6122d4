"""Operations on whole matrices that a rule may use, and the numbers that go with them.

A tensor of any shape is a matrix as :func:`slalom.rules.functions.total` has it: its first axis
counts the rows, all others together the columns, so that a convolution's kernels of shape (out,
in, h, w) are a matrix of out rows. A tensor of a single axis has one column.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from slalom.rules.functions import Value, measurable

Polynomial = Sequence[Value]
"""The numbers a, b, c of a·x + b·x³ + c·x⁵."""

_SAFETY = 1.01
POLAR_EXPRESS: tuple[tuple[float, float, float], ...] = (
    *((a / _SAFETY, b / _SAFETY**3, c / _SAFETY**5) for a, b, c in (
        (8.28721201814563, -23.595886519098837, 17.300387312530933),
        (4.107059111542203, -2.9478499167379106, 0.5448431082926601),
        (3.9486908534822946, -2.908902115962949, 0.5518191394370137),
        (3.3184196573706015, -2.488488024314874, 0.51004894012372),
        (2.300652019954817, -1.6689039845747493, 0.4188073119525673),
        (1.891301407787398, -1.2679958271945868, 0.37680408948524835),
        (1.8750014808534479, -1.2500016453999487, 0.3750001645474248),
    )),
    (1.875, -1.25, 0.375),
)  # fmt: skip
"""The polynomials of Polar Express, one after another, the last for all that come later.

Amsel, Persson, Musco & Gower 2025, algorithm 1, with its factor of safety against rounding.
"""


def polynomials(each: Sequence[Polynomial], steps: Value) -> list[Polynomial]:
    """So many of these, the last one as often as there are too few."""
    found: list[Polynomial] = []
    while steps > len(found):
        found.append(each[min(len(found), len(each) - 1)])
    return found


def orthogonal(x: Value, polynomials: Sequence[Polynomial], dtype: str | None = None) -> Value:
    """What polynomials, one after another, make of a matrix, which meet its singular values alone.

    With those of Newton and Schulz' method, and singular values of at most about 1, this comes
    near to the orthogonal factor of its polar decomposition: all of them come to be near 1.
    ``dtype`` says what matrices of float32 or less are multiplied in (``"bfloat16"``,
    ``"float32"``); None stands for bfloat16 where the processor multiplies it, else float32.
    Those of float64 stay so.
    """
    if not isinstance(x, torch.Tensor):
        return measurable(x, "orthogonal").orthogonal(polynomials, dtype)
    flat = [number for polynomial in polynomials for number in polynomial]
    return batched(newton_schulz, [x], dtype, flat)[0].to(x.dtype)


def between(left: Value, x: Value, right: Value, out: Tensor | None = None) -> Value:
    """left · x · right, of a tensor as a matrix; an empty square stands for the identity.

    ``left`` is of rows by rows and ``right`` of columns by columns. A tensor may be its own
    ``out``, which is one in order.
    """
    if not isinstance(x, torch.Tensor):
        return measurable(x, "between").between(left, right)
    made = x.reshape(math.prod(x.shape[:1]), -1) if left.numel() or right.numel() else x
    if left.numel():
        made = left.to(x.dtype) @ made
    if not right.numel():
        return made.reshape(x.shape) if out is None else out.copy_(made.view(out.shape))
    if out is None:
        return (made @ right.to(x.dtype)).reshape(x.shape)
    if not left.numel():
        made = made.clone()
    torch.mm(made, right.to(x.dtype), out=out.view(made.shape))
    return out


def gram(
    x: Value, axis: int, onto: Value, keep: Value = 1.0, share: Value = 1.0,
    in_place: bool = False,
) -> Value:  # fmt: skip
    """keep · onto + share · x·xᵀ, of a tensor as a matrix: of its rows with each other.

    That is with ``axis=1``, as :func:`slalom.rules.functions.total` has it; with ``axis=0`` it is
    xᵀ·x, of its columns. ``onto`` is a square of that kind; one that is empty stays so.
    """
    if not isinstance(x, torch.Tensor):
        return measurable(x, "gram").gram(axis, onto, keep, share)
    if not onto.numel():
        return onto
    matrix = x.reshape(math.prod(x.shape[:1]), -1).to(onto.dtype)
    matrix = matrix if axis == 1 else matrix.mT
    if in_place:
        return onto.addmm_(matrix, matrix.mT, beta=keep, alpha=share)
    return keep * onto + share * (matrix @ matrix.mT)


def transposed(square: Value) -> Value:
    """The transpose of a square matrix."""
    if not isinstance(square, torch.Tensor):
        return measurable(square, "transposed").decomposed("transposed")
    return square.mT


def eigenvectors(square: Value) -> Value:
    """Those of a symmetric square matrix as columns, the one of the highest eigenvalue first."""
    if not isinstance(square, torch.Tensor):
        return measurable(square, "eigenvectors").decomposed("eigenvectors")
    return _decomposed(square)[1].flip(-1) if square.numel() else square


def refined(basis: Value, square: Value) -> Value:
    """Orthogonal columns nearer to the eigenvectors of a symmetric square matrix than before.

    One step of orthogonal iteration: square · basis, made orthogonal by a QR decomposition in the
    order of falling estimates of the eigenvalues. Each column stays where it was, so that what is
    kept in terms of this basis need not move.
    """
    if not isinstance(basis, torch.Tensor):
        return measurable(basis, "refined").decomposed("refined", square)
    if not basis.numel():
        return basis
    moved = square @ basis
    order = (basis * moved).sum(0).argsort(descending=True, stable=True)
    found = torch.linalg.qr(moved.mT.index_select(0, order).mT).Q  # columns lie in one piece
    return found.mT.index_select(0, order.argsort()).mT


def inverse_root(square: Value, beside: Value, share: Value, eps: Value) -> Value:
    """(share · square + eps)^(-1/4) of a symmetric square matrix; ^(-1/2) if ``beside`` is empty.

    ``beside`` is that of the other side of the same tensor. Of eigenvalues that rounding has made
    negative the lowest is added to all.
    """
    if not isinstance(square, torch.Tensor):
        return measurable(square, "inverse_root").decomposed("inverse_root", beside, share, eps)
    if not square.numel():
        return square
    values, vectors = _decomposed(square * share)
    values = values - values.amin().clamp(max=0) + eps
    return (vectors * values ** (-1 / 4 if beside.numel() else -1 / 2)) @ vectors.mT


def identity(like: Value, scale: Value) -> Value:
    """scale · I, a square matrix as large as another one."""
    if not isinstance(like, torch.Tensor):
        return measurable(like, "identity").decomposed("identity", scale)
    return scale * torch.eye(len(like), dtype=like.dtype, device=like.device)


def squared(factor: Value) -> Value:
    """factorᵀ · factor of a square matrix."""
    if not isinstance(factor, torch.Tensor):
        return measurable(factor, "squared").decomposed("squared")
    return factor.mT @ factor


def balanced(factor: Value, beside: Value) -> Value:
    """A square scaled to the geometric mean of its largest entry and that of ``beside``.

    That is the square of the other side of the same tensor; with one alone nothing is done.
    """
    if not isinstance(factor, torch.Tensor):
        return measurable(factor, "balanced").decomposed("balanced", beside)
    if not (factor.numel() and beside.numel()):
        return factor
    return factor * (beside.abs().amax() / factor.abs().amax()).sqrt()


def whitened(factor: Value, seen: Value, rate: Value, damping: Value) -> Value:
    """One step of a factor Q towards E[seen] = I, where seen is of what QᵀQ has multiplied.

    By rate / (|S| + 1) · (S - I) · Q, with S = seen + damping · (QᵀQ)², so that no eigenvalue of
    QᵀQ grows beyond damping^(-1/2). Then Q is rotated a little towards symmetry, which leaves QᵀQ
    as it is but for terms of fourth order. No inverse, no decomposition.

    Source: Li 2024 (arXiv 2402.11858) and its published code, dQ = Q^0.5 · E · Q^1.5.
    """
    if not isinstance(factor, torch.Tensor):
        return measurable(factor, "whitened").decomposed("whitened", seen, rate, damping)
    if not factor.numel():
        return factor
    square = squared(factor)
    seen = torch.addmm(seen, square, square, alpha=damping)
    moved = factor - rate / (largest(seen) + 1) * (seen @ factor - factor)
    skew = moved.mT - moved
    skew = skew / (largest(skew) + torch.finfo(skew.dtype).tiny)
    once = skew @ moved
    twice = skew @ once
    gain, bend = once.trace(), twice.trace()
    angle = torch.where(bend < 0, (-gain / bend).clamp(max=_TURN), _TURN)
    return moved + angle * (once + angle / 2 * twice)


_TURN = 1 / 8
"""The largest angle of a rotation of :func:`whitened`, whose series ends at its second power."""


def largest(square: Tensor) -> Tensor:
    """A little less than the spectral norm of a symmetric or a skew matrix, which is positive.

    Four powers of it on some directions: its longest row, each with signs of no pattern beside it,
    the same whenever it is asked, so that a step is determined by what it is given.
    """
    tiny = torch.finfo(square.dtype).tiny
    most = square.abs().amax() + tiny
    square = square / most
    longest = square.index_select(0, torch.linalg.vector_norm(square, dim=1).argmax().view(1))
    ways = _signs(len(square), square)
    ways = longest + torch.where(ways @ longest.mT < 0, -ways, ways)
    for _ in range(2):
        ways = ways @ square
        ways = ways / (torch.linalg.vector_norm(ways, dim=1, keepdim=True) + tiny) @ square
    return most * torch.linalg.vector_norm(ways, dim=1).amax()


def _signs(n: int, like: Tensor) -> Tensor:
    """32 rows of n signs: a bit of each place, mixed as hash functions mix."""
    place = torch.arange(1, 32 * n + 1, device=like.device) * 0x9E3779B1
    place = (place ^ (place >> 15)) * 0x85EBCA77
    return (1 - 2 * (place >> 16 & 1)).view(32, n).to(like.dtype)


def _decomposed(square: Tensor) -> tuple[Tensor, Tensor]:
    """Eigenvalues, rising, and eigenvectors; NaN of what is not finite, as elementwise rules."""
    finite = square.isfinite().all()
    nothing = torch.full((), math.nan, dtype=square.dtype, device=square.device)
    square = torch.where(finite, square, torch.zeros_like(square))
    try:
        values, vectors = torch.linalg.eigh(square)
    except RuntimeError:  # LAPACK may fail to converge in float32
        values, vectors = torch.linalg.eigh(square.double())
    values, vectors = values.to(square.dtype), vectors.to(square.dtype)
    return torch.where(finite, values, nothing), torch.where(finite, vectors, nothing)


def batched(
    operation: Callable[..., Tensor], tensors: Sequence[Tensor], dtype: str | None,
    numbers: Sequence[Any],
) -> Tensor:  # fmt: skip
    """An operation on the matrices of tensors that are alike: ``operation(batch, *numbers)``.

    They lie on their shorter side in the batch. The result is of the shape (tensors, *theirs), and
    of what they were multiplied in.
    """
    like, rows = tensors[0], math.prod(tensors[0].shape[:1])
    if like.numel() == 0:
        return torch.stack(list(tensors))
    tall, made = rows * rows > like.numel(), working(like, dtype)
    matrices = [t.reshape(rows, -1) for t in tensors]
    batch = torch.stack([(m.mT if tall else m).to(made) for m in matrices])
    found = operation(batch, *numbers)
    return (found.mT if tall else found).reshape(-1, *like.shape)


def replaced(
    operation: Callable[..., Tensor], batch: Tensor, lengths: Any, dtype: str | None,
    numbers: Sequence[Any],
) -> None:  # fmt: skip
    """The same in place, of tensors that lie in one batch; ``lengths`` they are divided by first.

    Those are one number for each, or None.
    """
    if batch.numel() == 0:
        return
    n, rows = batch.shape[0], math.prod(batch.shape[1:2])
    matrices = batch.view(n, rows, -1)
    if lengths is not None:
        matrices = matrices / torch.as_tensor(lengths, dtype=batch.dtype, device=batch.device).view(
            -1, 1, 1
        )
    tall, made = rows * rows > batch[0].numel(), working(batch, dtype)
    given = (matrices.mT if tall else matrices).to(made, memory_format=torch.contiguous_format)
    found = operation(given, *numbers)
    batch.view(n, rows, -1).copy_(found.mT if tall else found)


def working(like: Tensor, dtype: str | None) -> torch.dtype:
    """What a tensor's matrix is multiplied in; see :func:`orthogonal`."""
    if like.dtype == torch.float64:
        return torch.float64
    if dtype is None:
        dtype = "bfloat16" if _multiplies_bfloat16(like.device) else "float32"
    return {"bfloat16": torch.bfloat16, "float32": torch.float32}[dtype]


def _multiplies_bfloat16(device: torch.device) -> bool:
    """Whether a device has instructions for it; a CPU without takes longer than with float32."""
    return device.type != "cpu" or torch.cpu._is_avx512_bf16_supported()


def newton_schulz(x: Tensor, *numbers: Any) -> Tensor:
    """Polynomials, given by three numbers each, of a batch of matrices with rows on the left.

    With two products a polynomial on the side of the rows, and one on the other.
    """
    for a, b, c in zip(*[iter(numbers)] * 3, strict=True):
        square = x @ x.mT
        if any(isinstance(n, Tensor) for n in (a, b, c)):  # torch takes a factor only as a number
            x = a * x + (b * square + c * (square @ square)) @ x
        else:
            inner = torch.baddbmm(square, square, square, beta=b, alpha=c)
            x = torch.baddbmm(x, inner, x, beta=a)
    return x
