"""RMSProp."""

from __future__ import annotations

import copy
import math

from slalom.bench.claims._claim import (
    Call,
    Finding,
    claim,
    exact,
    exponent,
    share,
    times,
    when,
)  # fmt: skip
from slalom.bench.claims._deep import DEEP, needed, reach
from slalom.bench.claims._drift import drift
from slalom.bench.claims._tuned import (
    bank,
    best_of,
    family,
    grid,
    needs,
    slower,
    tuned,
)  # fmt: skip
from slalom.tasks import TASKS


@claim("RMSProp mends that: it goes on where AdaGrad ends.")
def goes_on(quick: bool) -> Finding:
    """The experiments of *slows* and *ends-early*: how far an update of RMSProp goes for its
    gradient, from the 160th on, when its average is filled; and what AdaGrad and RMSProp need on
    deep digits, each at its best rate. Holds if its step does not fall (power above -0.1), and it
    arrives in the deep network in at least nine runs of ten and no later than AdaGrad."""
    looks, rows = reach("RMSProp", 0.001, 3, quick)
    late = [row[-5:] for row in rows]
    power = exponent("the step goes as the updates to the power", looks[-5:], late)
    cap, found = needed(DEEP, quick)
    own = found["RMSProp"][1]
    arrived = share(f"runs that arrive, {DEEP} layers", sum(map(math.isfinite, own.works)),
                    len(own.works))  # fmt: skip
    gain = slower(f"AdaGrad in multiples of RMSProp, {DEEP} layers", found["AdaGrad"][1], own, cap)
    lasts = power.low > -0.1
    return Finding(
        when(lasts and arrived.value >= 0.9 and gain.low >= 1,
             Call.ONLY_WHEN if lasts else Call.FAILS),
        "Its average forgets: its step depends on the last gradients alone, and grows as these "
        "become small. That it so arrives sooner depends on the network and on AdaGrad's rate.",
        [power, arrived, gain],
    )  # fmt: skip


@claim("RMSProp suits non-stationary targets.")
def non_stationary(quick: bool) -> Finding:
    """Softmax regression on the digits whose classes change their names every 100 updates of 16
    samples: the mean loss before each update, each rule at the best of seven rates, chosen on other
    runs, over 500 and over 2,000 updates. Holds if AdaGrad and SGD lose more than RMSProp in the
    longer run."""
    figures, last = [], {}
    for updates in (200, 300) if quick else (500, 2000):
        own = drift("RMSProp", updates, quick)[1]
        for label in ("AdaGrad", "SGD", "Adam"):
            found = drift(label, updates, quick)[1]
            last[label] = times(
                f"loss of {label} in multiples of RMSProp's, {updates:,} updates", found, own
            )
            figures.append(last[label])
    beside = last["AdaGrad"].low > 1
    return Finding(
        when(beside and last["SGD"].low > 1, Call.ONLY_WHEN if beside else Call.FAILS),
        "AdaGrad's steps shrink however the target moves, those of RMSProp do not. The difference "
        "is small where each has its best rate; SGD at a constant rate follows such a target too.",
        figures,
    )


@claim("RMSProp suits recurrent networks.")
def recurrent(quick: bool) -> Finding:
    """The built-in task digits-rnn (a GRU), each rule at the best of four rates, chosen on another
    seed; and from the bank a network without gates and one that copies (small-rnn, copying), each
    at its best recorded rate: what others need in multiples of RMSProp. Holds if none needs
    less on any of the three, and SGD needs 1.5 times as much or more on each."""
    others = ("SGD", "AdaGrad", "Adam")
    found = {}
    task = copy.copy(TASKS["digits-rnn"]())
    task.max_steps = 20 if quick else 400
    seeds = {"search": 1, "fresh": 2} if quick else {"search": 1, "fresh": 4}
    fresh = {
        label: tuned(task, family(label), grid(family(label), 2 if quick else 4), **seeds)[1]
        for label in (*others, "RMSProp")
    }
    for label in others:
        found["digits-rnn", label] = slower(
            f"{label} in multiples of RMSProp, digits-rnn", fresh[label], fresh["RMSProp"],
            task.max_steps,
        )  # fmt: skip
        for name in ("small-rnn", "copying"):
            found[name, label] = slower(
                f"{label} in multiples of RMSProp, {name}", best_of(name, label),
                best_of(name, "RMSProp"), bank(name)[0].max_steps,
            )  # fmt: skip
    slow = all(f.low > 1.5 for (_, label), f in found.items() if label == "SGD")
    least = all(f.high > 1 for f in found.values())
    sooner = sorted({label for (_, label), f in found.items() if f.high < 1})
    behind = sum(f.low > 1.5 for (_, label), f in found.items() if label == "SGD")
    said = f"Sooner than RMSProp on one of them: {', '.join(sooner)}. " if sooner else ""
    return Finding(
        when(slow and least, Call.ONLY_WHEN if slow else Call.FAILS),
        f"{said}It is among the first on recurrent networks, as are other rules with a rate for "
        f"each parameter. Gradient descent needs 1.5 times as much or more on {behind} of 3.",
        list(found.values()),
    )


@claim("RMSProp adds a decay to tune, and still needs a global rate.")
def decay_and_rate(quick: bool) -> Finding:
    """The built-in task digits at decays of 0.5, 0.9, 0.99 and 0.999 and nine rates, eight seeds:
    what the worst decay needs in multiples of the best, each at its best rate; what the median rate
    needs in multiples of the best, at the usual decay of 0.99; and at how many of them no run
    arrives. Holds if both the decay and the rate change the need by 1.2 times or more."""
    task = copy.copy(TASKS["digits"]())
    task.max_steps = 60 if quick else 1000
    rates = grid(family("RMSProp"), 3 if quick else 9)
    decays = (0.9, 0.99) if quick else (0.5, 0.9, 0.99, 0.999)
    seeds = range(2 if quick else 8)
    table = {a: needs(task, family("RMSProp", alpha=a), rates, seeds, task.max_steps)
             for a in decays}  # fmt: skip
    best = {a: min(own.values(), key=lambda n: n.expected) for a, own in table.items()}
    worst, first = (f(best, key=lambda a: best[a].expected) for f in (max, min))
    of_decay = slower(f"a decay of {worst:g} in multiples of {first:g}, each at its best rate",
                      best[worst], best[first], task.max_steps)  # fmt: skip
    usual = sorted(table[0.99].values(), key=lambda n: n.expected)
    of_rate = slower("the median rate in multiples of the best", usual[len(usual) // 2], usual[0],
                     task.max_steps)  # fmt: skip
    never = sum(not math.isfinite(n.expected) for n in usual)
    return Finding(
        when(of_decay.low > 1.2 and of_rate.low > 1.2,
             Call.ONLY_WHEN if of_rate.low > 1.2 else Call.FAILS),
        "The rate decides. The decay matters less once the rate is tuned to it.",
        [of_decay, of_rate, exact(f"rates of {len(rates)} at which no run arrives", never)],
    )  # fmt: skip
