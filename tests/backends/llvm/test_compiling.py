"""Machine code in a process: where it can be, where it cannot, and beside threads and forks."""

from __future__ import annotations

import ctypes
import importlib.util
import os
import platform
import re
import shutil
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path

import pytest
from bare_process import printed
from hypothesis import given, settings
from hypothesis import strategies as st

from slalom.backends.llvm import jit as jit_module
from slalom.backends.llvm import load
from slalom.backends.llvm.compile import assembly_for, object_for
from slalom.backends.llvm.jit import Jit, Unavailable, jit, once

LINUX = pytest.mark.skipif(sys.platform != "linux", reason="the system calls are Linux's")


def call(address: int, *arguments: int) -> int:
    kinds = [ctypes.c_int64] * len(arguments)
    return ctypes.CFUNCTYPE(ctypes.c_int64, *kinds)(address)(*arguments)


def adds(number: int) -> str:
    return f"""
define i64 @update(i64 %x) {{
  %y = call i64 @loop(i64 %x)
  ret i64 %y
}}
define internal i64 @loop(i64 %x) noinline {{
  %y = add i64 %x, {number}
  ret i64 %y
}}
define i64 @other() {{
  ret i64 {number}
}}
"""


def test_a_bare_process_has_the_compiler_alone():
    """Or most of what is below would take minutes."""
    asked = "print(call(*jit().compile(text(7), 'answer')), 'torch' in sys.modules)"
    assert printed("from slalom.backends.llvm.jit import jit\n" + asked) == ["7 False"]


def test_equal_names_in_two_texts_never_meet():
    found = [jit().compile(adds(k), "update", "other") for k in (1, 10, 100)]
    assert [call(update, 5) for update, _ in found] == [6, 15, 105]
    assert [call(other) for _, other in found] == [1, 10, 100]


def test_addresses_come_in_the_order_asked_for():
    update, other = jit().compile(adds(3), "update", "other")
    assert jit().compile(adds(3), "other", "update") != [update, other]
    assert [call(a) for a in jit().compile(adds(3), "other")] == [3]


def test_the_same_text_is_compiled_once():
    first = jit().compile(adds(4), "update")
    assert jit().compile(adds(4), "update") == first


def test_code_outlives_its_compiler(monkeypatch, tmp_path):
    monkeypatch.setenv("SLALOM_CACHE", str(tmp_path))
    (address,) = Jit().compile(adds(5), "update")
    for k in range(20):
        Jit().compile(adds(1000 + k), "update")
    assert call(address, 1) == 6


@pytest.mark.parametrize(
    "text",
    [
        "", "nonsense", "define i64 @update() {\n  ret i64 %missing\n}",
        "define i64 @update() {\n  %a = add i64 1, 2.0\n  ret i64 %a\n}",
        # parsed, and found out by the verifier alone
        "define i64 @update() {\na:\n  br label %b\nb:\n  ret i64 %x\nc:\n"
        "  %x = add i64 0, 0\n  ret i64 0\n}",
        # what ends the process where LLVM is handed it
        'module asm "garbage x"\ndefine i64 @update() {\n  ret i64 7\n}',
        'define i64 @update() {\n  call void asm sideeffect "garbage x", ""()\n  ret i64 7\n}',
        'define i64 @update() {\n  call void asm "garbage x", ""()\n  ret i64 7\n}',
        # functions that nobody has
        "declare i64 @slalom_no_such_function()\ndefine i64 @update() {\n"
        "  %a = call i64 @slalom_no_such_function()\n  ret i64 %a\n}",
        "define i64 @\ud800() {\n  ret i64 7\n}",
    ],
)  # fmt: skip
def test_text_that_is_not_sound_is_refused(text):
    with pytest.raises(Unavailable, match="LLVM"):
        jit().compile(text, "update")
    assert call(*jit().compile(adds(6), "update"), 1) == 7


@settings(max_examples=60)
@given(st.data())
def test_no_text_ends_the_process(data):
    """Sound text with something put in, left out or doubled."""
    text = adds(8)
    at = data.draw(st.integers(0, len(text)))
    to = data.draw(st.integers(at, min(len(text), at + 12)))
    piece = data.draw(st.sampled_from(["", "%", "@", "}", "\n", '"', "asm", "i64 ", text[:at]]))
    broken = text[:at] + piece + text[to:]
    with suppress(Unavailable):
        jit().compile(broken, "update")


def test_one_compiler_however_many_threads_ask():
    made: list[object] = []
    barrier = threading.Barrier(8)

    @once
    def thing() -> object:
        made.append(object())
        time.sleep(0.05)  # so that all are at it at once
        return made[0]

    def ask() -> None:
        barrier.wait()
        thing()

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(made) == 1


