"""LLVM's assembly turned into machine code, for this machine or for another."""

from __future__ import annotations

import re
from typing import Any

from slalom.backends.llvm.load import llvm
from slalom.backends.llvm.once import LOCK
from slalom.backends.refusals import Unavailable

_INLINE = re.compile(r'(?<![%@\w.$-])asm\s+(?:"|sideeffect|alignstack|inteldialect|unwind)')
"""Machine's assembly within LLVM's: LLVM ends the process where it does not understand it."""


def target_machine(triple: str, cpu: str, features: str, *, in_process: bool = False) -> Any:
    """LLVM's description of a machine; ``in_process``, of code that is linked where it is made.

    Raises :class:`Unavailable` for a ``triple`` that this llvmlite makes no code for.
    """
    binding = llvm()
    binding.initialize_all_targets()
    binding.initialize_all_asmprinters()
    try:
        return binding.Target.from_triple(triple).create_target_machine(
            cpu=cpu,
            features=features,
            opt=3,
            codemodel="jitdefault" if in_process else "default",
            # what is loaded by a linker may lie anywhere
            reloc="default" if in_process else "pic",
            jit=in_process,
        )
    except RuntimeError as error:
        raise Unavailable(f"LLVM makes no code for {triple} here ({error})") from error


def optimised(assembly: str, machine: Any) -> Any:
    """The module of this assembly, verified and optimised for a machine.

    Raises :class:`Unavailable` for text that is no sound module.
    """
    binding = llvm()
    if _INLINE.search(assembly):
        raise Unavailable("LLVM is not given text that holds assembly of the machine itself")
    try:
        module = binding.parse_assembly(assembly)
        module.triple, module.data_layout = machine.triple, str(machine.target_data)
        module.verify()
    except (RuntimeError, UnicodeError) as error:
        raise Unavailable(f"LLVM refuses the text of this code ({error})") from error
    options = binding.create_pipeline_tuning_options(speed_level=3)
    options.loop_vectorization = True
    options.loop_interleaving = True
    passes = binding.create_pass_builder(machine, options)
    passes.getModulePassManager().run(module, passes)
    return module


def object_for(assembly: str, triple: str, cpu: str = "", features: str = "") -> bytes:
    """The object file of this assembly for a machine, in its system's format (ELF, Mach-O, COFF).

    Raises :class:`Unavailable` where LLVM is missing, does not know ``triple``, or refuses the
    text.
    """
    with LOCK:
        machine = target_machine(triple, cpu, features)
        return machine.emit_object(optimised(assembly, machine))


def assembly_for(assembly: str, triple: str, cpu: str = "", features: str = "") -> str:
    """As :func:`object_for`, but the text of the machine's own assembly."""
    with LOCK:
        machine = target_machine(triple, cpu, features)
        return machine.emit_assembly(optimised(assembly, machine))
