"""What the doctor says is what was measured."""

from __future__ import annotations

import torch

from slalom.bench import doctor
from slalom.bench.doctor import Measured, facts, findings, measure


def test_facts_are_of_this_machine():
    told = facts()
    assert torch.__version__ in told["versions"]
    assert told["threads"].startswith(str(torch.get_num_threads()))
    assert told["SIMD"] in (*doctor.SIMD, "none that is known")
    assert all(told.values())


def test_measured_numbers_are_numbers():
    threads = torch.get_num_threads()
    found = measure(elements=10_000, side=32, rounds=1)
    assert min(found.bandwidth, found.alone, found.arithmetic, found.adam, found.torchs) > 0
    assert torch.get_num_threads() == threads


def test_the_batch_at_which_arithmetic_begins_to_limit(monkeypatch):
    found = Measured(4e10, 4e10, 6e10, 0.025, 0.1)  # 1 ns a weight, 10 operations in it
    assert abs(found.batch - 10) < 1e-9
    monkeypatch.setattr(doctor, "cores", lambda: 8)
    monkeypatch.setattr(doctor.torch, "get_num_threads", lambda: 2)
    text = " ".join(findings(found))
    assert "at 10 samples a batch" in text
    assert "4.0 times as fast" in text
    assert "one alone fills" in text
    assert "2 threads of 8 cores" in text
