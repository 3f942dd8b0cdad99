"""The compiled register tile: in each step of its loops as many multiply-adds as accumulators, full width, none on the stack.

A change of tile.h, of a flag or of the compiler can push accumulators out of the registers; results stay right, and speed falls
to a fraction. The machine code shows it on any machine, also for instruction sets that this one cannot run.
"""

import re
import shutil
import subprocess
import sys
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path

import pytest

from fastae import _kernels

FOLDER = Path(_kernels.__file__).parent / "cython"
REGISTER = {"avx512": "zmm", "avx2": "ymm", "baseline": "xmm", "neon": "v"}  # baseline is SSE on x86, NEON on ARM
MODULES = {isa: path for isa in REGISTER for suffix in EXTENSION_SUFFIXES if (path := FOLDER / f"{isa}{suffix}").exists()}
ELEMENT = {"f32": ("s", "4s"), "f64": ("d", "2d")}  # of mnemonics on x86, of operands on ARM


def functions(listing):
    """Instructions of each function in objdump's listing, as (address, mnemonic, operands)."""
    found, instructions = {}, []
    for line in listing.splitlines():
        if head := re.fullmatch(r"[0-9a-f]+ <(.+)>:", line):
            instructions = found[head[1]] = []
        elif body := re.match(r" *([0-9a-f]+):\t(\S+)\s*(.*)", line):
            instructions.append((int(body[1], 16), body[2], body[3]))
    return found


def innermost_loops(instructions, wanted):
    """Stretches from a jump's target back to the jump that hold a wanted instruction, and no smaller such stretch."""
    loops = []
    for at, mnemonic, operands in instructions:
        target = re.search(r"\b(?:0x)?([0-9a-f]+) <", operands)
        if target and re.match(r"j|b(\.|$)|cbn?z|tbn?z", mnemonic) and instructions[0][0] <= int(target[1], 16) <= at:
            loop = [i for i in instructions if int(target[1], 16) <= i[0] <= at]
            if any(map(wanted, loop)):
                loops.append(loop)
    return [a for a in loops if not any(b is not a and a[0] <= b[0] and b[-1] <= a[-1] for b in loops)]


def faults(instructions, register, dtype, accumulators):
    """What is wrong with a tile's inner loops."""
    x86, arm = ELEMENT[dtype]
    if any(re.search(r"%[re]", operands) for _, _, operands in instructions):
        kinds = {"xmm": (f"mulp{x86}", f"addp{x86}")}.get(register, (rf"vfmadd\d+p{x86}",))
        vectors, full = r"%[xyz]mm", rf"%{register}\d+$"
        stack = [r"\(%rsp"]
        if any(re.match(r"%rsp,%rbp$|\S*\(%rsp\),%rbp$", operands) for _, _, operands in instructions):
            stack.append(r"\(%rbp")
    else:
        kinds, vectors, full, stack = ("fmla",), r"\b[vqd]\d+", rf"^v\d+\.{arm}", [r"\[(sp|x29)\b"]
    found = []
    loops = innermost_loops(instructions, lambda i: re.fullmatch(kinds[0], i[1]))
    if not loops:
        return ["no loop with multiply-adds"]
    for loop in loops:
        for kind in kinds:
            n = sum(bool(re.fullmatch(kind, mnemonic) and re.search(full, operands)) for _, mnemonic, operands in loop)
            if n == 0 or n % accumulators:  # a loop may take several steps at once
                found.append(f"{n} of {kind} on full registers in place of {accumulators} for each step")
        for _, mnemonic, operands in loop:
            if re.search(vectors, operands) and any(re.search(place, operands) for place in stack):
                found.append(f"an accumulator on the stack: {mnemonic} {operands}")
    return found


def objdump(*options):
    return subprocess.run(["objdump", *options], capture_output=True, text=True, check=True).stdout


@pytest.mark.skipif(sys.platform != "linux" or shutil.which("objdump") is None, reason="needs GNU objdump")
@pytest.mark.parametrize("dtype", ELEMENT)
@pytest.mark.parametrize("isa", MODULES or [pytest.param("", marks=pytest.mark.skip(reason="nothing is compiled here"))])
def test_the_tile_stays_in_registers(isa, dtype):
    if "no symbols" in objdump("--syms", MODULES[isa]):
        pytest.skip(f"{MODULES[isa].name} is stripped of the symbols by which the tile is found")
    code = functions(objdump("--disassemble", "--no-show-raw-insn", "--wide", MODULES[isa]))
    tiles = {tuple(map(int, m.groups())): m[0] for name in code if (m := re.fullmatch(rf"tile_(\d+)x(\d+)_{dtype}", name))}
    mr, nv = max(tiles)
    assert faults(code[tiles[mr, nv]], REGISTER[isa], dtype, mr * nv) == []


# ---- the check itself: small listings, one of them right in each group -----------------------------------------------


def listing(*body, setup="mov    %rdi,%rax"):
    """A function whose loop is the body: a jump back from its end to its first line."""
    jump = "b.ne" if setup.startswith("mov\tx") else "jne"
    lines = [setup, *body, f"{jump}    1001 <tile+0x1>", "ret"]
    return "\n".join(["0000000000001000 <tile>:", *(f"    {0x1000 + i:x}:\t{line}" for i, line in enumerate(lines))])


