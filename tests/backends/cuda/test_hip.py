"""AMD's GPUs: the same launch through HIP, and the linker that makes what it loads."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from standin import OTHER, HipLibrary, Library, Simulated
from test_kernels import AMD_CPUS, FEW, all_of, text_for
from test_launch import equal, grads, params, trained

import slalom
from slalom.backends import using
from slalom.backends.cuda import hip
from slalom.backends.cuda.devices import gpu as gpu_of
from slalom.backends.cuda.driver import CudaError
from slalom.backends.cuda.hip import FUNCTIONS, LINKER, PROCESSORS, HipDriver, linked
from slalom.backends.cuda.target import AMD
from slalom.backends.llvm.compile import object_for
from slalom.backends.refusals import Unavailable


def simulated() -> Simulated:
    return Simulated(library=HipLibrary)


@pytest.mark.parametrize("name", ["Adam", "RAdam", "SGD"])
def test_a_step_is_the_cpus_to_the_bit(name):
    backend = simulated()
    assert equal(trained("llvm", name), trained(backend, name))
    assert "hipModuleLaunchKernel" in backend.library.names()
    assert backend.library.device == OTHER  # torch's current GPU is what it was


def test_it_asks_for_the_same_as_cuda_in_the_same_order():
    found = []
    for library in (Library, HipLibrary):
        backend = Simulated(library=library)
        trained(backend, "Adam")
        calls = [(n, *what) for n, *what in backend.library.calls if "Ctx" not in n]
        found.append([what for _, *what in calls[-20:]])
    assert found[0] == found[1]


def test_every_function_is_asked_for_with_its_types():
    own = {n for n in dir(HipLibrary()) if n.startswith("hip")}
    assert own | set(HipDriver.calls) == set(FUNCTIONS)


@pytest.mark.parametrize("function", ["hipModuleLaunchKernel", "hipSetDevice", "hipEventRecord"])
@pytest.mark.parametrize("code", [2, 719])
def test_a_call_that_fails_is_told_and_torchs_gpu_is_put_back(function, code):
    backend, own = simulated(), params()
    with using(backend):
        adam = slalom.optim.Adam(own, lr=0.1)
        for p, g in zip(own, grads(0), strict=True):
            p.grad = g
        adam.step()
        before = [p.detach().clone() for p in own]
        backend.library.fails[function] = code
        told = rf"{function} failed with HIP_ERROR_{code} \({code}\)"
        with pytest.raises(CudaError, match=told) as error:
            adam.step()
    assert ("AMD_SERIALIZE_KERNEL=3 shows which" in str(error.value)) == (code == 719)
    assert equal(before, own)
    assert backend.library.device == OTHER
    backend.library.unknown.add(code)
    assert backend.gpu.driver.words(code) == (f"error {code}", f"error {code}")


# The linker.


class Comgr:
    """A stand-in for the code object manager: joins what a set holds with what it is for.

    Attributes:
        alive: what was made and not yet given back.
        fails: the name of a function that returns an error.
        link: what makes the code object, of an object file and the name of a processor.
    """

    def __init__(self, version: int, fails: str = "", link: Any = None):
        self.version, self.fails, self.alive = version, fails, {}
        self.link = link or (lambda content, isa: b"linked " + content + b" for " + isa)

    def __getattr__(self, name: str) -> Any:
        own = getattr(type(self), name.removeprefix("amd_comgr_") + "_", None)
        if own is None:
            raise AttributeError(name)
        return lambda *given: 1 if self.fails in name.split("comgr_") else own(self, *given) or 0

    def made(self, out: Any, thing: Any) -> None:
        out._obj.value = number = len(self.alive) + 100
        self.alive[number] = thing

    def get_version_(self, major, minor):
        major._obj.value, minor._obj.value = self.version, 8

    def create_data_(self, kind, out):
        self.made(out, SimpleNamespace(kind=kind, content=b""))

    def create_data_set_(self, out):
        self.made(out, [])

    def create_action_info_(self, out):
        self.made(out, SimpleNamespace(isa=b""))

    def set_data_(self, data, size, content):
        self.alive[data].content = content[:size]

    def set_data_name_(self, data, name):
        assert name.endswith(b".o")

    def data_set_add_(self, to, data):
        self.alive[to].append(self.alive[data])

    def action_info_set_isa_name_(self, action, isa):
        self.alive[action].isa = isa

    def do_action_(self, kind, action, given, result):
        (source,) = self.alive[given]
        assert (kind, source.kind) == ({2: 9, 3: 7}[self.version], 7)
        code = self.link(source.content, self.alive[action].isa)
        self.alive[result].append(SimpleNamespace(kind=8, content=code))

    def action_data_get_data_(self, of, kind, place, out):
        self.made(out, [d for d in self.alive[of] if d.kind == kind][place])

    def get_data_(self, data, size, room):
        content = self.alive[data].content
        if room is None:
            size._obj.value = len(content)
        else:
            room.raw = content

    def release_data_(self, data):
        del self.alive[data]

    destroy_data_set_ = destroy_action_info_ = release_data_


@pytest.mark.parametrize("version", [2, 3])
def test_an_object_is_linked_and_nothing_is_left(version):
    comgr = Comgr(version)
    assert linked(comgr, b"an\0object", "gfx90a") == b"linked an\0object for gfx90a"
    assert comgr.alive == {}


OWN = [name.removeprefix("amd_comgr_") for name in LINKER]
CHECKED = [n for n in OWN if not n.startswith(("get_version", "release", "destroy"))]
"""Functions whose errors say something of the result."""


@pytest.mark.parametrize("function", CHECKED)
def test_where_it_cannot_be_linked_that_is_told_and_nothing_is_left(function):
    comgr = Comgr(2, fails=function)
    with pytest.raises(Unavailable, match=rf"cannot be linked \({function} failed with 1\)"):
        linked(comgr, b"object", "gfx90a")
    assert comgr.alive == {}


def test_a_linker_of_another_version_is_refused():
    with pytest.raises(Unavailable, match="has version 4, and 2 or 3 is asked for"):
        linked(Comgr(4), b"object", "gfx90a")


@pytest.mark.skipif(not importlib.util.find_spec("ziglang"), reason="ziglang brings the linker")
@pytest.mark.parametrize("cpu", PROCESSORS)
def test_the_linker_that_comgr_is_made_of_takes_the_object(cpu, tmp_path):
    """LLVM's own, as old as ROCm 6 has it; the result exports the kernel and its descriptor."""

    def link(content: bytes, isa: bytes) -> bytes:
        assert isa.decode() == f"amdgcn-amd-amdhsa--{cpu}"
        source, result = tmp_path / "update.o", tmp_path / "update.hsaco"
        source.write_bytes(content)
        linker = [sys.executable, "-m", "ziglang", "ld.lld", "-shared", "--no-undefined"]
        subprocess.run([*linker, "-o", str(result), str(source)], check=True)
        return result.read_bytes()

    found, kinds = next((f, k) for f, k in all_of("float") if f.name in FEW)
    gpu = hip.HipGpu(HipDriver(HipLibrary(), 0), torch.device("cpu"), cpu, Comgr(2, link=link))
    code = gpu.compiled(text_for(AMD, found, kinds))
    assert code[:4] == b"\x7fELF"
    assert code[7:9] == b"\x40\x03"  # AMD's HSA, version 5 of code objects
    assert {b"update", b"update.kd"} <= set(code.split(b"\0"))


