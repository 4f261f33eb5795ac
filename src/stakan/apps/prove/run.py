"""Finds demonstrations and carries them out: one file each, named by its file.

A file under `demonstrations` has a docstring whose first line is the claim, and `prove(story)`. Adding a file adds the
demonstration.
"""

from collections.abc import Callable
from importlib import import_module
from pkgutil import iter_modules
from types import ModuleType

from stakan.apps.prove import demonstrations as _folder
from stakan.apps.prove.story import Observation, Proof, Story
from stakan.core.domain.errors import ConfigError, StakanError


def demonstrations() -> tuple[str, ...]:
    """Their names, as they are typed."""
    return tuple(sorted(found.name.replace("_", "-") for found in iter_modules(_folder.__path__)))


def claim_of(name: str) -> str:
    """What a demonstration claims; raises ConfigError naming those that there are."""
    return (_module(name).__doc__ or "").splitlines()[0].rstrip(".")


def prove(name: str, tell: Callable[[Observation], None] = lambda _one: None) -> Proof:
    """Carry one out; what stakan raises on purpose ends it as not proven. Raises ConfigError for an unknown name."""
    module = _module(name)
    story = Story(tell)
    try:
        module.prove(story)
    except StakanError as error:
        story.claim("it runs to its end", f"{type(error).__name__}: {error}", holds=False)
    return Proof(name=name, claim=claim_of(name), holds=story.holds, observations=tuple(story.observations))


def _module(name: str) -> ModuleType:
    if name not in demonstrations():
        raise ConfigError(f"there is no demonstration {name!r}; there are {', '.join(demonstrations())}")
    return import_module(f"{_folder.__name__}.{name.replace('-', '_')}")
