#!/usr/bin/env python3
"""What the compiler made of the kernels: registers, spills, shared memory and the instructions that matter.

usage: report.py [--arch 80 --arch 90a] [--out FILE] FOLDER     a table of FOLDER/*.o and FOLDER/*.o.log
       report.py --probe NVCC [--arch 80 --arch 90a]            checks the opcodes below against a compiler

Registers, stack and spills are what `ptxas -v` said when the objects were made (FOLDER/*.o.log). Instructions are
counted in the machine code itself: an object holds one ELF file for each GPU (machine 190), in it one section
.text.KERNEL for each kernel, in that one instruction in every 16 bytes (compute 7.0 to 12.1). The low 9 bits of the
first word say which instruction it is, 3 bits above them where its operands come from; of loads and stores bits 9 to
11 of the second word are the width: 4 = 32 bits, 5 = 64, 6 = 128. These numbers are in no manual: kernels of one PTX
instruction each, compiled by nvcc 13.0, show them, and --probe compiles such kernels again and looks.

Ends with status 1 when a hot kernel spills or keeps an array in local memory.
"""
import argparse
import collections
import pathlib
import re
import struct
import subprocess
import sys
import tempfile

WIDE = 6
# name -> low 9 bits of the opcode, and the width that is counted (None = any)
OPCODES = {
    "LDG": (0x181, None), "LDG128": (0x181, WIDE), "STG128": (0x186, WIDE), "LDS128": (0x184, WIDE),
    "LDSM": (0x03B, None), "LDGSTS": (0x1AE, None), "UTMALDG": (0x1B4, None), "HMMA": (0x03C, None),
    "IMMA": (0x037, None), "HGMMA": (0x1F0, None), "IDP": (0x026, None), "MUFU": (0x108, None),
    "LDL": (0x183, None), "STL": (0x187, None),
}
HOT = re.compile(r"gemv|gemm|mma|attend|split|expert|norm|dequant|quantize|half|swiglu|add|turn_heads|write_rows|join|route|hidden|down|pick|embed")
COLD = re.compile(r"attend_any|attend_plain|attend_slowly|repack|random|hidden_kernel<FormatF32")  # experts in F32 are a test's

PROBES = {  # kernel -> (needs this arch, what must be found there, its parameters and body)
    "ldg128": ("", "LDG128", "const uint4 *a, unsigned *o", "uint4 v = a[threadIdx.x]; o[threadIdx.x] = v.x ^ v.y ^ v.z ^ v.w;"),
    "ldg32": ("", "LDG", "const unsigned *a, unsigned *o", "o[threadIdx.x] = a[threadIdx.x] + 1;"),
    "stg128": ("", "STG128", "uint4 *o, unsigned a", "o[threadIdx.x] = make_uint4(a, a + 1, a + 2, a + 3);"),
    "lds128": ("", "LDS128", "unsigned *o", "extern __shared__ uint4 s[]; ((unsigned *)s)[threadIdx.x] = o[threadIdx.x]; "
               "__syncthreads(); uint4 v = s[threadIdx.x ^ 1]; o[threadIdx.x] = v.x ^ v.y ^ v.z ^ v.w;"),
    "ldsm": ("", "LDSM", "unsigned *o", "extern __shared__ uint4 s[]; unsigned a = (unsigned)__cvta_generic_to_shared(s), r; "
             'asm volatile("ldmatrix.sync.aligned.m8n8.x1.shared.b16 {%0}, [%1];" : "=r"(r) : "r"(a)); o[0] = r;'),
    "ldgsts": ("", "LDGSTS", "const char *g", "extern __shared__ uint4 s[]; unsigned a = (unsigned)__cvta_generic_to_shared(s); "
               'asm volatile("cp.async.cg.shared.global [%0], [%1], 16;" ::"r"(a), "l"(g));'),
    "hmma": ("", "HMMA", "unsigned *o", "float d[4] = {}; asm volatile(\"mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 "
             "{%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};\" : \"+f\"(d[0]), \"+f\"(d[1]), \"+f\"(d[2]), "
             "\"+f\"(d[3]) : \"r\"(o[0]), \"r\"(o[1]), \"r\"(o[2]), \"r\"(o[3]), \"r\"(o[4]), \"r\"(o[5])); "
             "o[0] = __float_as_uint(d[0] + d[1] + d[2] + d[3]);"),
    "imma": ("", "IMMA", "unsigned *o", "int d[4] = {}; asm volatile(\"mma.sync.aligned.m16n8k32.row.col.s32.s8.s8.s32 "
             "{%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};\" : \"+r\"(d[0]), \"+r\"(d[1]), \"+r\"(d[2]), "
             "\"+r\"(d[3]) : \"r\"(o[0]), \"r\"(o[1]), \"r\"(o[2]), \"r\"(o[3]), \"r\"(o[4]), \"r\"(o[5])); "
             "o[0] = (unsigned)(d[0] + d[1] + d[2] + d[3]);"),
    "idp": ("", "IDP", "unsigned *o", "o[0] = (unsigned)__dp4a((int)o[0], (int)o[1], (int)o[2]);"),
    "mufu": ("", "MUFU", "float *o", 'float y; asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(o[0])); o[1] = y;'),
    "ldl": ("", "LDL", "unsigned *o, int i, int j", "volatile unsigned s[16]; s[i] = o[0]; s[j] = o[1]; o[0] = s[i ^ j];"),
    "stl": ("", "STL", "unsigned *o, int i, int j", "volatile unsigned s[16]; s[i] = o[0]; s[j] = o[1]; o[0] = s[i ^ j];"),
    "hgmma": ("90a", "HGMMA", "unsigned long long a, float *o", "float d[4] = {}; asm volatile(\"wgmma.fence.sync.aligned; "
              "wgmma.mma_async.sync.aligned.m64n8k16.f32.f16.f16 {%0, %1, %2, %3}, %4, %4, 1, 1, 1, 0, 0; "
              "wgmma.commit_group.sync.aligned; wgmma.wait_group.sync.aligned 0;\" : \"+f\"(d[0]), \"+f\"(d[1]), "
              "\"+f\"(d[2]), \"+f\"(d[3]) : \"l\"(a)); o[threadIdx.x] = d[0] + d[1] + d[2] + d[3];"),
    "utmaldg": ("90a", "UTMALDG", "const void *map", "extern __shared__ uint4 s[]; unsigned a = "
                "(unsigned)__cvta_generic_to_shared(s); asm volatile(\"cp.async.bulk.tensor.2d.shared::cluster.global.tile."
                "mbarrier::complete_tx::bytes [%0], [%1, {%2, %2}], [%3];\" ::\"r\"(a + 128), \"l\"(map), \"r\"(0), \"r\"(a) "
                ": \"memory\");"),
}


