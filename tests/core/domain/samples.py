"""One value of every message, made from its field types, so that a new kind is covered by itself."""

import enum
import types
import typing
from decimal import Decimal

import msgspec
import numpy as np

from stakan.core.domain.events import Levels

LEVELS = np.array([[99, 3], [101, 4]], dtype=np.int64)


def members(union):
    """The classes of a closed family."""
    return typing.get_args(union)


def sample(kind, fill):
    """An instance of a message; `fill` is False for defaults and empty optionals, True for everything given."""
    hints = typing.get_type_hints(kind)
    fields = msgspec.structs.fields(kind)
    return kind(**{field.encode_name: value_of(hints[field.name], fill) for field in fields if fill or field.required})


def value_of(hint, fill):
    hint = getattr(hint, "__supertype__", hint)
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if hint == Levels or origin is np.ndarray:
        return LEVELS.copy()
    if origin in {typing.Union, types.UnionType}:
        wanted = [argument for argument in arguments if argument is not type(None)]
        return value_of(wanted[0], fill) if fill or len(wanted) == len(arguments) else None
    if origin is tuple:
        return (value_of(arguments[0], fill),) if fill else ()
    if origin is dict:
        return {value_of(arguments[0], fill): value_of(arguments[1], fill)} if fill else {}
    if issubclass(hint, msgspec.Struct):
        return sample(hint, fill)
    if issubclass(hint, enum.Enum):
        return list(hint)[-1]
    plain = {bool: True, int: 7, float: 0.25, str: "text", Decimal: Decimal("1.10")}
    return plain[next(base for base in hint.__mro__ if base in plain)]
