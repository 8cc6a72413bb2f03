"""`ctypes` as far as this project uses it: its half in C, without what importing the other half costs.

`ctypes` defines every C type and the classes of other systems; that takes 1.2 of the 60 milliseconds
of a start, in each of its processes (docs/decisions/1300). Type checkers see the real module, and
tests/unit/unionfs/syscalls/test_light_ctypes.py compares each name with it.
"""

from __future__ import annotations

__all__ = ["ctypes"]

TYPE_CHECKING = False
if TYPE_CHECKING:
    import ctypes
else:
    import _ctypes

    _SimpleCData = _ctypes._SimpleCData  # noqa: SLF001 - `ctypes` takes it too

    def _simple(code: str) -> type:
        """The C type that this character names in the array module, or in _ctypes."""
        return type(_SimpleCData)(f"c_{code}", (_SimpleCData,), {"_type_": code})

    _int = _simple("i")

    class CDLL:
        """A shared library; None is the program with all that it has loaded. Raises OSError."""

        _flags = _ctypes.FUNCFLAG_CDECL

        def __init__(self, name: str | None, *, use_errno: bool = False) -> None:
            flags = self._flags | (_ctypes.FUNCFLAG_USE_ERRNO if use_errno else 0)
            body = {"_flags_": flags, "_restype_": _int}
            self._function = type(_ctypes.CFuncPtr)("_FuncPtr", (_ctypes.CFuncPtr,), body)
            self._handle = _ctypes.dlopen(name, 0)

        def __getattr__(self, name: str) -> object:
            if name.startswith("__"):
                raise AttributeError(name)
            function = self._function((name, self))
            function.__name__ = name
            setattr(self, name, function)
            return function

    class PyDLL(CDLL):
        """A library whose functions are called with the interpreter's lock held."""

        _flags = _ctypes.FUNCFLAG_CDECL | _ctypes.FUNCFLAG_PYTHONAPI

    class ctypes:  # noqa: N801 - in the place of the module
        """The module."""

        CDLL = CDLL
        PyDLL = PyDLL
        Structure = _ctypes.Structure
        addressof = _ctypes.addressof
        byref = _ctypes.byref
        get_errno = _ctypes.get_errno
        c_char_p = _simple("z")
        c_int = c_int32 = _int
        c_int64 = _simple("q")
        c_long = _simple("l")
        c_uint = c_uint32 = _simple("I")
        c_uint16 = _simple("H")
        c_uint64 = _simple("Q")
        c_ulong = c_size_t = _simple("L")
        c_void_p = _simple("P")
