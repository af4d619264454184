"""What is raised for tensor products that break a rule."""


class SpecificationError(ValueError, AssertionError):
    """A tensor product that breaks a rule; the message names the instruction or argument. (An AssertionError as well, since that
    is what e3nn raises.)"""
