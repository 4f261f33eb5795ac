"""Which kernels are compiled or loaded in this process; nothing else may have run in it."""

import sys


def signatures():
    """Argument types for which there is machine code, by kernel."""
    return {
        f"{module.__name__}.{name}": set(value.signatures)
        for module in list(sys.modules.values())
        if module.__name__.startswith("stakan.") and module.__name__.endswith("_kernels")
        for name, value in vars(module).items()
        if hasattr(value, "signatures") and value.py_func.__module__ == module.__name__
    }


def added(before):
    """What has been compiled or loaded since."""
    return {
        name: sorted(map(str, found - before.get(name, set())))
        for name, found in signatures().items()
        if found - before.get(name, set())
    }