FMA, FMA_MEMORY = "vfmadd231ps %zmm2,%zmm3,%zmm11", "vfmadd231ps (%rax,%rsi,4){1to16},%zmm3,%zmm12"
YMM, XMM, SCALAR = "vfmadd231ps %ymm2,%ymm3,%ymm4", "vfmadd231ps %xmm2,%xmm3,%xmm4", "vfmadd231ss %xmm2,%xmm3,%xmm4"
MUL, ADD = "mulps  %xmm1,%xmm0", "addps  %xmm0,%xmm5"
FRAME = "mov    %rsp,%rbp"
ARM, FMLA = "mov\tx8, x0", "fmla\tv0.4s, v1.4s, v2.s[0]"


@pytest.mark.parametrize(
    ("register", "body", "setup"),
    [
        ("zmm", (FMA, FMA_MEMORY), FRAME),
        ("zmm", (FMA, FMA, FMA_MEMORY, FMA_MEMORY), FRAME),  # two steps
        ("zmm", (FMA, FMA, "mov    0x8(%rsp),%rax"), FRAME),  # an address, not an accumulator
        ("zmm", (FMA, "vmovups 0x40(%rbp),%zmm1", FMA), "mov    %rdi,%rbp"),  # rbp is just a register here
        ("ymm", (YMM, YMM), FRAME),
        ("xmm", (MUL, ADD, MUL, ADD), FRAME),
        ("v", (FMLA, FMLA, "ldr\tx9, [sp, #8]"), ARM),
    ],
)
def test_a_good_loop_passes(register, body, setup):
    assert faults(functions(listing(*body, setup=setup))["tile"], register, "f32", 2) == []


@pytest.mark.parametrize(
    ("register", "body", "setup", "fault"),
    [
        ("zmm", (FMA,), FRAME, "1 of .* in place of 2"),
        ("zmm", (FMA, FMA, FMA), FRAME, "3 of .* in place of 2"),
        ("zmm", (FMA, YMM), FRAME, "1 of .* in place of 2"),
        ("zmm", (FMA, SCALAR), FRAME, "1 of .* in place of 2"),
        ("zmm", (FMA, "vfmadd231pd %zmm2,%zmm3,%zmm11"), FRAME, "1 of .* in place of 2"),
        ("zmm", ("vmulps %zmm1,%zmm2,%zmm3", "vaddps %zmm1,%zmm2,%zmm3"), FRAME, "no loop"),
        ("ymm", (YMM, XMM), FRAME, "1 of .* in place of 2"),
        ("xmm", (MUL, ADD, MUL), FRAME, "1 of addps .* in place of 2"),
        ("zmm", (FMA, FMA, "vmovaps %zmm11,-0x40(%rsp)"), FRAME, "on the stack: vmovaps %zmm11"),
        ("zmm", (FMA, FMA, "vmovups 0x40(%rsp),%zmm1"), FRAME, "on the stack"),
        ("zmm", (FMA, FMA, "vmovaps -0x70(%rbp),%zmm1"), FRAME, "on the stack"),
        ("zmm", (FMA, FMA, "vmovaps 0x40(%rsp,%rax,8),%zmm1"), FRAME, "on the stack"),
        ("zmm", (FMA, "vfmadd231ps 0x80(%rsp),%zmm3,%zmm11"), FRAME, "on the stack"),
        ("xmm", (MUL, ADD, MUL, ADD, "movaps %xmm5,(%rsp)"), FRAME, "on the stack"),
        ("v", (FMLA,), ARM, "1 of fmla .* in place of 2"),
        ("v", (FMLA, "fmla\tv0.2s, v1.2s, v2.s[0]"), ARM, "1 of fmla .* in place of 2"),
        ("v", (FMLA, FMLA, "str\tq0, [sp, #16]"), ARM, "on the stack"),
        ("v", (FMLA, FMLA, "ldp\tq0, q1, [x29, #-32]"), ARM, "on the stack"),
    ],
)
def test_a_bad_loop_fails(register, body, setup, fault):
    found = faults(functions(listing(*body, setup=setup))["tile"], register, "f32", 2)
    assert len(found) == 1
    assert re.search(fault, found[0])


def test_every_innermost_loop_counts():
    """The compiler makes several versions of a loop; one around another is not counted twice."""
    good, bad = listing(FMA, FMA), listing(FMA).replace("    10", "    20").replace(" 1001 ", " 2001 ")
    both = functions(good + "\n" + bad.partition("\n")[2])["tile"]
    assert faults(both, "zmm", "f32", 2) == ["1 of vfmadd\\d+ps on full registers in place of 2 for each step"]
    nested = functions(good.replace("ret", "jmp    1000 <tile>"))["tile"]
    assert faults(nested, "zmm", "f32", 2) == []
    straight = functions(good.replace("1001 <", "1005 <"))["tile"]
    assert faults(straight, "zmm", "f32", 2) == ["no loop with multiply-adds"]