def sections(elf):
    table = struct.unpack_from("<Q", elf, 0x28)[0]
    size, count, names = struct.unpack_from("<HHH", elf, 0x3A)
    headers = [struct.unpack_from("<IIQQQQIIQQ", elf, table + i * size) for i in range(count)]
    start = headers[names][4]
    for header in headers:
        name = elf[start + header[0]:elf.index(b"\0", start + header[0])].decode()
        yield name, b"" if header[1] == 8 else elf[header[4]:header[4] + header[5]]


def cubins(data):
    """The GPU programs in an object, or the one that a .cubin is: (number of the architecture, its bytes)."""
    at = -1
    while (at := data.find(b"\x7fELF", at + 1)) >= 0:
        if struct.unpack_from("<H", data, at + 18)[0] == 190:
            flags = struct.unpack_from("<I", data, at + 48)[0]
            old, new = flags & 0xFF, flags >> 8 & 0xFF  # the number moved with version 8 of this ABI
            yield new if data[at + 8] >= 8 else old, data[at:]


def count(code):
    found = collections.Counter()
    for at in range(0, len(code) - 15, 16):
        low, high = struct.unpack_from("<QQ", code, at)
        found["all"] += 1
        for name, (opcode, width) in OPCODES.items():
            if low & 0x1FF == opcode and width in (None, high >> 9 & 7):
                found[name] += 1
    return found


def kernels(data):
    for arch, elf in cubins(data):
        for name, code in sections(elf):
            if name.startswith(".text."):
                yield arch, name[len(".text."):], count(code)


def read_log(text):
    """(architecture, kernel) -> registers, stack bytes, spilled bytes, static shared bytes"""
    facts, key = {}, None
    for line in text.splitlines():
        if m := re.search(r"Compiling entry function '(\S+)' for 'sm_(\d+)", line):
            key = (int(m[2]), m[1])
            facts[key] = [0, 0, 0, 0]
        elif key and (m := re.search(r"(\d+) bytes stack frame, (\d+) bytes spill stores, (\d+) bytes spill loads", line)):
            facts[key][1:3] = [int(m[1]), int(m[2]) + int(m[3])]
        elif key and (m := re.search(r"Used (\d+) registers", line)):
            facts[key][0] = int(m[1])
            if m := re.search(r"(\d+) bytes smem", line):
                facts[key][3] = int(m[1])
            key = None
    return facts


def readable(names):
    names = sorted(names)
    text = subprocess.run(["c++filt"], input="\n".join(names), capture_output=True, text=True, check=True).stdout
    short = {}
    for name, line in zip(names, text.splitlines()):
        line = re.sub(r"^void ", "", line)
        line = re.sub(r"\((?:[^()<]|<[^>]*>)*\)$", "", line.replace("(anonymous namespace)::", ""))
        short[name] = re.sub(r"\((?:int|bool|DType|unsigned int)\)", "", line)
    return short


