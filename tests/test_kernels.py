"""Every kernel of the CUDA engine compiles with NVRTC and assembles with ptxas, and spills no register.

No GPU is needed. `make test` puts both tools into .cache/cuda-kernels (python/cuda-kernels.txt).
"""

import ctypes
import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
TOOLS = ROOT / ".cache/cuda-kernels/nvidia/cu13"
SOURCE = ROOT / "train/src/cuda/kernels.cu"
# As `train/src/cuda/kernels.rs` gives them, but for the architecture.
OPTIONS = ["--fmad=false", "--std=c++17"]


@pytest.fixture(scope="module")
def nvrtc() -> ctypes.CDLL:
    library = TOOLS / "lib/libnvrtc.so.13"
    assert library.exists(), f"`{library}` is missing: run `make test`, which sets it up"
    for builtins in library.parent.glob("libnvrtc-builtins.so.*"):
        ctypes.CDLL(str(builtins))  # Which NVRTC looks for by name, in the system's folders only.
    return ctypes.CDLL(str(library))


def text_of(nvrtc: ctypes.CDLL, program: ctypes.c_void_p, what: str) -> str:
    size = ctypes.c_size_t()
    assert getattr(nvrtc, f"nvrtcGet{what}Size")(program, ctypes.byref(size)) == 0
    text = ctypes.create_string_buffer(size.value)
    assert getattr(nvrtc, f"nvrtcGet{what}")(program, text) == 0
    return text.value.decode()


def compiled(nvrtc: ctypes.CDLL, source: str, options: list[str]) -> str:
    """The kernels as PTX."""
    program = ctypes.c_void_p()
    assert nvrtc.nvrtcCreateProgram(ctypes.byref(program), source.encode(), b"kernels.cu", 0, None, None) == 0
    array = (ctypes.c_char_p * len(options))(*map(str.encode, options))
    status = nvrtc.nvrtcCompileProgram(program, len(options), array)
    assert status == 0, text_of(nvrtc, program, "ProgramLog")
    return text_of(nvrtc, program, "PTX")


def assembled(ptx: str, architecture: str, folder: Path) -> dict[str, tuple[int, int]]:
    """The registers and the bytes of spills of each kernel."""
    (folder / "kernels.ptx").write_text(ptx)
    command = [TOOLS / "bin/ptxas", "--verbose", f"--gpu-name=sm_{architecture}", "kernels.ptx", "--output-file", "kernels.cubin"]
    result = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    kernels, name = {}, ""
    for line in result.stderr.splitlines():
        if match := re.search(r"entry function '(\w+)'", line):
            name = match[1]
        if match := re.search(r"(\d+) bytes spill stores, (\d+) bytes spill loads", line):
            kernels.setdefault(name, (0, 0))
            kernels[name] = (kernels[name][0], kernels[name][1] + int(match[1]) + int(match[2]))
        if match := re.search(r"Used (\d+) registers", line):
            kernels[name] = (int(match[1]), kernels[name][1])
    return kernels


@pytest.mark.parametrize("element", ["float", "bfloat16"])
@pytest.mark.parametrize("architecture", ["80", "90", "100"])
def test_every_kernel_compiles_and_spills_nothing(nvrtc, architecture, element, tmp_path, capsys):
    source = SOURCE.read_text()
    options = [f"--gpu-architecture=compute_{architecture}", *OPTIONS]
    if element == "bfloat16":
        options.append("--define-macro=BFLOAT16")
    ptx = compiled(nvrtc, source, options)
    # What passes over whole matrices writes them by accesses of 16 bytes, or of 8 where four numbers become bf16.
    for name in ("gather", "activate", "deactivate", "update"):
        kernel = re.search(rf"\.entry {name}\(.*?^}}$", ptx, re.MULTILINE | re.DOTALL)[0]
        stores = re.findall(r"st\.global\.(\S+)", kernel)
        assert stores and all(store.startswith("v4.") or store in ("v2.u32", "v2.b32") for store in stores), (name, stores)
    kernels = assembled(ptx, architecture, tmp_path)
    names = set(re.findall(r"^KERNEL (\w+)\(", source, re.MULTILINE))
    assert names and set(kernels) == names
    with capsys.disabled():
        used = ", ".join(f"{name} {registers}" for name, (registers, _) in sorted(kernels.items()))
        print(f"\nsm_{architecture}, {element}: registers: {used}; bytes of spills: {sum(s for _, s in kernels.values())}")
    assert all(registers > 0 and spills == 0 for registers, spills in kernels.values()), kernels


def test_a_kernel_that_spills_is_noticed(nvrtc, tmp_path):
    source = """extern "C" __global__ void __launch_bounds__(1024, 2) greedy(float *values) {
        float kept[64];
        for (int i = 0; i < 64; ++i) kept[i] = values[i * 1024 + threadIdx.x];
        __syncthreads();
        for (int i = 0; i < 64; ++i) values[i * 1024 + threadIdx.x] = kept[i] * kept[63 - i] + values[i];
    }"""
    kernels = assembled(compiled(nvrtc, source, ["--gpu-architecture=compute_80"]), "80", tmp_path)
    assert kernels["greedy"][1] > 0


def test_a_kernel_that_does_not_compile_is_noticed(nvrtc):
    with pytest.raises(AssertionError, match="undefined"):
        compiled(nvrtc, 'extern "C" __global__ void wrong() { missing(); }', ["--gpu-architecture=compute_80"])