# Where machine code cannot be.


@pytest.mark.parametrize("error", [ImportError, OSError, RuntimeError, AttributeError])
def test_llvmlite_that_does_not_import(monkeypatch, error):
    def broken(_name):
        raise error("broken")

    monkeypatch.setattr(load.importlib, "import_module", broken)
    with pytest.raises(Unavailable, match=r"llvmlite cannot be imported \(broken\)"):
        Jit()


@pytest.mark.parametrize("error", [OSError, RuntimeError, AttributeError])
def test_llvmlite_that_breaks_at_first_use(monkeypatch, error):
    import llvmlite.binding as llvm

    def broken():
        raise error("broken")

    monkeypatch.setattr(llvm, "get_host_cpu_name", broken)
    with pytest.raises(Unavailable, match=r"LLVM could not start \(broken\)"):
        Jit()


ASK = """
    from slalom.backends.llvm.jit import Unavailable, jit
    try:
        print(call(*jit().compile(text(7), "answer")))
    except Unavailable as reason:
        print("unavailable", reason)
"""


@LINUX
@pytest.mark.parametrize("damage", ["replaced", "cut to a tenth", "cut in half", "empty", "gone"])
def test_a_damaged_library(tmp_path, damage):
    found = importlib.util.find_spec("llvmlite")
    assert found is not None
    assert found.origin is not None
    real = Path(found.origin).parent
    shutil.copytree(
        real, tmp_path / "llvmlite", ignore=shutil.ignore_patterns("*.so", "tests", "__pycache__")
    )
    library = tmp_path / "llvmlite" / "binding" / "libllvmlite.so"
    whole = real / "binding" / "libllvmlite.so"
    if damage == "replaced":
        library.write_bytes(b"damaged")
    elif damage != "gone":
        part = {"cut to a tenth": 0.1, "cut in half": 0.5, "empty": 0.0}[damage]
        with whole.open("rb") as file, library.open("wb") as short:
            short.write(file.read(4096) if part else b"")
            short.truncate(int(whole.stat().st_size * part))
    (line,) = printed(ASK, PYTHONPATH=str(tmp_path))
    assert line.startswith("unavailable llvmlite cannot be imported (")


def test_no_llvmlite():
    (line,) = printed("sys.modules['llvmlite'] = None\n" + ASK.replace("\n    ", "\n"))
    assert line.startswith("unavailable llvmlite cannot be imported (")


FORBID = {
    # PR_SET_MDWE: what was writable can never be executed in this process again
    "the kernel's switch": """
        def forbid():
            return ctypes.CDLL(None).prctl(65, 1, 0, 0, 0) == 0
    """,
    # a filter: mprotect (number 10 on x86-64, 226 on aarch64) with PROT_EXEC is denied
    "a filter of system calls": """
        import platform, struct
        def forbid():
            number = {"x86_64": 10, "aarch64": 226}[platform.machine()]
            load, equal, bits, done = 0x20, 0x15, 0x45, 0x06
            lines = [(load, 0, 0, 0), (equal, 0, 3, number), (load, 0, 0, 32), (bits, 0, 1, 4),
                     (done, 0, 0, 0x00050001), (done, 0, 0, 0x7FFF0000)]
            code = ctypes.create_string_buffer(b"".join(struct.pack("<HBBI", *x) for x in lines))
            filter = struct.pack("<H6xQ", len(lines), ctypes.addressof(code))
            libc = ctypes.CDLL(None)
            libc.prctl.argtypes = [ctypes.c_int, *[ctypes.c_ulong] * 4]
            filter = ctypes.create_string_buffer(filter)
            return (libc.prctl(38, 1, 0, 0, 0) == 0
                    and libc.prctl(22, 2, ctypes.addressof(filter), 0, 0) == 0)
    """,
}


@LINUX
@pytest.mark.parametrize("when", ["at the start", "later"])
@pytest.mark.parametrize("how", FORBID)
def test_memory_that_may_not_be_executed(how, when, tmp_path):
    if platform.machine() not in ("x86_64", "aarch64"):
        pytest.skip("the numbers of the system calls are those of two machines")
    code = (
        FORBID[how]
        + """
        from slalom.backends.llvm.jit import Unavailable, jit
        import llvmlite.binding
        early = LATER and jit().compile(text(3), "answer")
        if not forbid():
            print("unsupported")
            sys.exit()
        for number in (7, 8, 8):
            try:
                print(call(*jit().compile(text(number), "answer")), flush=True)
            except Unavailable as reason:
                print(reason, flush=True)
        if early:
            print(call(*early), call(*jit().compile(text(3), "answer")))
    """.replace("LATER", str(when == "later"))
    )
    for _ in range(2):  # with what was kept on disk too
        lines = printed(code, SLALOM_CACHE=str(tmp_path))
        if lines == ["unsupported"]:
            pytest.skip("this kernel cannot forbid it")
        refused = ["the system forbids executable memory"] * 3
        assert lines == [*refused, *(["3 3"] if when == "later" else [])]