def report(folder, archs, out):
    wanted = {int(re.sub("[a-z]", "", arch)) for arch in archs}
    facts, counts, files = {}, {}, {}
    for path in sorted(folder.glob("*.o")):
        log = path.with_name(path.name + ".log")
        known = read_log(log.read_text()) if log.exists() else {}
        for arch, name, found in kernels(path.read_bytes()):
            if arch in wanted:
                key = (path.stem, name, arch)
                counts[key], facts[key] = found, known.get((arch, name))
                files[key] = path.stem
    if not counts:
        sys.exit(f"report.py: no kernels for {', '.join(archs)} in {folder}")
    short = readable({name for _, name, _ in counts})
    shown = [name for name in OPCODES if name != "LDG"]
    width = max(len(short[name]) for _, name, _ in counts)
    lines = [f"{'kernel':{width}} {'sm':>3} {'regs':>4} {'stack':>5} {'spill':>5} {'instr':>6} {'LDG':>9} "
             + " ".join(f"{name:>{max(6, len(name))}}" for name in shown if name != "LDG128")]
    failures, last = [], None
    for key in sorted(counts, key=lambda k: (k[0], short[k[1]], k[2])):
        file, name, arch = key
        found, fact = counts[key], facts[key]
        if file != last:
            lines.append(f"-- {file}.cu")
            last = file
        registers, stack, spill, _ = fact or ("?", "?", "?", "?")
        loads = f"{found['LDG128']}/{found['LDG']}"
        lines.append(f"{short[name]:{width}} {arch:>3} {registers:>4} {stack:>5} {spill:>5} {found['all']:>6} {loads:>9} "
                     + " ".join(f"{found[n]:>{max(6, len(n))}}" for n in shown if n != "LDG128"))
        if HOT.search(short[name]) and not COLD.search(short[name]):
            if not fact:
                failures.append(f"{short[name]} (sm_{arch}): ptxas said nothing of it")
            elif spill or found["LDL"] or found["STL"]:
                failures.append(f"{short[name]} (sm_{arch}): {spill} bytes spilled, {found['LDL']} loads from and "
                                f"{found['STL']} stores to local memory")
    head = ["# What nvcc made of the kernels; written by the target cuda-report (tests/cuda/report.py).",
            "# regs, stack, spill (bytes): ptxas -v. instr and the rest: instructions in the machine code, not how often",
            "# they run. LDG: 128-bit loads of all loads from device memory. Shared memory is asked for at the launch.", ""]
    text = "\n".join(head + lines) + "\n"
    if out:
        out.parent.mkdir(parents=True, exist_ok=True)
        out.write_text(text)
    else:
        sys.stdout.write(text)
    for failure in failures:
        print(f"report.py: {failure}", file=sys.stderr)
    print(f"{len(counts)} kernels, {len(failures)} hot ones spill")
    return 1 if failures else 0


def probe(nvcc, archs):
    bad = 0
    with tempfile.TemporaryDirectory() as folder:
        for arch in archs:
            source, cubin = pathlib.Path(folder, "probe.cu"), pathlib.Path(folder, "probe.cubin")
            chosen = {name: p for name, p in PROBES.items() if p[0] in ("", arch)}
            source.write_text("\n".join(f'extern "C" __global__ void {name}({p[2]}) {{ {p[3]} }}'
                                        for name, p in chosen.items()))
            subprocess.run([nvcc, f"-arch=sm_{arch}", "-cubin", source, "-o", cubin], check=True)
            seen = {name: found for _, name, found in kernels(cubin.read_bytes())}
            for name, (_, opcode, _, _) in chosen.items():
                others = [n for n, found in seen.items() if found[opcode] and chosen[n][1] != opcode]
                allowed = {"LDG": set(chosen), "LDL": {"stl"}, "STL": {"ldl"}}.get(opcode, set())
                if not seen[name][opcode] or set(others) - allowed:
                    print(f"sm_{arch}: {opcode} is in {others or 'no kernel'}, not in {name} alone")
                    bad += 1
            print(f"sm_{arch}: {len(chosen)} opcodes looked for")
    return 1 if bad else 0


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", nargs="?", type=pathlib.Path)
    parser.add_argument("--arch", action="append")
    parser.add_argument("--out", type=pathlib.Path)
    parser.add_argument("--probe", metavar="NVCC")
    args = parser.parse_args()
    archs = args.arch or ["80", "90a"]
    if args.probe:
        return probe(args.probe, archs)
    if not args.folder:
        parser.error("a folder is needed")
    return report(args.folder, archs, args.out)


if __name__ == "__main__":
    sys.exit(main())
