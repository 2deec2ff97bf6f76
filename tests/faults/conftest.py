"""The same world as the engine's tests."""

from tests.engine.conftest import crowd, world

__all__ = ["crowd", "world"]