def test_it_is_said_before_anything_is_compiled(monkeypatch):
    monkeypatch.setattr(jit_module, "may_execute", lambda: False)
    with pytest.raises(Unavailable, match="the system forbids executable memory"):
        Jit()


def test_what_is_refused_once_stays_refused(monkeypatch, tmp_path):
    monkeypatch.setenv("SLALOM_CACHE", str(tmp_path))
    compiler = Jit()
    early = compiler.compile(adds(1), "update")
    with monkeypatch.context() as patch:
        patch.setattr(jit_module, "may_execute", lambda: False)
        with pytest.raises(Unavailable, match="forbids"):
            compiler.compile(adds(2), "update")
    with pytest.raises(Unavailable, match="forbids"):
        compiler.compile(adds(2), "update")
    assert compiler.compile(adds(1), "update") == early


# Forks.


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there are no forks here")
@pytest.mark.parametrize("where", ["compiling", "starting", "making", "elsewhere"])
def test_a_fork_while_another_thread_compiles(where, tmp_path):
    """Every child compiles too, and ends; none waits for a thread that only its parent has."""
    code = """
        import itertools, signal, threading, time
        import llvmlite.binding
        from slalom.backends.llvm.jit import jit, once

        @once
        def slow():
            time.sleep(0.005)
            return jit()

        def work():
            while not done:
                n = next(numbers)
                if WHERE == "starting":
                    jit.cache_clear()
                if WHERE == "elsewhere":  # another user of llvmlite, as numba is one
                    llvmlite.binding.parse_assembly(many)
                    continue
                if WHERE == "making":
                    slow.cache_clear()
                    slow()
                jit().compile(text(n), "answer")
                time.sleep(0.0001)  # or the fork would not come to its turn

        numbers, done = itertools.count(1000), False
        many = "\\n".join(text(i, f"f{i}") for i in range(999))
        jit()
        thread = threading.Thread(target=work)
        thread.start()
        ended = []
        for i in range(40):
            time.sleep(0.0007 * (i % 7))
            child = os.fork()
            if not child:
                signal.alarm(30)
                good = call(*slow().compile(text(i), "answer")) == i
                good = good and call(*jit().compile(text(100_000 + i), "answer")) == 100_000 + i
                os._exit(0 if good else 1)
            ended.append(os.waitpid(child, 0)[1])
            if ended[-1]:
                break
        done = True
        thread.join()
        print(len(ended), ended[-1])
    """.replace("WHERE", repr(where))
    assert printed(code, SLALOM_CACHE=str(tmp_path), timeout=120) == ["40 0"]


# Other machines.

SQUARES = """
define void @update(ptr noalias %x, i64 %n) {
entry:
  br label %body
body:
  %i = phi i64 [ 0, %entry ], [ %next, %body ]
  %at = getelementptr float, ptr %x, i64 %i
  %v = load float, ptr %at
  %s = fmul float %v, %v
  store float %s, ptr %at
  %next = add nuw nsw i64 %i, 1
  %more = icmp slt i64 %next, %n
  br i1 %more, label %body, label %done
done:
  ret void
}
"""


@pytest.mark.parametrize(
    ("triple", "magic", "instruction"),
    [
        ("aarch64-unknown-linux-gnu", b"\x7fELF", r"fmul\s+v\d+\.4s"),
        ("x86_64-unknown-linux-gnu", b"\x7fELF", r"mulps"),
        ("arm64-apple-macosx11", b"\xcf\xfa\xed\xfe", r"fmul\.4s"),
        ("x86_64-pc-windows-msvc", b"\x64\x86", r"mulps"),
    ],
)
def test_code_for_another_machine(triple, magic, instruction):
    assert object_for(SQUARES, triple).startswith(magic)
    assert re.search(instruction, assembly_for(SQUARES, triple))
    assert object_for(SQUARES, triple) == object_for(SQUARES, triple)


def test_a_machine_that_nobody_knows():
    with pytest.raises(Unavailable, match="LLVM makes no code for pdp11-dec-unix here"):
        object_for(SQUARES, "pdp11-dec-unix")


def test_the_cpus_features_are_used():
    wide = assembly_for(SQUARES, "x86_64-unknown-linux-gnu", "x86-64-v3")
    assert "ymm" in wide
    assert "ymm" not in assembly_for(SQUARES, "x86_64-unknown-linux-gnu", "x86-64")
    assert "zmm" not in wide