def test_every_processor_that_is_read_is_served_and_code_is_made_for_all():
    assert set(AMD_CPUS) <= set(PROCESSORS)
    found, kinds = next((f, k) for f, k in all_of("float") if f.name in FEW)
    made = {object_for(text_for(AMD, found, kinds), AMD.triple, cpu) for cpu in PROCESSORS}
    assert len(made) == len(PROCESSORS)


# Which GPUs are served.


@pytest.fixture
def rocm(monkeypatch):
    """A torch for ROCm, on a GPU of a name."""

    def of(name: str) -> None:
        monkeypatch.setattr(torch.version, "hip", "6.4")
        monkeypatch.setattr(torch.cuda, "init", lambda: None)
        found = SimpleNamespace(gcnArchName=name)
        monkeypatch.setattr(torch.cuda, "get_device_properties", lambda _: found)

    return of


def test_what_kernels_are_not_made_for_and_a_missing_library_are_told(rocm):
    rocm("gfx906:sramecc+:xnack-")
    with pytest.raises(Unavailable, match="it is a gfx906, and kernels are made for gfx908, "):
        gpu_of.__wrapped__(0)
    rocm("gfx90a:sramecc+:xnack-")
    with pytest.raises(Unavailable, match="the driver of HIP cannot be loaded"):
        gpu_of.__wrapped__(0)


def test_the_libraries_are_those_that_torch_has_loaded(rocm, monkeypatch):
    rocm("gfx1100")
    asked = []

    def opened(paths, functions, of):
        asked.append((of, list(paths)))
        return SimpleNamespace(**{name: SimpleNamespace() for name in functions})

    monkeypatch.setattr(hip, "opened", opened)
    monkeypatch.setattr(hip, "loaded", {"libamdhip64": "/a/libamdhip64.so.6"}.get)
    made: Any = gpu_of.__wrapped__(3)
    assert (made.architecture, made.device) == ("gfx1100", torch.device("cuda", 3))
    usual = ["libamd_comgr.so.3", "libamd_comgr.so.2", "libamd_comgr.so"]
    assert asked == [("HIP", ["/a/libamdhip64.so.6"]), ("AMD's comgr", usual)]


def test_a_loaded_library_is_found_by_its_name():
    path = hip.loaded("libtorch_cpu")
    assert sys.platform != "linux" or (path is not None and path.endswith("libtorch_cpu.so"))
    assert hip.loaded("libnobodyhas") is None
