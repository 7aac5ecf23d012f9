"""How a mutant is made: something of the product is put in the place of what is there."""

from unittest.mock import patch


def swap(owner, name, make):
    """Patch what a class or a module holds by `make(what it holds)`."""
    return patch.object(owner, name, make(getattr(owner, name)))
