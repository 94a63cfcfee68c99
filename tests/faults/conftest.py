"""The finished study of three trials that tests of Ray share."""

from tests.tune.conftest import smoke

__all__ = ["smoke"]
