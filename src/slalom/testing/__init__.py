"""Does an optimizer keep the promises of torch.optim? One call says what it breaks."""

from slalom.testing.suite import Failure, conformance

__all__ = ["Failure", "conformance"]
