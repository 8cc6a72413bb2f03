"""The host's files that the programs of a GPU's vendor need where no CDI specification names them: libraries of the
driver, programs and device nodes. Pure.
"""

from __future__ import annotations

from unionfs.light_types import NamedTuple

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping


class GpuVendor(NamedTuple):
    """`libraries` are the names before `.so`, one with `*` at its end for all that begin so. `nodes` are paths of
    glob(3)."""

    name: str
    cdi_device: str
    libraries: tuple[str, ...]
    programs: tuple[str, ...]
    nodes: tuple[str, ...]


NVIDIA = GpuVendor(
    "NVIDIA",
    "nvidia.com/gpu=all",
    (
        "libEGL",
        "libEGL_nvidia",
        "libGL",
        "libGLESv1_CM",
        "libGLESv1_CM_nvidia",
        "libGLESv2",
        "libGLESv2_nvidia",
        "libGLX",
        "libGLX_nvidia",
        "libGLdispatch",
        "libOpenCL",
        "libOpenGL",
        "libcuda",
        "libcudadebugger",
        "libnvcuvid",
        "libnvidia-*",
        "libnvoptix",
        "libvdpau_nvidia",
    ),
    (
        "nvidia-smi",
        "nvidia-debugdump",
        "nvidia-persistenced",
        "nvidia-cuda-mps-control",
        "nvidia-cuda-mps-server",
    ),
    ("/dev/nvidia*", "/dev/dri"),
)
AMD = GpuVendor(
    "AMD",
    "amd.com/gpu=all",
    (
        "libMIOpen",
        "libOpenCL",
        "libamd_comgr",
        "libamd_smi",
        "libamdhip64",
        "libamdocl64",
        "libdrm",
        "libdrm_amdgpu",
        "libhipblas*",
        "libhipfft*",
        "libhiprand",
        "libhiprtc*",
        "libhipsolver",
        "libhipsparse",
        "libhsa-*",
        "libhsakmt",
        "librccl",
        "librocalution*",
        "librocblas",
        "librocfft*",
        "librocm*",
        "librocprofiler*",
        "librocrand",
        "librocsolver",
        "librocsparse",
        "libroctracer64",
        "libroctx64",
    ),
    ("rocm-smi", "amd-smi", "rocminfo"),
    ("/dev/kfd", "/dev/dri"),
)


def libraries_of(vendor: GpuVendor, cache: Mapping[str, str]) -> dict[str, str]:
    """The vendor's libraries in the cache of ldconfig: name to path."""
    exact = {name for name in vendor.libraries if not name.endswith("*")}
    prefixes = tuple(name[:-1] for name in vendor.libraries if name.endswith("*"))
    return {
        name: path
        for name, path in sorted(cache.items())
        if name.partition(".so")[0] in exact or name.startswith(prefixes)
    }
