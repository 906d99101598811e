"""What `make` sets up for a GPU, and where it sets up nothing."""

import importlib.util
import os
import subprocess
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


def planned(*arguments: str, goal: str = "all", **variables: str) -> str:
    """The commands of `make` with these arguments and variables of the environment, none of which is run."""
    left_out = {"ENGINE", "PROVIDER", "CUDA_HOME", "CUDA_LIBRARIES", "ORT_DYLIB_PATH", "MAKEFLAGS", "MAKELEVEL"}
    environment = {name: value for name, value in os.environ.items() if name not in left_out}
    environment.update(variables)
    command = ["make", "--dry-run", "--always-make", goal, "RUNS=/nowhere/runs", "DATA=/nowhere/data", *arguments]
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True).stdout


@pytest.mark.parametrize(
    ("arguments", "is_set_up"),
    [
        (["has_driver="], False),
        (["has_driver=libcuda.so.1"], True),
        (["has_driver=libcuda.so.1", "ENGINE=cpu", "PROVIDER=cpu"], False),
        (["has_driver=", "ENGINE=cuda"], True),
        (["has_driver=", "PROVIDER=cuda"], True),
        (["has_driver=", "ENGINE=auto"], False),
    ],
)
def test_the_gpu_s_libraries_are_set_up_where_one_is_asked_for_or_there(arguments, is_set_up):
    commands = planned(*arguments)
    assert ("unpack_cuda.py" in commands) == is_set_up, commands
    assert ("unpack_onnxruntime.py" in commands) != is_set_up, commands


def test_bytes_are_compared_on_the_processor_unless_the_gpu_is_asked_for():
    for goal in ["reproduce", "lock"]:
        for engine, variables in [("cpu", {}), ("cuda", {"ENGINE": "cuda"})]:
            commands = planned("has_driver=libcuda.so.1", goal=goal, **variables)
            assert f"'ENGINE={engine}'" in commands and "'PROVIDER=cpu'" in commands, commands
            assert ("unpack_cuda.py" in commands) == (engine == "cuda"), commands


def test_a_driver_that_only_the_loader_s_path_names_is_found_too(tmp_path):
    assert "unpack_cuda.py" not in planned("ENGINE=cpu", LD_LIBRARY_PATH=f"/nowhere:{tmp_path}")
    (tmp_path / "libcuda.so.1").touch()
    assert "unpack_cuda.py" in planned(LD_LIBRARY_PATH=f"/nowhere:{tmp_path}")
    assert "unpack_cuda.py" not in planned("ENGINE=cpu", LD_LIBRARY_PATH=f"/nowhere:{tmp_path}")


def test_an_installed_cuda_is_used_for_training_as_it_is():
    before = planned("ENGINE=cuda", "CUDA_HOME=/opt/cuda").partition("--engine cuda")[0]
    assert "unpack_cuda.py" not in before


def test_libraries_and_licences_are_taken_out_of_the_wheels_under_the_names_that_are_asked_for(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "python")
    spec = importlib.util.spec_from_file_location("unpack_cuda", ROOT / "python/unpack_cuda.py")
    unpack_cuda = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(unpack_cuda)
    wheel = tmp_path / "some.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        for name in [
            "onnxruntime/capi/libonnxruntime.so.1.31.1",
            "onnxruntime/capi/libonnxruntime_providers_cuda.so",
            "onnxruntime/capi/libonnxruntime_providers_shared.so",
            "onnxruntime/capi/libonnxruntime_providers_tensorrt.so",
            "onnxruntime/capi/onnxruntime_pybind11_state.so",
            "onnxruntime/LICENSE",
            "nvidia/cu13/lib/libcublasLt.so.13",
            "nvidia/cu13/lib/libnvrtc-builtins.so.13.0",
            "nvidia/cu13/include/nvrtc.h",
            "nvidia_cublas-13.1.0.3.dist-info/licenses/License.txt",
        ]:
            archive.writestr(name, name)
    (tmp_path / "folder").mkdir()
    unpack_cuda.unpack(wheel, tmp_path / "folder")
    assert sorted(path.name for path in (tmp_path / "folder").iterdir()) == [
        "libcublasLt.so.13",
        "libnvrtc-builtins.so.13.0",
        "libonnxruntime.so",
        "libonnxruntime_providers_cuda.so",
        "libonnxruntime_providers_shared.so",
        "nvidia_cublas-13.1.0.3-License.txt",
        "onnxruntime-LICENSE",
    ]
    assert os.access(tmp_path / "folder/libonnxruntime.so", os.X_OK)
